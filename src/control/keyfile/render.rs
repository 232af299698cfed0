//! A record as text, in the notation of the file that it goes into.
//!
//! A room of its own because what is written here is kept for years and read by people: fields in the order of the
//! documentation, and only those that are set.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::records::Notation;
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
    hash: String,
    hint: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    permissions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscriptions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(key: &'a NewKey) -> Self {
        Self {
            id: &key.id,
            name: &key.name,
            organization: &key.organization,
            hash: format!("sha256:{}", hex::encode(key.digest.0)),
            hint: &key.hint,
            permissions: &key.permissions,
            environment: key.environment.as_deref(),
            subscriptions: &key.subscriptions,
            plan: key.plan.as_deref(),
            created_at: date_time(key.created_at),
            expires_at: key.expires_at.map(date_time),
            allowed_sources: key.allowed_sources.iter().map(ToString::to_string).collect(),
            owner: key.owner.as_deref(),
        }
    }
}

/// What is put behind a file's text. `existing` decides the line ends, and whether a line or an empty line goes first.
#[must_use]
pub fn addition(notation: Notation, existing: &str, organization: Option<&NewOrganization>, key: &NewKey) -> String {
    let mut text = String::new();
    if !existing.is_empty() && !existing.ends_with('\n') {
        text.push('\n');
    }
    match notation {
        Notation::JsonLines => {
            for line in [organization.map(json), Some(json(&Fields::of(key)))]
                .into_iter()
                .flatten()
            {
                text.push_str(&line);
                text.push('\n');
            }
        }
        Notation::Toml => {
            let empty_line_first = !existing.trim_end_matches([' ', '\t']).is_empty();
            for (index, record) in [organization.map(toml_organization), Some(toml_key(&Fields::of(key)))]
                .into_iter()
                .flatten()
                .enumerate()
            {
                if empty_line_first || index > 0 {
                    text.push('\n');
                }
                text.push_str(&record);
            }
        }
    }
    if existing.contains("\r\n") {
        text = text.replace('\n', "\r\n");
    }
    text
}

fn json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records hold texts and lists of texts only")
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
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        (!items.is_empty()).then(|| format!("[{}]", items.join(", ")))
    };
    let lines = [
        ("id", text(fields.id)),
        ("name", text(fields.name)),
        ("organization", text(fields.organization)),
        ("hash", text(&fields.hash)),
        ("hint", text(fields.hint)),
        ("permissions", list(fields.permissions)),
        ("environment", fields.environment.map(quoted)),
        ("subscriptions", list(fields.subscriptions)),
        ("plan", fields.plan.map(quoted)),
        ("created_at", Some(fields.created_at.clone())),
        ("expires_at", fields.expires_at.clone()),
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

/// RFC 3339 in UTC, which is also how TOML writes it without quotes.
fn date_time(unix: i64) -> String {
    Timestamp::from_second(unix).unwrap_or(Timestamp::MAX).to_string()
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
