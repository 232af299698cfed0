//! Callers that are people: tokens of their identity provider, and credentials that only the upstream can judge.
//!
//! A room of its own because nothing about a user is a record here: who it is and what it may do comes with the request,
//! is believed as far as a signature goes, and is put into the same [`Standing`] that a key has.
//!
//! Verified tokens are remembered by their digest, together with the keys that verified them; a new generation and new keys
//! ask again. What is remembered is what a token says; whether it still holds is asked on each request.

mod accounts;
mod authenticate;
#[cfg(test)]
pub(in crate::policy) mod tests;
pub mod token;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;

use super::Policy;
use super::bond::Proof;
use super::caller::Caller;
use super::keyring::{Keyring, Organization};
use super::permissions::Permissions;
use super::standing::{Standing, Terms};
use crate::config::Config;
use crate::config::credentials::Source;
use crate::config::plans::Plan;
use crate::config::user_tokens::jwks::KeySet;
use crate::config::user_tokens::{Keys, Remote, UserTokens, Verified};
use crate::secret::{Digest, Presented};
use accounts::Subject;
use token::{Said, TokenError};

pub use accounts::UserAccounts;

/// Verified tokens that are remembered.
const CACHED: u64 = 16_384;

/// How users are dealt with in one generation.
pub struct Users {
    rules: UserTokens,
    /// Where a token stands: an index into [`places`].
    source: usize,
    /// Those of the configuration, where they are not fetched.
    fixed: Option<Arc<IssuerKeys>>,
    /// Indices of organizations, sorted by id.
    organizations: Box<[u32]>,
    /// By [`crate::config::plans::PlanId`].
    terms: Vec<UserTerms>,
    known: Cache<Digest, Arc<Known>>,
}

/// A plan, compiled for users.
struct UserTerms {
    /// For those whose organization has a record.
    of_members: Arc<Terms>,
    /// For the others.
    of_strangers: Arc<Terms>,
}

/// The keys of an issuer, as they were at one time.
#[derive(Debug)]
pub struct IssuerKeys {
    /// Where they are from; empty for a file.
    url: String,
    /// Tells them from those before.
    version: u64,
    set: KeySet,
}

/// The keys that were fetched last: they outlive a generation.
#[derive(Debug, Default)]
pub struct FetchedKeys(Mutex<Option<Arc<IssuerKeys>>>);

/// A token that was verified.
struct Known {
    version: u64,
    said: Said,
    subject: Subject,
    standing: Arc<Standing>,
}

/// Where credentials stand: those of keys, and behind them that of users, if it is another one.
#[must_use]
pub fn places(config: &Config) -> Vec<Source> {
    let mut sources = config.credentials.sources.clone();
    if let Some(rules) = &config.user_tokens
        && !sources.contains(&rules.source)
    {
        sources.push(rules.source.clone());
    }
    sources
}

impl Users {
    /// Compiles `[user_tokens]`; `places` are [`places`].
    #[must_use]
    pub fn compile(config: &Config, places: &[Source], keyring: &Keyring) -> Option<Self> {
        let rules = config.user_tokens.clone()?;
        let fixed = match rules.verified.as_ref().map(|verified| &verified.keys) {
            Some(Keys::File(set)) => Some(Arc::new(IssuerKeys {
                url: String::new(),
                version: 0,
                set: set.clone(),
            })),
            Some(Keys::Remote(_)) | None => None,
        };
        let count = u32::try_from(keyring.organizations().count()).unwrap_or(u32::MAX);
        let mut organizations: Vec<u32> = (0..count).collect();
        organizations.sort_by_key(|&index| &keyring.organization(index).id);
        Some(Self {
            source: places.iter().position(|source| *source == rules.source)?,
            fixed,
            organizations: organizations.into(),
            terms: config.plans.iter().map(UserTerms::of).collect(),
            known: Cache::new(CACHED),
            rules,
        })
    }

    pub(in crate::policy) fn verified(&self) -> Option<&Verified> {
        self.rules.verified.as_ref()
    }

    fn remote(&self) -> Option<&Arc<Remote>> {
        match &self.verified()?.keys {
            Keys::Remote(remote) => Some(remote),
            Keys::File(_) => None,
        }
    }
}

