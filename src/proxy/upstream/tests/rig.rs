//! Raw upstreams, raw clients, and a minimal gate between them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::{Builder, LocalOptions};

use super::super::{Answer, Upstreams};
use crate::config::upstreams::{Endpoint, Paths, Pool, Protocol, Upstream, UpstreamId, UpstreamTimeouts};
use crate::policy::refusal::Failure;
use crate::proxy::relay::{BodyRules, Cut, Exchange, RequestBody, ResponseBody, UpstreamBody};
use crate::proxy::sweep::Sweep;

/// The only upstream.
pub(super) const ID: UpstreamId = UpstreamId(0);

/// Runs a test whose clock moves only when everybody waits.
pub(super) fn paused<F: Future<Output = ()>>(test: F) {
    run(true, test);
}

/// Runs a test on the real clock.
pub(super) fn real_time<F: Future<Output = ()>>(test: F) {
    run(false, test);
}

fn run<F: Future<Output = ()>>(paused: bool, test: F) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build_local(LocalOptions::default())
        .unwrap();
    let limit = Duration::from_secs(if paused { 5_000 } else { 30 });
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("the test hangs") });
}

/// Seconds of the test's clock.
#[allow(clippy::disallowed_methods)] // the clock is the test's own
pub(super) fn clock() -> f64 {
    // Each test has a thread, and a clock, of its own.
    thread_local! {
        static START: tokio::time::Instant = tokio::time::Instant::now();
    }
    let start = START.with(|start| *start);
    tokio::time::Instant::now()
        .saturating_duration_since(start)
        .as_secs_f64()
}

/// An upstream that says only what the test says.
pub(super) struct Raw {
    listener: Listener,
    _directory: Option<TempDir>,
    pub(super) definition: Upstream,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Raw {
    /// On a Unix socket.
    pub(super) fn unix() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upstream.sock");
        Self {
            listener: Listener::Unix(UnixListener::bind(&path).unwrap()),
            _directory: Some(directory),
            definition: definition(Endpoint::Unix(path)),
        }
    }

    /// On TCP.
    pub(super) async fn tcp() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = "127.0.0.1".to_owned();
        Self {
            listener: Listener::Tcp(listener),
            _directory: None,
            definition: definition(Endpoint::Tcp { host, port }),
        }
    }

    pub(super) fn upstreams(&self) -> Rc<Upstreams> {
        Rc::new(Upstreams::new(std::slice::from_ref(&self.definition), &Sweep::new()))
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> Peer {
        match &self.listener {
            Listener::Tcp(listener) => Peer::new(listener.accept().await.unwrap().0),
            Listener::Unix(listener) => Peer::new(listener.accept().await.unwrap().0),
        }
    }

    /// Whether nobody is waiting to be accepted.
    pub(super) async fn is_quiet(&self) -> bool {
        tokio::select! {
            biased;
            _ = self.accept() => false,
            () = settle() => true,
        }
    }
}

/// An upstream's definition with the documented defaults.
pub(super) fn definition(endpoint: Endpoint) -> Upstream {
    Upstream {
        name: "default".to_owned(),
        endpoint,
        protocol: Protocol::Http1,
        tls: None,
        preserve_host: true,
        authority: "upstream.example".to_owned(),
        paths: Paths::default(),
        pool: Pool {
            max_idle: 128,
            idle: Duration::from_secs(55),
        },
        timeouts: UpstreamTimeouts {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: None,
        },
    }
}

/// Nowhere.
pub(super) fn nowhere() -> Endpoint {
    Endpoint::Unix(PathBuf::from("/nonexistent/upstream.sock"))
}

/// Lets everything that can happen happen.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// One end of a connection: the upstream's, or a client's.
pub(super) struct Peer {
    stream: Box<dyn Duplex>,
    read: Vec<u8>,
}

impl Peer {
    fn new(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            read: Vec::new(),
        }
    }

    pub(super) fn into_stream(self) -> impl AsyncRead + AsyncWrite + Unpin {
        self.stream
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// As [`say`](Self::say), until the other end is gone.
    pub(super) async fn try_say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Everything up to and with an empty line.
    pub(super) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Everything up to and with `end`.
    pub(super) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                return self.take(at + end.len());
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&buffer[..count]);
        }
    }

    /// Exactly so many bytes.
    pub(super) async fn bytes(&mut self, count: usize) -> String {
        while self.read.len() < count {
            let mut buffer = [0; 4096];
            let more = self.stream.read(&mut buffer).await.unwrap();
            assert!(more > 0, "closed after {:?}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&buffer[..more]);
        }
        self.take(count)
    }

    /// Everything until the other end closes, well or not.
    pub(super) async fn rest(&mut self) -> String {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut buffer).await {
            self.read.extend_from_slice(&buffer[..count]);
        }
        self.take(self.read.len())
    }

    /// What is there now, without waiting for more.
    pub(super) async fn now(&mut self) -> String {
        let mut buffer = [0; 4096];
        loop {
            tokio::select! {
                biased;
                count = self.stream.read(&mut buffer) => {
                    let count = count.unwrap();
                    assert!(count > 0, "closed");
                    self.read.extend_from_slice(&buffer[..count]);
                }
                () = settle() => return self.take(self.read.len()),
            }
        }
    }

    fn take(&mut self, count: usize) -> String {
        String::from_utf8_lossy(&self.read.drain(..count).collect::<Vec<_>>()).into_owned()
    }
}

