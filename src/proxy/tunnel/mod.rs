//! Carrying an upgraded connection: bytes both ways until one side, a limit or Keygate ends it.
//!
//! A room of its own because a tunnel outlives the request that opened it, with other limits and another end. A side that
//! closes its stream leaves the other direction running. When Keygate ends a tunnel (a drain, a key that died, a limit),
//! a WebSocket gets a close frame in both directions, at a frame boundary, and a short time to answer it (RFC 6455 §7).
//!
//! Invariant: bytes are passed on unchanged and in order, and nothing is put between them but that close frame.

mod pump;
#[cfg(test)]
mod tests;

use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep, timeout};

use super::websocket::{self, Frames};
use crate::clock;
use pump::{Broken, Pump};

/// For frame boundaries and the peers' close frames, once Keygate has decided to end a tunnel; and for the rest of one
/// direction, once the other has failed, unless it is to end sooner.
const PARTING: Duration = Duration::from_secs(2);
/// For frame boundaries and for what is still to be written, where the key has died.
const BOUNDARY: Duration = Duration::from_millis(100);
/// For the last bytes and the end of stream.
const SHUTDOWN: Duration = Duration::from_secs(1);
/// Without a byte for so long, large buffers are given back.
const QUIET: Duration = Duration::from_secs(1);

/// What is carried, and for how long.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// What the two sides speak.
    pub kind: Kind,
    /// Ended after so long without a byte in either direction.
    pub idle: Duration,
    /// Ended after so long in any case.
    pub total: Option<Duration>,
    /// Bytes that were read from the client already.
    pub client_first: Bytes,
    /// Bytes that were read from the upstream already.
    pub upstream_first: Bytes,
}

/// What a tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Upgrade: websocket`, which has a way to say goodbye.
    WebSocket,
    /// Any other protocol.
    Other,
}

/// What a WebSocket's two sides are told when Keygate ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// A close code (RFC 6455 §7.4).
    pub code: u16,
    /// A few words, at most 123 bytes.
    pub reason: &'static str,
    /// How long what is passing may take: the rest of a frame, and what was read and is not taken yet.
    pub patience: Duration,
}

impl Farewell {
    /// Keygate is shutting down.
    pub const GOING_AWAY: Self = Self {
        code: 1001,
        reason: "going away",
        patience: PARTING,
    };
    const IDLE: Self = Self {
        code: 1001,
        reason: "idle for too long",
        patience: PARTING,
    };
    const TOTAL: Self = Self {
        code: 1001,
        reason: "open for too long",
        patience: PARTING,
    };

    /// The key that it rests on has died: little more passes.
    #[must_use]
    pub fn withdrawn(code: u16) -> Self {
        Self {
            code,
            reason: "key revoked",
            patience: BOUNDARY,
        }
    }
}

/// How a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Bytes from the client for the upstream.
    pub bytes_up: u64,
    /// Bytes from the upstream for the client.
    pub bytes_down: u64,
    /// Why it ended.
    pub why: Why,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The client closed its stream first, then the upstream its own.
    ClientClosed,
    /// The upstream closed its stream first, then the client its own.
    UpstreamClosed,
    /// `idle` has passed.
    Idle,
    /// `total` has passed.
    Total,
    /// Keygate ended it.
    Closed(Farewell),
    /// One side failed.
    Failed(Side, io::ErrorKind),
}

/// One side of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The upstream.
    Upstream,
}

/// Carries until the end. `close` ends the tunnel when it is ready; a future that never is leaves it alone.
pub async fn run<A, B>(
    mut client: A,
    mut upstream: B,
    tunnel: Tunnel,
    close: impl Future<Output = Farewell>,
) -> TunnelEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let frames = || match tunnel.kind {
        Kind::WebSocket => Some(Frames::new()),
        Kind::Other => None,
    };
    let mut sides = Sides {
        up: Pump::new(&tunnel.client_first, frames()),
        down: Pump::new(&tunnel.upstream_first, frames()),
        client: &mut client,
        upstream: &mut upstream,
    };
    let why = sides.relay(&tunnel, close).await;
    let farewell = match why {
        Why::Closed(farewell) => Some(farewell),
        Why::Idle => Some(Farewell::IDLE),
        Why::Total => Some(Farewell::TOTAL),
        Why::ClientClosed | Why::UpstreamClosed | Why::Failed(..) => None,
    };
    if let (Some(farewell), Kind::WebSocket) = (farewell, tunnel.kind) {
        // Too late is as good as done: what follows is the same.
        drop(timeout(PARTING, sides.part(farewell)).await);
    }
    let (bytes_up, bytes_down) = (sides.up.carried(), sides.down.carried());
    // Whatever comes of it, both are dropped next.
    drop(timeout(SHUTDOWN, async { tokio::join!(client.shutdown(), upstream.shutdown()) }).await);
    TunnelEnd {
        bytes_up,
        bytes_down,
        why,
    }
}

