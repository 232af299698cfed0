//! Decide: the immutable snapshot that says yes or no.
//!
//! A room of its own so that every decision can be read, tested as a truth table and explained without a socket. Nothing
//! here is `async`, reads a clock or a file, or logs: time and heads come as arguments, effects go back as data.
//!
//! # Security
//! Only [`decide`](Policy::decide_ingress) builds a [`permit::Permit`], its fields are private to this room, and what forwards
//! takes one by value: nothing reaches an upstream without a decision. One [`Policy`] is one generation; a request uses one
//! from start to end.

pub mod answer;
pub mod audience;
mod authenticate;
pub mod bond;
pub mod caller;
pub mod credential;
mod decide;
pub mod egress;
mod expiry;
pub mod forwarded;
pub mod freshness;
pub mod head;
pub mod header_law;
pub mod hygiene;
pub mod keyring;
pub mod legacy;
pub mod limits;
mod outcome;
pub mod permissions;
pub mod permit;
pub mod refusal;
pub mod revocations;
pub mod route;
mod rules;
mod slow;
pub mod spending;
pub mod standing;
#[cfg(test)]
mod tests;
mod told;
pub mod trace;
pub mod user;
mod whoami;

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderName, HeaderValue, Method};

use crate::config::Config;
use crate::config::credentials::Source;
use crate::config::environments::EnvironmentId;
use crate::config::problem::{Problem, Problems, Severity};
use crate::config::records::Tombstone;
use crate::config::routes::{Access, Parameter, Subscription};
use crate::config::upstreams::{Paths, Upstream};
use audience::Audience;
use caller::{Caller, IdentityHeaders};
use freshness::Freshness;
use header_law::HeaderLaw;
use keyring::{KeyIndex, Keyring};
use limits::{Balances, Failures};
use permissions::Sets;
use permit::{Passage, Trail};
use revocations::Revocations;
use route::{Match, RouteIndex, Routes, Unroutable};
use standing::{Accounts, Own, Plans, Standing};
use user::{FetchedKeys, UserAccounts, Users};

pub use outcome::{Answered, Decision, Outlook, Refused};
pub use slow::{SlowCheck, Verdict};

/// One generation: configuration and keys, compiled, and what is revoked.
///
/// Its parts are shared: a generation that only revokes something is another [`Revocations`] beside the same parts.
#[derive(Clone)]
pub struct Policy {
    /// Counts up from 1.
    pub generation: u64,
    /// What is revoked for good.
    revocations: Arc<Revocations>,
    parts: Arc<Parts>,
}

/// What is compiled from the files.
pub struct Parts {
    /// Tells them from all others of the process: generations that only revoke something share theirs.
    number: u64,
    /// What it was compiled from; of its records, only the names of their files are left.
    pub config: Config,
    /// The shape of refusals and failures.
    pub answers: answer::Answers,
    /// What of a head may pass.
    pub law: Arc<HeaderLaw>,
    keyring: Keyring,
    routes: Routes,
    prefixes: credential::Prefixes,
    /// What logs call the places of credentials, by their index.
    sources: Box<[Arc<str>]>,
    /// The names of environments, by [`EnvironmentId`].
    environments: Box<[Arc<str>]>,
    /// [`user::places`]
    places: Vec<Source>,
    /// The headers by which decisions are made.
    relied_on: Box<[HeaderName]>,
    /// Where `[user_tokens]` is configured.
    users: Option<Users>,
    /// What the permissions of callers are made with that have no record.
    sets: Sets,
    exemptions: legacy::Exemptions,
    plans: Plans,
    whoami: Option<whoami::Whoami>,
    /// The return path, where `[webhooks]` is configured.
    pub egress: Option<egress::Egress>,
    /// By [`KeyIndex`], rendered when the key is first used.
    standings: Vec<OnceLock<Arc<Standing>>>,
    /// The `Host` of upstreams that do not take the client's, by [`crate::config::upstreams::UpstreamId`].
    hosts: Vec<HeaderValue>,
    public_headers: IdentityHeaders,
    /// What at least one upstream reads as we do.
    loosest_paths: Paths,
    running: Arc<Running>,
    failures: Arc<Failures>,
}

