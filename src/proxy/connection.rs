//! One client connection: TLS, which HTTP it speaks, hyper's server, and its end.
//!
//! hyper parses and frames; what it is given has passed the [`screen`](super::screen). Timeouts and the stage of the process
//! are looked at whenever the connection moves or the worker's sweep finds it too slow.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::debug;

use super::acceptor::{Accepted, Arrival};
use super::executor::{self, LocalExecutor};
use super::ingress;
use super::patience::{LEAVE_TIME, Patience, Standing, Wait};
use super::relay::{Exchange, Pace};
use super::screen::{HeadLimits, Prefixed, Protocol, Screen, ScreenHandle, linger, sniff};
use super::stream::{Socket, Stream};
use super::sweep::Watch;
use super::upgrade::Opening;
use super::worker::{Place, Worker};
use crate::config::limits::Timeouts;
use crate::lifecycle::Stage;
use crate::policy::Policy;
use crate::policy::head::Peer;

/// What a client may still send after its last answer, and for how long, so that the answer arrives.
const LINGER_BYTES: u64 = 1 << 30;
const LINGER_TIME: Duration = Duration::from_secs(5);

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
    streams: Streams,
    /// Requests so far.
    calls: Cell<u64>,
    /// Requests that are not answered yet.
    open: Cell<u64>,
    /// The connection's own task, where others end its requests.
    task: RefCell<Option<Waker>>,
    /// Where its task can be woken in any case.
    seat: usize,
    /// Its only exchange ended midway: there is no way to say so but to end with it.
    is_cut: Cell<bool>,
}

/// How many exchanges a connection has at once, and what their deadlines are kept with.
enum Streams {
    /// HTTP/1.1: one after the other.
    One(Rc<Watch>),
    /// HTTP/2: each on a stream, whose client may leave an answer untaken for so long.
    Many(Duration),
}

impl Client {
    fn new(place: &Place, peer: Peer, screen: ScreenHandle, tunnel: Weak<Berth>, streams: Streams) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(place.worker()),
            peer,
            screen,
            tunnel,
            streams,
            calls: Cell::new(0),
            open: Cell::new(0),
            task: RefCell::new(None),
            seat: place.seat(),
            is_cut: Cell::new(false),
        })
    }

    /// The deadlines of the next exchange.
    pub(super) fn exchange_watch(&self) -> Rc<Watch> {
        match &self.streams {
            Streams::One(watch) => Rc::clone(watch),
            Streams::Many(_) => {
                let watch = self.worker.sweep.watch();
                executor::end_with(&watch);
                watch
            }
        }
    }

    /// The pace of `exchange`'s answer, where the connection as a whole does not show it.
    pub(super) fn pace(&self, exchange: &Rc<Exchange>) -> Option<Pace> {
        match &self.streams {
            Streams::One(_) => None,
            Streams::Many(patience) => Some(Pace::new(Rc::clone(exchange), *patience)),
        }
    }

    /// A tunnel takes the connection over as soon as the answer's head is written; never, when the client is gone by then.
    pub(super) fn begin_tunnel(&self, opening: Opening) {
        if let Some(berth) = self.tunnel.upgrade() {
            berth.replace(Some(opening));
        }
    }

    /// One of its exchanges was withdrawn. One that is not answered gets an answer; an HTTP/2 stream is reset; what is left of
    /// an answer over HTTP/1.1, even what only waits for the client to take it, goes with the connection, which breaks.
    pub(super) fn end_midway(&self, exchange: &Exchange) {
        match self.streams {
            Streams::One(_) if exchange.is_answered() => {
                self.is_cut.set(true);
                self.worker.wake(self.seat);
            }
            Streams::One(_) | Streams::Many(_) => {}
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
        if self.open.get() == 0
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }

    /// Where the connection stands. Over HTTP/2, whose requests have tasks of their own, the caller is woken when the last
    /// of them ends: from then on it is idle.
    fn standing(&self, cx: &Context<'_>) -> Standing {
        let open = self.open.get();
        if open > 0 && matches!(self.streams, Streams::Many(_)) {
            match &mut *self.task.borrow_mut() {
                Some(known) => known.clone_from(cx.waker()),
                unknown => *unknown = Some(cx.waker().clone()),
            }
        }
        Standing {
            raw: self.screen.snapshot(),
            calls: self.calls.get(),
            open,
        }
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
#[derive(Clone, Copy)]
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
    let opened = tokio::select! {
        opened = open(&terms, socket) => opened,
        () = too_late(place) => None,
    };
    let Some((protocol, stream)) = opened else {
        return;
    };
    let tls = terms.tls.is_some();
    let peer = Peer::new(address, tls);
    match protocol {
        Protocol::Http1 => http1(place, peer, &terms, stream).await,
        Protocol::Http2 => http2(place, peer, &terms, stream).await,
    }
}

/// A connection that says nothing does not hold up the end; one whose first request is under way is not cut either.
async fn too_late(place: &Place) {
    place.reached(Stage::Closing).await;
    sleep(LEAVE_TIME).await;
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
    let client = Client::new(
        place,
        peer,
        screen.handle(),
        Rc::downgrade(&tunnel),
        Streams::One(watch),
    );
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
        match wish {
            Wish::Serve => {}
            // A request that has come in the meantime is served, and its answer says that it is the last.
            Wish::Leave if client.open.get() == 0 => client.screen.close_idle(),
            Wish::Leave => Pin::new(&mut connection).graceful_shutdown(),
        }
        // Not `poll_without_shutdown`: that one can end before the answer is flushed.
        Pin::new(&mut connection).poll(cx)
    })
    .await;
    match end {
        End::Cut if client.is_cut.get() => {
            let (stream, _) = connection.into_parts().io.into_inner().into_inner();
            stream.get_ref().break_on_drop();
        }
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
    let client = Client::new(
        place,
        peer,
        screen.handle(),
        Weak::new(),
        Streams::Many(terms.timeouts.client_write),
    );
    let service = service_fn(|request| ingress::serve(Rc::clone(&client), request));
    let mut server = http2::Builder::new(LocalExecutor);
    server
        .auto_date_header(false)
        .max_concurrent_streams(terms.streams)
        .max_header_list_size(u32::try_from(terms.head.head_bytes).unwrap_or(u32::MAX));
    let mut connection = pin!(server.serve_connection(TokioIo::new(screen), service));
    // GOAWAY lets a client finish and go elsewhere; the HTTP/1.1 counterpart is `Connection: close` on the next answer.
    drive(place, &client, &terms.timeouts, Stage::Leaving, |cx, wish| {
        match wish {
            Wish::Serve => {}
            // A second time it does nothing.
            Wish::Leave => connection.as_mut().graceful_shutdown(),
        }
        connection.as_mut().poll(cx)
    })
    .await;
}

