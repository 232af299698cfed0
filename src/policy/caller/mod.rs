//! What requests of one key need, rendered once per generation instead of once per request.
//!
//! A room of its own because what the upstream is told about a caller is a contract: the templates of `[identity]`, and
//! how text that cannot stand in a header is written.
//!
//! Values: visible ASCII stays as it is; `%` and everything beyond visible ASCII is percent-encoded UTF-8, so that
//! decoding gives back exactly the record's text. A space stays a space, except within one entry of a space-separated
//! list. A header whose placeholders are all empty is left out.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::keyring::{KeyIndex, Keyring, Organization};
use super::permissions::Permissions;
use super::user::token::Said;
use crate::config::Config;
use crate::config::environments::{Environment, EnvironmentId};
use crate::config::identity::{Field, Identity, Piece, Template};
use crate::config::plans::{Limit, PlanId};

/// Headers, ready to be injected.
pub type IdentityHeaders = Vec<(HeaderName, HeaderValue)>;

/// What a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key with a record.
    Key,
    /// A user with a token.
    User,
}

/// One key or user, as its requests need it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Which of the two.
    pub kind: Kind,
    /// The key's or the user's id.
    pub id: Arc<str>,
    /// The key's name; a user has none.
    pub name: Arc<str>,
    /// The organization's id.
    pub organization: Arc<str>,
    /// The organization's name for people; empty where it has none.
    pub organization_name: Arc<str>,
    /// What it may do.
    pub permissions: Permissions,
    /// What it is subscribed to.
    pub subscriptions: Arc<[Box<str>]>,
    /// The environment that counts: the record's, or the one that the presented key's prefix named.
    pub environment: Option<EnvironmentId>,
    /// Whether somebody names a plan for it; nobody is told of the one that applies to all others.
    has_plan: bool,
    /// The plan that counts: the key's own, else the environment's, else the organization's, else `default`.
    pub plan: PlanId,
    /// The key's own limits, in place of the plan's.
    pub limits: Option<Arc<[Limit]>>,
    /// The identity headers.
    pub headers: IdentityHeaders,
}

impl Caller {
    /// Renders one key. `by_prefix` is the environment that the presented key's prefix names; it counts where the record
    /// names none. Whoever keeps a rendered caller under its key renders anew when [`Caller::environment`] is not
    /// [`environment_of`] the request at hand (two hashes of one key with different prefixes).
    #[must_use]
    pub fn render(keyring: &Keyring, key: KeyIndex, by_prefix: Option<EnvironmentId>, config: &Config) -> Self {
        let record = keyring.key(key);
        let grant = record.grant();
        let organization = record.organization();
        let environment = environment_of(keyring, key, by_prefix);
        let named = environment.map(|id| &config.environments[usize::from(id.0)]);
        let chosen_plan = chosen_plan(grant.plan, named, organization);
        let mut caller = Self {
            kind: Kind::Key,
            id: record.id().into(),
            name: record.name().into(),
            organization: (&*organization.id).into(),
            organization_name: organization.name.as_deref().unwrap_or_default().into(),
            permissions: grant.permissions.clone(),
            subscriptions: Arc::clone(&grant.subscriptions),
            environment,
            has_plan: chosen_plan.is_some(),
            plan: chosen_plan.unwrap_or_else(|| default_plan(config)),
            limits: grant.limits.clone(),
            headers: IdentityHeaders::new(),
        };
        caller.headers = caller.headers_as("key", config);
        caller
    }

    /// The identity headers under another `{status}`.
    #[must_use]
    pub fn headers_as(&self, status: &str, config: &Config) -> IdentityHeaders {
        let environment = self.environment.map(|id| &config.environments[usize::from(id.0)]);
        let plan = &config.plans[usize::from(self.plan.0)];
        Facts {
            key_id: self.key_id().unwrap_or_default(),
            key_name: &self.name,
            user_id: self.user_id().unwrap_or_default(),
            organization_id: &self.organization,
            organization_name: &self.organization_name,
            permissions: list(self.permissions.iter()),
            environment: environment.map_or("", |environment| environment.name.as_str()),
            subscriptions: list(self.subscriptions.iter().map(|name| &**name)),
            plan: if self.has_plan { &plan.name } else { "" },
            status,
        }
        .headers(&config.identity)
    }