/// Both sides, and the two directions between them.
struct Sides<'t, A, B> {
    client: &'t mut A,
    upstream: &'t mut B,
    up: Pump,
    down: Pump,
}

impl<A, B> Sides<'_, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    /// Carries both ways until there is a reason to end.
    async fn relay(&mut self, tunnel: &Tunnel, close: impl Future<Output = Farewell>) -> Why {
        let mut close = pin!(close);
        let mut idle = pin!(sleep(tunnel.idle));
        let mut total = pin!(async {
            match tunnel.total {
                Some(total) => sleep(total).await,
                None => pending().await,
            }
        });
        let mut quiet = Quiet::default();
        let mut last_byte = clock::monotonic();
        let mut ended_first = None;
        let why = poll_fn(|cx| {
            // First, while the task has its whole turn: two busy sides can use all of it up, and the runtime then lets nothing
            // else in it get ready.
            if let Poll::Ready(farewell) = close.as_mut().poll(cx) {
                return Poll::Ready(Why::Closed(farewell));
            }
            if total.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Why::Total);
            }
            let before = self.moved();
            let up = self.up.poll(cx, self.client, self.upstream);
            let down = self.down.poll(cx, self.upstream, self.client);
            if self.up.read_ended() {
                ended_first.get_or_insert(Why::ClientClosed);
            }
            if self.down.read_ended() {
                ended_first.get_or_insert(Why::UpstreamClosed);
            }
            match (up, down) {
                (Poll::Ready(Err(broken)), _) => return Poll::Ready(broken.why(Side::Client, Side::Upstream)),
                (_, Poll::Ready(Err(broken))) => return Poll::Ready(broken.why(Side::Upstream, Side::Client)),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                    return Poll::Ready(ended_first.unwrap_or(Why::ClientClosed));
                }
                (Poll::Ready(Ok(())), Poll::Pending) | (Poll::Pending, Poll::Ready(Ok(())) | Poll::Pending) => {}
            }
            if self.moved() != before {
                last_byte = clock::monotonic();
            }
            while idle.as_mut().poll(cx).is_ready() {
                let silent = Duration::from_nanos(clock::monotonic().saturating_sub(last_byte));
                let Some(left) = tunnel.idle.checked_sub(silent).filter(|left| !left.is_zero()) else {
                    return Poll::Ready(Why::Idle);
                };
                let next = idle.deadline() + left;
                idle.as_mut().reset(next);
            }
            if self.up.is_large() || self.down.is_large() {
                while quiet.poll(cx, self.moved()).is_ready() {
                    self.up.shrink();
                    self.down.shrink();
                }
            }
            Poll::Pending
        })
        .await;
        if let Why::Failed(side, _) = why {
            // A side that takes nothing more may still have said something that the other side waits for.
            let hearing = async {
                let mut hearing = pin!(self.hear_out(side));
                tokio::select! {
                    biased;
                    farewell = close => drop(timeout(farewell.patience, hearing).await),
                    () = &mut hearing => {}
                }
            };
            drop(timeout(PARTING, hearing).await);
        }
        why
    }

    /// Carries what one side has still said.
    async fn hear_out(&mut self, side: Side) {
        // A second failure changes nothing.
        drop(
            poll_fn(|cx| match side {
                Side::Client => self.up.poll(cx, self.client, self.upstream),
                Side::Upstream => self.down.poll(cx, self.upstream, self.client),
            })
            .await,
        );
    }

    /// Says goodbye to both sides and waits for theirs.
    async fn part(&mut self, farewell: Farewell) {
        self.up
            .say(websocket::close_frame(farewell.code, farewell.reason, true));
        self.down
            .say(websocket::close_frame(farewell.code, farewell.reason, false));
        let mut patience = pin!(sleep(farewell.patience));
        poll_fn(|cx| {
            if patience.as_mut().poll(cx).is_ready() {
                self.up.cut_short();
                self.down.cut_short();
            }
            let up = self.up.poll(cx, self.client, self.upstream).is_ready() || self.up.has_parted();
            let down = self.down.poll(cx, self.upstream, self.client).is_ready() || self.down.has_parted();
            if up && down { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn moved(&self) -> u64 {
        self.up.moved() + self.down.moved()
    }
}

impl Broken {
    fn why(self, read: Side, written: Side) -> Why {
        match self {
            Broken::Read(kind) => Why::Failed(read, kind),
            Broken::Write(kind) => Why::Failed(written, kind),
        }
    }
}

/// Tells when nothing has moved for a while.
#[derive(Default)]
struct Quiet {
    sleep: Option<Pin<Box<Sleep>>>,
    moved: u64,
}

impl Quiet {
    fn poll(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<()> {
        loop {
            let sleep = self.sleep.get_or_insert_with(|| {
                self.moved = moved;
                Box::pin(sleep(QUIET))
            });
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
            if self.moved == moved {
                return Poll::Ready(());
            }
        }
    }
}
