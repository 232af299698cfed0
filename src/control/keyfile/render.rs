//! A record as text, in the notation of the file that it goes into.
//!
//! A room of its own because what is written here is kept for years and read by people: fields in the order of the
//! documentation, and only those that are set.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::import::ForeignKey;
use crate::config::records::write::date_time;
use crate::config::records::{Notation, Tombstone};
use crate::control::mint::NewKey;

/// An organization to be written into a key file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewOrganization {
    /// Stable id.
    pub id: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The fields of a key, as both notations write them.
#[derive(Serialize)]
struct Fields<'a> {
    id: &'a str,
    name: &'a str,
    organization: &'a str,
    hash: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lead: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    permissions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscriptions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_sources: Cow<'a, [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(key: &'a NewKey) -> Self {
        Self {
            id: &key.id,
            name: &key.name,
            organization: &key.organization,
            hash: format!("sha256:{}", hex::encode(key.digest.0)).into(),
            lead: None,
            hint: Some(&key.hint),
            permissions: &key.permissions,
            environment: key.environment.as_deref(),
            subscriptions: &key.subscriptions,
            plan: key.plan.as_deref(),
            created_at: Some(date_time(key.created_at)),
            not_before: None,
            expires_at: key.expires_at.map(date_time),
            active: None,
            revoked_at: None,
            allowed_sources: key
                .allowed_sources
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .into(),
            owner: key.owner.as_deref(),
        }
    }

    fn of_foreign(key: &'a ForeignKey) -> Self {
        Self {
            id: &key.id,
            name: &key.name,
            organization: &key.organization,
            hash: key.hash.as_str().into(),
            lead: key.lead.as_deref(),
            hint: key.hint.as_deref(),
            permissions: &key.permissions,
            environment: key.environment.as_deref(),
            subscriptions: &key.subscriptions,
            plan: key.plan.as_deref(),
            created_at: key.created_at.map(date_time),
            not_before: key.not_before.map(date_time),
            expires_at: key.expires_at.map(date_time),
            active: (!key.active).then_some(false),
            revoked_at: key.revoked_at.map(date_time),
            allowed_sources: key.allowed_sources.as_slice().into(),
            owner: key.owner.as_deref(),
        }
    }
}

/// A value that a field is given.
#[derive(Debug, Clone)]
pub(super) enum Setting {
    Text(String),
    /// Unix seconds.
    Time(i64),
    Switch(bool),
    /// `secrets = […]`
    Secrets(Vec<SecretText>),
}

/// One of several secrets.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SecretText {
    pub(super) hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lead: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_time")]
    pub(super) expires_at: Option<i64>,
}

impl Setting {
    /// As TOML writes it behind `=`.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Time(unix) => date_time(*unix),
            Self::Switch(value) => value.to_string(),
            Self::Secrets(secrets) => {
                let tables: Vec<String> = secrets.iter().map(toml_secret).collect();
                format!("[{}]", tables.join(", "))
            }
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Text(text) => json(text),
            Self::Time(unix) => json(&date_time(*unix)),
            Self::Switch(value) => value.to_string(),
            Self::Secrets(secrets) => json(secrets),
        }
    }
}

/// Puts records behind a file's text. What is there decides the line ends, and whether a line or an empty line goes first.
pub(super) fn append(text: &mut String, notation: Notation, records: &[String]) {
    let is_crlf = text.contains("\r\n");
    append_lines(text, notation, is_crlf, records);
}

/// As [`append`], where it is known whether lines end in CRLF.
pub(super) fn append_lines(text: &mut String, notation: Notation, is_crlf: bool, records: &[String]) {
    let mut addition = String::new();
    if !text.is_empty() && !text.ends_with('\n') {
        addition.push('\n');
    }
    let empty_line_first = notation == Notation::Toml && !text.trim_end_matches([' ', '\t']).is_empty();
    for (index, record) in records.iter().enumerate() {
        if notation == Notation::Toml && (empty_line_first || index > 0) {
            addition.push('\n');
        }
        addition.push_str(record);
    }
    if is_crlf {
        addition = addition.replace('\n', "\r\n");
    }
    text.push_str(&addition);
}

