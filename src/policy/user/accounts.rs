//! The accounts of users: what each has spent and has in flight, in bounded memory.
//!
//! Users are not records: whoever the issuer vouches for is one. So the user that was idle longest is forgotten first, but
//! never one with requests in flight.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::policy::limits::{Account, Bounds};

/// How many users are remembered.
const USERS: usize = 65_536;
/// How many of them are looked at to forget one.
const LOOKED_AT: usize = 64;

/// Who a user is, over generations: two issuers may give two people the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    /// `iss`
    pub(super) issuer: Arc<str>,
    /// `sub`
    pub(super) user: Box<str>,
}

/// All of them.
#[derive(Debug)]
pub struct UserAccounts {
    most: usize,
    accounts: Mutex<LruCache<Subject, Arc<Account>>>,
}

impl Default for UserAccounts {
    fn default() -> Self {
        Self::with_most(USERS)
    }
}

impl UserAccounts {
    fn with_most(most: usize) -> Self {
        // One more than is kept, so that the cache itself never chooses whom to forget.
        let room = NonZeroUsize::MAX;
        Self {
            most,
            accounts: Mutex::new(LruCache::sparse(room)),
        }
    }

    /// The account of this user, within these bounds: what was spent and is in flight stays.
    pub(super) fn of(&self, subject: &Subject, bounds: Bounds) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.get_mut(subject) {
            let account = Account::renew(known, bounds);
            *known = Arc::clone(&account);
            return account;
        }
        let account = Account::new(bounds);
        accounts.push(subject.clone(), Arc::clone(&account));
        self.forget(&mut accounts);
        account
    }

    /// Whether this is the account of this user, who is here again.
    pub(super) fn is_of(&self, subject: &Subject, account: &Arc<Account>) -> bool {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(subject).is_some_and(|known| Arc::ptr_eq(known, account))
    }

    /// Makes room, unless too many have something in flight, whose number has limits of its own.
    fn forget(&self, accounts: &mut LruCache<Subject, Arc<Account>>) {
        for _ in 0..LOOKED_AT {
            if accounts.len() <= self.most {
                return;
            }
            match accounts.pop_lru() {
                Some((subject, busy)) if busy.in_flight() > 0 => {
                    accounts.push(subject, busy);
                }
                Some(_) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limits::{Claims, Windows};

    fn bounds() -> Bounds {
        Bounds {
            windows: Windows::compile(&[]),
            concurrency: Some(5),
            shared: None,
            claims: Claims::default(),
        }
    }

    fn subject(user: &str) -> Subject {
        Subject {
            issuer: "i".into(),
            user: user.into(),
        }
    }

    #[test]
    fn the_idle_are_forgotten_first_and_the_busy_never() {
        let accounts = UserAccounts::with_most(2);
        let busy = accounts.of(&subject("busy"), bounds());
        let slot = busy.enter().unwrap();
        let idle = accounts.of(&subject("idle"), bounds());
        assert!(Arc::ptr_eq(&idle, &accounts.of(&subject("idle"), bounds())));
        let _third = accounts.of(&subject("third"), bounds());
        assert!(Arc::ptr_eq(&busy, &accounts.of(&subject("busy"), bounds())));
        assert!(
            !Arc::ptr_eq(&idle, &accounts.of(&subject("idle"), bounds())),
            "forgotten"
        );
        let other = Subject {
            issuer: "j".into(),
            user: "busy".into(),
        };
        assert_eq!(accounts.of(&other, bounds()).in_flight(), 0, "another issuer's");
        drop(slot);
    }
}
