//! `Refusal` (we said no) and `Failure` (we could not): what the caller is told, and what the operator's log says.
//!
//! Each has a status, a stable low-cardinality code, a public text and a reason for the operator. Adding a variant does
//! not compile until all four are written.

use http::StatusCode;

use super::user::token::TokenError;

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

/// What is wrong with a request's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hygiene {
    /// The request line or a header line does not parse (RFC 9112 §2.2, §3, §5).
    Syntax,
    /// A line ends in a bare LF, or holds a bare CR (RFC 9112 §2.2).
    LineEnding,
    /// A header line is folded (RFC 9112 §5.2).
    ObsoleteFolding,
    /// A control character in a header value or the target.
    ControlCharacter,
    /// No `Host`, several, or not a valid one (RFC 9112 §3.2).
    Host,
    /// `Host` and `:authority`, or `Host` and the absolute-form target, disagree.
    HostMismatch,
    /// An absolute-form target for another host (RFC 9112 §3.2.2).
    AbsoluteForm,
    /// A fragment in the target.
    Fragment,
    /// `Transfer-Encoding` and `Content-Length` together (RFC 9112 §6.1).
    AmbiguousLength,
    /// `Content-Length` repeated or not a number (RFC 9112 §6.3).
    ContentLength,
    /// `Transfer-Encoding` repeated, in HTTP/1.0, or ending in something else than `chunked`.
    TransferEncoding,
    /// A transfer coding that Keygate does not implement: 501 (RFC 9112 §6.1).
    UnknownTransferCoding,
    /// `Connection` names a header that must not be dropped, or does not parse.
    Connection,
    /// The chunked framing of a body is broken (RFC 9112 §7.1).
    Chunked,
    /// `TRACE` or `CONNECT`, or a method that RFC 9110 does not let through here: 405.
    Method,
    /// An expectation other than `100-continue`: 417 (RFC 9110 §10.1.1).
    Expectation,
    /// An HTTP version other than 1.0, 1.1 and 2: 505.
    Version,
    /// A dot segment in the path.
    DotSegment,
    /// `%2F` or `%5C` in the path.
    EncodedSlash,
    /// `\` in the path.
    Backslash,
    /// `//` in the path.
    EmptySegment,
    /// A path that leads to different demands, depending on who reads it.
    AmbiguousPath,
    /// A percent sign without two hexadecimal digits, or an encoded NUL or control character.
    PercentEncoding,
    /// The head is larger than `limits.head_bytes`, or has more than `limits.header_count` lines: 431.
    HeadTooLarge,
    /// The target is longer than `limits.target_bytes`: 414.
    TargetTooLong,
    /// An `Upgrade` that cannot be carried out as asked.
    Upgrade,
    /// The head did not arrive within `timeouts.client_head`: 408.
    HeadTimeout,
}

/// Keygate could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection to the upstream (refused, unresolvable, TLS failed).
    UpstreamUnreachable,
    /// No connection within `connect`.
    UpstreamConnectTimeout,
    /// No response head within `head`.
    UpstreamTimeout,
    /// Nothing more of the response's body within `idle`.
    UpstreamIdleTimeout,
    /// The exchange took longer than `total`.
    TotalTimeout,
    /// The upstream closed before answering, or answered with something that is not HTTP.
    UpstreamInvalid,
    /// The client stopped sending its body for longer than `client_body`.
    ClientBodyTimeout,
    /// The client's body was cut short or badly framed.
    ClientBodyInvalid,
    /// The client went away before the answer's last byte.
    ClientGone,
    /// As many tunnels as `limits.tunnels` are open.
    TunnelsExhausted,
    /// As many slow hashes as may wait are waiting.
    VerifierBusy,
    /// No keys to verify users' tokens with have been fetched yet.
    UserKeysUnavailable,
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
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
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

impl Hygiene {
    /// Whether what follows on the connection can no longer be trusted to begin where Keygate thinks it does.
    #[must_use]
    pub fn ends_connection(self) -> bool {
        match self {
            Self::Method
            | Self::Expectation
            | Self::DotSegment
            | Self::EncodedSlash
            | Self::Backslash
            | Self::EmptySegment
            | Self::AmbiguousPath
            | Self::PercentEncoding
            | Self::Upgrade => false,
            Self::Syntax
            | Self::LineEnding
            | Self::ObsoleteFolding
            | Self::ControlCharacter
            | Self::Host
            | Self::HostMismatch
            | Self::AbsoluteForm
            | Self::Fragment
            | Self::AmbiguousLength
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::UnknownTransferCoding
            | Self::Connection
            | Self::Chunked
            | Self::Version
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::HeadTimeout => true,
        }
    }

