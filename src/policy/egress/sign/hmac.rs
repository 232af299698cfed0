//! Signatures in a form of the service's own.

use std::borrow::Cow;

use aws_lc_rs::hmac::Tag;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use super::{Message, Turn, visible};
use crate::config::template::Part;
use crate::config::webhooks::secret::Rotated;
use crate::config::webhooks::sign::{Digits, Hmac, Overlap, Signed, Unit};
use crate::secret::webhook::Symmetric;

/// The signature, or both, and what stands beside it.
pub(super) fn headers(
    form: &Hmac,
    keys: &Rotated<Symmetric>,
    message: &Message<'_>,
    turn: Turn,
    headers: &mut Vec<(HeaderName, HeaderValue)>,
) {
    let now = message.unix();
    let timestamp = match form.unit {
        Unit::Seconds => now,
        Unit::Milliseconds => message.unix_millis,
    };
    let signature = |key: &Symmetric| {
        written(
            form,
            key.hmac(form.hash, parts(form, message, timestamp).iter().map(|part| &**part)),
        )
    };
    let name = || form.header.clone();
    match &form.overlap {
        Overlap::List(separator) => {
            let signatures: Vec<String> = keys.at(now).map(signature).collect();
            headers.push((name(), visible(&signatures.join(separator))));
        }
        Overlap::Lines => headers.extend(keys.at(now).map(|key| (name(), visible(&signature(key))))),
        Overlap::Learn => headers.push((name(), visible(&signature(keys.by(turn, now))))),
    }
    let mut beside = |name: &Option<HeaderName>, value: HeaderValue| {
        headers.extend(name.clone().map(|name| (name, value)));
    };
    beside(&form.algorithm, visible(&form.hash.to_string()));
    beside(&form.id, visible(message.id));
    beside(&form.timestamp, HeaderValue::from(timestamp));
}

/// What is signed, piece by piece: the body is not copied.
fn parts<'m>(form: &'m Hmac, message: &Message<'m>, timestamp: i64) -> Vec<Cow<'m, [u8]>> {
    let part = |part: Part<'m, Signed>| match part {
        Part::Text(text) => Cow::Borrowed(text.as_bytes()),
        Part::Field(Signed::Id) => Cow::Borrowed(message.id.as_bytes()),
        Part::Field(Signed::Timestamp) => Cow::Owned(timestamp.to_string().into_bytes()),
        Part::Field(Signed::Body) => Cow::Borrowed(message.body),
        Part::Field(Signed::Event) => Cow::Borrowed(message.event.as_bytes()),
        Part::Field(Signed::Organization) => Cow::Borrowed(message.organization.as_bytes()),
    };
    form.over.parts().map(part).collect()
}

fn written(form: &Hmac, tag: Tag) -> String {
    let digits = match form.digits {
        Digits::Hex => hex::encode(tag),
        Digits::Base64 => STANDARD.encode(tag),
    };
    format!("{}{digits}", form.prefix)
}
