//! Tunnels over duplex pipes on a paused clock.

use std::future::pending;
use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn tunnel(kind: Kind) -> Tunnel {
    Tunnel {
        kind,
        idle: MINUTE,
        total: None,
        client_first: Bytes::new(),
        upstream_first: Bytes::new(),
    }
}

/// Two peers, and the tunnel's ends of their pipes.
fn pipes(size: usize) -> (DuplexStream, DuplexStream, DuplexStream, DuplexStream) {
    let (client, client_end) = duplex(size);
    let (upstream, upstream_end) = duplex(size);
    (client, upstream, client_end, upstream_end)
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = clock::monotonic();
    let output = future.await;
    (output, Duration::from_millis((clock::monotonic() - start) / 1_000_000))
}

async fn read_exactly(from: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn read_rest(from: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_read_before_come_first_and_both_ways_work() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(64);
    let first = Tunnel {
        client_first: Bytes::from_static(b"one "),
        upstream_first: Bytes::from_static(b"eins "),
        ..tunnel(Kind::Other)
    };
    let peers = async {
        client.write_all(b"two").await.unwrap();
        upstream.write_all(b"zwei").await.unwrap();
        assert_eq!(read_exactly(&mut upstream, 7).await, b"one two");
        assert_eq!(read_exactly(&mut client, 9).await, b"eins zwei");
        drop(client);
        assert_eq!(read_rest(&mut upstream).await, b"");
        drop(upstream);
    };
    let (end, ()) = tokio::join!(run(client_end, upstream_end, first, pending()), peers);
    assert_eq!(
        end,
        TunnelEnd {
            bytes_up: 7,
            bytes_down: 9,
            why: Why::ClientClosed
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_direction_leaves_the_other_running() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(64);
    let peers = async {
        upstream.write_all(b"last words").await.unwrap();
        upstream.shutdown().await.unwrap();
        assert_eq!(read_rest(&mut client).await, b"last words");
        for _ in 0..3 {
            sleep(MINUTE / 2).await;
            client.write_all(b"still here").await.unwrap();
        }
        client.shutdown().await.unwrap();
        assert_eq!(read_rest(&mut upstream).await, b"still here".repeat(3));
    };
    let (end, ()) = tokio::join!(run(client_end, upstream_end, tunnel(Kind::Other), pending()), peers);
    assert_eq!(
        end,
        TunnelEnd {
            bytes_up: 30,
            bytes_down: 10,
            why: Why::UpstreamClosed
        }
    );
}

#[tokio::test(start_paused = true)]
async fn bulk_arrives_unchanged_through_any_pipe_and_grows_the_buffer() {
    for size in [1000, 8 * 1024, 64 * 1024, 1 << 20] {
        let (mut client, mut upstream, client_end, upstream_end) = pipes(size);
        let bulk: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let peers = async {
            let send = async {
                client.write_all(&bulk).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let (received, ()) = tokio::join!(read_rest(&mut upstream), send);
            drop(upstream);
            received
        };
        let (end, received) = tokio::join!(run(client_end, upstream_end, tunnel(Kind::Other), pending()), peers);
        assert!(received == bulk, "{size}");
        assert_eq!(end.bytes_up, 3_000_000);
    }
}

#[tokio::test(start_paused = true)]
async fn buffers_grow_after_two_full_reads_and_shrink_when_it_is_quiet() {
    let (mut client, mut client_end) = duplex(1 << 20);
    let (mut upstream_end, _upstream) = duplex(1 << 20);
    let mut pump = Pump::new(&Bytes::new(), None);
    let mut poll = async |pump: &mut Pump| {
        poll_fn(|cx| {
            assert!(pump.poll(cx, &mut client_end, &mut upstream_end).is_pending());
            Poll::Ready(())
        })
        .await;
    };
    client.write_all(&[0; 8 * 1024]).await.unwrap();
    poll(&mut pump).await;
    assert!(!pump.is_large(), "one full read");
    client.write_all(&[0; 100 * 1024]).await.unwrap();
    poll(&mut pump).await;
    assert!(pump.is_large());
    assert_eq!(pump.carried(), 108 * 1024);

    let mut quiet = Quiet::default();
    let moved = pump.moved();
    let (_, waited) = timed(poll_fn(|cx| quiet.poll(cx, moved))).await;
    assert_eq!(waited, QUIET);
    pump.shrink();
    assert!(!pump.is_large());
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_ends_and_a_busy_one_does_not() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(64);
    let peers = async {
        for _ in 0..5 {
            sleep(MINUTE - Duration::from_secs(1)).await;
            upstream.write_all(b"x").await.unwrap();
        }
        assert_eq!(read_rest(&mut client).await, b"xxxxx");
    };
    let both = async { tokio::join!(run(client_end, upstream_end, tunnel(Kind::Other), pending()), peers) };
    let ((end, ()), lasted) = timed(both).await;
    assert_eq!(end.why, Why::Idle);
    assert_eq!(lasted, (MINUTE - Duration::from_secs(1)) * 5 + MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_whose_peer_takes_nothing_is_idle() {
    let (mut client, _upstream, client_end, upstream_end) = pipes(64);
    let flood = async {
        // The client fills the pipe for ever; the upstream does not read.
        while client.write_all(&[0; 64]).await.is_ok() {}
    };
    let both = async { tokio::join!(run(client_end, upstream_end, tunnel(Kind::Other), pending()), flood) };
    let ((end, ()), lasted) = timed(both).await;
    assert_eq!(end.why, Why::Idle);
    assert_eq!(lasted, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_total_limit_ends_a_busy_tunnel() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(64);
    let limited = Tunnel {
        total: Some(MINUTE * 3),
        ..tunnel(Kind::Other)
    };
    let busy = async {
        loop {
            sleep(MINUTE / 4).await;
            if client.write_all(b"x").await.is_err() {
                break;
            }
            if upstream.read_u8().await.is_err() {
                break;
            }
        }
    };
    let ((end, lasted), ()) = tokio::join!(timed(run(client_end, upstream_end, limited, pending())), busy);
    assert_eq!(end.why, Why::Total);
    assert_eq!(lasted, MINUTE * 3);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_more_is_still_heard_out() {
    let (mut client, client_end) = duplex(64);
    let (mut upstream, reads) = duplex(64);
    let (_, broken) = duplex(64);
    let peers = async {
        client.write_all(b"never arrives").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        upstream.write_all(b"I am going").await.unwrap();
        drop(upstream);
        read_rest(&mut client).await
    };
    let upstream_end = tokio::io::join(reads, broken);
    let run = run(client_end, upstream_end, tunnel(Kind::Other), pending());
    let ((end, heard), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(end.why, Why::Failed(Side::Upstream, ErrorKind::BrokenPipe));
    assert_eq!(heard, b"I am going");
    assert_eq!(lasted, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_is_heard_out_is_not_heard_for_longer_than_its_key_lives() {
    let (mut client, client_end) = duplex(64);
    let (mut upstream, reads) = duplex(64);
    let (_, broken) = duplex(64);
    let (close, closed) = oneshot::channel();
    let farewell = Farewell::withdrawn(1008);
    let peers = async {
        client.write_all(b"never arrives").await.unwrap();
        upstream.write_all(b"heard").await.unwrap();
        assert_eq!(read_exactly(&mut client, 5).await, b"heard");
        close.send(farewell).unwrap();
        sleep(farewell.patience * 2).await;
        // Nobody reads it any more.
        drop(upstream.write_all(b"not heard").await);
        read_rest(&mut client).await
    };
    let run = run(client_end, tokio::io::join(reads, broken), tunnel(Kind::Other), async {
        closed.await.unwrap()
    });
    let ((end, heard), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(end.why, Why::Failed(Side::Upstream, ErrorKind::BrokenPipe));
    assert_eq!(heard, b"");
    assert_eq!(lasted, farewell.patience * 2);
}

/// Opens a frame: its header and half of its payload. The rest is the other half.
const BEGUN: &[u8] = b"\x81\x08abcd";
const REST: &[u8] = b"efgh";

/// A whole close frame without a mask.
fn goodbye(farewell: Farewell) -> Vec<u8> {
    websocket::close_frame(farewell.code, farewell.reason, false)
}

fn unmask(frame: &[u8]) -> Vec<u8> {
    assert_eq!(frame[1] & 0x80, 0x80, "towards the upstream, frames are masked");
    let (mask, payload) = frame[2..].split_at(4);
    let mut unmasked = vec![frame[0], frame[1] & 0x7f];
    unmasked.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    unmasked
}

const REVOKED: Farewell = Farewell {
    code: 1008,
    reason: "key revoked",
    patience: Duration::from_secs(2),
};

#[tokio::test(start_paused = true)]
async fn both_sides_of_a_websocket_are_told_at_a_frame_boundary() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(1024);
    let (close, closed) = oneshot::channel();
    let peers = async {
        client.write_all(b"\x81\x80mask").await.unwrap();
        assert_eq!(read_exactly(&mut upstream, 6).await, b"\x81\x80mask");
        // The client is between two frames, the upstream within one.
        upstream.write_all(BEGUN).await.unwrap();
        assert_eq!(read_exactly(&mut client, BEGUN.len()).await, BEGUN);
        close.send(REVOKED).unwrap();

        let frame = read_exactly(&mut upstream, 6 + 13).await;
        assert_eq!(unmask(&frame), goodbye(REVOKED));
        upstream
            .write_all(&[REST, b"\x82\x02no", &goodbye(REVOKED)].concat())
            .await
            .unwrap();
        assert_eq!(read_exactly(&mut client, REST.len()).await, REST);
        assert_eq!(read_exactly(&mut client, 2 + 13).await, goodbye(REVOKED));
        // What the client says after that is not passed on; its goodbye ends the tunnel.
        client.write_all(b"\x81\x80mask").await.unwrap();
        sleep(Duration::from_millis(500)).await;
        client.write_all(&websocket::close_frame(1008, "", true)).await.unwrap();
        assert_eq!(read_rest(&mut client).await, b"");
        assert_eq!(read_rest(&mut upstream).await, b"");
    };
    let run = run(client_end, upstream_end, tunnel(Kind::WebSocket), async {
        closed.await.unwrap()
    });
    let ((end, ()), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(
        end,
        TunnelEnd {
            bytes_up: 6,
            bytes_down: 10,
            why: Why::Closed(REVOKED)
        }
    );
    assert_eq!(lasted, Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn peers_that_do_not_answer_are_cut_in_time() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(1024);
    let (close, closed) = oneshot::channel();
    let peers = async {
        upstream.write_all(BEGUN).await.unwrap();
        assert_eq!(read_exactly(&mut client, BEGUN.len()).await, BEGUN);
        close.send(Farewell::GOING_AWAY).unwrap();
        assert_eq!(unmask(&read_rest(&mut upstream).await), goodbye(Farewell::GOING_AWAY));
        // The upstream's frame never ended, so nothing could be put after it.
        assert_eq!(read_rest(&mut client).await, b"");
    };
    let run = run(client_end, upstream_end, tunnel(Kind::WebSocket), async {
        closed.await.unwrap()
    });
    let ((end, ()), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(end.why, Why::Closed(Farewell::GOING_AWAY));
    assert_eq!(lasted, PARTING);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_said_goodbye_itself_is_not_spoken_for_again() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(1024);
    let (close, closed) = oneshot::channel();
    let own = websocket::close_frame(1000, "done", true);
    let peers = async {
        client.write_all(&own).await.unwrap();
        assert_eq!(read_exactly(&mut upstream, own.len()).await, own);
        close.send(Farewell::GOING_AWAY).unwrap();
        assert_eq!(read_exactly(&mut client, 2 + 12).await, goodbye(Farewell::GOING_AWAY));
        upstream.write_all(b"\x88\x00").await.unwrap();
        assert_eq!(read_rest(&mut upstream).await, b"", "no second close frame");
        assert_eq!(read_rest(&mut client).await, b"");
    };
    let run = run(client_end, upstream_end, tunnel(Kind::WebSocket), async {
        closed.await.unwrap()
    });
    let ((end, ()), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(end.why, Why::Closed(Farewell::GOING_AWAY));
    assert_eq!(lasted, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_idle_websocket_is_told_why() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(1024);
    let peers = async {
        assert_eq!(read_exactly(&mut client, 2 + 2 + 17).await[2..4], [0x03, 0xe9]);
        client.write_all(&websocket::close_frame(1001, "", true)).await.unwrap();
        upstream.write_all(b"\x88\x00").await.unwrap();
        assert_eq!(read_rest(&mut upstream).await.len(), 6 + 2 + 17);
    };
    let run = run(client_end, upstream_end, tunnel(Kind::WebSocket), pending());
    let ((end, ()), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(end.why, Why::Idle);
    assert_eq!(lasted, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn other_protocols_are_simply_closed() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(1024);
    let (close, closed) = oneshot::channel();
    let peers = async {
        client.write_all(b"\x81").await.unwrap();
        assert_eq!(read_exactly(&mut upstream, 1).await, b"\x81");
        close.send(Farewell::GOING_AWAY).unwrap();
        assert_eq!(read_rest(&mut upstream).await, b"");
        assert_eq!(read_rest(&mut client).await, b"");
    };
    let run = run(client_end, upstream_end, tunnel(Kind::Other), async {
        closed.await.unwrap()
    });
    let ((end, ()), lasted) = timed(async { tokio::join!(run, peers) }).await;
    assert_eq!(
        end,
        TunnelEnd {
            bytes_up: 1,
            bytes_down: 0,
            why: Why::Closed(Farewell::GOING_AWAY)
        }
    );
    assert_eq!(lasted, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_put_in_wherever_the_upstreams_bytes_are_cut() {
    let stream = b"\x81\x03abc\x82\x00\x01\x05hello\x80\x02!!";
    for at in 0..=stream.len() {
        let (mut client, mut upstream, client_end, upstream_end) = pipes(1024);
        let (close, closed) = oneshot::channel();
        let peers = async {
            upstream.write_all(&stream[..at]).await.unwrap();
            assert_eq!(read_exactly(&mut client, at).await, &stream[..at]);
            close.send(REVOKED).unwrap();
            read_exactly(&mut upstream, 6 + 13).await;
            upstream
                .write_all(&[&stream[at..], b"\x88\x00"].concat())
                .await
                .unwrap();
            client.write_all(&websocket::close_frame(1008, "", true)).await.unwrap();
            read_rest(&mut client).await
        };
        let run = run(client_end, upstream_end, tunnel(Kind::WebSocket), async {
            closed.await.unwrap()
        });
        let (end, rest) = tokio::join!(run, peers);
        let seen = [&stream[..at], &rest].concat();
        let told = seen.strip_suffix(&goodbye(REVOKED)[..]).unwrap();
        let boundary = [0, 5, 7, 14, 18].into_iter().find(|&end| end >= at).unwrap();
        assert_eq!(told, &stream[..boundary], "cut at {at}");
        assert_eq!(end.bytes_down, boundary as u64);
    }
}

/// Always has something to say, and takes everything; ends after a while, so that a test of it does.
struct Busy {
    left: usize,
}

impl tokio::io::AsyncRead for Busy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // As a socket does: what the runtime lends a task for its turn is used up.
        let lent = ready!(tokio::task::coop::poll_proceed(cx));
        lent.made_progress();
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            buf.put_slice(b"busy");
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Busy {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let lent = ready!(tokio::task::coop::poll_proceed(cx));
        lent.made_progress();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_always_has_something_to_carry_is_told_all_the_same() {
    let (close, closed) = oneshot::channel();
    let busy = || Busy { left: 100_000 };
    let run = run(busy(), busy(), tunnel(Kind::Other), async {
        // As whoever ends a tunnel waits: for one of two things.
        tokio::select! {
            told = closed => told.unwrap(),
            () = pending() => unreachable!(),
        }
    });
    let tell = async {
        tokio::task::yield_now().await;
        close.send(REVOKED).unwrap();
    };
    let (end, ()) = tokio::join!(run, tell);
    assert_eq!(end.why, Why::Closed(REVOKED), "{} bytes", end.bytes_up);
}

#[tokio::test(start_paused = true)]
async fn what_a_side_does_not_take_is_not_kept_for_it() {
    let (mut client, mut upstream, client_end, upstream_end) = pipes(64);
    let (close, closed) = oneshot::channel();
    let revoked = Farewell {
        patience: BOUNDARY,
        ..REVOKED
    };
    let peers = async {
        // Whole frames, of which the client's pipe holds a part.
        upstream.write_all(&b"\x82\x0e0123456789abcd".repeat(11)).await.unwrap();
        close.send(revoked).unwrap();
        assert_eq!(unmask(&read_exactly(&mut upstream, 6 + 13).await), goodbye(revoked));
        upstream.write_all(b"\x88\x00").await.unwrap();
        // Long after the key has died.
        sleep(Duration::from_secs(1)).await;
        let rest = read_rest(&mut client).await;
        assert_eq!(rest.len(), 64, "what the pipe held");
    };
    let run = run(client_end, upstream_end, tunnel(Kind::WebSocket), async {
        closed.await.unwrap()
    });
    let (end, ()) = tokio::join!(run, peers);
    assert_eq!(end.why, Why::Closed(revoked));
}
