//! Who asks, and which webhooks a request is for.

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Method, Uri, Version};

use super::leak::X_EGRESS_TOKEN;
use super::{Egress, Head, Refusal, WebhookIndex, registry};
use crate::config::webhooks::url::Target;
use crate::policy::credential;
use crate::secret::Presented;

/// Before a webhook's id.
const WEBHOOKS: &str = "/webhooks/";
/// Before an organization's id and `/events`.
const ORGANIZATIONS: &str = "/organizations/";

/// Where a request wants its event to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressed {
    /// To one webhook.
    One {
        /// Which.
        webhook: WebhookIndex,
        /// Path and query of the receiver.
        path: Path,
    },
    /// To all of an organization's webhooks that take it.
    Organization {
        /// Whose.
        organization: String,
        /// All of its webhooks.
        webhooks: Vec<WebhookIndex>,
    },
}

/// Path and query of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// The registered one.
    Registered,
    /// The one that a forward-proxy target has, which lies below the registered one.
    Given(String),
}

impl Egress {
    /// Whether whoever sends this is let in.
    ///
    /// # Errors
    /// [`Refusal::TokenInvalid`]
    pub fn admit(&self, head: &Head<'_>) -> Result<(), Refusal> {
        if self.tokens.is_empty() || head.is_local {
            return Ok(());
        }
        let token = presented(head.headers).ok_or(Refusal::TokenInvalid)?;
        let digest = token.digest();
        let mut known = self.tokens.iter();
        // Digests may be compared as they are: whoever could tell how many bytes agree learns nothing of the token.
        if known.any(|token| token.digest == digest) {
            Ok(())
        } else {
            Err(Refusal::TokenInvalid)
        }
    }

    /// Which webhooks it is for.
    ///
    /// # Errors
    /// Why for none.
    pub fn address(&self, head: &Head<'_>) -> Result<Addressed, Refusal> {
        if *head.method == Method::CONNECT {
            return Err(Refusal::ConnectUnsupported);
        }
        let addressed = match (head.uri.scheme(), head.version) {
            (None, _) => self.by_path(head.uri.path()),
            // Every target of HTTP/2 has a scheme and an authority. Those of Keygate's own paths are how the service calls this
            // listener, unless a webhook has the very URL.
            (Some(_), Version::HTTP_2) => match self.by_url(head.uri) {
                Err(Refusal::DestinationUnregistered) if is_own(head.uri.path()) => self.by_path(head.uri.path()),
                found => found,
            },
            (Some(_), _) => self.by_url(head.uri),
        }?;
        if ![Method::POST, Method::PUT, Method::PATCH].contains(head.method) {
            return Err(Refusal::MethodUnsupported);
        }
        Ok(addressed)
    }

    /// Path and query of an event that was for this target of the webhook, when it is sent later: the same, as long as the webhook's
    /// URL covers it.
    #[must_use]
    pub fn path_later(&self, index: WebhookIndex, target: &str) -> Path {
        if registry::covers(self.webhook(index), target) {
            Path::Given(target.to_owned())
        } else {
            Path::Registered
        }
    }

    fn by_path(&self, path: &str) -> Result<Addressed, Refusal> {
        if let Some(id) = path.strip_prefix(WEBHOOKS) {
            let webhook = self.registry.by_id(id).ok_or(Refusal::WebhookUnknown)?;
            let path = Path::Registered;
            return Ok(Addressed::One { webhook, path });
        }
        let organization = path
            .strip_prefix(ORGANIZATIONS)
            .and_then(|rest| rest.strip_suffix("/events"))
            .filter(|id| !id.is_empty() && !id.contains('/'))
            .ok_or(Refusal::PathUnknown)?;
        let organization = percent_encoding::percent_decode_str(organization).decode_utf8();
        let organization = organization.map_err(|_| Refusal::WebhookUnknown)?.into_owned();
        let webhooks = self.registry.by_organization(&organization).to_vec();
        if webhooks.is_empty() {
            return Err(Refusal::WebhookUnknown);
        }
        Ok(Addressed::Organization { organization, webhooks })
    }

    fn by_url(&self, uri: &Uri) -> Result<Addressed, Refusal> {
        let target = Target::of_uri(uri).map_err(|unusable| Refusal::DestinationInvalid(unusable.reason()))?;
        let found = self.registry.by_url(&target);
        let active = found.iter().filter(|index| self.webhook(**index).active);
        let active: Vec<WebhookIndex> = active.copied().collect();
        let webhook = match (active.as_slice(), found.first()) {
            ([webhook], _) => *webhook,
            ([], Some(_)) => return Err(Refusal::WebhookInactive),
            ([], None) => return Err(Refusal::DestinationUnregistered),
            ([..], _) => return Err(Refusal::DestinationAmbiguous),
        };
        let path = Path::Given(target.path_and_query());
        Ok(Addressed::One { webhook, path })
    }
}

/// Whether a path is one of this listener's.
fn is_own(path: &str) -> bool {
    path.starts_with(WEBHOOKS) || path.starts_with(ORGANIZATIONS)
}

/// The token, however it is sent. A forward proxy's user presents it as the password.
fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    if let Some(value) = headers.get(X_EGRESS_TOKEN) {
        return Some(Presented::borrowed(value.as_bytes()));
    }
    let value = headers.get(PROXY_AUTHORIZATION)?;
    credential::scan::token(value.as_bytes())
}
