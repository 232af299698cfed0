//! Which door a request stands at.
//!
//! A room of its own because a path that Keygate reads one way and the upstream another is a way around a permission. The
//! path is matched as it is forwarded, byte for byte; where an upstream's reading (percent-decoded, without path
//! parameters, without a trailing slash) would stand at a door with other demands, the request is ambiguous, and refused.
//! Clients that encode more than they need to are not hurt by this: both readings end at the same door.
//!
//! Patterns are matchit's: `{name}` is one segment or part of one, `{*name}` at the end is everything; text goes before
//! parameters, and these before everything ([`Tree`]). Beyond matchit, `/x/{*name}` also matches `/x/` and `/x`, and parameters need not have the same name in
//! all patterns.

mod readings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub(super) use readings::equivalents;

use http::Method;
use matchit::InsertError;

use crate::config::environments::EnvironmentId;
use crate::config::patterns;
use crate::config::routes::{
    Access, Enforcement, Parameter, Permission, RequiredHeader, Route, RouteTimeouts, Subscription, Target,
};
use crate::config::tree::Tree;
use crate::config::upstreams::UpstreamId;

/// All routes, compiled.
#[derive(Clone)]
pub struct Routes {
    tree: Tree<Door>,
    /// By path: its routes.
    paths: Vec<Path>,
    /// By route: routes with the same demands have the same number.
    demands: Vec<usize>,
    /// Whether what matches no route is refused.
    closed: bool,
}

/// Index into [`crate::config::Config::routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteIndex(pub u16);

/// Where a request leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// To this route.
    Matched(RouteIndex),
    /// Some route has this path, but none of them this method.
    MethodNotRouted,
    /// No route has this path.
    None,
    /// To different demands, depending on who reads the path.
    Ambiguous,
}

/// A pattern that cannot stand beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unroutable {
    /// Which route.
    pub route: RouteIndex,
    /// What is wrong.
    pub what: String,
}

/// The routes of one pattern: their methods, and their indices.
type Path = Vec<(Box<[Method]>, RouteIndex)>;

/// What one way to write a pattern leads to.
#[derive(Debug, Clone, Copy)]
struct Door {
    /// Index into [`Routes::paths`].
    path: usize,
    /// Whether the slash at its end is what the configuration says.
    slash: bool,
}

/// Everything that makes it matter which route it is: all of it but pattern and methods, and the pattern itself where a
/// parameter of its path has to be the caller's.
#[derive(PartialEq, Eq, Hash)]
struct Demands<'a> {
    access: Access,
    permission: Option<&'a Permission>,
    subscription: Option<&'a Subscription>,
    environments: &'a [EnvironmentId],
    organization: Option<&'a Parameter>,
    required_headers: &'a [RequiredHeader],
    credentials: Option<&'a [u16]>,
    enforcement: Enforcement,
    cost: u32,
    upstream: Option<UpstreamId>,
    body_bytes: Option<u64>,
    timeouts: Option<RouteTimeouts>,
    target: Target,
    bound: Option<usize>,
}

impl Routes {
    /// Compiles all routes.
    ///
    /// # Errors
    ///
    /// The first pattern that does not parse, or that overlaps an earlier one without either being more specific.
    pub fn compile(routes: &[Route], unmatched: Access) -> Result<Self, Unroutable> {
        let mut compiled = Self {
            tree: Tree::default(),
            paths: Vec::new(),
            demands: Vec::with_capacity(routes.len()),
            closed: unmatched == Access::Deny,
        };
        let mut patterns: HashMap<String, usize> = HashMap::new();
        let mut demands: HashMap<Demands<'_>, usize> = HashMap::new();
        for (index, route) in routes.iter().enumerate() {
            let index = RouteIndex(u16::try_from(index).expect("routes are counted in 16 bits"));
            let pattern = patterns::anonymous(&route.path);
            let path = match patterns.get(&pattern) {
                Some(&path) => path,
                None => {
                    let path = compiled.paths.len();
                    compiled.insert(&pattern, path).map_err(|error| Unroutable {
                        route: index,
                        what: error.to_string(),
                    })?;
                    compiled.paths.push(Path::new());
                    patterns.insert(pattern, path);
                    path
                }
            };
            compiled.paths[path].push((route.methods.as_slice().into(), index));
            let next = demands.len();
            let number = *demands.entry(Demands::of(route, path)).or_insert(next);
            compiled.demands.push(number);
        }
        compiled.insert_equivalents(&patterns);
        Ok(compiled)
    }

