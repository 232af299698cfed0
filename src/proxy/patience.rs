//! How long a client may take, and for what: told from a few numbers about its connection, whatever it speaks.
//!
//! Invariant: the deadline that passes is always that of what is waited for now. Whoever delivers anything in time, even in
//! the very moment in which the deadline passes, begins a new one.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::screen::{Phase as Reading, Snapshot};
use super::sweep::{Phase, Watch};
use crate::config::limits::Timeouts;

/// One connection's patience with its client.
pub(super) struct Patience {
    watch: Rc<Watch>,
    waiting_for: Option<(Wait, u64)>,
    hurries: bool,
}

/// For a client without a request, once it is not to stay: to begin a first one that is under way, or to take its leave.
pub(super) const LEAVE_TIME: Duration = Duration::from_secs(1);

/// What a client takes its time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Its first request.
    FirstRequest,
    /// Its next request.
    NextRequest,
    /// The rest of a request's head.
    Head,
    /// Reading what is ready for it.
    Read,
    /// Nothing: it has closed its sending side, and hears nothing more of its answer.
    HalfClosed,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Its raw side.
    pub(super) raw: Snapshot,
    /// Requests so far.
    pub(super) calls: u64,
    /// Requests that are not answered yet.
    pub(super) open: u64,
}

impl Patience {
    /// Waits for nothing yet. `watch` is nobody else's.
    pub(super) fn new(watch: Rc<Watch>) -> Self {
        Self {
            watch,
            waiting_for: None,
            hurries: false,
        }
    }

    /// From now on a client without a request gets only the time to leave.
    pub(super) fn hurry(&mut self) {
        if !self.hurries {
            self.hurries = true;
            self.waiting_for = None;
        }
    }

    /// What has taken too long, once for each deadline that passes.
    pub(super) fn poll(&mut self, standing: &Standing, timeouts: &Timeouts, cx: &mut Context<'_>) -> Poll<Wait> {
        let wanted = standing.waits_for();
        if wanted != self.waiting_for {
            self.waiting_for = wanted;
            self.watch.reset();
            if let Some((wait, _)) = wanted {
                self.watch.arm(Phase::Client, self.longest(wait, timeouts));
            }
        }
        let _: Phase = ready!(self.watch.poll_fired(cx));
        self.watch.reset();
        match self.waiting_for.take() {
            Some((wait, _)) => Poll::Ready(wait),
            // Nothing was armed, so nothing can have passed.
            None => Poll::Pending,
        }
    }

    fn longest(&self, wait: Wait, timeouts: &Timeouts) -> Duration {
        let longest = match wait {
            Wait::FirstRequest | Wait::Head => timeouts.client_head,
            Wait::NextRequest => timeouts.client_idle,
            Wait::Read => timeouts.client_write,
            Wait::HalfClosed => timeouts.client_half_closed,
        };
        match wait {
            Wait::FirstRequest | Wait::NextRequest if self.hurries => longest.min(LEAVE_TIME),
            Wait::FirstRequest | Wait::NextRequest | Wait::Head | Wait::Read | Wait::HalfClosed => longest,
        }
    }
}

