//! Signs: the headers of one try, from a message, a moment and the keys.
//!
//! A room of its own because it is the one place where webhook secrets are used. Pure: the moment is an argument, and the same
//! arguments give the same bytes.
//!
//! While a receiver changes from one secret to the next, a header that can carry two signatures carries both, the current one's
//! first. One that carries a single secret carries that of a [`Turn`], which [`rotation`] learns from the receiver's answers.
//!
//! # Security
//! What holds a secret is marked sensitive: it shows in no `Debug`, and HPACK does not index it.

mod hmac;
pub mod rotation;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};

use crate::config::webhooks::secret::Rotated;
use crate::config::webhooks::sign::{Authorization, Overlap, STANDARD, Scheme, Signing};
use crate::secret::webhook::Key;
use crate::secret::{Digest, Secret};

pub use rotation::{Learned, Rotations};

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The event's id: the same at every try.
    pub id: &'a str,
    /// The event's type; may be empty.
    pub event: &'a str,
    /// The id of the organization whose webhook it is.
    pub organization: &'a str,
    /// When it is sent, in Unix milliseconds.
    pub unix_millis: i64,
    /// Every byte of it.
    pub body: &'a [u8],
}

/// Which secret a header carries that can only carry one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// `secret`
    Current,
    /// `previous_secret`; the current one where that has ended.
    Previous,
}

impl Turn {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Current => Self::Previous,
            Self::Previous => Self::Current,
        }
    }
}

impl Message<'_> {
    /// When it is sent, in Unix seconds.
    #[must_use]
    pub fn unix(&self) -> i64 {
        self.unix_millis.div_euclid(1000)
    }
}

impl Signing {
    /// The headers that prove where this message comes from. No two have the same name, except where a scheme says so of its
    /// own: append them.
    #[must_use]
    pub fn headers(&self, message: &Message<'_>, turn: Turn) -> Vec<(HeaderName, HeaderValue)> {
        // What is signed is the id that the receiver reads.
        let id = in_header(message.id);
        let message = Message { id: &id, ..*message };
        let mut headers = Vec::with_capacity(self.schemes.len() * 3);
        for scheme in &self.schemes {
            match scheme {
                Scheme::Authorization(form, secrets) => {
                    let secret = secrets.by(turn, message.unix());
                    headers.push((form.header.clone(), authorization(form, secret)));
                }
                Scheme::Hmac(form, keys) => hmac::headers(form, keys, &message, turn, &mut headers),
                Scheme::Standard(keys) => headers.extend(standard(keys, &message)),
            }
        }
        headers
    }

    /// Whether all of the body has to be there first.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Authorization(..) => false,
            Scheme::Hmac(..) | Scheme::Standard(_) => true,
        })
    }

    /// Whether a header tells the event's id.
    #[must_use]
    pub fn tells_id(&self) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Authorization(..) => false,
            Scheme::Hmac(form, _) => form.id.is_some(),
            Scheme::Standard(_) => true,
        })
    }

    /// Whether there are two secrets at this time (Unix seconds).
    #[must_use]
    pub fn is_rotating(&self, now_unix: i64) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Authorization(_, secrets) => secrets.previous_at(now_unix).is_some(),
            Scheme::Hmac(_, keys) => keys.previous_at(now_unix).is_some(),
            Scheme::Standard(keys) => keys.previous_at(now_unix).is_some(),
        })
    }

    /// Whether a header can carry one of two secrets only, so that the receiver's answers say which.
    #[must_use]
    pub fn has_single(&self) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Authorization(..) => true,
            Scheme::Hmac(form, _) => form.overlap == Overlap::Learn,
            Scheme::Standard(_) => false,
        })
    }

    /// Which two secrets those are: another value with other secrets. `None` where there are not two, or no header carries
    /// only one.
    pub(super) fn pair(&self, now_unix: i64) -> Option<Digest> {
        self.schemes.iter().find_map(|scheme| match scheme {
            Scheme::Authorization(_, secrets) => pair(secrets, now_unix, |secret| secret),
            Scheme::Hmac(form, keys) if form.overlap == Overlap::Learn => pair(keys, now_unix, |key| key.as_written()),
            Scheme::Hmac(..) | Scheme::Standard(_) => None,
        })
    }
}

fn pair<T>(secrets: &Rotated<T>, now_unix: i64, text: impl Fn(&T) -> &Secret) -> Option<Digest> {
    let previous = secrets.previous_at(now_unix)?;
    let digests = [&secrets.current, previous].map(|secret| Digest::of(text(secret).expose().as_bytes()).0);
    Some(Digest::of(digests.as_flattened()))
}

impl<T> Rotated<T> {
    /// The one whose turn it is, at this time (Unix seconds).
    fn by(&self, turn: Turn, now_unix: i64) -> &T {
        let previous = self.previous_at(now_unix);
        match (turn, previous) {
            (Turn::Previous, Some(previous)) => previous,
            (Turn::Previous | Turn::Current, _) => &self.current,
        }
    }
}

/// `Bearer SECRET`, or the secret alone.
fn authorization(form: &Authorization, secret: &Secret) -> HeaderValue {
    let secret = secret.expose();
    let text = match &form.word {
        Some(word) => zeroize::Zeroizing::new(format!("{word} {secret}")),
        None => zeroize::Zeroizing::new(secret.to_owned()),
    };
    let mut value =
        HeaderValue::from_str(&text).expect("the configuration takes no secret that cannot stand in a header");
    value.set_sensitive(true);
    value
}

/// `webhook-id`, `webhook-timestamp`, `webhook-signature` (Standard Webhooks 1.0.0).
fn standard(keys: &Rotated<Key>, message: &Message<'_>) -> [(HeaderName, HeaderValue); 3] {
    let timestamp = message.unix();
    let mut signatures = String::new();
    for key in keys.at(timestamp) {
        let space = if signatures.is_empty() { "" } else { " " };
        let signature = key.standard(message.id, timestamp, message.body);
        let _ = write!(signatures, "{space}{signature}");
    }
    let [id, time, signature] = STANDARD.clone();
    [
        (id, visible(message.id)),
        (time, HeaderValue::from(timestamp)),
        (signature, visible(&signatures)),
    ]
}

/// An id as it can stand in a header: what is not visible ASCII is percent-encoded.
fn in_header(id: &str) -> Cow<'_, str> {
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(id);
    }
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            text.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    Cow::Owned(text)
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("signatures, and ids as they stand in headers, are visible ASCII")
}
