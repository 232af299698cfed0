//! The credential of routes that take users: whose it is, and whether it is believed.
//!
//! A value that begins like a key or that a record has is a key, whatever its form. Anything else is a user's where users'
//! tokens stand: one with three parts must verify, and is never left to the upstream instead; another may be delegated. A
//! request with a valid key is the key's.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Users;
use super::token::{self, TokenError};
use crate::config::routes::Route;
use crate::config::user_tokens::is_bearer;
use crate::policy::credential::{self, Extraction, Taken, fields};
use crate::policy::decide::{Admitted, End, Walk};
use crate::policy::forwarded::Client;
use crate::policy::head::ClientHead;
use crate::policy::permit::Passage;
use crate::policy::refusal::{Failure, Invalid, Refusal};
use crate::policy::slow::Verdict;
use crate::policy::trace::Rule;
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

impl<'a> Walk<'a> {
    /// `access = "user"`: keys do not count, but one that a record has does not reach the upstream either.
    pub(in crate::policy) fn authenticate_user(&mut self, client: &Client) -> Result<Admitted, End> {
        self.record.ask(Rule::Credential);
        let live = self.live_credentials(|_| true);
        let not_a_user = Refusal::CredentialInvalid(Invalid::NotAUser);
        match self.user(client.address)? {
            Some(admitted) if admitted.passage == Passage::Delegated && !live.is_empty() => {
                Err(self.bad_key(not_a_user, client.address).into())
            }
            Some(mut admitted) => {
                admitted.taken.join(&live);
                Ok(admitted)
            }
            None if self.shows_key() => Err(self.bad_key(not_a_user, client.address).into()),
            None => Ok(self.exempted(client)?),
        }
    }

    /// `access = "key-or-user"`: the key's, if there is one.
    pub(in crate::policy) fn authenticate_either(&mut self, route: &Route, client: &Client) -> Result<Admitted, End> {
        self.record.ask(Rule::Credential);
        match self.extract(route, |source, value| self.is_users(source, value)) {
            Extraction::Malformed(reason) => Err(self
                .bad_key(Refusal::CredentialMalformed(reason), client.address)
                .into()),
            Extraction::Conflict => Err(self.bad_key(Refusal::CredentialConflict, client.address).into()),
            Extraction::Found { key, taken } => {
                let admitted = self.identify(route, &key, taken, client)?;
                if self.verifies() {
                    return Err(self.bad_key(Refusal::CredentialConflict, client.address).into());
                }
                Ok(admitted)
            }
            Extraction::Foreign(reason) => match self.user(client.address)? {
                Some(admitted) => Ok(self.beside_keys(admitted)),
                None => Err(self
                    .bad_key(Refusal::CredentialMalformed(reason), client.address)
                    .into()),
            },
            Extraction::Missing => match self.user(client.address)? {
                Some(admitted) => Ok(self.beside_keys(admitted)),
                None => Ok(self.exempted(client)?),
            },
        }
    }

    /// A key in a source that does not count here does not reach the upstream either.
    fn beside_keys(&self, mut admitted: Admitted) -> Admitted {
        admitted.taken.join(&self.live_credentials(|_| true));
        admitted
    }

    /// The user in the trail, or a request to be delegated; `None` where nothing of a user's is there.
    fn user(&mut self, source: Option<IpAddr>) -> Result<Option<Admitted>, End> {
        let Some(users) = &self.policy.users else {
            return Ok(None);
        };
        match self.shown(users) {
            Shown::Nothing => Ok(None),
            Shown::Conflict => Err(self.bad_key(Refusal::CredentialConflict, source).into()),
            Shown::Other => {
                let refusal = Refusal::CredentialInvalid(Invalid::Token(TokenError::Form));
                Err(self.bad_key(refusal, source).into())
            }
            Shown::Delegated => {
                self.record.found(|| "for the upstream to judge".to_owned());
                Ok(Some(Admitted {
                    passage: Passage::Delegated,
                    taken: Taken::default(),
                }))
            }
            Shown::Token(token) => {
                self.stood(Some(users.source));
                self.verify(users, &token, source)?;
                let taken = if users.rules.forward {
                    Taken::default()
                } else {
                    Taken::only(users.source)
                };
                Ok(Some(Admitted {
                    passage: Passage::User,
                    taken,
                }))
            }
        }
    }