    /// The status that RFC 9110 and RFC 9112 name, 400 where they leave it open.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Syntax
            | Self::LineEnding
            | Self::ObsoleteFolding
            | Self::ControlCharacter
            | Self::Host
            | Self::HostMismatch
            | Self::AbsoluteForm
            | Self::Fragment
            | Self::AmbiguousLength
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::Connection
            | Self::Chunked
            | Self::DotSegment
            | Self::EncodedSlash
            | Self::Backslash
            | Self::EmptySegment
            | Self::AmbiguousPath
            | Self::PercentEncoding
            | Self::Upgrade => StatusCode::BAD_REQUEST,
        }
    }

    /// `request_invalid`, except where the size or the time is what is wrong.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::HeadTooLarge | Self::TargetTooLong => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::Syntax
            | Self::LineEnding
            | Self::ObsoleteFolding
            | Self::ControlCharacter
            | Self::Host
            | Self::HostMismatch
            | Self::AbsoluteForm
            | Self::Fragment
            | Self::AmbiguousLength
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::UnknownTransferCoding
            | Self::Connection
            | Self::Chunked
            | Self::Method
            | Self::Expectation
            | Self::Version
            | Self::DotSegment
            | Self::EncodedSlash
            | Self::Backslash
            | Self::EmptySegment
            | Self::AmbiguousPath
            | Self::PercentEncoding
            | Self::Upgrade => "request_invalid",
        }
    }

    /// What the caller may read.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::Syntax => "The request line or a header line does not parse.",
            Self::LineEnding => "Lines of a request head end in CR LF.",
            Self::ObsoleteFolding => "Header lines may not be folded.",
            Self::ControlCharacter => "A header value or the target holds a control character.",
            Self::Host => "Exactly one valid Host is needed.",
            Self::HostMismatch => "Host and the request's authority disagree.",
            Self::AbsoluteForm => "The target names another host.",
            Self::Fragment => "The target may not hold a fragment.",
            Self::AmbiguousLength => "Transfer-Encoding and Content-Length may not come together.",
            Self::ContentLength => "Content-Length must be one decimal number.",
            Self::TransferEncoding => "Transfer-Encoding must be exactly one chunked.",
            Self::UnknownTransferCoding => "This transfer coding is not implemented.",
            Self::Connection => "Connection names a header that may not be dropped.",
            Self::Chunked => "The chunked framing of the body is broken.",
            Self::Method => "This method is not allowed here.",
            Self::Expectation => "The only expectation that can be met is 100-continue.",
            Self::Version => "This HTTP version is not supported.",
            Self::DotSegment => "The path may not hold dot segments.",
            Self::EncodedSlash => "The path may not hold encoded slashes.",
            Self::Backslash => "The path may not hold backslashes.",
            Self::EmptySegment => "The path may not hold empty segments.",
            Self::AmbiguousPath => "The path can be read in more than one way.",
            Self::PercentEncoding => "The path holds a percent-encoding that is not allowed.",
            Self::HeadTooLarge => "The request head is too large.",
            Self::TargetTooLong => "The request target is too long.",
            Self::Upgrade => "The connection cannot be upgraded like this.",
            Self::HeadTimeout => "The request head did not arrive in time.",
        }
    }

    /// For the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::LineEnding => "line_ending",
            Self::ObsoleteFolding => "obsolete_folding",
            Self::ControlCharacter => "control_character",
            Self::Host => "host",
            Self::HostMismatch => "host_mismatch",
            Self::AbsoluteForm => "absolute_form",
            Self::Fragment => "fragment",
            Self::AmbiguousLength => "ambiguous_length",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::UnknownTransferCoding => "unknown_transfer_coding",
            Self::Connection => "connection",
            Self::Chunked => "chunked",
            Self::Method => "method",
            Self::Expectation => "expectation",
            Self::Version => "version",
            Self::DotSegment => "dot_segment",
            Self::EncodedSlash => "encoded_slash",
            Self::Backslash => "backslash",
            Self::EmptySegment => "empty_segment",
            Self::AmbiguousPath => "ambiguous_path",
            Self::PercentEncoding => "percent_encoding",
            Self::HeadTooLarge => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::Upgrade => "upgrade",
            Self::HeadTimeout => "head_timeout",
        }
    }
}

impl Failure {
    /// The status of its default answer, where an answer is still possible.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::UpstreamUnreachable | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamConnectTimeout | Self::UpstreamTimeout | Self::UpstreamIdleTimeout | Self::TotalTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::ClientBodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClientBodyInvalid | Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::TunnelsExhausted | Self::VerifierBusy | Self::UserKeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The stable code that callers, logs, metrics and templates share.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamConnectTimeout => "upstream_connect_timeout",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamIdleTimeout => "upstream_idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::ClientBodyTimeout => "body_timeout",
            Self::ClientBodyInvalid => "body_invalid",
            Self::ClientGone => "client_gone",
            Self::TunnelsExhausted => "tunnels_exhausted",
            Self::VerifierBusy => "verifier_busy",
            Self::UserKeysUnavailable => "user_keys_unavailable",
        }
    }

    /// What the caller may read.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::UpstreamUnreachable => "The service behind this gateway cannot be reached.",
            Self::UpstreamConnectTimeout => "The service behind this gateway did not accept a connection in time.",
            Self::UpstreamTimeout => "The service behind this gateway did not answer in time.",
            Self::UpstreamIdleTimeout => "The service behind this gateway stopped in the middle of its answer.",
            Self::TotalTimeout => "The request took too long.",
            Self::UpstreamInvalid => "The service behind this gateway did not give a valid answer.",
            Self::ClientBodyTimeout => "The request's body did not arrive in time.",
            Self::ClientBodyInvalid => "The request's body is cut short or badly framed.",
            Self::ClientGone => "The client closed the connection.",
            Self::TunnelsExhausted => "Too many connections of this kind are open.",
            Self::VerifierBusy => "The service is busy; try again.",
            Self::UserKeysUnavailable => "Tokens cannot be verified at the moment; try again.",
        }
    }

    /// Seconds for `Retry-After`.
    #[must_use]
    pub fn retry_after(self) -> Option<u64> {
        match self {
            Self::TunnelsExhausted | Self::VerifierBusy | Self::UserKeysUnavailable => Some(1),
            Self::UpstreamUnreachable
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTimeout
            | Self::UpstreamIdleTimeout
            | Self::TotalTimeout
            | Self::UpstreamInvalid
            | Self::ClientBodyTimeout
            | Self::ClientBodyInvalid
            | Self::ClientGone => None,
        }
    }
}
