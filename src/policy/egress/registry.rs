//! Webhooks, found by id, by organization and by URL.

use std::sync::Arc;

use hashbrown::HashMap;

use super::WebhookIndex;
use crate::config::webhooks::url::{Scheme, Target};
use crate::config::webhooks::{Query, Webhook};

/// All webhooks of a generation.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_id: HashMap<Box<str>, WebhookIndex>,
    by_organization: HashMap<Box<str>, Vec<WebhookIndex>>,
    /// By host as it is written in a URL; the longest paths first.
    by_host: HashMap<Box<str>, Vec<Entry>>,
}

/// A registered URL.
#[derive(Debug)]
struct Entry {
    target: Target,
    query: Query,
    index: WebhookIndex,
}

impl Registry {
    pub(super) fn compile(webhooks: &[Arc<Webhook>]) -> Self {
        let mut registry = Self::default();
        for (number, webhook) in (0..).zip(webhooks) {
            let index = WebhookIndex(number);
            registry.by_id.insert(webhook.id.as_str().into(), index);
            let of_organization = registry.by_organization.entry(webhook.organization.as_str().into());
            of_organization.or_default().push(index);
            let of_host = registry.by_host.entry(webhook.url.host.to_string().into());
            of_host.or_default().push(Entry {
                target: webhook.url.clone(),
                query: webhook.query,
                index,
            });
        }
        for entries in registry.by_host.values_mut() {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.target.path.len()));
        }
        registry
    }

    pub(super) fn by_id(&self, id: &str) -> Option<WebhookIndex> {
        self.by_id.get(id).copied()
    }

    pub(super) fn by_organization(&self, id: &str) -> &[WebhookIndex] {
        self.by_organization.get(id).map_or(&[], Vec::as_slice)
    }

    /// Those whose URL covers this one in the longest way; several where they are registered with the same URL.
    pub(super) fn by_url(&self, target: &Target) -> Vec<WebhookIndex> {
        let entries = self.by_host.get(&*target.host.to_string());
        let entries = entries.map_or(&[][..], Vec::as_slice);
        let mut covering = entries.iter().filter(|entry| entry.covers(target)).peekable();
        let longest = covering.peek().map(|entry| entry.target.path.len());
        let of_length = covering.take_while(|entry| Some(entry.target.path.len()) == longest);
        let mut found: Vec<&Entry> = of_length.collect();
        // Whose query is the very one goes before whose query may be any.
        if found.iter().any(|entry| entry.target.query == target.query) {
            found.retain(|entry| entry.target.query == target.query);
        }
        found.into_iter().map(|entry| entry.index).collect()
    }
}

impl Entry {
    fn covers(&self, target: &Target) -> bool {
        let own = &self.target;
        same_door(own, target)
            && is_below(&own.path, &target.path)
            && (self.query == Query::Any || own.query == target.query)
    }
}

/// Whether a webhook's URL covers this path and query, which are normalised.
pub(super) fn covers(webhook: &Webhook, target: &str) -> bool {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    is_below(&webhook.url.path, path) && (webhook.query == Query::Any || webhook.url.query.as_deref() == query)
}

/// Whether a request for `target` may leave through the scheme and port of `own`. `http` may become `https`, on the same port
/// or from the one default port to the other: that is how a service speaks that knows a proxy only for `http`.
fn same_door(own: &Target, target: &Target) -> bool {
    match (own.scheme, target.scheme) {
        (Scheme::Http, Scheme::Http) | (Scheme::Https, Scheme::Https) => own.port == target.port,
        (Scheme::Https, Scheme::Http) => own.port == target.port || (own.port, target.port) == (443, 80),
        (Scheme::Http, Scheme::Https) => false,
    }
}

/// Whether a path is another one, or lies below it.
fn is_below(own: &str, path: &str) -> bool {
    let own = own.strip_suffix('/').unwrap_or(own);
    path.strip_prefix(own)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
