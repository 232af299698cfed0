//! What requests of one key need, rendered once per generation instead of once per request.
//!
//! A room of its own because what is told about a caller is a contract, to the upstream and to the caller itself:
//! [`Facts`] is where identity headers, error answers and whoami take it from. How values stand in headers is
//! [`crate::config::template`]'s.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::keyring::{KeyIndex, Keyring, Organization};
use super::permissions::Permissions;
use super::user::token::Said;
use crate::config::Config;
use crate::config::environments::{Environment, EnvironmentId};
use crate::config::identity::{Field, Identity};
use crate::config::plans::{Limit, PlanId};
use crate::config::template::Value;

/// Headers, ready to be injected.
pub type IdentityHeaders = Vec<(HeaderName, HeaderValue)>;

/// One key, as its requests need it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key, in its own generation's keyring; `None`: a user.
    pub key: Option<KeyIndex>,
    /// The key's or the user's id.
    pub id: Arc<str>,
    /// The key's name.
    pub name: Arc<str>,
    /// The organization's id.
    pub organization: Arc<str>,
    /// The organization's name.
    pub organization_name: Option<Arc<str>>,
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
            key: Some(key),
            id: record.id().into(),
            name: record.name().into(),
            organization: (&*organization.id).into(),
            organization_name: organization.name.as_deref().map(Arc::from),
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
        Facts {
            status,
            ..self.facts(config)
        }
        .headers(&config.identity)
    }

    /// What may be told about it.
    #[must_use]
    pub fn facts<'a>(&'a self, config: &'a Config) -> Facts<'a> {
        let environment = self.environment.map(|id| &config.environments[usize::from(id.0)]);
        let plan = self
            .has_plan
            .then(|| config.plans[usize::from(self.plan.0)].name.as_str());
        Facts {
            key_id: self.key_id(),
            key_name: self.key.map(|_| &*self.name),
            user_id: self.user_id(),
            organization_id: Some(&self.organization),
            organization_name: self.organization_name.as_deref(),
            permissions: Some(&self.permissions),
            environment: environment.map(|environment| environment.name.as_str()),
            subscriptions: &self.subscriptions,
            plan,
            status: if self.key.is_some() { "key" } else { "user" },
        }
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
            key: None,
            id: said.user.as_str().into(),
            name: "".into(),
            organization: said.organization.as_str().into(),
            organization_name: name.map(Arc::from),
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
        self.key.map(|_| &*self.id)
    }

    /// The user's id, if it is one.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.key.is_none().then_some(&*self.id)
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

/// What may be told about a caller. Borrowed; nothing in it is secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The key's id.
    pub key_id: Option<&'a str>,
    /// The key's name.
    pub key_name: Option<&'a str>,
    /// The user's id.
    pub user_id: Option<&'a str>,
    /// The organization's id.
    pub organization_id: Option<&'a str>,
    /// The organization's name.
    pub organization_name: Option<&'a str>,
    /// What it may do.
    pub permissions: Option<&'a Permissions>,
    /// The name of the environment that counts.
    pub environment: Option<&'a str>,
    /// What it is subscribed to.
    pub subscriptions: &'a [Box<str>],
    /// The name of the plan that counts, where somebody named it.
    pub plan: Option<&'a str>,
    /// How the request came to be let in.
    pub status: &'a str,
}

impl<'a> Facts<'a> {
    /// `permissions`, sorted.
    #[must_use]
    pub fn permission_list(&self) -> Value<'a> {
        Value::List(self.permissions.into_iter().flat_map(Permissions::iter).collect())
    }

    /// `subscriptions`, in the order of the record.
    #[must_use]
    pub fn subscription_list(&self) -> Value<'a> {
        Value::List(self.subscriptions.iter().map(|name| &**name).collect())
    }

    fn headers(&self, identity: &Identity) -> IdentityHeaders {
        let rendered = identity.headers.iter().filter_map(|(name, template)| {
            let value = template.header(|field| self.value(*field))?;
            Some((name.clone(), value))
        });
        rendered.collect()
    }

    fn value(&self, field: Field) -> Value<'a> {
        match field {
            Field::KeyId => Value::text(self.key_id),
            Field::KeyName => Value::text(self.key_name),
            Field::UserId => Value::text(self.user_id),
            Field::OrganizationId => Value::text(self.organization_id),
            Field::OrganizationName => Value::text(self.organization_name),
            Field::Permissions => self.permission_list(),
            Field::Environment => Value::text(self.environment),
            Field::Subscriptions => self.subscription_list(),
            Field::Plan => Value::text(self.plan),
            Field::Status => Value::text(Some(self.status)),
        }
    }
}

#[cfg(test)]
mod tests;
