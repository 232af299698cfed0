//! The credential of routes that take users: whose it is, and whether it is believed.
//!
//! A value that begins like a key or that a record has is a key, whatever its form. Anything else is a user's where users'
//! tokens stand: one with three parts must verify, and is never left to the upstream instead; another may be delegated. A
//! request with a valid key is the key's.

use smallvec::SmallVec;

use super::Users;
use super::token::{self, TokenError};
use crate::clock::Now;
use crate::config::user_tokens::is_bearer;
use crate::policy::Policy;
use crate::policy::authenticate::Asking;
use crate::policy::credential::{self, Extraction, Taken, fields};
use crate::policy::decide::End;
use crate::policy::permit::Trail;
use crate::policy::refusal::{Failure, Invalid, Refusal};
use crate::policy::slow::Verdict;
use crate::secret::Presented;

/// What stands where a user's credential may stand.
enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A token, to be verified.
    Token(Presented<'a>),
    /// Something for the upstream to judge.
    Delegated,
    /// Something that neither is a token nor may be delegated.
    Other,
    /// Two that differ.
    Conflict,
}

impl Policy {
    /// `access = "user"`: keys do not count, but one that a record has does not reach the upstream either.
    pub(in crate::policy) fn authenticate_user(&self, asking: &Asking<'_>, trail: &mut Trail) -> Result<Taken, End> {
        let refuse = |refusal| Err(self.bad_key(refusal, asking.client.address, asking.now).into());
        let not_a_user = Refusal::CredentialInvalid(Invalid::NotAUser);
        let mut live = self.live_credential(asking.head);
        match self.user(asking, trail)? {
            Some(_) if trail.delegated && !live.is_empty() => {
                trail.delegated = false;
                refuse(not_a_user)
            }
            Some(taken) => {
                taken.indices().for_each(|source| live.insert(source));
                Ok(live)
            }
            None => match self.credential(asking.head) {
                Err(Refusal::CredentialMissing) => refuse(Refusal::CredentialMissing),
                Ok(_) | Err(_) => refuse(not_a_user),
            },
        }
    }