/// hyper's own default, below which its setting costs an allocation per head.
const HYPER_HEADERS: usize = 100;
/// The least that hyper takes.
const MIN_BUFFER: usize = 8192;

/// Polls a connection to its end, minding the client's patience and the stage of the process.
async fn drive(
    place: &Place,
    client: &Client,
    timeouts: &Timeouts,
    leave_at: Stage,
    mut poll: impl FnMut(&mut Context<'_>, Wish) -> Poll<hyper::Result<()>>,
) -> End {
    let mut patience = Patience::new(place.worker().sweep.watch());
    // Requests so far, when it was told to leave because no other came.
    let mut told_to_leave = None;
    poll_fn(move |cx| {
        let stage = place.stage(cx);
        if client.is_cut.get() || (stage >= Stage::Cutting && !client.awaits_tunnel()) {
            return Poll::Ready(End::Cut);
        }
        let mut wish = Wish::Serve;
        if stage >= leave_at {
            wish = Wish::Leave;
            patience.hurry();
        }
        // Every further round follows a deadline that has passed, and begins the next one.
        loop {
            if let Poll::Ready(ended) = poll(cx, wish) {
                return Poll::Ready(End::of(ended));
            }
            let standing = client.standing(cx);
            match ready!(patience.poll(&standing, timeouts, cx)) {
                // The screen puts a refusal in the head's place, which hyper has to read.
                Wait::Head => client.screen.expire_head(),
                Wait::FirstRequest | Wait::NextRequest if told_to_leave != Some(standing.calls) => {
                    told_to_leave = Some(standing.calls);
                    wish = Wish::Leave;
                    patience.hurry();
                }
                // It was told to leave and stays, or it does not take what it has asked for.
                Wait::FirstRequest | Wait::NextRequest | Wait::Read | Wait::HalfClosed => {
                    return Poll::Ready(End::Cut);
                }
            }
        }
    })
    .await
}

impl End {
    fn of(ended: hyper::Result<()>) -> Self {
        match ended {
            Ok(()) => Self::Served,
            Err(error) => {
                debug!(message = "client connection ended early", %error);
                Self::Broken
            }
        }
    }
}