    fn shown(&self, users: &Users) -> Shown<'a> {
        let places = &self.policy.places;
        let mut values: SmallVec<[Presented<'a>; 2]> = credential::values(&places[users.source], places, self.head);
        values.retain(|value| !value.expose().is_empty() && !self.is_key(users.source, value));
        let delegates_bearer = users.rules.delegate.bearer && is_bearer(&users.rules.source);
        let differs = values
            .first()
            .is_some_and(|first| values.iter().any(|value| value.expose() != first.expose()));
        match (values.pop(), users.verified()) {
            (Some(_), _) if differs => Shown::Conflict,
            (Some(value), Some(_)) if token::has_three_parts(value.expose()) => Shown::Token(value),
            (Some(value), _) if delegates_bearer && is_one_token(value.expose()) => Shown::Delegated,
            (Some(_), verified) if delegates_bearer || verified.is_some() => Shown::Other,
            (Some(_) | None, _) if users.has_delegated(self.head) => Shown::Delegated,
            (Some(_) | None, _) => Shown::Nothing,
        }
    }

    fn verify(&mut self, users: &Users, token: &Presented<'_>, source: Option<IpAddr>) -> Result<(), End> {
        self.record.ask(Rule::Token);
        let rules = users.verified().expect("only what can be verified is shown as a token");
        let asked = matches!(self.verdict, Some(Verdict::KeysAsked));
        let Some(keys) = self.policy.user_keys(users) else {
            return Err(if asked {
                End::Failed(Failure::UserKeysUnavailable)
            } else {
                End::AskKeys
            });
        };
        let refused = match self.policy.user_standing(users, rules, &keys, token, self.now.unix) {
            Ok((standing, proof)) => {
                self.record.found(|| {
                    format!(
                        "user {} of organization {}",
                        standing.caller.id, standing.caller.organization
                    )
                });
                self.trail.standing = Some(standing);
                self.trail.proof = Some(proof);
                return Ok(());
            }
            Err(refused) => refused,
        };
        let may_ask = !asked && users.remote().is_some();
        if refused == TokenError::KeyUnknown && may_ask && self.exhausted(source).is_none() {
            return Err(End::AskKeys);
        }
        let refusal = Refusal::CredentialInvalid(Invalid::Token(refused));
        Err(self.bad_key(refusal, source).into())
    }

    /// Whether a token of a user's is there besides, and holds, as far as it can be said at once.
    fn verifies(&self) -> bool {
        let Some(users) = &self.policy.users else { return false };
        let (Shown::Token(token), Some(rules)) = (self.shown(users), users.verified()) else {
            return false;
        };
        self.policy.user_keys(users).is_some_and(|keys| {
            self.policy
                .user_standing(users, rules, &keys, &token, self.now.unix)
                .is_ok()
        })
    }

    /// Whether anything stands where keys do.
    fn shows_key(&self) -> bool {
        let sources = &self.policy.config.credentials.sources;
        let shows = |source| !credential::values(source, sources, self.head).is_empty();
        sources.iter().any(shows)
    }

    /// Whether a value in a source of keys is a user's token.
    fn is_users(&self, source: usize, value: &Presented<'_>) -> bool {
        let Some(users) = &self.policy.users else { return false };
        users.source == source
            && users.verified().is_some()
            && token::is_token_shaped(value.expose())
            && !self.is_key(source, value)
    }

    /// Whether a value is known to be a key: by what it begins with, or because a record has it.
    fn is_key(&self, source: usize, value: &Presented<'_>) -> bool {
        let policy = self.policy;
        let Some(prefixes) = policy.config.credentials.prefixes.get(source) else {
            return false;
        };
        if prefixes.is_empty() {
            policy.prefixes.environment_of(value).is_some() || policy.keyring.find(value).is_some()
        } else {
            policy.config.credentials.may_be_key(source, value)
        }
    }
}

/// Whether a bearer is one credential (RFC 6750 §2.1): in a list, as somebody may join several lines, a key could hide.
fn is_one_token(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

impl Users {
    /// Whether something else than a bearer is there to be delegated.
    fn has_delegated(&self, head: &ClientHead<'_>) -> bool {
        self.has_delegated_cookie(head) || self.has_delegated_parameter(head)
    }

    fn has_delegated_parameter(&self, head: &ClientHead<'_>) -> bool {
        let delegated = |part: &str| {
            let parameters = &self.rules.delegate.parameters;
            parameters.iter().any(|name| fields::is_parameter(part, name)) && !fields::parameter_value(part).is_empty()
        };
        fields::query(head.uri.query().unwrap_or_default()).any(delegated)
    }

    fn has_delegated_cookie(&self, head: &ClientHead<'_>) -> bool {
        let cookies = &self.rules.delegate.cookies;
        if cookies.is_empty() {
            return false;
        }
        let lines = head.headers.get_all(http::header::COOKIE).iter();
        let mut pairs = lines.flat_map(|line| fields::cookies(line.as_bytes()));
        pairs.any(|pair| {
            cookies
                .iter()
                .any(|name| fields::cookie_value(pair, name).is_some_and(|value| !value.is_empty()))
        })
    }
}
