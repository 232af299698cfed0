//! The sample receiver: a customer's server, as the other end of the return path.
//!
//! It plays the part of somebody else's program, so it verifies signatures itself, as Standard Webhooks 1.0.0 tells receivers to,
//! with the secret that it was given and nothing else of Keygate's. What it makes of each event it answers, and tells in a
//! line.
//!
//! | request | answer |
//! |---|---|
//! | `POST /hooks`, signed | 200, `"verified": true` and the headers as they arrived here |
//! | the same, not signed, signed by somebody else, or too old | 401, `"verified": false` and why |
//! | anything else | 404 |

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use super::service::{Reply, Server, reply, serve};
use crate::clock;

/// The path that events come to.
pub const PATH: &str = "/hooks";

/// A body is at most this long, in bytes.
const BODY: usize = 64 * 1024;

/// How old an event may be, and how far ahead of this clock, in seconds: who has heard one cannot send it again for ever.
const TOLERANCE: u64 = 5 * 60;

/// How many lines wait for a reader; more are dropped.
const LINES: usize = 256;

/// The running receiver. Dropping it closes its listener and all its connections.
pub struct Receiver {
    server: Server,
    /// What it tells: one line for each event.
    pub lines: mpsc::Receiver<String>,
}

/// Starts it on `listener`, on a thread of its own. `secret` is `whsec_` and base64, as its sender has given it.
///
/// # Errors
/// When `secret` is none, the listener's address cannot be read, or the runtime or its thread cannot be made.
pub fn start(listener: TcpListener, secret: &str) -> io::Result<Receiver> {
    let bytes = secret
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD.decode(text).ok())
        .ok_or_else(|| io::Error::other("the secret is not `whsec_` and base64"))?;
    let (tell, lines) = mpsc::channel(LINES);
    let hooks = Arc::new(Hooks {
        key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        tell,
    });
    let server = serve("sample-receiver", listener, move |request| {
        answer(request, Arc::clone(&hooks))
    })?;
    Ok(Receiver { server, lines })
}

impl Receiver {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

struct Hooks {
    key: hmac::Key,
    tell: mpsc::Sender<String>,
}

#[derive(Serialize)]
struct Heard {
    verified: bool,
    what: String,
    headers: Vec<String>,
}

async fn answer(request: Request<Incoming>, hooks: Arc<Hooks>) -> Result<Response<Reply>, Infallible> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return Ok(reply(StatusCode::NOT_FOUND, &"events come to POST /hooks"));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY).collect().await else {
        let what = "the event is cut short, or longer than 64 KiB";
        return Ok(reply(StatusCode::BAD_REQUEST, &what));
    };
    let verdict = verify(&hooks.key, &head.headers, &body.to_bytes());
    let verified = verdict.is_ok();
    let what = verdict.unwrap_or_else(|why| format!("refused: {why}"));
    // Nobody has to listen.
    let _ = hooks.tell.try_send(what.clone());
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    let heard = Heard {
        verified,
        what,
        headers: head.headers.iter().map(line).collect(),
    };
    let status = if verified {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    };
    Ok(reply(status, &heard))
}

/// "Verifying webhooks": the signature is the HMAC-SHA-256 of `id.timestamp.body`, and one of those in the header is right.
fn verify(key: &hmac::Key, headers: &HeaderMap, body: &Bytes) -> Result<String, &'static str> {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let id = header("webhook-id").ok_or("no webhook-id")?;
    let timestamp = header("webhook-timestamp").ok_or("no webhook-timestamp")?;
    let signatures = header("webhook-signature").ok_or("no webhook-signature")?;
    let sent: i64 = timestamp.parse().map_err(|_| "webhook-timestamp is no number")?;
    if clock::unix().abs_diff(sent) > TOLERANCE {
        return Err("webhook-timestamp is too far from now");
    }
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let is_right = |signature: &str| {
        let tag = signature
            .strip_prefix("v1,")
            .and_then(|text| STANDARD.decode(text).ok());
        tag.is_some_and(|tag| hmac::verify(key, &signed, &tag).is_ok())
    };
    if !signatures.split(' ').any(is_right) {
        return Err("webhook-signature is not that of the sender");
    }
    Ok(format!("verified {id}: webhook-signature is that of the sender"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn headers(timestamp: i64, signatures: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", signatures.parse().expect("visible"));
        headers
    }

    #[test]
    fn a_signature_is_right_for_one_message_only() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).expect("base64"));
        let now = clock::unix();
        let sign = |timestamp: i64| {
            let tag = hmac::sign(&key, format!("msg_1.{timestamp}.body").as_bytes());
            format!("v1,{}", STANDARD.encode(tag))
        };
        let verify = |headers: &HeaderMap, body| verify(&key, headers, &Bytes::from_static(body));
        let right = sign(now);
        assert!(verify(&headers(now, &right), b"body").is_ok());
        assert!(verify(&headers(now, &format!("v1,AAAA v1a,x {right}")), b"body").is_ok());
        assert!(verify(&headers(now, &right), b"another body").is_err());
        assert!(verify(&headers(now + 1, &right), b"body").is_err());
        assert!(verify(&headers(now, "v1,AAAA"), b"body").is_err());
        assert!(verify(&headers(now - 301, &sign(now - 301)), b"body").is_err());
        assert!(verify(&HeaderMap::new(), b"body").is_err());
    }
}
