//! `[[routes]]`: which doors there are, and what opens them.

mod demands;

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::environments::EnvironmentId;
use super::names;
use super::reader::{Item, Place, Table};
use super::upstreams::UpstreamId;

pub use demands::{Enforcement, Parameter, RequiredHeader, RouteTimeouts, Subscription};

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The pattern as written; what logs and metrics show.
    pub path: Arc<str>,
    /// `methods`; empty means every method.
    pub methods: Vec<Method>,
    /// `access`
    pub access: Access,
    /// `permission = "send"`, `{ any = [...] }` or `{ all = [...] }`
    pub permission: Option<Permission>,
    /// `subscription`: the caller has to have it.
    pub subscription: Option<Subscription>,
    /// `environment`: the caller has to be in one of these; empty means any.
    pub environments: Vec<EnvironmentId>,
    /// `organization`: has to be the caller's.
    pub organization: Option<Parameter>,
    /// `requires_headers`: have to be there, and travel on untouched.
    pub required_headers: Vec<RequiredHeader>,
    /// `credentials`: the sources that count here, as indices into [`super::Config::credentials`]; `None` means those that
    /// count everywhere.
    pub credentials: Option<Vec<u16>>,
    /// `enforcement`
    pub enforcement: Enforcement,
    /// `cost`: how many units of each limit a request spends, default 1; 0 spends nothing.
    pub cost: u32,
    /// `upstream`: goes before the environment's.
    pub upstream: Option<UpstreamId>,
    /// `body_bytes`: goes before that of `[limits]`; `u64::MAX` is no limit.
    pub body_bytes: Option<u64>,
    /// `timeouts`: go before the upstream's.
    pub timeouts: Option<RouteTimeouts>,
    /// Who answers.
    pub target: Target,
}

/// Who answers the requests of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// An upstream.
    Upstream,
    /// Keygate itself, from the caller's record.
    Whoami,
}

impl Route {
    /// What tells it from other routes of the same path: its methods, where it names some, and its pattern.
    #[must_use]
    pub fn label(&self) -> String {
        if self.methods.is_empty() {
            return self.path.to_string();
        }
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        format!("{} {}", methods.join(","), self.path)
    }

    /// What holds for requests that match no route.
    #[must_use]
    pub fn unmatched(access: Access) -> Self {
        Self {
            path: "".into(),
            methods: Vec::new(),
            access,
            permission: None,
            subscription: None,
            environments: Vec::new(),
            organization: None,
            required_headers: Vec::new(),
            credentials: None,
            enforcement: Enforcement::Enforce,
            cost: 1,
            upstream: None,
            body_bytes: None,
            timeouts: None,
            target: Target::Upstream,
        }
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A valid key (the default).
    Key,
    /// A user, by `[user_tokens]`.
    User,
    /// Either of the two.
    KeyOrUser,
    /// Anybody.
    Public,
    /// Nobody.
    Deny,
}

/// What a caller needs on a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Permission {
    /// At least one of these.
    Any(Vec<String>),
    /// Every one of these.
    All(Vec<String>),
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(names) => write!(f, "any of {}", names.join(", ")),
            Self::All(names) => write!(f, "{}", names.join(" and ")),
        }
    }
}

/// The most units that one request may spend.
const MOST_COST: u32 = 1_000_000;

/// A route with the places that later checks point to.
pub(super) struct Placed<'d> {
    pub(super) route: Route,
    /// Of `path`.
    pub(super) place: Place<'d>,
    /// Of `access`, or of the route where it has none.
    pub(super) access: Place<'d>,
    /// Of `cost`, or of the route where it has none.
    pub(super) cost: Place<'d>,
    /// Of `permission`, or of the route where it has none.
    pub(super) permission: Place<'d>,
    /// Of `subscription`, or of the route where it has none.
    pub(super) subscription: Place<'d>,
    /// Of `requires_headers`, or of the route where it has none.
    pub(super) required_headers: Place<'d>,
}

/// The names that routes may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) upstreams: &'a [String],
    pub(super) environments: &'a [String],
    /// The names of the credential sources, by their index.
    pub(super) credentials: &'a [Option<String>],
}

/// Reads who may use something.
pub(super) fn read_access(item: &Item<'_>) -> Option<Access> {
    item.word(&[
        ("key", Access::Key),
        ("user", Access::User),
        ("key-or-user", Access::KeyOrUser),
        ("public", Access::Public),
        ("deny", Access::Deny),
    ])
}