    /// Where a request leads. `path` is the target's path as it is forwarded. The most specific pattern wins; within it a
    /// route that names the method goes before one that names none, and `GET` serves `HEAD` where nothing names `HEAD`.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Match {
        if self.demands.is_empty() {
            return Match::None;
        }
        let Some(matched) = self.tree.at(path) else {
            return self.unmatched(path);
        };
        let found = self.route(*matched.value, method);
        let same_demands = |reading: &String| {
            let other = self.tree.at(reading);
            let other = other.and_then(|matched| self.route(*matched.value, method));
            self.demanded(other) == self.demanded(found)
        };
        if !readings::of(path, matched.value.slash).iter().all(same_demands) {
            return Match::Ambiguous;
        }
        found.map_or(Match::MethodNotRouted, Match::Matched)
    }

    /// The text of a parameter of the pattern that has this path, by its position, as it stands in the path.
    #[must_use]
    pub fn parameter<'p>(&self, path: &'p str, position: u16) -> Option<&'p str> {
        let matched = self.tree.at(path)?;
        matched.params.iter().nth(usize::from(position)).map(|(_, value)| value)
    }

    /// What no route has may only pass, where it may, if nobody reads it as what a route has.
    fn unmatched(&self, path: &str) -> Match {
        let is_known = |reading: &String| self.tree.at(reading).is_some();
        if !self.closed && readings::of(path, false).iter().any(is_known) {
            Match::Ambiguous
        } else {
            Match::None
        }
    }

    fn route(&self, door: Door, method: &Method) -> Option<RouteIndex> {
        let first = |fits: &dyn Fn(&[Method]) -> bool| {
            let mut routes = self.paths[door.path].iter();
            routes.find(|(methods, _)| fits(methods)).map(|&(_, index)| index)
        };
        let naming = |wanted: &Method| first(&|methods| methods.contains(wanted));
        naming(method)
            .or_else(|| naming(&Method::GET).filter(|_| method == Method::HEAD))
            .or_else(|| first(&<[Method]>::is_empty))
    }

    fn demanded(&self, route: Option<RouteIndex>) -> Option<usize> {
        route.map(|index| self.demands[usize::from(index.0)])
    }

    fn insert(&mut self, pattern: &str, path: usize) -> Result<(), InsertError> {
        let slash = pattern.ends_with('/');
        self.tree.insert(pattern, Door { path, slash })
    }

    /// The same doors, written differently: `/x/` for `/x/{*rest}`, and literal text with and without percent-encoding.
    /// Where a pattern of the configuration says that itself, it counts; where it says `/x`, many servers read `/x/` as that.
    fn insert_equivalents(&mut self, patterns: &HashMap<String, usize>) {
        let mut ordered: Vec<(&String, &usize)> = patterns.iter().collect();
        ordered.sort_by_key(|(_, path)| **path);
        for (pattern, &path) in ordered {
            for equivalent in equivalents(pattern) {
                let bare = equivalent.strip_suffix('/');
                let slash = bare.is_some_and(|bare| !patterns.contains_key(bare));
                let _ = self.tree.insert(equivalent, Door { path, slash });
            }
        }
    }
}

impl<'a> Demands<'a> {
    fn of(route: &'a Route, pattern: usize) -> Self {
        let told = match &route.subscription {
            Some(Subscription::Told(parameter)) => Some(parameter),
            Some(Subscription::Named(_)) | None => None,
        };
        let in_path = |parameter: &Parameter| matches!(parameter, Parameter::Path(_));
        let is_bound = route.organization.as_ref().is_some_and(in_path) || told.is_some_and(in_path);
        Self {
            access: route.access,
            permission: route.permission.as_ref(),
            subscription: route.subscription.as_ref(),
            environments: &route.environments,
            organization: route.organization.as_ref(),
            required_headers: &route.required_headers,
            credentials: route.credentials.as_deref(),
            enforcement: route.enforcement,
            cost: route.cost,
            upstream: route.upstream,
            body_bytes: route.body_bytes,
            timeouts: route.timeouts,
            target: route.target,
            bound: is_bound.then_some(pattern),
        }
    }
}
