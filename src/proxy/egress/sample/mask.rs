//! Headers of a sample as operators see them.
//!
//! # Security
//! Closed. What is marked sensitive is never shown. What signs is cut short. A header that the webhook's record writes is shown
//! where it holds nothing but what everybody knows (ids, the event's type), since operators also keep tokens there.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::webhooks::Webhook;
use crate::errand::Header;
use crate::policy::egress::Event;

/// Stands for what is not shown.
const MASK: &str = "…";
/// How much of a signature is shown.
const SHOWN: usize = 12;

/// All of them, in their order.
pub(super) fn headers(headers: &HeaderMap, webhook: &Webhook, event: &Event) -> Vec<Header> {
    let shown = headers.iter().map(|(name, value)| Header {
        name: name.to_string(),
        value: shown(name, value, webhook, event),
    });
    shown.collect()
}

fn shown(name: &HeaderName, value: &HeaderValue, webhook: &Webhook, event: &Event) -> String {
    let Ok(text) = value.to_str() else {
        return MASK.to_owned();
    };
    if value.is_sensitive() {
        // A scheme word has nothing to hide.
        return match text.split_once(' ') {
            Some((word, _)) => format!("{word} {MASK}"),
            None => MASK.to_owned(),
        };
    }
    let known = [
        Some(webhook.id.as_str()),
        Some(webhook.organization.as_str()),
        Some(event.id.as_str()),
        event.kind.as_deref(),
    ];
    if known.contains(&Some(text)) {
        return text.to_owned();
    }
    if webhook.headers.iter().any(|(own, _)| own == name) {
        return MASK.to_owned();
    }
    if webhook.signing.names().any(|own| own == name) && text.len() > SHOWN + MASK.len() {
        return format!("{}{MASK}", &text[..text.floor_char_boundary(SHOWN)]);
    }
    text.to_owned()
}
