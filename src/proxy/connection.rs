//! One client connection: TLS, which HTTP it speaks, hyper's server, and its end.
//!
//! hyper parses and frames; what it is given has passed the [`screen`](super::screen). Timeouts and the stage of the process
//! are looked at whenever the connection moves or the worker's sweep finds it too slow.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::debug;

use super::acceptor::{Accepted, Arrival};
use super::executor::LocalExecutor;
use super::ingress;
use super::screen::{HeadLimits, Phase as Reading, Prefixed, Protocol, Screen, ScreenHandle, Snapshot, linger, sniff};
use super::stream::{Socket, Stream};
use super::sweep::{Phase, Watch};
use super::upgrade::Opening;
use super::worker::{Place, Worker};
use crate::config::limits::Timeouts;
use crate::lifecycle::Stage;
use crate::policy::Policy;
use crate::policy::head::Peer;

/// What a client may still send after its last answer, and for how long, so that the answer arrives.
const LINGER_BYTES: u64 = 1 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// What requests of one connection share.
pub(super) struct Client {
    /// Its worker.
    pub(super) worker: Rc<Worker>,
    /// Its other end.
    pub(super) peer: Peer,
    /// Its raw side.
    pub(super) screen: ScreenHandle,
    /// Where a tunnel waits that begins when the answer's head is written.
    tunnel: Weak<Berth>,
    /// Deadlines of its exchanges: HTTP/1.1 has one at a time, HTTP/2 one for each stream.
    watch: Option<Rc<Watch>>,
    /// Requests so far.
    calls: Cell<u64>,
    /// Requests that are not answered yet.
    open: Cell<u64>,
}

impl Client {
    fn new(place: &Place, peer: Peer, screen: ScreenHandle, tunnel: Weak<Berth>, watch: Option<Rc<Watch>>) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(place.worker()),
            peer,
            screen,
            tunnel,
            watch,
            calls: Cell::new(0),
            open: Cell::new(0),
        })
    }

    /// The deadlines of the next exchange.
    pub(super) fn exchange_watch(&self) -> Rc<Watch> {
        self.watch.clone().unwrap_or_else(|| self.worker.sweep.watch())
    }

    /// A tunnel takes the connection over as soon as the answer's head is written; never, when the client is gone by then.
    pub(super) fn begin_tunnel(&self, opening: Opening) {
        if let Some(berth) = self.tunnel.upgrade() {
            berth.replace(Some(opening));
        }
    }

    fn awaits_tunnel(&self) -> bool {
        self.tunnel.upgrade().is_some_and(|berth| berth.borrow().is_some())
    }

    /// A request has arrived; its number comes back.
    pub(super) fn begin(&self) -> u64 {
        self.open.set(self.open.get() + 1);
        self.calls.replace(self.calls.get() + 1)
    }

    /// Request number `call` is done.
    pub(super) fn end(&self, call: u64) {
        self.open.set(self.open.get() - 1);
        self.screen.answered(call);
    }
}

/// A tunnel that is about to begin. The connection's task owns it: what waits there knows its client, and would otherwise
/// keep itself alive when the client vanishes before the tunnel begins.
type Berth = RefCell<Option<Opening>>;

/// Why hyper's connection ended.
enum End {
    /// It is done: the client or we closed it in good order, or a tunnel begins.
    Served,
    /// It broke.
    Broken,
    /// It was too slow, or the process ends.
    Cut,
}

/// What a connection is asked to do when it is polled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Serve,
    /// No request after the ones that are open.
    Leave,
}

/// What a connection keeps to from its beginning to its end. Taken out of the generation that was in force when it came, so
/// that a connection that stays open for days does not keep a whole generation of keys in memory.
struct Terms {
    tls: Option<Arc<ServerConfig>>,
    timeouts: Timeouts,
    head: HeadLimits,
    streams: u32,
}

