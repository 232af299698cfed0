//! What records may refer to, and what is allowed in them.

use std::collections::HashSet;

use super::Tombstone;
use crate::config::environments::Environment;
use crate::config::keys::{Advice, Keys};
use crate::config::permissions::covers;
use crate::config::plans::Plan;

/// Names that records refer to by text, and that are kept as an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<String>,
    open: bool,
}

impl Names {
    /// Exactly these, in the order of their indices.
    pub fn closed<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            names: names.into_iter().map(str::to_owned).collect(),
            open: false,
        }
    }

    /// Any name: each new one gets the next index. For reading key files without their configuration.
    #[must_use]
    pub fn open() -> Self {
        Self {
            names: Vec::new(),
            open: true,
        }
    }

    /// The index of `name`; `None` when it is not known (or, for open ones, when there are too many).
    pub fn find(&mut self, name: &str) -> Option<u16> {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return u16::try_from(index).ok();
        }
        let next = u16::try_from(self.names.len()).ok().filter(|_| self.open)?;
        self.names.push(name.to_owned());
        Some(next)
    }

    /// The name behind an index that [`Names::find`] gave.
    #[must_use]
    pub fn name(&self, index: u16) -> &str {
        self.names.get(usize::from(index)).map_or("", String::as_str)
    }

    /// All names.
    #[must_use]
    pub fn all(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

/// The permissions that mean something: a key's are compared with them.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    known: Vec<String>,
    /// What was asked about already.
    told: HashSet<String>,
}

impl Catalogue {
    /// These. None at all means that anything may mean something.
    #[must_use]
    pub fn new(known: Vec<String>) -> Self {
        Self {
            known,
            told: HashSet::new(),
        }
    }

    /// Whether `name`, which may be a wildcard, is unknown, and that has not been said before.
    pub fn is_news(&mut self, name: &str) -> bool {
        if self.known.is_empty() || self.told.contains(name) {
            return false;
        }
        self.told.insert(name.to_owned());
        !self
            .known
            .iter()
            .any(|known| covers(name, known) || covers(known, name))
    }

    /// What is known.
    #[must_use]
    pub fn all(&self) -> Vec<&str> {
        self.known.iter().map(String::as_str).collect()
    }
}

/// What records may refer to, and what is allowed in them.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Plans, by [`crate::config::plans::PlanId`].
    pub plans: Names,
    /// Environments, by [`crate::config::environments::EnvironmentId`].
    pub environments: Names,
    /// Ids of peppers, by their index in [`Keys::peppers`].
    pub peppers: Names,
    /// The permissions that mean something; `None` is all of them.
    pub permissions: Option<Catalogue>,
    /// Whether a record may hold its key in plain text.
    pub allow_plaintext: bool,
    /// What a record had better not hold.
    pub advise: Advice,
    /// How many keys there may be.
    pub key_limit: usize,
    /// What is known to be dead besides what the files say.
    pub remembered: Vec<Tombstone>,
    /// Unix seconds: what "soon" is counted from.
    pub now_unix: i64,
}

impl Scope {
    /// The scope of a configuration; `key_limit` is `[limits] keys`.
    #[must_use]
    pub fn new(plans: &[Plan], environments: &[Environment], keys: &Keys, key_limit: usize, now_unix: i64) -> Self {
        Self {
            plans: Names::closed(plans.iter().map(|plan| plan.name.as_str())),
            environments: Names::closed(environments.iter().map(|environment| environment.name.as_str())),
            permissions: None,
            peppers: Names::closed(keys.peppers.iter().map(|pepper| pepper.id.as_str())),
            allow_plaintext: keys.allow_plaintext,
            advise: keys.advise,
            key_limit,
            remembered: Vec::new(),
            now_unix,
        }
    }

    /// Whether a file reads the same in both, whenever that is.
    #[must_use]
    pub fn reads_as(&self, other: &Self) -> bool {
        let Self {
            plans,
            environments,
            peppers,
            permissions,
            allow_plaintext,
            advise,
            key_limit,
            remembered: _,
            now_unix: _,
        } = self;
        let known = |catalogue: &Option<Catalogue>| catalogue.as_ref().map(|it| it.known.clone());
        *plans == other.plans
            && *environments == other.environments
            && *peppers == other.peppers
            && known(permissions) == known(&other.permissions)
            && *allow_plaintext == other.allow_plaintext
            && *advise == other.advise
            && *key_limit == other.key_limit
    }

    /// For a key file without its configuration: every name may be right.
    #[must_use]
    pub fn open(now_unix: i64) -> Self {
        Self {
            plans: Names::open(),
            environments: Names::open(),
            peppers: Names::open(),
            permissions: None,
            allow_plaintext: true,
            advise: Advice::default(),
            key_limit: usize::MAX,
            remembered: Vec::new(),
            now_unix,
        }
    }
}