impl Standing {
    /// What is waited for, and a number that changes with everything that the client does about it.
    fn waits_for(&self) -> Option<(Wait, u64)> {
        let Self { raw, calls, open } = *self;
        if raw.write_blocked {
            return Some((Wait::Read, raw.bytes_written));
        }
        if raw.client_closed && open > 0 {
            return Some((Wait::HalfClosed, raw.bytes_written));
        }
        match raw.phase {
            // As long as it is on us to read, the rest may be there already.
            Reading::Head if raw.awaits_client => Some((Wait::Head, raw.heads)),
            Reading::Idle if calls == 0 => Some((Wait::FirstRequest, 0)),
            Reading::Idle | Reading::Tunnel if open == 0 => Some((Wait::NextRequest, calls)),
            // Bodies have their own patience, where they are read; whoever waits for an answer takes no time.
            Reading::Head
            | Reading::Idle
            | Reading::Tunnel
            | Reading::Body
            | Reading::Paused
            | Reading::Ended
            | Reading::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::upstreams::UpstreamTimeouts;
    use crate::proxy::sweep::Sweep;

    /// A connection on which nothing has happened.
    const FRESH: Standing = Standing {
        raw: Snapshot {
            phase: Reading::Idle,
            heads: 0,
            awaits_client: true,
            write_blocked: false,
            client_closed: false,
            bytes_written: 0,
        },
        calls: 0,
        open: 0,
    };

    fn standing(calls: u64, open: u64, raw: Snapshot) -> Standing {
        Standing { raw, calls, open }
    }

    #[test]
    fn what_is_waited_for_follows_from_where_the_connection_stands() {
        let raw = FRESH.raw;
        let in_phase = |phase| Snapshot { phase, heads: 2, ..raw };
        let blocked = |phase| Snapshot {
            write_blocked: true,
            bytes_written: 9,
            ..in_phase(phase)
        };
        let closed = |phase| Snapshot {
            client_closed: true,
            bytes_written: 9,
            ..in_phase(phase)
        };
        let unread = |phase| Snapshot {
            awaits_client: false,
            ..in_phase(phase)
        };
        let table = [
            ("nothing yet", FRESH, Some((Wait::FirstRequest, 0))),
            (
                "kept alive",
                standing(2, 0, in_phase(Reading::Idle)),
                Some((Wait::NextRequest, 2)),
            ),
            ("unanswered", standing(2, 1, in_phase(Reading::Idle)), None),
            (
                "HTTP/2 without a stream",
                standing(0, 0, in_phase(Reading::Tunnel)),
                Some((Wait::NextRequest, 0)),
            ),
            (
                "HTTP/2 after a stream",
                standing(7, 0, in_phase(Reading::Tunnel)),
                Some((Wait::NextRequest, 7)),
            ),
            ("HTTP/2 with a stream", standing(7, 1, in_phase(Reading::Tunnel)), None),
            (
                "half a head",
                standing(2, 0, in_phase(Reading::Head)),
                Some((Wait::Head, 2)),
            ),
            (
                "half a head behind a request",
                standing(2, 1, in_phase(Reading::Head)),
                Some((Wait::Head, 2)),
            ),
            (
                "half a head that we do not read on",
                standing(2, 1, unread(Reading::Head)),
                None,
            ),
            ("a body", standing(2, 1, in_phase(Reading::Body)), None),
            (
                "an upgrade that is not decided",
                standing(2, 1, in_phase(Reading::Paused)),
                None,
            ),
            ("nothing more is read", standing(2, 0, in_phase(Reading::Ended)), None),
            ("nothing more comes", standing(2, 0, in_phase(Reading::Closed)), None),
            (
                "it does not read",
                standing(2, 1, blocked(Reading::Idle)),
                Some((Wait::Read, 9)),
            ),
            (
                "it sends and does not read",
                standing(2, 1, blocked(Reading::Head)),
                Some((Wait::Read, 9)),
            ),
            (
                "HTTP/2, it does not read",
                standing(2, 3, blocked(Reading::Tunnel)),
                Some((Wait::Read, 9)),
            ),
            (
                "half closed",
                standing(2, 1, closed(Reading::Closed)),
                Some((Wait::HalfClosed, 9)),
            ),
            (
                "half closed and answered",
                standing(2, 0, closed(Reading::Closed)),
                None,
            ),
        ];
        for (name, standing, expected) in table {
            assert_eq!(standing.waits_for(), expected, "{name}");
        }
    }

    fn all_of(time: Duration) -> Timeouts {
        Timeouts {
            tls_handshake: time,
            client_head: time,
            client_body: time,
            client_write: time,
            client_idle: time,
            client_half_closed: time,
            tunnel_idle: time,
            tunnel_total: None,
            upstream: UpstreamTimeouts::default(),
            drain_delay: time,
            drain: time,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_once_and_only_for_what_is_waited_for_then() {
        let local = tokio::task::LocalSet::new();
        local.run_until(deadlines()).await;
    }

    async fn deadlines() {
        let timeouts = Timeouts {
            client_head: Duration::from_secs(1),
            client_idle: Duration::from_secs(5),
            ..all_of(Duration::from_secs(3600))
        };
        let mut patience = Patience::new(Sweep::new().watch());
        let after = async |patience: &mut Patience, seconds, standing: &Standing| {
            let poll = |cx: &mut Context<'_>| Poll::Ready(patience.poll(standing, &timeouts, cx));
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            std::future::poll_fn(poll).await
        };
        let idle = standing(1, 0, Snapshot { heads: 1, ..FRESH.raw });
        let again = standing(2, 0, Snapshot { heads: 2, ..FRESH.raw });
        assert_eq!(after(&mut patience, 0, &FRESH).await, Poll::Pending);
        assert_eq!(after(&mut patience, 2, &FRESH).await, Poll::Ready(Wait::FirstRequest));
        assert_eq!(after(&mut patience, 0, &FRESH).await, Poll::Pending, "a new deadline");
        assert_eq!(
            after(&mut patience, 2, &idle).await,
            Poll::Pending,
            "it was late, but it came"
        );
        assert_eq!(after(&mut patience, 4, &again).await, Poll::Pending);
        assert_eq!(
            after(&mut patience, 4, &again).await,
            Poll::Pending,
            "a request came in between"
        );
        assert_eq!(after(&mut patience, 2, &again).await, Poll::Ready(Wait::NextRequest));
    }
}
