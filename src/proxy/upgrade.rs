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
use super::stream::Stream as ClientStream;
use super::tunnel::{self, Farewell, Kind, Tunnel, TunnelEnd, Why};
use super::upstream::Stream as UpstreamStream;
use super::worker::{Place, Shared};
use crate::lifecycle::Stage;
use crate::policy::refusal::{Failure, Refusal};

/// A tunnel that is about to begin.
pub(super) struct Opening {
    line: AccessLine,
    upstream: UpstreamStream,
    first_bytes: Bytes,
    kind: Kind,
    _count: Count,
}

/// A place in `limits.tunnels`; given back on drop.
struct Count(Arc<Shared>);

/// Whether a request for a tunnel may go to the upstream at all.
///
/// # Errors
/// While draining, and when as many tunnels as allowed are open.
pub(super) fn may_begin(client: &Client) -> Result<(), Stop> {
    if client.worker.stage() >= Stage::Closing {
        return Err(Refusal::Draining.into());
    }
    let most = client.worker.generation().policy.config.limits.tunnels;
    if client.worker.shared.tunnels.load(Ordering::Relaxed) >= most {
        return Err(Failure::TunnelsExhausted.into());
    }
    Ok(())
}

/// The upstream has switched; the client is about to be told.
pub(super) fn begin(mut line: AccessLine, headers: &HeaderMap, upstream: UpstreamStream, first_bytes: Bytes) {
    let is_websocket = headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let client = Rc::clone(&line.client);
    client.screen.release(line.call);
    line.tunnelled(0, 0, NEVER_BEGAN);
    let count = Count::take(&client.worker.shared);
    let opening = Opening {
        line,
        upstream,
        first_bytes,
        kind: if is_websocket { Kind::WebSocket } else { Kind::Other },
        _count: count,
    };
    client.begin_tunnel(opening);
}

impl Opening {
    /// Carries the tunnel to its end. `read` and `unread` came from the client already, in this order.
    pub(super) async fn run(self, place: &Place, client: Prefixed<ClientStream>, read: Bytes, unread: Bytes) {
        let Self {
            mut line,
            upstream,
            first_bytes,
            kind,
            _count,
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
        let close = async {
            place.reached(Stage::Cutting).await;
            Farewell::GOING_AWAY
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

impl Count {
    fn take(shared: &Arc<Shared>) -> Self {
        shared.tunnels.fetch_add(1, Ordering::Relaxed);
        shared.metrics.tunnels.inc();
        Self(Arc::clone(shared))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.tunnels.dec();
    }
}
