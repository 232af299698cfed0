//! Answers for gRPC callers: trailers-only responses.
//!
//! A gRPC client reads its status from `grpc-status`, and takes any other HTTP answer for a broken server. So it gets HTTP
//! 200 with the status in the one header block there is ("PROTOCOL-HTTP2" of the gRPC project, "Trailers-Only").

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Answer;

const GRPC: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// `grpc-message` encodes everything but visible ASCII and space, and the percent sign itself.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// `application/grpc`, compared without case, ending there or in `+proto`, `;…` and the like; not `application/grpc-web`.
pub(super) fn is_media_type(value: &[u8]) -> bool {
    value.split_at_checked(GRPC.len()).is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
    })
}

/// Adds to `headers` what makes them a whole answer. `status` is that of the refusal's own, not a template's: a template
/// may change what an HTTP client sees, not what happened.
pub(super) fn answer(mut headers: HeaderMap, status: StatusCode, message: &str) -> Answer {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(status)));
    let message = utf8_percent_encode(message, MESSAGE).to_string();
    headers.insert(
        GRPC_MESSAGE,
        HeaderValue::try_from(message).expect("percent-encoded text is visible ASCII"),
    );
    Answer {
        status: StatusCode::OK,
        headers,
        body: Bytes::new(),
    }
}

/// What ends a call that had begun when its key died.
pub(super) fn withdrawn() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from(code(StatusCode::UNAUTHORIZED)));
    trailers.insert(
        GRPC_MESSAGE,
        HeaderValue::from_static("the credential is not valid any more"),
    );
    trailers
}

/// The gRPC status of an HTTP status. Where the gRPC project's own mapping ("http-grpc-status-mapping") only knows
/// `UNAVAILABLE` or `UNKNOWN`, because it guesses at a stranger's answer, this says what is known here.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        408 | 504 => 4,                    // DEADLINE_EXCEEDED
        403 => 7,                          // PERMISSION_DENIED
        413 | 414 | 429 | 431 => 8,        // RESOURCE_EXHAUSTED
        404 | 405 | 417 | 501 | 505 => 12, // UNIMPLEMENTED
        400 => 13,                         // INTERNAL
        502 | 503 => 14,                   // UNAVAILABLE
        401 => 16,                         // UNAUTHENTICATED
        _ => 2,                            // UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_percent_encoded() {
        let spent = answer(HeaderMap::new(), StatusCode::TOO_MANY_REQUESTS, "100 % of schön\n");
        assert_eq!(spent.headers[GRPC_MESSAGE], "100 %25 of sch%C3%B6n%0A");
        assert_eq!(spent.headers[GRPC_STATUS], "8");
    }

    #[test]
    fn callers_are_told_by_their_media_type() {
        let table = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("application/gr", false),
            ("", false),
        ];
        for (value, expected) in table {
            assert_eq!(is_media_type(value.as_bytes()), expected, "{value}");
        }
    }
}
