//! Upgrades: from an upstream's 101 to a tunnel between it and the client (RFC 9110 §7.8).
//!
//! The tunnel begins when hyper has written the 101 and let go of the connection; until then its [`Opening`] waits with the
//! client. It is counted against `limits.tunnels` and the key's concurrency until its last byte.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::UPGRADE;

use super::access::AccessLine;
use super::connection::Client;
use super::ingress::Stop;
use super::screen::Prefixed;
use super::stream::Stream;
use super::tunnel::{self, Farewell, Kind, Tunnel, TunnelEnd, Why};
use super::worker::{Place, Shared};
use crate::lifecycle::Stage;
use crate::policy::refusal::{Failure, Refusal};

/// A tunnel that is about to begin.
pub(super) struct Opening {
    line: Box<AccessLine>,
    upstream: Stream,
    first_bytes: Bytes,
    kind: Kind,
}

/// A place in `limits.tunnels`, from the moment that the upstream is asked; given back on drop.
pub(super) struct Seat {
    shared: Arc<Shared>,
    /// The tunnel has begun.
    open: bool,
}

/// A place for a tunnel, without which a request for one does not go to the upstream.
///
/// # Errors
/// While draining, and when as many tunnels as allowed are open.
pub(super) fn reserve(client: &Client) -> Result<Seat, Stop> {
    if client.worker.stage() >= Stage::Closing {
        return Err(Refusal::Draining.into());
    }
    let most = client.worker.generation().policy.config.limits.tunnels;
    Seat::take(&client.worker.shared, most).ok_or(Failure::TunnelsExhausted.into())
}

/// The upstream has switched; the client is about to be told.
pub(super) fn begin(mut line: Box<AccessLine>, headers: &HeaderMap, upstream: Stream, first_bytes: Bytes) {
    let is_websocket = headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let client = Rc::clone(&line.client);
    client.screen.release(line.call);
    line.tunnelled(0, 0, NEVER_BEGAN);
    if let Some(seat) = &mut line.seat {
        seat.open();
    }
    let opening = Opening {
        line,
        upstream,
        first_bytes,
        kind: if is_websocket { Kind::WebSocket } else { Kind::Other },
    };
    client.begin_tunnel(opening);
}

impl Opening {
    /// Carries the tunnel to its end. `read` and `unread` came from the client already, in this order.
    pub(super) async fn run(self, place: &Place, client: Prefixed<Stream>, read: Bytes, unread: Bytes) {
        let Self {
            mut line,
            upstream,
            first_bytes,
            kind,
        } = self;
        // A copy: a tunnel that stays open for days does not keep a whole generation of keys in memory.
        let timeouts = line.client.worker.generation().policy.config.timeouts.clone();
        let tunnel = Tunnel {
            kind,
            idle: timeouts.tunnel_idle,
            total: timeouts.tunnel_total,
            client_first: joined(read, unread),
            upstream_first: first_bytes,
        };
        if let Some(registered) = &line.registered {
            registered.settle();
        }
        let (worker, exchange) = (Rc::clone(&line.client.worker), Rc::clone(&line.exchange));
        let close = async {
            tokio::select! {
                () = place.reached(Stage::Cutting) => Farewell::GOING_AWAY,
                _ = exchange.until_withdrawn() => {
                    Farewell::withdrawn(worker.generation().policy.config.keys.close_code)
                }
            }
        };
        let TunnelEnd {
            bytes_up,
            bytes_down,
            why,
        } = tunnel::run(client, upstream, tunnel, close).await;
        line.tunnelled(bytes_up, bytes_down, told(why));
    }
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (false, true) => first,
        (false, false) => {
            let mut both = BytesMut::from(first);
            both.extend_from_slice(&second);
            both.freeze()
        }
    }
}

/// For the access line of a tunnel whose client vanished before it was told.
const NEVER_BEGAN: &str = "client_gone";

/// For the access line.
fn told(why: Why) -> &'static str {
    match why {
        Why::ClientClosed => "client_closed",
        Why::UpstreamClosed => "upstream_closed",
        Why::Idle => "idle",
        Why::Total => "total",
        Why::Closed(_) => "closed",
        Why::Failed(..) => "failed",
    }
}

impl Seat {
    fn take(shared: &Arc<Shared>, most: usize) -> Option<Self> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        shared
            .tunnels
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Self {
            shared: Arc::clone(shared),
            open: false,
        })
    }

    fn open(&mut self) {
        self.open = true;
        self.shared.metrics.tunnels.inc();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.tunnels.fetch_sub(1, Ordering::Relaxed);
        if self.open {
            self.shared.metrics.tunnels.dec();
        }
    }
}
