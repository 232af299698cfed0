//! `[environments.NAME]`: what a key's first characters say.

use super::names;
use super::plans::PlanId;
use super::reader::{Item, Place, Table};
use super::upstreams::UpstreamId;

/// Index into [`super::Config::environments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnvironmentId(pub u16);

/// One environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// `prefixes`: keys that begin with one of these belong here. The first is what `keys new` uses.
    pub prefixes: Vec<String>,
    /// `checksum = true`: every key with these prefixes ends in Keygate's checksum; one that does not is refused before
    /// any lookup.
    pub checksum: bool,
    /// `upstream`: where its requests go, unless the route says otherwise.
    pub upstream: Option<UpstreamId>,
    /// `plan`: goes before the organization's plan, behind the key's own.
    pub plan: Option<PlanId>,
    /// `quota = false`: its requests neither need nor spend quota; default true.
    pub quota: bool,
}

impl Environment {
    /// The one whose longest prefix begins `text`: what a key, or a prefix of keys, belongs to.
    #[must_use]
    pub fn of_key<'a>(text: &str, all: &'a [Self]) -> Option<&'a Self> {
        all.iter()
            .flat_map(|environment| environment.prefixes.iter().map(move |prefix| (prefix, environment)))
            .filter(|(prefix, _)| !prefix.is_empty() && text.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, environment)| environment)
    }
}

/// How long a prefix may be.
const LONGEST_PREFIX: usize = 64;

/// Reads `[environments.NAME]`, each with its place. Where one prefix begins another, the longer one decides.
pub(super) fn read<'d>(root: &Table<'d>, upstreams: &[String], plans: &[String]) -> Vec<(Environment, Place<'d>)> {
    let section = root.section("environments");
    let mut prefixes: Vec<(&'d str, Place<'d>)> = Vec::new();
    let mut environments = Vec::new();
    for (name, item) in section.names() {
        names::check("an environment", name, &item);
        let Some(table) = item.table() else { continue };
        let environment = Environment {
            name: name.to_owned(),
            prefixes: table
                .get("prefixes")
                .map_or_else(Vec::new, |item| read_prefixes(&item, &mut prefixes)),
            checksum: table.get("checksum").and_then(|item| item.boolean()).unwrap_or(false),
            upstream: table
                .get("upstream")
                .and_then(|item| item.reference("upstream", upstreams))
                .map(UpstreamId),
            plan: table
                .get("plan")
                .and_then(|item| item.reference("plan", plans))
                .map(PlanId),
            quota: table.get("quota").and_then(|item| item.boolean()).unwrap_or(true),
        };
        environments.push((environment, item.key_place()));
    }
    environments
}

/// Reads one environment's prefixes and adds them to those of all environments.
fn read_prefixes<'d>(item: &Item<'d>, all: &mut Vec<(&'d str, Place<'d>)>) -> Vec<String> {
    let mut own = Vec::new();
    for item in item.list_or_one().unwrap_or_default() {
        let Some(prefix) = item.text() else { continue };
        if !names::is_word(prefix) || prefix.len() > LONGEST_PREFIX {
            item.error(
                "cannot be what a key begins with",
                format!("1 to {LONGEST_PREFIX} visible ASCII characters, for example \"kg_live_\""),
            );
        } else if let Some((_, other)) = all.iter().find(|(known, _)| *known == prefix) {
            item.error(
                format!("{prefix:?} already belongs to {} ({})", other.path(), other.location()),
                "a prefix may name one environment only",
            );
        } else {
            all.push((prefix, item.place().clone()));
            own.push(prefix.to_owned());
        }
    }
    own
}
