//! `[[credentials]]`: where a caller's key may stand, in order.

use http::HeaderName;

/// One place to look for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `header = "Authorization", scheme = "Bearer"`: a header whose value is a scheme word (compared without case), one
    /// or more spaces, and the key.
    Scheme {
        /// The header's name.
        header: HeaderName,
        /// The scheme word, as written in the configuration.
        scheme: String,
    },
    /// `header = "X-API-Key"`: a header whose whole value is the key.
    Header(HeaderName),
    /// `basic = "password"`: the password of `Authorization: Basic` (RFC 7617).
    BasicPassword,
    /// `query = "api_key"`: a query parameter; removed from the target before logging and forwarding.
    Query(String),
    /// `cookie = "api_key"`: one cookie; the others stay.
    Cookie(String),
    /// `websocket_protocol = "keygate.key."`: an entry of `Sec-WebSocket-Protocol` with this prefix; the others stay.
    WebSocketProtocol(String),
}

/// The sources of a configuration without `[[credentials]]`: `Authorization: Bearer` and `X-API-Key`.
#[must_use]
pub fn default_sources() -> Vec<Source> {
    vec![
        Source::Scheme {
            header: http::header::AUTHORIZATION,
            scheme: "Bearer".to_owned(),
        },
        Source::Header(HeaderName::from_static("x-api-key")),
    ]
}
