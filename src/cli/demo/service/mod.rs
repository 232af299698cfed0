//! The sample messaging service: what stands behind Keygate in the demonstration and in tests.
//!
//! It plays the part of the user's own service, so it knows nothing of keys: no other part of Keygate is imported here.
//! Whatever it tells its callers apart by comes from the headers that the gateway wrote.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/messages` with `{"to": …, "text": …}` | 202 and the accepted message |
//! | `GET /v1/messages` | 200 and the latest messages |
//! | any method on `/v1/echo` | 200 and the request as it arrived here |
//! | the same on any other path whose last segment is `messages`, `message` or `echo` | the same |
//! | `GET /v1/stream?count=5&interval_ms=300` | 200 and server-sent events, one by one |
//! | `POST /v1/notify` | an event is sent to the customer's server, whose answer this is |
//! | `GET /v1/events?replay=0` as a WebSocket | 101, then an event for each accepted message; text comes back |
//! | anything else | 404 |
//!
//! Everything is bounded: bodies that are kept, messages that are remembered, events that are waiting.

mod events;
mod live;
mod messages;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::oneshot;

use events::Events;
use messages::Messages;

/// The body of an answer.
pub type Reply = UnsyncBoxBody<Bytes, Infallible>;

/// The running service. Dropping it closes its listener and all its connections.
pub struct Service {
    server: Server,
    events: Arc<Events>,
}

/// A listener that is served, on a thread of its own. Dropping it closes it and all its connections.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the service on `listener`, on a thread of its own, so that it serves callers with and without a runtime.
///
/// # Errors
/// When the listener's address cannot be read, or the runtime or its thread cannot be made.
pub fn start(listener: TcpListener) -> io::Result<Service> {
    let events = Arc::<Events>::default();
    let desk = (Arc::<Messages>::default(), Arc::clone(&events));
    let server = serve("sample-service", listener, move |request| {
        let (messages, events) = desk.clone();
        answer(request, messages, events)
    })?;
    Ok(Service { server, events })
}

impl Service {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Tells it where the customer wants events, and through which proxy they go.
    pub fn send_events(&self, proxy: SocketAddr, url: String) {
        self.events.go(proxy, url);
    }
}

/// Answers every request on `listener`, on a thread of this name.
///
/// # Errors
/// When the listener's address cannot be read, or the runtime or its thread cannot be made.
pub fn serve<F>(
    name: &str,
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> io::Result<Server>
where
    F: Future<Output = Result<Response<Reply>, Infallible>> + Send + 'static,
{
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, answer) => {}
                _ = stopped => {} // the handle was dropped
            }
        });
    })?;
    Ok(Server {
        address,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was already printed by its thread.
            let _ = thread.join();
        }
    }
}

async fn accept<F>(listener: TcpListener, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    F: Future<Output = Result<Response<Reply>, Infallible>> + Send + 'static,
{
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((socket, _)) = listener.accept().await {
        // Events are small and should leave at once; without this they still arrive, only later.
        let _ = socket.set_nodelay(true);
        let answer = answer.clone();
        tokio::spawn(async move {
            // A client that goes away in the middle is no concern of the others.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service_fn(answer))
                .with_upgrades()
                .await;
        });
    }
}

/// The whole service.
async fn answer(
    request: Request<Incoming>,
    messages: Arc<Messages>,
    events: Arc<Events>,
) -> Result<Response<Reply>, Infallible> {
    let path = request.uri().path();
    // Real services put messages below tenants, sessions and products.
    let last = path.rsplit('/').next().unwrap_or_default();
    let response = match (request.method(), path, last) {
        (&Method::POST, _, "messages" | "message") => messages::send(request, &messages).await,
        (&Method::GET, _, "messages" | "message") => Ok(messages::list(&messages)),
        (&Method::POST, "/v1/notify", _) => events.notify().await,
        (&Method::GET, "/v1/stream", _) => live::stream(&request),
        (&Method::GET, "/v1/events", _) => live::events(request, &messages),
        (_, _, "echo") => echo(request).await,
        _ => Err((StatusCode::NOT_FOUND, "there is nothing here")),
    };
    Ok(response.unwrap_or_else(|(status, what)| reply(status, &Error { error: what })))
}

/// A wrong request: the status, and what the caller should know.
type Wrong = (StatusCode, &'static str);

#[derive(Serialize)]
struct Error {
    error: &'static str,
}

#[derive(Serialize)]
struct Echo {
    method: String,
    target: String,
    headers: Vec<String>,
    body_length: usize,
}

/// The request as it arrived: headers in order, one `name: value` each, and how long the body was.
async fn echo(request: Request<Incoming>) -> Result<Response<Reply>, Wrong> {
    let (head, mut body) = request.into_parts();
    let mut body_length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the body is cut short"))?;
        body_length += frame.data_ref().map_or(0, Bytes::len);
    }
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    let echo = Echo {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers.iter().map(line).collect(),
        body_length,
    };
    Ok(reply(StatusCode::OK, &echo))
}

/// An answer for people and machines: indented JSON with a line end.
pub(super) fn reply(status: StatusCode, value: &impl Serialize) -> Response<Reply> {
    let text = serde_json::to_string_pretty(value).expect("texts and numbers are JSON");
    let mut response = Response::new(
        Full::from(
            text + "
",
        )
        .boxed_unsync(),
    );
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// The number in the query parameter `name`, or `default` where it is absent.
fn number(uri: &Uri, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64, Wrong> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let Some((_, value)) = pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
    else {
        return Ok(default);
    };
    value.parse().ok().filter(|number| range.contains(number)).ok_or((
        StatusCode::BAD_REQUEST,
        "a query parameter is not a number, or is out of range",
    ))
}

#[cfg(test)]
mod tests;