/// What outlives a generation.
#[derive(Debug, Default)]
struct Running {
    accounts: Accounts,
    users: UserAccounts,
    user_keys: FetchedKeys,
    failures: Mutex<Option<Arc<Failures>>>,
    freshness: Freshness,
}

impl Policy {
    /// The first generation of a process.
    ///
    /// # Errors
    /// Routes that cannot stand beside each other.
    pub fn first(config: Config) -> Result<Self, Problems> {
        Self::compile(config, 1, Arc::default())
    }

    /// The generation after `previous`: limits that are spent stay spent, and what was revoked at `now` (Unix seconds) stays
    /// revoked.
    ///
    /// # Errors
    /// Routes that cannot stand beside each other.
    pub fn next(config: Config, previous: &Self, now: i64) -> Result<Self, Problems> {
        let next = Self::compile(config, previous.generation + 1, Arc::clone(&previous.running))?;
        let next = next.after(previous, now);
        let organizations: HashSet<&str> = next.organizations().collect();
        next.running
            .accounts
            .retain(|id| next.keyring.by_id(id).is_some(), |id| organizations.contains(id));
        Ok(next)
    }

    /// The same, behind another generation than it was compiled for.
    #[must_use]
    pub fn after(self, previous: &Self, now: i64) -> Self {
        let own = Revocations::clone(&self.revocations);
        Self {
            generation: previous.generation + 1,
            revocations: own.after(&previous.revocations, now),
            parts: self.parts,
        }
    }

