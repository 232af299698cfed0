//! Which door a request stands at.
//!
//! A room of its own because a path that Keygate reads one way and the upstream another is a way around a permission. The
//! path is matched as it is forwarded, byte for byte; where an upstream's reading (percent-decoded, without path
//! parameters, without a trailing slash) would stand at a door with other demands, the request is ambiguous, and refused.
//! Clients that encode more than they need to are not hurt by this: both readings end at the same door.
//!
//! Patterns are matchit's: `{name}` is one segment or part of one, `{*name}` at the end is everything; literal segments go
//! before parameters. Beyond matchit, `/x/{*name}` also matches `/x/` itself, and parameters need not have the same name in
//! all patterns.

mod readings;
#[cfg(test)]
mod tests;

use http::Method;
use matchit::{InsertError, Router};

use crate::config::routes::{Access, Permission, Route};
use crate::config::upstreams::UpstreamId;

/// All routes, compiled.
#[derive(Clone)]
pub struct Routes {
    router: Router<Door>,
    /// By path: its routes.
    paths: Vec<Path>,
    /// By route: routes with the same demands have the same number.
    demands: Vec<usize>,
}

/// Index into [`crate::config::Config::routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteIndex(pub u16);

/// Where a request leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// There are no routes: everything needs a valid key, and costs 1.
    Default,
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
    /// Whether it is written with a slash at its end.
    slash: bool,
}

/// What a route demands, beside its pattern and methods.
type Demands<'a> = (Access, Option<&'a Permission>, u32, Option<UpstreamId>);

impl Routes {
    /// Compiles all routes.
    ///
    /// # Errors
    ///
    /// The first pattern that does not parse, or that overlaps an earlier one without either being more specific.
    pub fn compile(routes: &[Route]) -> Result<Self, Unroutable> {
        let mut compiled = Self {
            router: Router::new(),
            paths: Vec::new(),
            demands: Vec::new(),
        };
        let mut patterns: Vec<String> = Vec::new();
        let mut demands: Vec<Demands<'_>> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let index = RouteIndex(u16::try_from(index).expect("routes are counted in 16 bits"));
            let pattern = readings::anonymous(&route.path);
            let path = match patterns.iter().position(|known| *known == pattern) {
                Some(path) => path,
                None => {
                    compiled.insert(&pattern, patterns.len()).map_err(|error| Unroutable {
                        route: index,
                        what: error.to_string(),
                    })?;
                    compiled.paths.push(Path::new());
                    patterns.push(pattern);
                    patterns.len() - 1
                }
            };
            compiled.paths[path].push((route.methods.as_slice().into(), index));
            let own: Demands<'_> = (route.access, route.permission.as_ref(), route.cost, route.upstream);
            let number = demands.iter().position(|known| *known == own).unwrap_or_else(|| {
                demands.push(own);
                demands.len() - 1
            });
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
            return Match::Default;
        }
        let Ok(matched) = self.router.at(path) else {
            return Match::None;
        };
        let found = self.route(*matched.value, method);
        let same_demands = |reading: &String| {
            let other = self.router.at(reading).ok();
            let other = other.and_then(|matched| self.route(*matched.value, method));
            self.demanded(other) == self.demanded(found)
        };
        if !readings::of(path, matched.value.slash).iter().all(same_demands) {
            return Match::Ambiguous;
        }
        found.map_or(Match::MethodNotRouted, Match::Matched)
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
        self.router.insert(pattern, Door { path, slash })
    }

    /// The same doors, written differently: `/x/` for `/x/{*rest}`, and literal text with and without percent-encoding.
    /// Where a pattern of the configuration says that itself, it counts.
    fn insert_equivalents(&mut self, patterns: &[String]) {
        for (path, pattern) in patterns.iter().enumerate() {
            for equivalent in readings::equivalents(pattern) {
                let _ = self.insert(&equivalent, path);
            }
        }
    }
}