impl Terms {
    fn of(policy: &Policy) -> Self {
        let config = &policy.config;
        Self {
            tls: config.ingress.tls.as_ref().map(|tls| Arc::clone(&tls.server)),
            timeouts: config.timeouts.clone(),
            head: HeadLimits::new(&config.limits),
            streams: config.limits.streams_per_connection,
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(place: &Place, arrival: Arrival) {
    let Arrival {
        socket,
        address,
        ticket,
    } = arrival;
    let _ticket = ticket;
    let terms = Terms::of(&place.worker().generation().policy);
    let Some((protocol, stream)) = open(&terms, socket).await else {
        return;
    };
    let tls = terms.tls.is_some();
    let peer = Peer::new(address, tls);
    match protocol {
        Protocol::Http1 => http1(place, peer, &terms, stream).await,
        Protocol::Http2 => http2(place, peer, &terms, stream).await,
    }
}

/// From a socket to a byte stream whose protocol is known.
async fn open(terms: &Terms, socket: Accepted) -> Option<(Protocol, Prefixed<Stream>)> {
    let timeouts = &terms.timeouts;
    let socket = match socket {
        Accepted::Tcp(socket) => TcpStream::from_std(socket).map(Socket::Tcp),
        Accepted::Unix(socket) => UnixStream::from_std(socket).map(Socket::Unix),
    }
    .inspect_err(|error| debug!(message = "cannot use an accepted socket", %error))
    .ok()?;
    let Some(tls) = &terms.tls else {
        let sniffed = sniff(Stream::Clear(socket));
        return timeout(timeouts.client_head, sniffed).await.ok()?.ok();
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(socket);
    let stream = timeout(timeouts.tls_handshake, handshake)
        .await
        .ok()?
        .inspect_err(|error| debug!(message = "TLS handshake failed", %error))
        .ok()?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    Some((protocol, Prefixed::new(Stream::Tls(Box::new(stream.into())))))
}

async fn http1(place: &Place, peer: Peer, terms: &Terms, stream: Prefixed<Stream>) {
    let screen = Screen::new(stream, terms.head);
    let tunnel = Rc::new(Berth::default());
    let watch = place.worker().sweep.watch();
    let client = Client::new(place, peer, screen.handle(), Rc::downgrade(&tunnel), Some(watch));
    let service = service_fn(|request| ingress::serve(Rc::clone(&client), request));
    let mut server = http1::Builder::new();
    server
        .auto_date_header(false)
        .half_close(false)
        .max_buf_size(terms.head.head_bytes.max(MIN_BUFFER));
    if terms.head.header_count > HYPER_HEADERS {
        server.max_headers(terms.head.header_count);
    }
    let mut connection = server.serve_connection(TokioIo::new(screen), service);
    let end = drive(place, &client, &terms.timeouts, Stage::Closing, |cx, wish| {
        if wish == Wish::Leave {
            Pin::new(&mut connection).graceful_shutdown();
        }
        // Not `poll_without_shutdown`: that one can end before the answer is flushed.
        Pin::new(&mut connection).poll(cx)
    })
    .await;
    match end {
        End::Cut | End::Broken => {}
        End::Served => {
            let parts = connection.into_parts();
            let (mut stream, unread) = parts.io.into_inner().into_inner();
            match tunnel.take() {
                Some(opening) => opening.run(place, stream, parts.read_buf, unread).await,
                None if client.screen.leaves_unread() => linger(stream, LINGER_BYTES, LINGER_TIME).await,
                // Nobody is left to tell.
                None => drop(stream.shutdown().await),
            }
        }
    }
}

async fn http2(place: &Place, peer: Peer, terms: &Terms, stream: Prefixed<Stream>) {
    let screen = Screen::off(stream);
    let client = Client::new(place, peer, screen.handle(), Weak::new(), None);
    let service = service_fn(|request| ingress::serve(Rc::clone(&client), request));
    let mut server = http2::Builder::new(LocalExecutor);
    server
        .auto_date_header(false)
        .max_concurrent_streams(terms.streams)
        .max_header_list_size(u32::try_from(terms.head.head_bytes).unwrap_or(u32::MAX));
    let mut connection = pin!(server.serve_connection(TokioIo::new(screen), service));
    // GOAWAY lets a client finish and go elsewhere; the HTTP/1.1 counterpart is `Connection: close` on the next answer.
    drive(place, &client, &terms.timeouts, Stage::Leaving, |cx, wish| {
        if wish == Wish::Leave {
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await;
}

/// hyper's own default, below which its setting costs an allocation per head.
const HYPER_HEADERS: usize = 100;
/// The least that hyper takes.
const MIN_BUFFER: usize = 8192;

/// Polls a connection to its end, minding its timeouts and the stage of the process.
async fn drive(
    place: &Place,
    client: &Client,
    timeouts: &Timeouts,
    leave_at: Stage,
    mut poll: impl FnMut(&mut Context<'_>, Wish) -> Poll<hyper::Result<()>>,
) -> End {
    let patience = Patience::new(client);
    let mut leaving = false;
    poll_fn(move |cx| {
        let stage = place.stage(cx);
        if stage >= Stage::Cutting && !client.awaits_tunnel() {
            return Poll::Ready(End::Cut);
        }
        loop {
            let leave = !leaving && (stage >= leave_at || patience.is_over(client));
            leaving |= leave;
            if let Poll::Ready(ended) = poll(cx, if leave { Wish::Leave } else { Wish::Serve }) {
                return Poll::Ready(match ended {
                    Ok(()) => End::Served,
                    Err(error) => {
                        debug!(message = "client connection ended early", %error);
                        End::Broken
                    }
                });
            }
            match patience.poll(client, timeouts, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Cut) => return Poll::Ready(End::Cut),
                // Look again: what was too slow has been dealt with, and the connection has to notice.
                Poll::Ready(Verdict::Again) => {}
            }
        }
    })
    .await
}

/// How long a client may take for what it is doing just now.
struct Patience {
    watch: Rc<Watch>,
    waiting_for: Cell<Option<(Phase, u64)>>,
    idle_is_over: Cell<bool>,
}

enum Verdict {
    Again,
    Cut,
}

impl Patience {
    fn new(client: &Client) -> Self {
        Self {
            watch: client.worker.sweep.watch(),
            waiting_for: Cell::new(None),
            idle_is_over: Cell::new(false),
        }
    }

    fn is_over(&self, _: &Client) -> bool {
        self.idle_is_over.get()
    }

    fn poll(&self, client: &Client, timeouts: &Timeouts, cx: &mut Context<'_>) -> Poll<Verdict> {
        let wanted = waits_for(&client.screen.snapshot(), client.open.get());
        if wanted != self.waiting_for.replace(wanted) {
            match wanted {
                Some((phase, _)) => self.watch.arm(phase, patience_for(phase, timeouts)),
                None => self.watch.disarm(),
            }
        }
        let Poll::Ready(phase) = self.watch.poll_fired(cx) else {
            return Poll::Pending;
        };
        self.watch.reset();
        self.waiting_for.set(None);
        match phase {
            Phase::ClientHead => {
                client.screen.expire_head();
                Poll::Ready(Verdict::Again)
            }
            Phase::ClientIdle => {
                self.idle_is_over.set(true);
                Poll::Ready(Verdict::Again)
            }
            _ => Poll::Ready(Verdict::Cut),
        }
    }
}

/// What the client owes, and a number that changes when it has delivered some of it.
fn waits_for(now: &Snapshot, open: u64) -> Option<(Phase, u64)> {
    if now.write_blocked {
        return Some((Phase::ClientWrite, now.bytes_written));
    }
    if now.client_closed && open > 0 {
        return Some((Phase::HalfClosed, now.heads));
    }
    match now.phase {
        Reading::Head => Some((Phase::ClientHead, now.heads)),
        Reading::Idle | Reading::Tunnel if open == 0 => Some((Phase::ClientIdle, now.heads)),
        // Bodies have their own patience, where they are read; whoever waits for an answer owes nothing.
        Reading::Idle | Reading::Tunnel | Reading::Body | Reading::Paused | Reading::Ended => None,
    }
}

fn patience_for(phase: Phase, timeouts: &Timeouts) -> Duration {
    match phase {
        Phase::ClientHead => timeouts.client_head,
        Phase::ClientWrite => timeouts.client_write,
        Phase::HalfClosed => timeouts.client_half_closed,
        _ => timeouts.client_idle,
    }
}
