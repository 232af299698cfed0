//! What a caller is told about itself, from its record.
//!
//! A room of its own because it is the only answer that is made of records: what it needs of every key beside what the
//! keyring holds is kept here, in columns, and only where the operator's body asks for it.
//!
//! # Security
//! Hashes and secrets never come here. Only the caller's own record, and its organization's, is told.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value as Json};

use super::answer::Answer;
use super::caller::{Caller, Facts};
use super::keyring::{Key, Keyring};
use crate::config::Config;
use crate::config::records::{self, Records};
use crate::config::template::Value;
use crate::config::whoami::{self, Field};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// `[whoami]`, compiled.
#[derive(Debug)]
pub struct Whoami {
    form: whoami::Whoami,
    details: Details,
}

/// By [`super::keyring::KeyIndex`]; each column empty unless it is asked for.
#[derive(Debug, Default)]
struct Details {
    hints: Box<[Option<Box<str>>]>,
    owners: Box<[Option<Box<str>>]>,
    created_at: Box<[Option<i64>]>,
    metadata: Box<[Map<String, Json>]>,
}

/// One caller's answer in the making.
struct Values<'a> {
    facts: Facts<'a>,
    /// `None`: a user.
    key: Option<Key<'a>>,
    index: usize,
    details: &'a Details,
}

impl Whoami {
    /// Keeps what the answer needs of all keys.
    #[must_use]
    pub fn compile(form: &whoami::Whoami, records: &Records) -> Self {
        Self {
            details: Details::of(form, records),
            form: form.clone(),
        }
    }

    /// The answer to a caller of the same generation.
    #[must_use]
    pub fn answer(&self, caller: &Caller, keyring: &Keyring, config: &Config) -> Answer {
        let values = Values {
            facts: caller.facts(config),
            key: caller.key.map(|key| keyring.key(key)),
            // Where no key is.
            index: caller.key.map_or(usize::MAX, |key| key.0 as usize),
            details: &self.details,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, NO_STORE);
        for (name, template) in &self.form.headers {
            if let Some(value) = template.header(|field| values.of(field)) {
                headers.insert(name, value);
            }
        }
        Answer {
            status: StatusCode::OK,
            headers,
            body: Bytes::from(self.form.body.render(|field| values.of(field))),
        }
    }
}

impl Details {
    fn of(form: &whoami::Whoami, records: &Records) -> Self {
        let mut details = Self::default();
        for field in form.fields() {
            match field {
                Field::KeyHint => details.hints = column(records, |key| boxed(key.hint.as_deref())),
                Field::KeyOwner => details.owners = column(records, |key| boxed(key.owner.as_deref())),
                Field::KeyCreatedAt => details.created_at = column(records, |key| key.created_at),
                Field::KeyMetadata(_) => details.metadata = column(records, |key| key.metadata.clone()),
                Field::KeyId
                | Field::KeyName
                | Field::KeyExpiresAt
                | Field::OrganizationId
                | Field::OrganizationName
                | Field::OrganizationCreatedAt
                | Field::OrganizationMetadata(_)
                | Field::Permissions
                | Field::Environment
                | Field::Subscriptions
                | Field::Plan
                | Field::Status => {}
            }
        }
        details
    }
}

fn column<T>(records: &Records, of: impl Fn(&records::Key) -> T) -> Box<[T]> {
    records.keys.iter().map(|key| of(key)).collect()
}

fn boxed(text: Option<&str>) -> Option<Box<str>> {
    text.map(Box::from)
}

impl<'a> Values<'a> {
    fn of(&self, field: &Field) -> Value<'a> {
        let organization = self.key.map(|key| key.organization());
        match field {
            Field::KeyId => Value::text(self.facts.key_id),
            Field::KeyName => Value::text(self.facts.key_name),
            Field::KeyHint => Value::text(self.details.hints.get(self.index).and_then(Option::as_deref)),
            Field::KeyOwner => Value::text(self.details.owners.get(self.index).and_then(Option::as_deref)),
            Field::KeyCreatedAt => Value::time(self.details.created_at.get(self.index).copied().flatten()),
            Field::KeyExpiresAt => Value::time(self.key.and_then(|key| key.expires_at())),
            Field::KeyMetadata(path) => within(self.details.metadata.get(self.index), path),
            Field::OrganizationId => Value::text(self.facts.organization_id),
            Field::OrganizationName => Value::text(self.facts.organization_name),
            Field::OrganizationCreatedAt => Value::time(organization.and_then(|organization| organization.created_at)),
            Field::OrganizationMetadata(path) => within(organization.map(|organization| &organization.metadata), path),
            Field::Permissions => self.facts.permission_list(),
            Field::Environment => Value::text(self.facts.environment),
            Field::Subscriptions => self.facts.subscription_list(),
            Field::Plan => Value::text(self.facts.plan),
            Field::Status => Value::text(Some(self.facts.status)),
        }
    }
}

/// What stands at `path` in free-form data.
fn within<'a>(data: Option<&'a Map<String, Json>>, path: &[String]) -> Value<'a> {
    let Some(data) = data else { return Value::Absent };
    let Some((first, rest)) = path.split_first() else {
        return Value::Table(data);
    };
    let found = rest
        .iter()
        .try_fold(data.get(first), |at, name| Some(at?.as_object()?.get(name)));
    found.flatten().map_or(Value::Absent, Value::Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dots_lead_into_tables() {
        let data = json!({ "a": { "b": { "c": 1 }, "t": "x" }, "a.t": "never", "n": null });
        let told = |path: &str| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            match within(data.as_object(), &path) {
                Value::Json(value) => value.to_string(),
                other => format!("{other:?}"),
            }
        };
        for (path, expected) in [
            ("a.b.c", "1"),
            ("a.b", r#"{"c":1}"#),
            ("a.t", r#""x""#),
            ("n", "null"),
            ("a.t.x", "Absent"),
            ("a.x", "Absent"),
            ("x", "Absent"),
        ] {
            assert_eq!(told(path), expected, "{path}");
        }
    }
}