    /// The generation after this one, in which these are revoked too; `None` where they are already.
    #[must_use]
    pub fn revoking<'t>(&self, tombstones: impl IntoIterator<Item = &'t Tombstone>) -> Option<Self> {
        let mut news = tombstones
            .into_iter()
            .filter(|tombstone| !self.revocations.covers(tombstone))
            .peekable();
        news.peek()?;
        let mut revocations = Revocations::clone(&self.revocations);
        news.for_each(|tombstone| revocations.add(tombstone));
        Some(Self {
            generation: self.generation + 1,
            revocations: Arc::new(revocations),
            parts: Arc::clone(&self.parts),
        })
    }

    /// The same generation, in which these are revoked too: what earlier processes knew.
    #[must_use]
    pub fn remembering<'t>(self, tombstones: impl IntoIterator<Item = &'t Tombstone>) -> Self {
        let generation = self.generation;
        match self.revoking(tombstones) {
            Some(next) => Self { generation, ..next },
            None => self,
        }
    }

    /// What is revoked for good.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    fn compile(mut config: Config, generation: u64, running: Arc<Running>) -> Result<Self, Problems> {
        let routes = Routes::compile(&config.routes, config.unmatched.access)
            .map_err(|unroutable| problem(&config, &unroutable))?;
        let sets = Sets::compile(&config.permissions);
        let revocations = Arc::new(Revocations::of(&config.records));
        let keyring = Keyring::compile(&config.records, &config.keys.peppers, &sets);
        let failures = running.failures(&config);
        let places = user::places(&config);
        let whoami = config.whoami.as_ref();
        let whoami = whoami.map(|form| whoami::Whoami::compile(form, &config.records));
        let egress = egress::Egress::compile(&config);
        // There may be a million, and they say nothing that has not been compiled.
        config.records = Arc::new(config.records.only_files());
        let parts = Parts {
            number: generation,
            answers: answer::Answers::compile(&config.errors, &config.credentials.counting_everywhere())
                .with_routes(routes_with_sources(&config)),
            law: Arc::new(law(&config, &places)),
            exemptions: legacy::Exemptions::compile(&config.legacy),
            standings: std::iter::repeat_with(OnceLock::new).take(keyring.len()).collect(),
            routes,
            prefixes: credential::Prefixes::compile(&config.environments),
            sources: labels(&config, &places),
            environments: names_of_environments(&config),
            relied_on: relied_on(&config).cloned().collect(),
            users: Users::compile(&config, &places, &keyring),
            keyring,
            egress,
            places,
            sets,
            plans: Plans::compile(&config.plans),
            whoami,
            hosts: config.upstreams.iter().map(own_host).collect(),
            public_headers: caller::anonymous_headers("public", &config.identity),
            loosest_paths: hygiene::loosest(&config.upstreams),
            running,
            failures,
            config,
        };
        Ok(Self {
            generation,
            revocations,
            parts: Arc::new(parts),
        })
    }

    /// When the key files were last seen to be readable and valid, in this generation and all before and after it.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.running.freshness
    }

    /// What has been spent of quotas, in this generation and all before and after it.
    #[must_use]
    pub fn balances(&self) -> Arc<Balances> {
        Arc::clone(self.running.accounts.balances())
    }

    /// The ids of all organizations.
    fn organizations(&self) -> impl Iterator<Item = &str> {
        self.keyring.organizations().map(|organization| &*organization.id)
    }

    /// Every key.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Where a request like this has its credential first: a user's token where only users are let in, else a key.
    #[must_use]
    pub fn first_source(&self, method: &Method, path: &str) -> Option<&Source> {
        let route = match self.routes.find(method, path) {
            Match::Matched(index) => &self.config.routes[usize::from(index.0)],
            Match::MethodNotRouted | Match::None | Match::Ambiguous => &self.config.unmatched,
        };
        let credentials = &self.config.credentials;
        let users = self.config.user_tokens.as_ref().map(|tokens| &tokens.source);
        match (route.access, users) {
            (Access::User, Some(source)) => Some(source),
            (Access::Key | Access::KeyOrUser | Access::User | Access::Public | Access::Deny, _) => {
                let counting = route.credentials.as_ref().unwrap_or(&credentials.everywhere);
                counting.first().map(|&index| &credentials.sources[usize::from(index)])
            }
        }
    }

    fn environment_named(&self, name: &str) -> Option<EnvironmentId> {
        let position = self.environments.iter().position(|known| **known == *name);
        Some(EnvironmentId(u16::try_from(position?).ok()?))
    }

    /// The key's standing: rendered once, and again only for a hash whose prefix names another environment than the
    /// first one's did.
    fn standing(&self, key: KeyIndex, by_prefix: Option<EnvironmentId>) -> Arc<Standing> {
        let cell = &self.standings[key.0 as usize];
        let known = cell.get_or_init(|| Arc::new(self.render(key, by_prefix)));
        if known.caller.environment == caller::environment_of(&self.keyring, key, by_prefix) {
            Arc::clone(known)
        } else {
            Arc::new(self.render(key, by_prefix))
        }
    }

    /// What the upstream is told of a request, where that is not the caller's headers, or anybody's, as they are rendered
    /// already.
    fn identity_of(&self, trail: &Trail) -> Option<IdentityHeaders> {
        match &trail.passage {
            Passage::Key | Passage::User | Passage::Public => None,
            passage @ (Passage::Delegated | Passage::Legacy(_) | Passage::WouldRefuse(_)) => {
                Some(match &trail.standing {
                    Some(standing) => standing.caller.headers_as(&passage.status(), &self.config),
                    None => caller::anonymous_headers(&passage.status(), &self.config.identity),
                })
            }
        }
    }

    fn render(&self, key: KeyIndex, by_prefix: Option<EnvironmentId>) -> Standing {
        let caller = Caller::render(&self.keyring, key, by_prefix, &self.config);
        let environment = caller
            .environment
            .map(|id| &self.config.environments[usize::from(id.0)]);
        let own = Own {
            limits: caller.limits.as_deref(),
            quota: self.keyring.key(key).organization().quota.as_deref(),
            spends_quota: environment.is_none_or(|environment| environment.quota),
        };
        let terms = self.plans.terms(&self.config.plans, caller.plan, &own);
        Standing {
            account: self.running.accounts.of(&caller.id, &caller.organization, &terms),
            terms,
            caller,
        }
    }
}