    /// Renders a user. The plan is that of the organization, where there is a record of it, or that of users.
    #[must_use]
    pub fn user(
        said: &Said,
        organization: Option<&Organization>,
        permissions: Permissions,
        plan: Option<PlanId>,
        config: &Config,
    ) -> Self {
        let chosen_plan = organization.and_then(|organization| organization.plan).or(plan);
        let name = organization.and_then(|organization| organization.name.as_deref());
        let mut caller = Self {
            kind: Kind::User,
            id: said.user.as_str().into(),
            name: "".into(),
            organization: said.organization.as_str().into(),
            organization_name: name.unwrap_or_default().into(),
            permissions,
            subscriptions: Arc::default(),
            environment: None,
            has_plan: chosen_plan.is_some(),
            plan: chosen_plan.unwrap_or_else(|| default_plan(config)),
            limits: None,
            headers: IdentityHeaders::new(),
        };
        caller.headers = caller.headers_as("user", config);
        caller
    }

    /// The key's id, if it is one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        (self.kind == Kind::Key).then_some(&*self.id)
    }

    /// The user's id, if it is one.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        (self.kind == Kind::User).then_some(&*self.id)
    }
}

/// The environment that counts for a key: its record's, else the one that the presented key's prefix names.
#[must_use]
pub fn environment_of(keyring: &Keyring, key: KeyIndex, by_prefix: Option<EnvironmentId>) -> Option<EnvironmentId> {
    keyring.key(key).environment().or(by_prefix)
}

/// The identity headers of a request of somebody who is not known: nothing but `{status}`, and constant texts.
#[must_use]
pub fn anonymous_headers(status: &str, identity: &Identity) -> IdentityHeaders {
    Facts {
        status,
        ..Facts::default()
    }
    .headers(identity)
}

/// The key's own, else the environment's, else the organization's; `None` where nobody names one.
fn chosen_plan(own: Option<PlanId>, named: Option<&Environment>, organization: &Organization) -> Option<PlanId> {
    own.or_else(|| named.and_then(|environment| environment.plan))
        .or(organization.plan)
}

fn default_plan(config: &Config) -> PlanId {
    let position = config.plans.iter().position(|plan| plan.name == "default");
    let position = position.expect("a configuration always has a plan named default");
    PlanId(u16::try_from(position).expect("plans are counted in 16 bits"))
}

/// What templates may tell, not yet encoded but for the lists.
#[derive(Default)]
struct Facts<'a> {
    key_id: &'a str,
    key_name: &'a str,
    user_id: &'a str,
    organization_id: &'a str,
    organization_name: &'a str,
    permissions: String,
    environment: &'a str,
    subscriptions: String,
    plan: &'a str,
    status: &'a str,
}

impl Facts<'_> {
    fn headers(&self, identity: &Identity) -> IdentityHeaders {
        let rendered = identity.headers.iter().filter_map(|(name, template)| {
            let value = self.render(template)?;
            Some((name.clone(), value))
        });
        rendered.collect()
    }

    fn render(&self, template: &Template) -> Option<HeaderValue> {
        let mut value = String::new();
        let (mut fields, mut told) = (0, 0);
        for piece in &template.0 {
            match piece {
                Piece::Text(text) => encode(text, is_text, &mut value),
                Piece::Field(field) => {
                    let before = value.len();
                    self.write(*field, &mut value);
                    fields += 1;
                    told += usize::from(value.len() > before);
                }
            }
        }
        let value = value.trim();
        if value.is_empty() || (fields > 0 && told == 0) {
            return None;
        }
        Some(HeaderValue::from_str(value).expect("encoded text is visible ASCII and spaces"))
    }

    fn write(&self, field: Field, value: &mut String) {
        match field {
            Field::KeyId => encode(self.key_id, is_scalar, value),
            Field::KeyName => encode(self.key_name, is_scalar, value),
            Field::UserId => encode(self.user_id, is_scalar, value),
            Field::OrganizationId => encode(self.organization_id, is_scalar, value),
            Field::OrganizationName => encode(self.organization_name, is_scalar, value),
            Field::Permissions => value.push_str(&self.permissions),
            Field::Environment => encode(self.environment, is_scalar, value),
            Field::Subscriptions => value.push_str(&self.subscriptions),
            Field::Plan => encode(self.plan, is_scalar, value),
            Field::Status => value.push_str(self.status),
        }
    }
}

fn list<'a>(entries: impl Iterator<Item = &'a str>) -> String {
    let mut value = String::new();
    for entry in entries {
        if !value.is_empty() {
            value.push(' ');
        }
        encode(entry, is_entry, &mut value);
    }
    value
}

fn is_text(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e)
}

fn is_scalar(byte: u8) -> bool {
    is_text(byte) && byte != b'%'
}

fn is_entry(byte: u8) -> bool {
    is_scalar(byte) && byte != b' '
}

fn encode(text: &str, stays: fn(u8) -> bool, out: &mut String) {
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
}

#[cfg(test)]
mod tests;
