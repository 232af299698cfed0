//! Which environment a key's first characters name.

use crate::config::environments::{Environment, EnvironmentId};
use crate::secret::Presented;

/// The prefixes of all environments, longest first, so that the first match is the most specific.
#[derive(Debug, Clone)]
pub struct Prefixes(Box<[(Box<str>, EnvironmentId)]>);

impl Prefixes {
    /// Collects the prefixes of `environments`. Empty ones name nothing.
    ///
    /// # Panics
    ///
    /// With more than 65,536 environments, which a valid configuration does not have.
    #[must_use]
    pub fn compile(environments: &[Environment]) -> Self {
        let mut prefixes: Vec<(Box<str>, EnvironmentId)> = Vec::new();
        for (index, environment) in environments.iter().enumerate() {
            let id = EnvironmentId(u16::try_from(index).expect("environments are counted in 16 bits"));
            let named = environment.prefixes.iter().filter(|prefix| !prefix.is_empty());
            prefixes.extend(named.map(|prefix| (prefix.as_str().into(), id)));
        }
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(prefixes.into_boxed_slice())
    }

    /// The environment with the longest prefix that begins `presented`.
    #[must_use]
    pub fn environment_of(&self, presented: &Presented<'_>) -> Option<EnvironmentId> {
        let key = presented.expose();
        let matching = self.0.iter().find(|(prefix, _)| key.starts_with(prefix.as_bytes()));
        matching.map(|&(_, id)| id)
    }
}
