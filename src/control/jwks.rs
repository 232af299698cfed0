//! One fetch of an issuer's keys over HTTP.
//!
//! # Security
//! The answer decides who is let in, so it comes from the configured address only: redirects are not followed, proxies of the
//! environment are not used, and the certificate is checked. Its size and the time for all of it are bounded.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jsonwebtoken::Algorithm;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::user_tokens::Remote;
use crate::config::user_tokens::jwks::{KeySet, Unusable};

/// How long an answer may be.
const LARGEST: usize = 256 << 10;

/// Why there are no keys.
#[derive(Debug)]
pub(super) enum FetchError {
    /// No connection.
    Connect(io::Error),
    /// The exchange broke.
    Http(hyper::Error),
    /// Another answer than 200; redirects are not followed.
    Status(StatusCode),
    /// Longer than [`LARGEST`], or cut short.
    Body,
    /// Not within the time for it.
    Timeout,
    /// The answer is no set of keys.
    Unusable(Unusable),
}

/// Fetches the set.
///
/// # Errors
/// Whatever is in the way of it, within `timeout`.
pub(super) async fn fetch(remote: &Remote, algorithms: &[Algorithm]) -> Result<KeySet, FetchError> {
    let body = timeout(remote.timeout, get(remote))
        .await
        .map_err(|_| FetchError::Timeout)??;
    KeySet::parse(&body, algorithms).map_err(FetchError::Unusable)
}

async fn get(remote: &Remote) -> Result<Bytes, FetchError> {
    let socket = TcpStream::connect((remote.host.as_str(), remote.port))
        .await
        .map_err(FetchError::Connect)?;
    match &remote.tls {
        None => exchange(remote, socket).await,
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.client));
            let stream = connector.connect(tls.server_name.clone(), socket).await;
            exchange(remote, stream.map_err(FetchError::Connect)?).await
        }
    }
}

async fn exchange<S>(remote: &Remote, stream: S) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)?;
    // Ends with the sender; what breaks it breaks the exchange, which tells it.
    spawn_local(async move { drop(connection.await) });
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = remote.target.clone().into();
    let headers = request.headers_mut();
    headers.extend(remote.authority.parse().map(|authority| (HOST, authority)));
    headers.insert(
        ACCEPT,
        http::HeaderValue::from_static("application/jwk-set+json, application/json"),
    );
    headers.insert(USER_AGENT, http::HeaderValue::from_static("keygate"));
    let response = sender.send_request(request).await.map_err(FetchError::Http)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    Ok(body.map_err(|_| FetchError::Body)?.to_bytes())
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Http(error) => write!(f, "no answer: {error}"),
            Self::Status(status) => write!(f, "the answer is {status}"),
            Self::Body => f.write_str("the answer is longer than 256KiB, or cut short"),
            Self::Timeout => f.write_str("it took too long"),
            Self::Unusable(unusable) => write!(f, "the answer {unusable}"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Http(error) => Some(error),
            Self::Unusable(unusable) => Some(unusable),
            Self::Status(_) | Self::Body | Self::Timeout => None,
        }
    }
}
