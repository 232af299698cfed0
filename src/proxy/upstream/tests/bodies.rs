//! Bodies in both directions: their framing, their limits, and how they are cut.

use std::rc::Rc;

use tokio::join;

use super::rig::{Front, Peer, Raw, get, paused, real_time, settle, text};
use crate::policy::refusal::Failure;
use crate::proxy::relay::Cut;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_length_stays_a_length_and_chunks_stay_chunks() {
    for (head, seen, body) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n",
            "body",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            "",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\n\r\n",
            "",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            "4\r\nbody\r\n0\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
            "4\r\nbody\r\n0\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n",
            "body",
        ),
    ] {
        paused(async move {
            let raw = Raw::unix();
            let front = Front::new(&raw.upstreams());
            let mut client = front.client();
            client.say(head).await;
            let mut peer = raw.accept().await;
            assert_eq!(peer.head().await, seen);
            assert_eq!(peer.bytes(body.len()).await, body);
            assert_eq!(peer.now().await, "");
            peer.say(OK).await;
            assert!(client.until("ok").await.starts_with("HTTP/1.1 200 OK"));
            assert!(front.exchange(0).is_request_complete());
            let counted = if body.is_empty() { 0 } else { 4 };
            assert_eq!(front.exchange(0).request_bytes(), counted);
            assert_eq!(front.exchange(0).response_bytes(), 2);
        });
    }
}

#[test]
fn trailers_pass_in_both_directions_and_what_may_not_is_taken_out() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say(
                "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum, X-Auth-Key-Id\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\nX-Auth-Key-Id: forged\r\n\r\n",
            )
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        assert_eq!(peer.until("x-sum: 1\r\n\r\n").await, "2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n");
        peer.say(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\nX-Sum: 2\r\n\r\n",
        )
        .await;
        client.head().await;
        assert_eq!(
            client.until("x-sum: 2\r\n\r\n").await,
            "2\r\ncd\r\n0\r\nx-sum: 2\r\n\r\n"
        );
        // The connection was used to its end, and is used again.
        client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        peer.head().await;
    });
}

#[test]
fn a_streamed_answer_arrives_as_it_is_sent() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client.say("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut peer = raw.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.head().await;
        for _ in 0..3 {
            peer.say("6\r\nevent\n\r\n").await;
            assert_eq!(client.until("event\n\r\n").await, "6\r\nevent\n\r\n");
        }
        peer.say("0\r\n\r\n").await;
        assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
    });
}

#[test]
fn a_cut_answer_is_an_error_and_never_a_clean_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5\r\nlo",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ] {
        paused(async move {
            let raw = Raw::unix();
            let upstreams = raw.upstreams();
            let (response, ()) = join!(get(&upstreams, "/"), async {
                let mut peer = raw.accept().await;
                peer.head().await;
                peer.say(answer).await;
            });
            assert_eq!(
                text(response).await,
                Err(Cut::Failed(Failure::UpstreamInvalid)),
                "{answer}"
            );

            // And the client sees it, too.
            let front = Front::new(&upstreams);
            let mut client = front.client();
            client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say(answer).await;
            drop(peer);
            let got = client.rest().await;
            assert!(got.contains("half") && !got.ends_with("0\r\n\r\n"), "{got}");
            assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::UpstreamInvalid)));
        });
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, ()) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\n\r\neverything").await;
        });
        assert_eq!(text(response).await.unwrap(), "everything");
    });
}

#[test]
fn a_body_over_the_limit_is_refused_before_or_cut_within() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let front = Front::with(&upstreams, Some(10));

        // A declared length needs no upstream.
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 413 "));
        assert!(raw.is_quiet().await);
        assert_eq!(front.exchange(0).cut(), Some(Cut::BodyTooLarge));
        assert!(front.exchange(0).is_body_untouched());

        // Without one, it is cut where it grows too long.
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        assert_eq!(peer.until("12345678\r\n").await, "8\r\n12345678\r\n");
        client.say("3\r\n9ab\r\n").await;
        assert_eq!(peer.rest().await, "");
        assert!(client.head().await.starts_with("HTTP/1.1 413 "));
        assert_eq!(front.exchange(1).cut(), Some(Cut::BodyTooLarge));

        // Exactly the limit is fine.
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        assert_eq!(peer.bytes(10).await, "0123456789");
        peer.say(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn a_client_that_breaks_its_body_is_not_blamed_on_the_upstream() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        peer.until("body\r\n").await;
        client.say("nonsense\r\n").await;
        assert_eq!(peer.rest().await, "");
        settle().await;
        assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::ClientBodyInvalid)));
    });
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome of it")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        assert_eq!(peer.bytes(10).await, "some of it");
        peer.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nstop")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 403 Forbidden"));
        assert_eq!(client.bytes(4).await, "stop");
        // The upstream's connection cannot be used again: it still owes the rest of the request.
        assert_eq!(peer.rest().await, "");
    });
}

