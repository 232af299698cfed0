//! Keygate's own calls: one HTTP exchange with a configured [`Endpoint`].
//!
//! # Security
//! What comes back may decide who is let in, and what goes out may be private, so it goes to the configured address only:
//! redirects are not followed, proxies of the environment are not used, and the certificate is checked. The answer's size and
//! the time for all of it are bounded.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time;
use tokio_rustls::TlsConnector;

use crate::config::endpoint::Endpoint;

/// How long an answer may be.
const LARGEST: usize = 256 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// No connection.
    Connect(io::Error),
    /// The exchange broke.
    Http(hyper::Error),
    /// Longer than [`LARGEST`], or cut short.
    Body,
    /// Not within the time for it.
    Timeout,
}

/// Sends a request, whose target, `Host` and `User-Agent` are set here, and reads the whole answer.
///
/// # Errors
/// Whatever is in the way of it, within the endpoint's `timeout`.
pub(super) async fn call(endpoint: &Endpoint, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
    time::timeout(endpoint.timeout, connect(endpoint, request))
        .await
        .map_err(|_| CallError::Timeout)?
}

async fn connect(endpoint: &Endpoint, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
    let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(CallError::Connect)?;
    match &endpoint.tls {
        None => exchange(endpoint, socket, request).await,
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.client));
            let stream = connector.connect(tls.server_name.clone(), socket).await;
            exchange(endpoint, stream.map_err(CallError::Connect)?, request).await
        }
    }
}

async fn exchange<S>(
    endpoint: &Endpoint,
    stream: S,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(CallError::Http)?;
    // Ends with the sender; what breaks it breaks the exchange, which tells it.
    spawn_local(async move { drop(connection.await) });
    *request.uri_mut() = endpoint.target.clone().into();
    let headers = request.headers_mut();
    headers.extend(endpoint.authority.parse().map(|authority| (HOST, authority)));
    headers.insert(USER_AGENT, HeaderValue::from_static("keygate"));
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(CallError::Http)?
        .into_parts();
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(|_| CallError::Body)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Http(error) => write!(f, "no answer: {error}"),
            Self::Body => f.write_str("the answer is longer than 256KiB, or cut short"),
            Self::Timeout => f.write_str("it took too long"),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Http(error) => Some(error),
            Self::Body | Self::Timeout => None,
        }
    }
}