/// Reads `[[routes]]`.
pub(super) fn read<'d>(root: &Table<'d>, known: Known<'_>) -> Vec<Placed<'d>> {
    let tables = root.get("routes").and_then(|item| item.tables()).unwrap_or_default();
    tables.iter().filter_map(|table| read_one(table, known)).collect()
}

fn read_one<'d>(table: &Table<'d>, known: Known<'_>) -> Option<Placed<'d>> {
    let path_item = table.require("path", "for example path = \"/v1/messages/{*rest}\"");
    let methods = table.get("methods");
    let access = table.get("access");
    let permission_item = table.get("permission");
    let subscription_item = table.get("subscription");
    let environment_item = table.get("environment");
    let organization_item = table.get("organization");
    let required_headers = table.get("requires_headers");
    let credentials_item = table.get("credentials");
    let enforcement = table.get("enforcement");
    let cost = table.get("cost");
    let upstream = table.get("upstream");
    let body_bytes = table.get("body_bytes");
    let timeouts = table.get("timeouts");

    let access_item = access;
    let access = access_item.as_ref().and_then(read_access).unwrap_or(Access::Key);
    for item in [
        &permission_item,
        &subscription_item,
        &environment_item,
        &organization_item,
        &credentials_item,
    ]
    .into_iter()
    .flatten()
    {
        if !access.takes_callers() {
            item.key_place().error(
                "has no meaning here, since `access` lets everybody or nobody in",
                "remove it, or write access = \"key\"",
            );
        }
    }
    if access == Access::User {
        let of_keys = [&subscription_item, &environment_item, &credentials_item];
        for item in of_keys.into_iter().flatten() {
            item.key_place().error(
                "concerns keys, and `access` lets none in",
                "remove it, or write access = \"key-or-user\"",
            );
        }
    }
    let enforcement = read_enforcement(access, enforcement.as_ref());
    let place_of = |item: &Option<Item<'d>>| item.as_ref().map_or(table.place(), |item| item.place()).clone();
    let path = path_item.as_ref().and_then(|item| item.text());
    let pattern = path.unwrap_or_default();
    let route = Route {
        path: pattern.into(),
        methods: methods.map_or_else(Vec::new, |item| read_methods(&item)),
        access,
        permission: permission_item.as_ref().and_then(read_permission),
        subscription: subscription_item
            .as_ref()
            .and_then(|item| demands::read_subscription(item, pattern)),
        environments: environment_item
            .as_ref()
            .map_or_else(Vec::new, |item| demands::read_environments(item, known.environments)),
        organization: organization_item
            .as_ref()
            .and_then(|item| demands::read_organization(item, pattern)),
        required_headers: required_headers
            .as_ref()
            .map_or_else(Vec::new, demands::read_required_headers),
        credentials: credentials_item
            .as_ref()
            .and_then(|item| read_credentials(item, known.credentials)),
        enforcement,
        cost: cost.as_ref().and_then(|item| item.integer(0..=MOST_COST)).unwrap_or(1),
        upstream: upstream
            .and_then(|item| item.reference("upstream", known.upstreams))
            .map(UpstreamId),
        body_bytes: body_bytes.as_ref().and_then(demands::read_body_bytes),
        timeouts: timeouts.as_ref().and_then(demands::read_timeouts),
        target: Target::Upstream,
    };
    path?;
    Some(Placed {
        route,
        place: path_item?.place().clone(),
        access: place_of(&access_item),
        cost: place_of(&cost),
        permission: place_of(&permission_item),
        subscription: place_of(&subscription_item),
        required_headers: place_of(&required_headers),
    })
}

/// Reads `enforcement`; one that means nothing, or the opposite of what the route's access says, is reported.
fn read_enforcement(access: Access, item: Option<&Item<'_>>) -> Enforcement {
    let Some(item) = item else {
        return Enforcement::Enforce;
    };
    let enforcement = demands::read_enforcement(item);
    match (access, enforcement) {
        (Access::Public, Enforcement::Observe | Enforcement::Off) => item.error(
            "has no meaning here, since everybody is let in",
            "remove it, or write another `access`",
        ),
        (Access::Deny, Enforcement::Off) => item.error(
            "would let everybody in where `access` lets nobody in",
            "write access = \"public\" if that is meant, or enforcement = \"observe\"",
        ),
        (Access::Key | Access::User | Access::KeyOrUser | Access::Public | Access::Deny, _) => {}
    }
    enforcement
}