/// A minimal gate: it forwards what a client sends, and nothing else.
pub(super) struct Front {
    pub(super) upstreams: Rc<Upstreams>,
    rules: Rc<BodyRules>,
    sweep: Rc<Sweep>,
    /// Every exchange, in order.
    pub(super) exchanges: Rc<RefCell<Vec<Rc<Exchange>>>>,
}

impl Front {
    pub(super) fn new(upstreams: &Rc<Upstreams>) -> Self {
        Self::with(upstreams, None)
    }

    pub(super) fn with(upstreams: &Rc<Upstreams>, max_bytes: Option<u64>) -> Self {
        Self {
            upstreams: Rc::clone(upstreams),
            rules: Rc::new(BodyRules {
                max_bytes,
                pause: Duration::from_secs(30),
                trailers: Box::new(|trailers: &mut HeaderMap| {
                    trailers.remove("x-auth-key-id");
                }),
            }),
            sweep: Sweep::new(),
            exchanges: Rc::default(),
        }
    }

    /// A client's connection, HTTP/1.1.
    pub(super) fn client(&self) -> Peer {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let service = self.service();
        tokio::task::spawn_local(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .serve_connection(TokioIo::new(theirs), service_fn(service))
                .await;
        });
        Peer::new(ours)
    }

    /// A client's connection, HTTP/2 with prior knowledge.
    pub(super) fn client_h2(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let service = self.service();
        tokio::task::spawn_local(async move {
            let _ = hyper::server::conn::http2::Builder::new(Local)
                .serve_connection(TokioIo::new(theirs), service_fn(service))
                .await;
        });
        ours
    }

    pub(super) fn exchange(&self, index: usize) -> Rc<Exchange> {
        Rc::clone(&self.exchanges.borrow()[index])
    }

    #[allow(clippy::type_complexity)] // written once
    fn service(
        &self,
    ) -> impl Fn(
        Request<Incoming>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<ResponseBody<()>>, Infallible>>>>
    + use<> {
        let upstreams = Rc::clone(&self.upstreams);
        let rules = Rc::clone(&self.rules);
        let sweep = Rc::clone(&self.sweep);
        let exchanges = Rc::clone(&self.exchanges);
        move |request| {
            let exchange = Exchange::new(sweep.watch());
            exchanges.borrow_mut().push(Rc::clone(&exchange));
            let upstreams = Rc::clone(&upstreams);
            let rules = Rc::clone(&rules);
            Box::pin(async move {
                let (mut head, incoming) = request.into_parts();
                for name in [CONNECTION, TE, TRANSFER_ENCODING] {
                    head.headers.remove(name);
                }
                let body = RequestBody::new(incoming, &exchange, &rules);
                Ok(answer(upstreams.send(ID, None, head, body).await))
            })
        }
    }
}

fn answer(answer: Result<Answer, Cut>) -> Response<ResponseBody<()>> {
    match answer {
        Ok(Answer::Response(response)) => {
            let (mut head, body) = response.into_parts();
            head.headers.remove(CONNECTION);
            head.headers.remove(TRANSFER_ENCODING);
            head.version = http::Version::HTTP_11;
            Response::from_parts(head, ResponseBody::upstream(body, ()))
        }
        Ok(Answer::Switched(_)) => panic!("the front does not switch"),
        Err(cut) => {
            let status = match cut {
                Cut::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                Cut::Withdrawn => StatusCode::UNAUTHORIZED,
                Cut::Failed(failure) => failure.status(),
            };
            let mut response = Response::new(ResponseBody::full(Bytes::from(format!("{cut}\n")), ()));
            *response.status_mut() = status;
            response
        }
    }
}

#[derive(Clone)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// A request's head.
pub(super) fn head(method: Method, target: &str) -> request::Parts {
    let mut head = Request::new(()).into_parts().0;
    head.method = method;
    head.uri = target.parse().unwrap();
    head.headers.insert("host", HeaderValue::from_static("service.example"));
    head
}

/// Sends a request without a body.
pub(super) async fn send(upstreams: &Upstreams, method: Method, target: &str) -> Result<Answer, Cut> {
    let exchange = Exchange::new(upstreams.sweep.watch());
    upstreams
        .send(ID, None, head(method, target), RequestBody::empty(&exchange))
        .await
}

/// A `GET` that must be answered.
pub(super) async fn get(upstreams: &Upstreams, target: &str) -> Response<UpstreamBody> {
    match send(upstreams, Method::GET, target).await {
        Ok(Answer::Response(response)) => response,
        Ok(Answer::Switched(_)) => panic!("switched"),
        Err(cut) => panic!("{cut}"),
    }
}

/// Why a `GET` is not answered.
pub(super) async fn get_fails(upstreams: &Upstreams, target: &str) -> Failure {
    match send(upstreams, Method::GET, target).await {
        Ok(_) => panic!("answered"),
        Err(Cut::Failed(failure)) => failure,
        Err(cut @ (Cut::BodyTooLarge | Cut::Withdrawn)) => panic!("{cut}"),
    }
}

/// A response's whole body.
pub(super) async fn text(response: Response<UpstreamBody>) -> Result<String, Cut> {
    let body = ResponseBody::upstream(response.into_body(), ());
    let bytes = body.collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}