/// A key's record, with its line end.
pub(super) fn key(notation: Notation, key: &NewKey) -> String {
    let fields = Fields::of(key);
    match notation {
        Notation::Toml => toml_key(&fields),
        Notation::JsonLines => json(&fields) + "\n",
    }
}

/// The record of a key from elsewhere as a line, without its line end.
pub(super) fn foreign_line(key: &ForeignKey) -> String {
    json(&Fields::of_foreign(key))
}

/// The record of a key from elsewhere as a section, with its line end.
pub(super) fn foreign_section(key: &ForeignKey) -> String {
    toml_key(&Fields::of_foreign(key))
}

/// An organization's record, with its line end.
pub(super) fn organization(notation: Notation, organization: &NewOrganization) -> String {
    match notation {
        Notation::Toml => toml_organization(organization),
        Notation::JsonLines => json(organization) + "\n",
    }
}

/// A tombstone's record, with its line end. `hashes` are as tombstones write them.
pub(super) fn tombstone(notation: Notation, tombstone: &Tombstone, hashes: &[String]) -> String {
    if notation == Notation::JsonLines {
        let line = TombstoneLine {
            key: tombstone.key.as_deref(),
            hashes,
            revoked_at: date_time(tombstone.revoked_at),
            reason: tombstone.reason.as_deref(),
        };
        return json(&line) + "\n";
    }
    let mut record = "[[tombstones]]\n".to_owned();
    if let Some(key) = &tombstone.key {
        record.push_str(&format!("key = {}\n", quoted(key)));
    }
    record.push_str(&format!("hashes = {}\n", toml_list(hashes)));
    record.push_str(&format!("revoked_at = {}\n", date_time(tombstone.revoked_at)));
    if let Some(reason) = &tombstone.reason {
        record.push_str(&format!("reason = {}\n", quoted(reason)));
    }
    record
}

#[derive(Serialize)]
struct TombstoneLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    hashes: &'a [String],
    revoked_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn json(record: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(record).expect("records hold texts and lists of such only")
}

fn toml_organization(organization: &NewOrganization) -> String {
    let mut text = format!("[[organizations]]\nid = {}\n", quoted(&organization.id));
    if let Some(name) = &organization.name {
        text.push_str(&format!("name = {}\n", quoted(name)));
    }
    text
}

fn toml_key(fields: &Fields<'_>) -> String {
    let text = |text: &str| Some(quoted(text));
    let list = |items: &[String]| (!items.is_empty()).then(|| toml_list(items));
    let lines = [
        ("id", text(fields.id)),
        ("name", text(fields.name)),
        ("organization", text(fields.organization)),
        ("hash", text(&fields.hash)),
        ("lead", fields.lead.map(quoted)),
        ("hint", fields.hint.map(quoted)),
        ("permissions", list(fields.permissions)),
        ("environment", fields.environment.map(quoted)),
        ("subscriptions", list(fields.subscriptions)),
        ("plan", fields.plan.map(quoted)),
        ("created_at", fields.created_at.clone()),
        ("not_before", fields.not_before.clone()),
        ("expires_at", fields.expires_at.clone()),
        ("active", fields.active.map(|active| active.to_string())),
        ("revoked_at", fields.revoked_at.clone()),
        ("allowed_sources", list(&fields.allowed_sources)),
        ("owner", fields.owner.map(quoted)),
    ];
    let mut record = "[[keys]]\n".to_owned();
    for (name, value) in lines {
        if let Some(value) = value {
            record.push_str(&format!("{name} = {value}\n"));
        }
    }
    record
}

fn toml_list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

fn toml_secret(secret: &SecretText) -> String {
    let mut table = format!("{{ hash = {}", quoted(&secret.hash));
    if let Some(lead) = &secret.lead {
        table.push_str(&format!(", lead = {}", quoted(lead)));
    }
    if let Some(end) = secret.expires_at {
        table.push_str(&format!(", expires_at = {}", date_time(end)));
    }
    table.push_str(" }");
    table
}

#[allow(clippy::ref_option)] // as serde calls it
fn serialize_time<S: Serializer>(unix: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    unix.map(date_time).serialize(serializer)
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