impl Deref for Policy {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Running {
    fn failures(&self, config: &Config) -> Arc<Failures> {
        let mut kept = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let setting = config.limits.credential_failures.as_ref();
        let failures = match kept.as_ref() {
            Some(known) => Failures::renew(known, setting),
            None => Failures::new(setting),
        };
        *kept = Some(Arc::clone(&failures));
        failures
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("generation", &self.generation)
            .field("keys", &self.keyring.len())
            .finish_non_exhaustive()
    }
}

fn law(config: &Config, places: &[Source]) -> HeaderLaw {
    let law = HeaderLaw::compile(places, &config.identity, config.ingress.forwarded).relying_on(relied_on(config));
    if config.ingress.override_headers {
        law
    } else {
        law.without_overrides()
    }
}

/// The routes on which other places count than everywhere, or other callers than keys: these, and who may come.
fn routes_with_sources(config: &Config) -> impl Iterator<Item = (RouteIndex, Vec<Source>, Audience)> {
    let routes = (0..).map(RouteIndex).zip(&config.routes);
    routes.filter_map(|(index, route)| {
        let credentials = &config.credentials;
        let keys = route.credentials.as_ref().unwrap_or(&credentials.everywhere).iter();
        let keys = keys.map(|&source| credentials.sources[usize::from(source)].clone());
        let users = config.user_tokens.as_ref().map(|tokens| tokens.source.clone());
        match route.access {
            Access::User => Some((index, users.into_iter().collect(), Audience::Users)),
            Access::KeyOrUser => Some((index, keys.chain(users).collect(), Audience::Both)),
            Access::Key | Access::Public | Access::Deny => {
                let own = route.credentials.as_ref();
                own.map(|_| (index, keys.collect(), Audience::Keys))
            }
        }
    })
}

fn names_of_environments(config: &Config) -> Box<[Arc<str>]> {
    let environments = config.environments.iter();
    environments
        .map(|environment| environment.name.as_str().into())
        .collect()
}

/// What logs call the places of credentials.
fn labels(config: &Config, places: &[Source]) -> Box<[Arc<str>]> {
    let known = config.credentials.labels();
    let others = places[config.credentials.sources.len()..].iter();
    known.chain(others.map(ToString::to_string)).map(Arc::from).collect()
}

/// The headers by which a decision was made: whoever sends one must not be able to keep it from the upstream, or to send it
/// another.
fn relied_on(config: &Config) -> impl Iterator<Item = &HeaderName> {
    config.routes.iter().flat_map(|route| {
        let organization = match &route.organization {
            Some(Parameter::Header(name)) => Some(name),
            Some(Parameter::Path(_) | Parameter::Query(_)) | None => None,
        };
        let subscription = match &route.subscription {
            Some(Subscription::Told(Parameter::Header(name))) => Some(name),
            Some(Subscription::Told(_) | Subscription::Named(_)) | None => None,
        };
        let required = route.required_headers.iter().map(|header| &header.name);
        required.chain(organization).chain(subscription)
    })
}

fn own_host(upstream: &Upstream) -> HeaderValue {
    HeaderValue::from_str(&upstream.authority).expect("the configuration has checked the upstream's authority")
}

fn problem(config: &Config, unroutable: &Unroutable) -> Problems {
    let mut problem = Problem::of_file(
        Severity::Error,
        &config.file,
        format!(
            "{}: {}",
            config.routes[usize::from(unroutable.route.0)].path,
            unroutable.what
        ),
        "make one of the two patterns more specific, or merge them",
    );
    problem.path = format!("routes[{}].path", unroutable.route.0);
    Problems(vec![problem])
}