    /// `access = "key-or-user"`: the key's, if there is one.
    pub(in crate::policy) fn authenticate_either(&self, asking: &Asking<'_>, trail: &mut Trail) -> Result<Taken, End> {
        let refuse = |refusal| Err(self.bad_key(refusal, asking.client.address, asking.now).into());
        let is_foreign = |source: usize, value: &Presented<'_>| {
            !self.config.may_be_key(source, value) || self.is_users(source, value)
        };
        let most = self.config.limits.key_bytes;
        match credential::extract(&self.config.credentials, asking.head, most, is_foreign) {
            Extraction::Malformed(reason) => refuse(Refusal::CredentialMalformed(reason)),
            Extraction::Conflict => refuse(Refusal::CredentialConflict),
            Extraction::Found { key, taken } => {
                self.identify(&key, asking, trail)?;
                if self.verifies(asking) {
                    return refuse(Refusal::CredentialConflict);
                }
                Ok(taken)
            }
            Extraction::Foreign(reason) => match self.user(asking, trail)? {
                Some(taken) => Ok(taken),
                None => refuse(Refusal::CredentialMalformed(reason)),
            },
            Extraction::Missing => match self.user(asking, trail)? {
                Some(taken) => Ok(taken),
                None => refuse(Refusal::CredentialMissing),
            },
        }
    }

    /// The user in the trail, or a request to be delegated; `None` where nothing of a user's is there.
    fn user(&self, asking: &Asking<'_>, trail: &mut Trail) -> Result<Option<Taken>, End> {
        let Some(users) = &self.users else { return Ok(None) };
        let refuse = |refusal| Err(self.bad_key(refusal, asking.client.address, asking.now).into());
        match self.shown(users, asking) {
            Shown::Nothing => Ok(None),
            Shown::Conflict => refuse(Refusal::CredentialConflict),
            Shown::Other => refuse(Refusal::CredentialInvalid(Invalid::Token(TokenError::Form))),
            Shown::Delegated => {
                trail.delegated = true;
                Ok(Some(Taken::default()))
            }
            Shown::Token(token) => {
                self.verify(users, &token, asking, trail)?;
                let mut taken = Taken::default();
                if !users.rules.forward {
                    taken.insert(users.source);
                }
                Ok(Some(taken))
            }
        }
    }

    fn shown<'a>(&self, users: &Users, asking: &Asking<'a>) -> Shown<'a> {
        let mut values: SmallVec<[Presented<'a>; 2]> =
            credential::values(&self.sources[users.source], &self.sources, asking.head);
        values.retain(|value| !value.expose().is_empty() && !self.is_key(users.source, value));
        let delegates_bearer = users.rules.delegate.bearer && is_bearer(&users.rules.source);
        let differs = values
            .first()
            .is_some_and(|first| values.iter().any(|value| value.expose() != first.expose()));
        match (values.pop(), users.verified()) {
            (Some(_), _) if differs => Shown::Conflict,
            (Some(value), Some(_)) if token::has_three_parts(value.expose()) => Shown::Token(value),
            (Some(_), _) if delegates_bearer => Shown::Delegated,
            (Some(_), Some(_)) => Shown::Other,
            (Some(_), None) | (None, _) if users.has_delegated_cookie(asking) => Shown::Delegated,
            (Some(_), None) | (None, _) => Shown::Nothing,
        }
    }

    fn verify(&self, users: &Users, token: &Presented<'_>, asking: &Asking<'_>, trail: &mut Trail) -> Result<(), End> {
        let rules = users.verified().expect("only what can be verified is shown as a token");
        let asked = matches!(asking.verdict, Some(Verdict::KeysAsked));
        let Some(keys) = self.user_keys(users) else {
            return Err(if asked {
                End::Failed(Failure::UserKeysUnavailable)
            } else {
                End::AskKeys
            });
        };
        let refused = match self.user_standing(users, rules, &keys, token, asking.now.unix) {
            Ok(standing) => {
                trail.standing = Some(standing);
                return Ok(());
            }
            Err(refused) => refused,
        };
        let may_ask = !asked && users.remote().is_some();
        if refused == TokenError::KeyUnknown && may_ask && !self.is_exhausted(asking) {
            return Err(End::AskKeys);
        }
        let refusal = Refusal::CredentialInvalid(Invalid::Token(refused));
        Err(self.bad_key(refusal, asking.client.address, asking.now).into())
    }

    /// Whether a token of a user's is there besides, and holds, as far as it can be said at once.
    fn verifies(&self, asking: &Asking<'_>) -> bool {
        let Some(users) = &self.users else { return false };
        let (Shown::Token(token), Some(rules)) = (self.shown(users, asking), users.verified()) else {
            return false;
        };
        let Now { unix, .. } = asking.now;
        self.user_keys(users)
            .is_some_and(|keys| self.user_standing(users, rules, &keys, &token, unix).is_ok())
    }

    /// Whether a value in a source of keys is a user's token.
    fn is_users(&self, source: usize, value: &Presented<'_>) -> bool {
        let Some(users) = &self.users else { return false };
        users.source == source
            && users.verified().is_some()
            && token::is_token_shaped(value.expose())
            && !self.is_key(source, value)
    }

    /// Whether a value is known to be a key: by what it begins with, or because a record has it.
    fn is_key(&self, source: usize, value: &Presented<'_>) -> bool {
        let Some(prefixes) = self.config.key_prefixes.get(source) else {
            return false;
        };
        if prefixes.is_empty() {
            self.prefixes.environment_of(value).is_some() || self.keyring.find(value).is_some()
        } else {
            self.config.may_be_key(source, value)
        }
    }
}

impl Users {
    fn has_delegated_cookie(&self, asking: &Asking<'_>) -> bool {
        let cookies = &self.rules.delegate.cookies;
        if cookies.is_empty() {
            return false;
        }
        let lines = asking.head.headers.get_all(http::header::COOKIE).iter();
        let mut pairs = lines.flat_map(|line| fields::cookies(line.as_bytes()));
        pairs.any(|pair| {
            cookies
                .iter()
                .any(|name| fields::cookie_value(pair, name).is_some_and(|value| !value.is_empty()))
        })
    }
}