/// Reads `credentials` of a route: names of sources.
fn read_credentials(item: &Item<'_>, known: &[Option<String>]) -> Option<Vec<u16>> {
    let items = item.list_or_one()?;
    if items.is_empty() {
        item.error("names no source", "remove it for the sources that count everywhere");
    }
    let names: Vec<&str> = known.iter().flatten().map(String::as_str).collect();
    let mut sources = Vec::new();
    for item in &items {
        let Some(name) = item.text() else { continue };
        let found = known.iter().position(|known| known.as_deref() == Some(name));
        match found.and_then(|index| u16::try_from(index).ok()) {
            Some(index) => sources.push(index),
            None => {
                let help = match super::reader::nearest(name, &names) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "give a [[credentials]] entry this name: name = \"…\"".to_owned(),
                };
                item.error(format!("there is no [[credentials]] named {name:?}"), help);
            }
        }
    }
    sources.sort_unstable();
    sources.dedup();
    Some(sources)
}

impl Access {
    /// Whether callers have to say who they are.
    #[must_use]
    pub fn takes_callers(self) -> bool {
        match self {
            Self::Key | Self::User | Self::KeyOrUser => true,
            Self::Public | Self::Deny => false,
        }
    }

    /// Whether a key is let in.
    #[must_use]
    pub fn takes_keys(self) -> bool {
        match self {
            Self::Key | Self::KeyOrUser => true,
            Self::User | Self::Public | Self::Deny => false,
        }
    }

    /// Whether a user is let in.
    #[must_use]
    pub fn takes_users(self) -> bool {
        match self {
            Self::User | Self::KeyOrUser => true,
            Self::Key | Self::Public | Self::Deny => false,
        }
    }
}

fn read_methods(item: &Item<'_>) -> Vec<Method> {
    let mut methods = Vec::new();
    let items = item.list_or_one().unwrap_or_default();
    if items.is_empty() {
        item.error(
            "names no method",
            "for example [\"GET\", \"POST\"]; remove it for every method",
        );
    }
    for item in items {
        let Some(text) = item.text() else { continue };
        if !names::is_token(text) || text.bytes().any(|b| b.is_ascii_lowercase()) {
            let help = format!("methods are written in capitals: \"{}\"", text.to_ascii_uppercase());
            item.error(format!("{text:?} is not a method"), help);
        } else if matches!(text, "TRACE" | "CONNECT") {
            item.error(format!("{text} is never let through"), "remove it");
        } else if let Ok(method) = Method::from_bytes(text.as_bytes()) {
            if methods.contains(&method) {
                item.error("is there twice", "remove one of the two");
            } else {
                methods.push(method);
            }
        }
    }
    methods
}

fn read_permission(item: &Item<'_>) -> Option<Permission> {
    const HELP: &str = "a name, or { any = [\"a\", \"b\"] }, or { all = [\"a\", \"b\"] }";
    if !item.is_table() {
        return read_demanded(item).map(|name| Permission::All(vec![name]));
    }
    let table = item.table()?;
    let (any, all) = (table.get("any"), table.get("all"));
    let (list, wrap): (_, fn(Vec<String>) -> Permission) = match (any, all) {
        (Some(list), None) => (list, Permission::Any),
        (None, Some(list)) => (list, Permission::All),
        (Some(_), Some(all)) => {
            all.key_place().error("stands beside `any`", HELP);
            return None;
        }
        (None, None) => {
            item.error("says neither `any` nor `all`", HELP);
            return None;
        }
    };
    let items = list.list()?;
    if items.is_empty() {
        list.error("names no permission", HELP);
    }
    Some(wrap(items.iter().filter_map(read_demanded).collect()))
}

/// Reads the name of a permission that a route asks for.
fn read_demanded(item: &Item<'_>) -> Option<String> {
    let name = read_permission_name(item)?;
    if name.split(':').any(|segment| segment == "*") {
        item.error(
            "asks for a wildcard, which is for keys and sets",
            "write the permission that the request needs, for example \"messages:send\"",
        );
        return None;
    }
    Some(name)
}

/// Reads a permission's name, of a route or of a key: visible ASCII without spaces.
#[must_use]
pub fn read_permission_name(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if names::is_word(name) && name.len() <= 128 {
        return Some(name.to_owned());
    }
    item.error(
        "cannot be a permission's name",
        "up to 128 visible ASCII characters without spaces, for example \"messages:send\"",
    );
    None
}
