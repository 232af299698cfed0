//! The admin listener: probes and metrics, on a port (or Unix socket) of its own.
//!
//! `/livez` says that the process runs, and depends on nothing else: restarting Keygate does not mend an upstream.
//! `/startupz` says that the first generation is in force, `/readyz` that traffic should come: not while draining.
//! `/metrics` is what Prometheus scrapes.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Control;
use crate::lifecycle::Stage;
use crate::listen::Bound;

/// Probes and scrapes are few; more than this at once is not them.
const CONNECTIONS: usize = 64;
/// How long a connection may take in all.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a request head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on every admin address.
///
/// # Errors
/// When a listener cannot be handed to the runtime.
pub(super) fn spawn(control: &Arc<Control>, bound: Vec<Bound>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    for listener in bound {
        let (control, places) = (Arc::clone(control), Arc::clone(&places));
        match listener {
            Bound::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                spawn_local(control.vital().keep(async move {
                    loop {
                        admit(&control, &places, listener.accept().await.map(|(socket, _)| socket)).await;
                    }
                }));
            }
            Bound::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                spawn_local(control.vital().keep(async move {
                    let _file = file;
                    loop {
                        admit(&control, &places, listener.accept().await.map(|(socket, _)| socket)).await;
                    }
                }));
            }
        }
    }
    Ok(())
}

async fn admit<IO>(control: &Arc<Control>, places: &Arc<Semaphore>, accepted: io::Result<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let socket = match accepted {
        Ok(socket) => socket,
        Err(error) => {
            warn!(message = "cannot accept on the admin listener", %error);
            return sleep(ACCEPT_PAUSE).await;
        }
    };
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        return;
    };
    let control = Arc::clone(control);
    spawn_local(async move {
        let _place = place;
        let service = service_fn(|request| {
            let response = answer(&control, &request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(socket), service);
        if let Ok(Err(error)) = timeout(CONNECTION_TIME, connection).await {
            debug!(message = "admin connection ended early", %error);
        }
    });
}

fn answer(control: &Control, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        // This thread runs only once the first generation is in force, so both are simply true.
        "/livez" | "/startupz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if *control.conductor.stages().borrow() == Stage::Serving => text(StatusCode::OK, "ok\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/metrics" => metrics(control),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /livez, /readyz, /startupz and /metrics\n",
        ),
    }
}

fn metrics(control: &Control) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, "");
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    *response.body_mut() = Full::from(control.metrics.render(control.dropped_lines.as_ref()));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