#[test]
fn an_answer_goes_on_while_the_request_does() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.head().await;
        for word in ["one", "two", "six"] {
            let chunk = format!("3\r\n{word}\r\n");
            client.say(&chunk).await;
            assert_eq!(peer.until(&chunk).await, chunk);
            peer.say(&chunk).await;
            assert_eq!(client.until(&chunk).await, chunk);
        }
        client.say("0\r\n\r\n").await;
        assert_eq!(peer.until("0\r\n\r\n").await, "0\r\n\r\n");
        peer.say("0\r\n\r\n").await;
        assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
        client.say("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(peer.head().await.starts_with("GET /next "));
    });
}

#[test]
fn an_early_answer_survives_an_upstream_that_slams_the_door() {
    paused(async {
        const LENGTH: usize = 100_000;
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        let answer = format!("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: {LENGTH}\r\n\r\n");
        peer.say(&answer).await;
        peer.say(&"a".repeat(LENGTH)).await;
        // Closed with the request unread: from here on the gate's writes fail, while the answer is still to be read.
        drop(peer);
        send_until_stuck(&mut client).await;
        assert!(client.head().await.starts_with("HTTP/1.1 413 Content Too Large"));
        assert_eq!(client.bytes(LENGTH).await.len(), LENGTH);
        assert_eq!(front.exchange(0).response_bytes(), LENGTH as u64);
    });
}

#[test]
fn an_answered_request_does_not_wait_for_an_upstream_that_does_not_read() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        send_until_stuck(&mut client).await;
        peer.say(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
        settle().await;
        let exchange = front.exchange(0);
        assert!(!exchange.is_request_complete());
        // Nobody but the test's own list knows it any more: the body, and with it the connection, is gone.
        assert_eq!(Rc::strong_count(&exchange), 2);
    });
}

/// Sends a body until nobody takes any more of it.
async fn send_until_stuck(client: &mut Peer) {
    let block = vec![b'x'; 64 * 1024];
    loop {
        tokio::select! {
            biased;
            sent = client.try_say(&block) => if sent.is_err() { break },
            () = settle() => break,
        }
    }
}

#[test]
fn a_body_is_held_back_until_the_upstream_wants_it() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        assert_eq!(
            peer.head().await,
            "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        );
        assert_eq!(client.now().await, "");
        peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.say("body").await;
        assert_eq!(peer.bytes(4).await, "body");
        peer.say(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(client.bytes(2).await, "ok");
    });
}

#[test]
fn a_final_answer_to_an_expectation_keeps_the_body_back() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            .await;
        let got = client.head().await;
        assert!(got.starts_with("HTTP/1.1 401 Unauthorized"), "{got}");
        assert_eq!(client.bytes(2).await, "no");
        assert!(front.exchange(0).is_body_untouched());
        assert_eq!(peer.rest().await, "");
        assert_eq!(front.exchange(0).cut(), None);
    });
}

#[test]
fn a_final_answer_that_takes_its_time_keeps_the_body_back_all_the_same() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n").await;
        client.head().await;
        client.say("body").await;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert_eq!(peer.now().await, "");
        peer.say("no").await;
        assert_eq!(client.bytes(2).await, "no");
        assert!(front.exchange(0).is_body_untouched());
    });
}

#[test]
fn a_silent_upstream_gets_the_body_after_a_second() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        assert_eq!(client.now().await, "");
        let before = super::rig::clock();
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        let waited = super::rig::clock() - before;
        assert!((0.9..1.2).contains(&waited), "{waited}");
        client.say("body").await;
        assert_eq!(peer.bytes(4).await, "body");
        peer.say(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
    });
}

#[test]
fn a_large_body_passes_without_being_held() {
    real_time(async {
        const BLOCKS: usize = 1024;
        let raw = Raw::tcp().await;
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let mut client = front.client();
        let block = vec![b'x'; 64 * 1024];
        let length = BLOCKS * block.len();
        let sending = async {
            client
                .say(&format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
                ))
                .await;
            for _ in 0..BLOCKS {
                client.try_say(&block).await.unwrap();
            }
            client.head().await
        };
        let reading = async {
            let mut peer = raw.accept().await;
            peer.head().await;
            // Nobody reads: what was taken from the client is what fits into the buffers on the way.
            let mut taken = 0;
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                let now = front.exchange(0).request_bytes();
                if now == taken {
                    break;
                }
                taken = now;
            }
            assert!(taken < length as u64 / 2, "{taken} bytes were taken");
            let mut left = length;
            while left > 0 {
                left -= peer.bytes(left.min(1 << 20)).await.len();
            }
            peer.say(OK).await;
            peer
        };
        let (head, _peer) = join!(sending, reading);
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(front.exchange(0).request_bytes(), length as u64);
    });
}
