//! `[whoami]`: a path at which Keygate itself tells callers who they are.
//!
//! Security: what may be told is what [`Field`] lists, and a hash or a secret is not among it.

use http::{HeaderName, Method};

use super::reader::{Place, Table};
use super::routes::{Access, Placed, Route, Target};
use super::template::{self, Escape, Sample, Template, Value};

/// `[whoami]`
#[derive(Debug, Clone)]
pub struct Whoami {
    /// `headers`, their values with placeholders. `Content-Type` is always among them: `application/json` where the
    /// operator names none.
    pub headers: Vec<(HeaderName, Template<Field>)>,
    /// `body`, or the default document.
    pub body: Template<Field>,
}

/// What a caller may be told about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `{key.id}`
    KeyId,
    /// `{key.name}`
    KeyName,
    /// `{key.hint}`
    KeyHint,
    /// `{key.owner}`
    KeyOwner,
    /// `{key.created_at}`: RFC 3339, in UTC, as all times.
    KeyCreatedAt,
    /// `{key.expires_at}`
    KeyExpiresAt,
    /// `{key.metadata}`, or an entry of it: `{key.metadata.NAME}`, and on into tables by further dots.
    KeyMetadata(Path),
    /// `{organization.id}`, alias `{organization}`
    OrganizationId,
    /// `{organization.name}`
    OrganizationName,
    /// `{organization.created_at}`
    OrganizationCreatedAt,
    /// `{organization.metadata}`, or an entry of it.
    OrganizationMetadata(Path),
    /// `{permissions}`
    Permissions,
    /// `{environment}`
    Environment,
    /// `{subscriptions}`
    Subscriptions,
    /// `{plan}`
    Plan,
    /// `{status}`
    Status,
}

/// The way into free-form data: names of entries, from the outside in. Empty is all of it.
pub type Path = Vec<String>;

/// The placeholders, by name.
const FIELDS: &[(&str, Field)] = &[
    ("key.id", Field::KeyId),
    ("key.name", Field::KeyName),
    ("key.hint", Field::KeyHint),
    ("key.owner", Field::KeyOwner),
    ("key.created_at", Field::KeyCreatedAt),
    ("key.expires_at", Field::KeyExpiresAt),
    ("key.metadata", Field::KeyMetadata(Path::new())),
    ("organization.id", Field::OrganizationId),
    ("organization", Field::OrganizationId),
    ("organization.name", Field::OrganizationName),
    ("organization.created_at", Field::OrganizationCreatedAt),
    ("organization.metadata", Field::OrganizationMetadata(Path::new())),
    ("permissions", Field::Permissions),
    ("environment", Field::Environment),
    ("subscriptions", Field::Subscriptions),
    ("plan", Field::Plan),
    ("status", Field::Status),
];

/// What is told when no `body` is configured. Owners and metadata are not in it, which may be meant for operators alone.
const DEFAULT: &str = concat!(
    r#"{"key":{"id":{key.id},"name":{key.name},"hint":{key.hint},"created_at":{key.created_at},"#,
    r#""expires_at":{key.expires_at}},"organization":{"id":{organization.id},"name":{organization.name}},"#,
    r#""permissions":{permissions},"subscriptions":{subscriptions},"environment":{environment},"plan":{plan}}"#,
);

impl template::Field for Field {
    const FAMILIES: &'static [&'static str] = &["key.metadata.NAME", "organization.metadata.NAME"];

    fn names() -> &'static [(&'static str, Self)] {
        FIELDS
    }

    fn named(name: &str) -> Option<Self> {
        if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
            return Some(field.clone());
        }
        let path = |rest: &str| -> Path { rest.split('.').map(str::to_owned).collect() };
        match name.strip_prefix("key.metadata.") {
            Some(rest) => Some(Self::KeyMetadata(path(rest))),
            None => Some(Self::OrganizationMetadata(path(
                name.strip_prefix("organization.metadata.")?,
            ))),
        }
    }
}

impl Whoami {
    /// Every placeholder of its body and headers.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        let headers = self.headers.iter().map(|(_, value)| value);
        headers.chain([&self.body]).flat_map(Template::fields)
    }
}

/// Reads `[whoami]`, and the route that leads to it.
pub(super) fn read<'d>(root: &Table<'d>) -> Option<(Whoami, Placed<'d>)> {
    let table = root.get("whoami")?.table()?;
    let path = table.require("path", "for example path = \"/v1/me\"");
    let body_item = table.get("body");
    let mut headers = template::read_headers(&table.section("headers"));
    let body = match &body_item {
        Some(item) => template::read_body(item, &mut headers, &samples()),
        None => default_body(&mut headers, table.place()),
    };
    // Where the body is wrong, that has been said.
    let body = body.unwrap_or_else(|| Template::of(DEFAULT, Escape::Json));
    let path = path?;
    let text = path.text()?;
    if text.contains(['{', '}']) {
        path.error("has a parameter", "write one path, for example \"/v1/me\"");
        return None;
    }
    let route = Route {
        path: text.into(),
        methods: vec![Method::GET, Method::HEAD],
        target: Target::Whoami,
        ..Route::unmatched(Access::Key)
    };
    let placed = Placed {
        route,
        place: path.place().clone(),
        access: path.place().clone(),
        cost: path.place().clone(),
        permission: path.place().clone(),
        subscription: path.place().clone(),
        required_headers: path.place().clone(),
    };
    Some((Whoami { headers, body }, placed))
}

/// The default document, which is JSON.
fn default_body(headers: &mut Vec<(HeaderName, Template<Field>)>, place: &Place<'_>) -> Option<Template<Field>> {
    let escape = template::escape_of(headers);
    if escape == Escape::Json {
        return Some(Template::of(DEFAULT, escape));
    }
    place.error(
        "has a Content-Type for which there is no body",
        "write one: body = '…'; without one the body is JSON",
    );
    None
}

/// What kinds of values a placeholder may have.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Always a text.
    Text,
    /// A text or nothing.
    Optional,
    /// Always a list.
    List,
    /// Anything or nothing.
    Free,
}

impl Field {
    fn kind(&self) -> Kind {
        match self {
            Self::KeyId | Self::KeyName | Self::OrganizationId | Self::Status => Kind::Text,
            Self::KeyHint
            | Self::KeyOwner
            | Self::KeyCreatedAt
            | Self::KeyExpiresAt
            | Self::OrganizationName
            | Self::OrganizationCreatedAt
            | Self::Environment
            | Self::Plan => Kind::Optional,
            Self::Permissions | Self::Subscriptions => Kind::List,
            Self::KeyMetadata(_) | Self::OrganizationMetadata(_) => Kind::Free,
        }
    }
}

/// Each body is filled in with a value for everything, with metadata that is no text, and with no more than there always is.
fn samples() -> [Sample<'static, Field>; 3] {
    let sample = |what: &str, optional: Value<'static>, free: Value<'static>| Sample {
        what: what.to_owned(),
        value: Box::new(move |field: &Field| match field.kind() {
            Kind::Text => Value::Text(template::NASTY.into()),
            Kind::List => Value::List(vec![template::NASTY]),
            Kind::Optional => optional.clone(),
            Kind::Free => free.clone(),
        }),
    };
    let text = || Value::Text(template::NASTY.into());
    [
        sample("is not JSON once its placeholders are filled in", text(), text()),
        sample("is not JSON when metadata is not a text", text(), Value::Number(1)),
        sample(
            "is not JSON when some placeholders have no value",
            Value::Absent,
            Value::Absent,
        ),
    ]
}
