//! `Failure`: Keygate could not, and this is how it says so.

use http::StatusCode;

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
