//! `[[routes]]`: which doors there are, and what opens them.

use std::sync::Arc;

use http::Method;

use super::names;
use super::reader::{Item, Place, Table};
use super::upstreams::UpstreamId;

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
    /// `cost`: how many units of each limit a request spends, default 1; 0 spends nothing.
    pub cost: u32,
    /// `upstream`: goes before the environment's.
    pub upstream: Option<UpstreamId>,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// At least one of these.
    Any(Vec<String>),
    /// Every one of these.
    All(Vec<String>),
}

const ACCESS: [(&str, Access); 5] = [
    ("key", Access::Key),
    ("user", Access::User),
    ("key-or-user", Access::KeyOrUser),
    ("public", Access::Public),
    ("deny", Access::Deny),
];

impl Access {
    /// Whether a user is let in.
    #[must_use]
    pub fn takes_users(self) -> bool {
        match self {
            Self::User | Self::KeyOrUser => true,
            Self::Key | Self::Public | Self::Deny => false,
        }
    }

    /// Whether a caller has to say who it is.
    #[must_use]
    pub fn has_caller(self) -> bool {
        match self {
            Self::Key | Self::User | Self::KeyOrUser => true,
            Self::Public | Self::Deny => false,
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
}

/// Reads `[[routes]]`.
pub(super) fn read<'d>(root: &Table<'d>, upstreams: &[String]) -> Vec<Placed<'d>> {
    let tables = root.get("routes").and_then(|item| item.tables()).unwrap_or_default();
    let mut routes: Vec<Placed<'d>> = Vec::with_capacity(tables.len());
    let mut patterns: matchit::Router<usize> = matchit::Router::new();
    for table in &tables {
        let Some(placed) = read_one(table, upstreams) else {
            continue;
        };
        check_pattern(&placed, &routes, &mut patterns);
        routes.push(placed);
    }
    routes
}

fn read_one<'d>(table: &Table<'d>, upstreams: &[String]) -> Option<Placed<'d>> {
    let path = table.require("path", "for example path = \"/v1/messages/{*rest}\"");
    let methods = table.get("methods");
    let access = table.get("access");
    let permission_item = table.get("permission");
    let cost = table.get("cost");
    let upstream = table.get("upstream");

    let methods = methods.map_or_else(Vec::new, |item| read_methods(&item));
    let access_place = access
        .as_ref()
        .map_or_else(|| table.place().clone(), |item| item.place().clone());
    let access = access.and_then(|item| item.word(&ACCESS)).unwrap_or(Access::Key);
    let permission = permission_item.as_ref().and_then(read_permission);
    if let (Some(item), false) = (permission_item, access.has_caller()) {
        item.key_place().error(
            "has no meaning here, since nobody is asked who they are",
            "remove it, or write access = \"key\"",
        );
    }
    let cost_place = cost
        .as_ref()
        .map_or_else(|| table.place().clone(), |item| item.place().clone());
    let cost = cost.and_then(|item| item.integer(0..=MOST_COST)).unwrap_or(1);
    let upstream = upstream
        .and_then(|item| item.reference("upstream", upstreams))
        .map(UpstreamId);
    let path = path?;
    Some(Placed {
        route: Route {
            path: path.text()?.into(),
            methods,
            access,
            permission,
            cost,
            upstream,
        },
        place: path.place().clone(),
        access: access_place,
        cost: cost_place,
    })
}

/// Reports a pattern that can never match, or that collides with an earlier one.
fn check_pattern(new: &Placed<'_>, earlier: &[Placed<'_>], patterns: &mut matchit::Router<usize>) {
    use matchit::InsertError;
    const SYNTAX: &str = "for example \"/v1/orgs/{org}/messages\" or \"/files/{*rest}\"";
    let (path, place) = (&new.route.path, &new.place);
    if !path.starts_with('/') {
        place.error("does not begin with `/`", format!("write \"/{path}\""));
        return;
    }
    if let Some(wrong) = path.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
        place.error(
            format!("holds {wrong:?}, which no request's path has"),
            "paths are compared as they stand in requests: percent-encoded, without query",
        );
        return;
    }
    if let Some(segment) = path
        .split('/')
        .find(|segment| segment.starts_with([':', '*']) && segment.len() > 1)
    {
        let name = segment.trim_start_matches([':', '*']);
        let right = if segment.starts_with(':') {
            format!("{{{name}}}")
        } else {
            format!("{{*{name}}}")
        };
        place.warning(
            format!("`{segment}` matches only these very characters"),
            format!("for a parameter write `{right}`"),
        );
    }
    let collisions = earlier.iter().filter(|other| other.route.path == *path);
    let mut is_new = true;
    for other in collisions {
        is_new = false;
        if overlap(&new.route.methods, &other.route.methods) {
            place.error(
                format!("is already a route for the same methods, at {}", other.place.location()),
                "remove one of the two, or give each methods of its own",
            );
            return;
        }
    }
    if !is_new {
        return;
    }
    match patterns.insert(&**path, earlier.len()) {
        Ok(()) => {}
        Err(InsertError::Conflict { with }) => {
            let other = earlier.iter().find(|other| *other.route.path == *with);
            let at = other.map_or_else(String::new, |other| format!(", at {}", other.place.location()));
            place.error(
                format!("cannot be told apart from `{with}`{at}"),
                "give the parameters in the same places the same names",
            );
        }
        Err(InsertError::InvalidParamSegment) => {
            place.error(
                "has two parameters between two slashes",
                "one parameter for each segment",
            );
        }
        Err(InsertError::InvalidCatchAll) => {
            place.error(
                "has a `{*…}` that is not at the end",
                "a `{*rest}` takes all that follows; put it last",
            );
        }
        Err(InsertError::InvalidParam | _) => {
            place.error(
                "has a parameter without a valid name, or a brace without its other half",
                SYNTAX,
            );
        }
    }
}

/// Whether a request could be for both; an empty list is every method.
fn overlap(a: &[Method], b: &[Method]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|method| b.contains(method))
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
        return read_permission_name(item).map(|name| Permission::All(vec![name]));
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
    Some(wrap(items.iter().filter_map(read_permission_name).collect()))
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
