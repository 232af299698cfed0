//! Telling customers: the service's own way of sending an event, which knows of nothing but a proxy and a URL.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Reply, Wrong};

/// A customer's answer is at most this long, in bytes.
const ANSWER: usize = 64 * 1024;

/// How long a customer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where events go.
#[derive(Default)]
pub(super) struct Events {
    outlet: OnceLock<Outlet>,
    sent: AtomicU64,
}

/// As `HTTP_PROXY` and a customer's settings would say it.
struct Outlet {
    proxy: SocketAddr,
    url: String,
}

impl Events {
    /// From now on events go to `url`, through this proxy.
    pub(super) fn go(&self, proxy: SocketAddr, url: String) {
        // Whoever says so twice was heard the first time.
        let _ = self.outlet.set(Outlet { proxy, url });
    }

    /// `POST /v1/notify`: sends an event, and answers with the customer's answer.
    pub(super) async fn notify(&self) -> Result<Response<Reply>, Wrong> {
        let nowhere = (StatusCode::NOT_FOUND, "nobody has said where events go");
        let outlet = self.outlet.get().ok_or(nowhere)?;
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        match tokio::time::timeout(PATIENCE, send(outlet, number)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err((StatusCode::BAD_GATEWAY, "the event did not get through")),
            Err(_) => Err((StatusCode::GATEWAY_TIMEOUT, "the event takes too long")),
        }
    }
}

async fn send(outlet: &Outlet, number: u64) -> anyhow::Result<Response<Reply>> {
    let Outlet { proxy, url } = outlet;
    let stream = TcpStream::connect(proxy).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Its errors come out of the exchange as well.
    tokio::spawn(connection);
    let event = format!(r#"{{"type": "message.delivered", "data": {{"message": "msg_{number}"}}}}"#);
    let authority = url.parse::<hyper::Uri>()?;
    let authority = authority.authority().map_or("", |authority| authority.as_str());
    // A whole URL as the target: what every HTTP client does that has a proxy.
    let request = Request::post(url)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .header("X-Event-Type", "message.delivered")
        .header("X-Event-Id", format!("evt_{number}"))
        .body(Full::new(Bytes::from(event)))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = head.status;
    let media_type = head.headers.get(CONTENT_TYPE).cloned();
    let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(answer)
}
