//! The headers that signatures stand in: which may, and that no two schemes write the same.

use http::HeaderName;

use crate::config::names;
use crate::config::reader::Item;

/// `webhook-id`, `webhook-timestamp`, `webhook-signature` (Standard Webhooks 1.0.0, "Webhook headers").
pub static STANDARD: [HeaderName; 3] = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];

/// The headers of the schemes so far.
#[derive(Default)]
pub(super) struct Taken(Vec<HeaderName>);

impl Taken {
    /// Takes the headers of one more scheme; reports one that is there already.
    pub(super) fn take(&mut self, names: &[&HeaderName], item: &Item<'_>) -> bool {
        for name in names {
            if self.0.contains(name) {
                item.error(
                    format!("`{name}` is written twice"),
                    "each header carries one thing: give it another name, or remove one of the two",
                );
                return false;
            }
            self.0.push((*name).clone());
        }
        true
    }
}

/// A header that a signature may stand in.
pub(super) fn header(item: &Item<'_>) -> Option<HeaderName> {
    let name = names::header(item)?;
    if name.as_str().starts_with("content-") {
        item.error(
            format!("`{name}` says what the body is"),
            "choose another header, for example X-Webhook-Signature",
        );
        return None;
    }
    Some(name)
}
