//! `sign` and `profile` of a webhook: which headers prove to its receiver where an event comes from.
//!
//! A room of its own because several schemes stand side by side while receivers move from a service's own header to Standard
//! Webhooks. If you hold a [`Signing`], each of its schemes has a key that it can sign with, and no two write the same header.
//!
//! # Security
//! Closed: a webhook that nothing would sign is an error. What is private to the sender, an ed25519 key, is never taken where it
//! would be sent or shared.

mod authorization;
mod hmac;
mod names;
#[cfg(test)]
mod tests;

use http::HeaderName;

use super::secret::{self, Rotated, Written};
use crate::config::files::Files;
use crate::config::reader::{Item, Table};
use crate::secret::Secret;
use crate::secret::webhook::{Encoding, Key, Symmetric};

pub use authorization::Authorization;
pub use hmac::{Digits, Hmac, Overlap, Signed, Unit};
pub use names::STANDARD;

/// How the events of one webhook are signed.
#[derive(Debug, Clone)]
pub struct Signing {
    /// At least one.
    pub schemes: Vec<Scheme>,
}

/// One way to sign, and what with.
#[derive(Debug, Clone)]
pub enum Scheme {
    /// `authorization`: a header carries the secret itself.
    Authorization(Authorization, Rotated<Secret>),
    /// `hmac`: a signature in a form of the service's own.
    Hmac(Box<Hmac>, Rotated<Symmetric>),
    /// `standard`: Standard Webhooks 1.0.0.
    Standard(Rotated<Key>),
}

/// One entry of `sign`.
enum Form {
    Authorization(Authorization),
    Hmac(Box<Hmac>),
    Standard,
}

/// `profile`: how far a webhook has moved to the standard.
#[derive(Clone, Copy)]
enum Profile {
    Legacy,
    Transitional,
    Standard,
}

const HELP: &str = "for example sign = [{ scheme = \"standard\" }]";

/// Reads `sign`, `profile`, `secret`, `previous_secret` and `previous_until` of a webhook.
pub(in crate::config) fn read(table: &Table<'_>, files: &Files) -> Option<Signing> {
    let (sign, profile) = (table.get("sign"), table.get("profile"));
    let secrets = secret::read(table, files);
    let forms = read_forms(sign.as_ref());
    let profile = match &profile {
        Some(item) => Some((item, read_profile(item)?)),
        None => None,
    };
    let active = active(forms?, profile)?;
    let secrets = secrets?;
    warn_of_looks(&active, &secrets);
    let schemes: Vec<Option<Scheme>> = active.into_iter().map(|form| with_key(form, &secrets)).collect();
    Some(Signing {
        schemes: schemes.into_iter().collect::<Option<_>>()?,
    })
}

fn read_profile(item: &Item<'_>) -> Option<Profile> {
    item.word(&[
        ("legacy", Profile::Legacy),
        ("transitional", Profile::Transitional),
        ("standard", Profile::Standard),
    ])
}

/// The entries of `sign`; all of them are read before one that is wrong makes it `None`.
fn read_forms(sign: Option<&Item<'_>>) -> Option<Vec<Form>> {
    let Some(item) = sign else {
        return Some(vec![Form::Standard]);
    };
    let tables = item.list()?;
    if tables.is_empty() {
        item.error("is empty, so that receivers could not tell who sends", HELP);
        return None;
    }
    let mut taken = names::Taken::default();
    let mut forms = Vec::with_capacity(tables.len());
    for item in &tables {
        let form = item.table().and_then(|table| read_form(&table));
        let names: Vec<&HeaderName> = form.as_ref().map_or_else(Vec::new, |form| form.names().collect());
        let is_free = taken.take(&names, item);
        forms.push(form.filter(|_| is_free));
    }
    forms.into_iter().collect()
}

