//! Who a refusal speaks to, and what it says to them.
//!
//! A room of its own because these are the words that strangers read: they name what was expected of whom, and tell nothing
//! that only a valid credential may know.

use super::refusal::{Invalid, Refusal};

/// Who a refusal speaks to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Audience {
    /// Whoever has a key, and everybody who is not known to be another.
    #[default]
    Keys,
    /// Users.
    Users,
    /// Somebody who may be either.
    Both,
}

impl Refusal {
    /// What the caller may read, in words that fit who it may be.
    #[must_use]
    pub fn detail(&self, audience: Audience) -> &'static str {
        match audience {
            Audience::Keys => self.detail_for_keys(),
            Audience::Users => self.detail_for_users().unwrap_or_else(|| self.detail_for_keys()),
            Audience::Both => self.detail_for_both().unwrap_or_else(|| self.detail_for_keys()),
        }
    }

    fn detail_for_keys(&self) -> &'static str {
        match self {
            Self::RequestInvalid(hygiene) => hygiene.detail(),
            Self::TlsRequired => "This service is reached over HTTPS only.",
            Self::RouteUnknown => "There is nothing here.",
            Self::CredentialMissing => "No API key was sent.",
            Self::CredentialMalformed(_) => "The API key was not sent in the expected form.",
            Self::CredentialConflict => "Two different API keys were sent.",
            Self::CredentialInvalid(Invalid::Token(_)) => "The token is not valid.",
            Self::CredentialInvalid(_) => "The API key is not valid.",
            Self::CredentialFailuresExceeded(_) => "Too many invalid API keys came from this address.",
            Self::SourceDenied => "The API key may not be used from this address.",
            Self::EnvironmentDenied(_) => "The API key does not belong to this environment.",
            Self::PermissionDenied => "The API key does not have the permission that this request needs.",
            Self::KeysStale => "Callers cannot be checked well enough for this at the moment; try again.",
            Self::SubscriptionDenied => "The API key does not have the subscription that this request needs.",
            Self::TenantDenied => "The API key does not reach this organization.",
            Self::HeaderMissing => "A header that this request needs is missing.",
            Self::ConcurrencyExceeded => "Too many requests are in flight for this API key.",
            Self::RateLimited(_) => "The rate limit of this API key is spent.",
            Self::QuotaExceeded(_) => "The quota of this API key is spent.",
            Self::BodyTooLarge => "The request's body is too large.",
            Self::Draining => "The service is shutting down; try again.",
        }
    }

    /// `None`: as to keys.
    fn detail_for_users(&self) -> Option<&'static str> {
        Some(match self {
            Self::CredentialMissing => "No token was sent.",
            Self::CredentialConflict => "Two different tokens were sent.",
            Self::CredentialInvalid(_) => "The token is not valid.",
            Self::CredentialFailuresExceeded(_) => "Too many invalid tokens came from this address.",
            Self::EnvironmentDenied(_) => "Users do not belong to this environment.",
            Self::PermissionDenied => "You do not have the permission that this request needs.",
            Self::SubscriptionDenied => "Users do not have the subscription that this request needs.",
            Self::TenantDenied => "You do not reach this organization.",
            Self::ConcurrencyExceeded => "Too many of your requests are in flight.",
            Self::RateLimited(_) => "Your rate limit is spent.",
            Self::QuotaExceeded(_) => "Your quota is spent.",
            Self::RequestInvalid(_)
            | Self::TlsRequired
            | Self::RouteUnknown
            | Self::CredentialMalformed(_)
            | Self::SourceDenied
            | Self::KeysStale
            | Self::HeaderMissing
            | Self::BodyTooLarge
            | Self::Draining => return None,
        })
    }

    /// `None`: as to keys. What is said of a caller that is known is said to it, and not here.
    fn detail_for_both(&self) -> Option<&'static str> {
        match self {
            Self::CredentialMissing => Some("Neither an API key nor a token was sent."),
            Self::CredentialConflict => Some("Two different credentials were sent."),
            Self::CredentialInvalid(_) => Some("The API key or token is not valid."),
            Self::CredentialFailuresExceeded(_) => Some("Too many invalid credentials came from this address."),
            Self::RequestInvalid(_)
            | Self::TlsRequired
            | Self::RouteUnknown
            | Self::CredentialMalformed(_)
            | Self::SourceDenied
            | Self::EnvironmentDenied(_)
            | Self::PermissionDenied
            | Self::KeysStale
            | Self::SubscriptionDenied
            | Self::TenantDenied
            | Self::HeaderMissing
            | Self::ConcurrencyExceeded
            | Self::RateLimited(_)
            | Self::QuotaExceeded(_)
            | Self::BodyTooLarge
            | Self::Draining => None,
        }
    }
}
