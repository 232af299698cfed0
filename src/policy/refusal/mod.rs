//! `Refusal` (we said no) and `Failure` (we could not): what the caller is told, and what the operator's log says.
//!
//! Each has a status, a stable low-cardinality code, a public text and a reason for the operator. Adding a variant does
//! not compile until all four are written.

mod failure;
mod hygiene;

use http::StatusCode;

use super::user::token::TokenError;

pub use failure::Failure;
pub use hygiene::Hygiene;

/// Keygate said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be trusted to mean the same to Keygate and to the upstream.
    RequestInvalid(Hygiene),
    /// Cleartext where TLS is required.
    TlsRequired,
    /// No route, or one with `access = "deny"`.
    RouteUnknown,
    /// None of the configured sources is there.
    CredentialMissing,
    /// A source is there, but not in its form.
    CredentialMalformed(&'static str),
    /// Two sources with different keys.
    CredentialConflict,
    /// Not a valid key; all reasons look alike to the caller.
    CredentialInvalid(Invalid),
    /// Too many bad keys from one source; seconds until the next is looked at.
    CredentialFailuresExceeded(u64),
    /// The key may not be used from this address.
    SourceDenied,
    /// The key's prefix and its record name different environments, or the route does not take the key's; the word is for
    /// the log.
    EnvironmentDenied(&'static str),
    /// The caller lacks a permission that the route demands.
    PermissionDenied,
    /// The key files have not been readable and valid for longer than this permission is open.
    KeysStale,
    /// The caller lacks a subscription that the route, or the request, names.
    SubscriptionDenied,
    /// The request is about another organization than the caller's.
    TenantDenied,
    /// A header that the route demands is not there.
    HeaderMissing,
    /// Too many requests in flight for this key.
    ConcurrencyExceeded,
    /// A window is spent.
    RateLimited(Exceeded),
    /// A quota is spent.
    QuotaExceeded(Exhausted),
    /// The request's body is longer than allowed.
    BodyTooLarge,
    /// Keygate is shutting down.
    Draining,
}

/// Why a key is not valid: for the operator only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// No record has this hash.
    Unknown,
    /// Its prefix demands a checksum, and it is wrong.
    Checksum,
    /// `active = false`
    Disabled,
    /// `revoked_at` has come.
    Revoked,
    /// `not_before` has not come.
    NotYetValid,
    /// `expires_at` has come.
    Expired,
    /// A user's token that is not believed.
    Token(TokenError),
    /// A key, or what may be one, where only users are let in.
    NotAUser,
}

/// Which window refused, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The window's name.
    pub window: String,
    /// Its `requests`.
    pub limit: u32,
    /// Whole seconds until the same request would be admitted, rounded up, at least 1.
    pub retry_after: u64,
}

/// Which quota is spent, and when it begins again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// The quota's name.
    pub quota: String,
    /// Its `requests`.
    pub limit: u64,
    /// Whole seconds until it begins again, at least 1.
    pub retry_after: u64,
    /// When that is, in Unix seconds.
    pub renews_at: i64,
}

impl Refusal {
    /// The status of its default answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::RequestInvalid(hygiene) => hygiene.status(),
            Self::CredentialMissing
            | Self::CredentialMalformed(_)
            | Self::CredentialConflict
            | Self::CredentialInvalid(_)
            | Self::HeaderMissing => StatusCode::UNAUTHORIZED,
            Self::TlsRequired
            | Self::SourceDenied
            | Self::EnvironmentDenied(_)
            | Self::PermissionDenied
            | Self::SubscriptionDenied
            | Self::TenantDenied => StatusCode::FORBIDDEN,
            Self::RouteUnknown => StatusCode::NOT_FOUND,
            Self::CredentialFailuresExceeded(_)
            | Self::ConcurrencyExceeded
            | Self::RateLimited(_)
            | Self::QuotaExceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Draining | Self::KeysStale => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The stable code that callers, logs, metrics and templates share.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RequestInvalid(hygiene) => hygiene.code(),
            Self::TlsRequired => "tls_required",
            Self::RouteUnknown => "route_unknown",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialMalformed(_) => "credential_malformed",
            Self::CredentialConflict => "credential_conflict",
            Self::CredentialInvalid(_) => "credential_invalid",
            Self::CredentialFailuresExceeded(_) => "credential_failures_exceeded",
            Self::SourceDenied => "source_denied",
            Self::EnvironmentDenied(_) => "environment_denied",
            Self::PermissionDenied => "permission_denied",
            Self::KeysStale => "keys_stale",
            Self::SubscriptionDenied => "subscription_denied",
            Self::TenantDenied => "tenant_denied",
            Self::HeaderMissing => "header_missing",
            Self::ConcurrencyExceeded => "concurrency_exceeded",
            Self::RateLimited(_) => "rate_limited",
            Self::QuotaExceeded(_) => "quota_exceeded",
            Self::BodyTooLarge => "body_too_large",
            Self::Draining => "draining",
        }
    }

    /// What the operator's log says beyond the code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RequestInvalid(hygiene) => hygiene.reason(),
            Self::CredentialMalformed(reason) | Self::EnvironmentDenied(reason) => reason,
            Self::CredentialInvalid(invalid) => invalid.reason(),
            Self::CredentialMissing => "absent",
            Self::TlsRequired
            | Self::RouteUnknown
            | Self::CredentialConflict
            | Self::CredentialFailuresExceeded(_)
            | Self::SourceDenied
            | Self::PermissionDenied
            | Self::KeysStale
            | Self::SubscriptionDenied
            | Self::TenantDenied
            | Self::HeaderMissing
            | Self::ConcurrencyExceeded
            | Self::RateLimited(_)
            | Self::QuotaExceeded(_)
            | Self::BodyTooLarge
            | Self::Draining => "",
        }
    }

    /// Seconds for `Retry-After`, where the refusal ends by itself.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::CredentialFailuresExceeded(seconds) => Some(*seconds),
            Self::RateLimited(exceeded) => Some(exceeded.retry_after),
            Self::QuotaExceeded(spent) => Some(spent.retry_after),
            Self::ConcurrencyExceeded | Self::Draining => Some(1),
            // As long as the file is usually looked at, and some.
            Self::KeysStale => Some(10),
            Self::RequestInvalid(_)
            | Self::TlsRequired
            | Self::RouteUnknown
            | Self::CredentialMissing
            | Self::CredentialMalformed(_)
            | Self::CredentialConflict
            | Self::CredentialInvalid(_)
            | Self::SourceDenied
            | Self::EnvironmentDenied(_)
            | Self::PermissionDenied
            | Self::SubscriptionDenied
            | Self::TenantDenied
            | Self::HeaderMissing
            | Self::BodyTooLarge => None,
        }
    }

    /// When the quota that refused begins again, in Unix seconds.
    #[must_use]
    pub fn renews_at(&self) -> Option<i64> {
        if let Self::QuotaExceeded(spent) = self {
            Some(spent.renews_at)
        } else {
            None
        }
    }
}

impl Invalid {
    /// For the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Checksum => "checksum",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Token(error) => error.reason(),
            Self::NotAUser => "not_a_user",
        }
    }
}