fn read_form(table: &Table<'_>) -> Option<Form> {
    const HELP: &str = "\"standard\", \"hmac\" or \"authorization\"";
    type Read = fn(&Table<'_>) -> Option<Form>;
    let words: [(&str, Read); 3] = [
        ("standard", |_| Some(Form::Standard)),
        ("hmac", |table| hmac::read(table).map(Box::new).map(Form::Hmac)),
        ("authorization", |table| {
            authorization::read(table).map(Form::Authorization)
        }),
    ];
    let Some(read) = table.require("scheme", HELP).and_then(|item| item.word(&words)) else {
        table.ignore_rest();
        return None;
    };
    read(table)
}

/// What of `sign` is in force.
fn active(mut forms: Vec<Form>, profile: Option<(&Item<'_>, Profile)>) -> Option<Vec<Form>> {
    let Some((item, profile)) = profile else {
        return Some(forms);
    };
    let standard = |form: &Form| match form {
        Form::Standard => true,
        Form::Authorization(_) | Form::Hmac(_) => false,
    };
    forms.retain(|form| !standard(form));
    let has_own = !forms.is_empty();
    match profile {
        Profile::Legacy => {}
        Profile::Transitional => forms.push(Form::Standard),
        Profile::Standard => return Some(vec![Form::Standard]),
    }
    if has_own {
        return Some(forms);
    }
    item.error(
        "is about a header of the service's own, and `sign` has none",
        "add its scheme to `sign`, or write profile = \"standard\"",
    );
    None
}

fn warn_of_looks(forms: &[Form], secrets: &Rotated<Written<'_>>) {
    let signs = |form: &Form| match form {
        Form::Standard => true,
        Form::Hmac(hmac) => !hmac.verbatim,
        Form::Authorization(_) => false,
    };
    for written in std::iter::once(&secrets.current).chain(&secrets.previous) {
        let is_private = written.looks_like == Some(Encoding::Ed25519);
        if is_private || forms.iter().any(signs) {
            written.warn_of_looks();
        }
    }
}

fn with_key(form: Form, secrets: &Rotated<Written<'_>>) -> Option<Scheme> {
    Some(match form {
        Form::Standard => Scheme::Standard(secrets.change(for_standard)?),
        Form::Hmac(hmac) => {
            let verbatim = hmac.verbatim;
            let keys = secrets.change(|written| {
                let key = symmetric(written, "hmac")?;
                Some(if verbatim { key.verbatim() } else { key.clone() })
            })?;
            Scheme::Hmac(hmac, keys)
        }
        Form::Authorization(authorization) => Scheme::Authorization(authorization, secrets.change(for_header)?),
    })
}

fn for_standard(written: &Written<'_>) -> Option<Key> {
    match &written.key {
        Key::Symmetric(key) if !key.fits_standard() => {
            written.item.error(
                "the secret is longer than 64 bytes, and Standard Webhooks takes 24 to 64",
                "`keygate webhooks new-secret` makes one that fits, to be written with encoding = \"whsec\"",
            );
            None
        }
        Key::Symmetric(_) | Key::Pair(_) => Some(written.key.clone()),
    }
}

fn symmetric<'w>(written: &'w Written<'_>, scheme: &str) -> Option<&'w Symmetric> {
    match &written.key {
        Key::Symmetric(key) => Some(key),
        Key::Pair(_) => {
            written.item.error(
                format!("the secret is a private key, and the scheme `{scheme}` needs one that receivers know too"),
                "use another secret, or sign = [{ scheme = \"standard\" }] alone",
            );
            None
        }
    }
}

fn for_header(written: &Written<'_>) -> Option<Secret> {
    let secret = symmetric(written, "authorization")?.as_written();
    if crate::config::names::is_word(secret.expose()) {
        return Some(secret.clone());
    }
    written.item.error(
        "the secret cannot stand in a header",
        "visible ASCII without spaces; `keygate webhooks new-secret --scheme text` makes one",
    );
    None
}

impl Form {
    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let names: Vec<&HeaderName> = match self {
            Self::Authorization(authorization) => vec![&authorization.header],
            Self::Hmac(hmac) => hmac.names().collect(),
            Self::Standard => STANDARD.iter().collect(),
        };
        names.into_iter()
    }
}

impl Signing {
    /// Every header that it writes.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.schemes.iter().flat_map(|scheme| {
            let names: Vec<&HeaderName> = match scheme {
                Scheme::Authorization(authorization, _) => vec![&authorization.header],
                Scheme::Hmac(hmac, _) => hmac.names().collect(),
                Scheme::Standard(_) => STANDARD.iter().collect(),
            };
            names
        })
    }

    /// Those of them without which a receiver cannot verify: nothing else may stand in their place.
    pub(super) fn proofs(&self) -> impl Iterator<Item = &HeaderName> {
        self.schemes.iter().flat_map(|scheme| {
            let names: Vec<&HeaderName> = match scheme {
                Scheme::Authorization(authorization, _) => vec![&authorization.header],
                Scheme::Hmac(hmac, _) => hmac.proofs().collect(),
                Scheme::Standard(_) => STANDARD.iter().collect(),
            };
            names
        })
    }
}

impl Scheme {
    /// `scheme`, as it is written.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Authorization(..) => "authorization",
            Self::Hmac(..) => "hmac",
            Self::Standard(_) => "standard",
        }
    }

    /// When what is signed with the previous secret ends (Unix seconds), where there is one at this time and it has an end.
    #[must_use]
    pub fn overlap_end(&self, now_unix: i64) -> Option<i64> {
        fn end<T>(secrets: &Rotated<T>, now_unix: i64) -> Option<i64> {
            secrets.previous_at(now_unix).and(secrets.until)
        }
        match self {
            Self::Authorization(_, secrets) => end(secrets, now_unix),
            Self::Hmac(_, keys) => end(keys, now_unix),
            Self::Standard(keys) => end(keys, now_unix),
        }
    }
}
