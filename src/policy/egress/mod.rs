//! The return path: where an event may go, what it is, and what its receiver gets.
//!
//! A room of its own because it decides about the other direction: the caller is the service, the other end a stranger's server.
//! The way of an event: [`Egress::admit`] (who asks) ▸ [`Egress::address`] (which webhooks) ▸ [`Policy::search`] (no key of
//! Keygate's may leave) ▸ [`Policy::dispatch`] (which event; is it subscribed to; which headers may leave) ▸ [`Dispatch::headers`] (signed, for each try anew).
//!
//! # Security
//! Closed: an unknown destination, an inactive webhook and a body that cannot be signed are refused. Only [`Policy::dispatch`] builds
//! a [`Dispatch`], of a [`Cleared`] body, and what delivers takes one: nothing leaves unsigned, unsearched or with a credential of
//! Keygate's.

mod address;
mod content;
pub mod destination;
mod dispatch;
mod event;
pub mod leak;
mod refusal;
mod registry;
pub mod schedule;
pub mod sign;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderMap, Method, Uri, Version};

use crate::config::Config;
use crate::config::egress::Token;
use crate::config::webhooks::{Settings, Webhook};
#[cfg(doc)]
use crate::policy::Policy;
use destination::Destinations;
use leak::Leaks;
use registry::Registry;

pub use address::{Addressed, Path};
pub use content::{Cleared, Searched};
pub use dispatch::{Dispatch, Judged};
pub use event::Event;
pub use refusal::{CONNECT, Failure, Refusal};

/// What of a generation concerns events.
#[derive(Debug)]
pub struct Egress {
    /// `[webhooks]`
    pub settings: Settings,
    /// Where events may go.
    pub destinations: Destinations,
    webhooks: Vec<Arc<Webhook>>,
    registry: Registry,
    tokens: Vec<Token>,
    leaks: Leaks,
}

/// A webhook, as an index into those of its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookIndex(u32);

/// The head of the service's request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target: a path of Keygate's own, or in absolute form a receiver's URL.
    pub uri: &'a Uri,
    /// Of HTTP.
    pub version: Version,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Whether it came over a Unix socket, whose permissions say who may connect.
    pub is_local: bool,
}

impl Egress {
    /// `None` where there are no webhooks.
    #[must_use]
    pub fn compile(config: &Config) -> Option<Self> {
        let webhooks = config.webhooks.as_ref()?;
        let list: Vec<Arc<Webhook>> = webhooks.list.iter().cloned().map(Arc::new).collect();
        Some(Self {
            registry: Registry::compile(&list),
            leaks: Leaks::compile(config, &webhooks.settings.strip_headers),
            destinations: Destinations::new(&webhooks.settings.destinations),
            settings: webhooks.settings.clone(),
            tokens: config
                .egress
                .as_ref()
                .map_or_else(Vec::new, |egress| egress.tokens.clone()),
            webhooks: list,
        })
    }

    /// Every webhook, in the order of the files.
    #[must_use]
    pub fn webhooks(&self) -> &[Arc<Webhook>] {
        &self.webhooks
    }

    /// The webhook with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Arc<Webhook>> {
        self.registry.by_id(id).map(|index| self.webhook(index))
    }

    /// Where the webhook with this id is.
    #[must_use]
    pub fn index_of(&self, id: &str) -> Option<WebhookIndex> {
        self.registry.by_id(id)
    }

    /// The webhook at an index of this generation.
    #[must_use]
    pub fn webhook(&self, index: WebhookIndex) -> &Arc<Webhook> {
        &self.webhooks[index.0 as usize]
    }
}