impl UserTerms {
    fn of(plan: &Plan) -> Self {
        Self {
            of_members: Terms::of_user(plan, true, None),
            of_strangers: Terms::of_user(plan, false, None),
        }
    }
}

impl Policy {
    /// Where the issuer's keys have to be fetched, and which algorithms they are for.
    #[must_use]
    pub fn remote_user_keys(&self) -> Option<(&Arc<Remote>, &Verified)> {
        let users = self.users.as_ref()?;
        Some((users.remote()?, users.verified()?))
    }

    /// Keeps the keys that were fetched from `remote`, for this generation and those behind it.
    pub fn put_user_keys(&self, remote: &Remote, set: KeySet) {
        let mut kept = self.running.user_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = kept.as_ref().map_or(1, |kept| kept.version + 1);
        *kept = Some(Arc::new(IssuerKeys {
            url: remote.endpoint.url.clone(),
            version,
            set,
        }));
    }

    /// The issuer's keys, once there are any.
    fn user_keys(&self, users: &Users) -> Option<Arc<IssuerKeys>> {
        if let Some(fixed) = &users.fixed {
            return Some(Arc::clone(fixed));
        }
        let url = &users.remote()?.endpoint.url;
        let kept = self.running.user_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| kept.url == *url).cloned()
    }

    /// The standing of the user whose token this is, if it can be believed at `now`, and until when it can; Unix seconds.
    fn user_standing(
        &self,
        users: &Users,
        rules: &Verified,
        keys: &IssuerKeys,
        token: &Presented<'_>,
        now: i64,
    ) -> Result<(Arc<Standing>, Proof), TokenError> {
        let digest = token.digest();
        let known = users.known.get(&digest).filter(|known| known.version == keys.version);
        if let Some(known) = &known {
            known.said.holds(now)?;
            if self.running.users.is_of(&known.subject, &known.standing.account) {
                return Ok((Arc::clone(&known.standing), proof(&known.said, rules)));
            }
        }
        let said = match known {
            Some(known) => known.said.clone(),
            None => token::verify(token.expose(), users.rules.token_bytes, rules, &keys.set, now)?,
        };
        let subject = Subject {
            issuer: Arc::clone(&rules.issuer),
            user: said.user.as_str().into(),
        };
        let standing = Arc::new(self.render_user(users, &said, &subject));
        let proof = proof(&said, rules);
        users.known.insert(
            digest,
            Arc::new(Known {
                version: keys.version,
                said,
                subject,
                standing: Arc::clone(&standing),
            }),
        );
        Ok((standing, proof))
    }

    /// What a user may do whose token says this.
    pub(in crate::policy) fn permissions_of_user(&self, users: &Users, said: &[String]) -> Permissions {
        self.sets.expand(&[said, &users.rules.permissions].concat())
    }

    fn render_user(&self, users: &Users, said: &Said, subject: &Subject) -> Standing {
        let id = said.organization.as_str();
        let organization = users
            .organizations
            .binary_search_by(|&index| (*self.keyring.organization(index).id).cmp(id))
            .ok()
            .map(|place| self.keyring.organization(users.organizations[place]));
        let permissions = self.permissions_of_user(users, &said.permissions);
        let caller = Caller::user(said, organization, permissions, users.rules.plan, &self.config);
        let plan = usize::from(caller.plan.0);
        let terms = match organization {
            None => Arc::clone(&users.terms[plan].of_strangers),
            Some(Organization { quota: None, .. }) => Arc::clone(&users.terms[plan].of_members),
            Some(Organization { quota, .. }) => Terms::of_user(&self.config.plans[plan], true, quota.as_deref()),
        };
        let known = organization.map(|_| &caller.organization);
        let bounds = self.running.accounts.bounds_of_user(known, &terms);
        Standing {
            account: self.running.users.of(subject, bounds),
            terms,
            caller,
        }
    }
}

fn proof(said: &Said, rules: &Verified) -> Proof {
    Proof::Token {
        issuer: Arc::clone(&rules.issuer),
        permissions: Arc::clone(&said.permissions),
        until: said.until(),
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}
