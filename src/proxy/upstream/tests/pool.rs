//! Which connection is used, which comes back, and which goes.

use std::time::Duration;

use http::StatusCode;
use tokio::join;
use tokio::time::sleep;

use super::super::{Transport, Upstreams};
use super::rig::{Front, Peer, Raw, get, paused, settle, text};
use crate::config::upstreams::UpstreamTimeouts;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn idle(upstreams: &Upstreams) -> usize {
    match &upstreams.targets[0].transport {
        Transport::Http1(http1) => http1.idle(),
        Transport::Http2(_) => panic!("not HTTP/1.1"),
    }
}

/// The next connection, with a request that waits for its answer.
async fn unanswered(raw: &Raw) -> Peer {
    let mut peer = raw.accept().await;
    peer.head().await;
    peer
}

/// Opens `count` connections at once, answers on all, and leaves them idle, the first to answer oldest.
async fn warm(raw: &Raw, upstreams: &Upstreams, count: usize) -> Vec<Peer> {
    let mut peers = Vec::new();
    let mut responses = Vec::new();
    for _ in 0..count {
        // One after the other, each while those before are still unanswered.
        let mut request = Box::pin(get(upstreams, "/warm"));
        let peer = tokio::select! {
            _ = &mut request => panic!("answered"),
            peer = unanswered(raw) => peer,
        };
        peers.push(peer);
        responses.push(request);
    }
    for (peer, request) in peers.iter_mut().zip(responses) {
        let (response, ()) = join!(request, peer.say(OK));
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    assert_eq!(idle(upstreams), count);
    peers
}

#[test]
fn the_connection_used_last_is_used_next() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut peers = warm(&raw, &upstreams, 3).await;
        for _ in 0..2 {
            let (response, ()) = join!(get(&upstreams, "/next"), async {
                peers[2].head().await;
                peers[2].say(OK).await;
            });
            assert_eq!(text(response).await.unwrap(), "ok");
        }
        assert_eq!(peers[0].now().await, "");
        assert_eq!(peers[1].now().await, "");
    });
}

#[test]
fn a_connection_that_is_asked_to_close_is_not_used_again() {
    for (answer, body) in [
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        ("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", ""),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
    ] {
        paused(async move {
            let raw = Raw::unix();
            let upstreams = raw.upstreams();
            let (response, mut peer) = join!(get(&upstreams, "/"), async {
                let mut peer = raw.accept().await;
                peer.head().await;
                peer.say(answer).await;
                peer
            });
            assert_eq!(text(response).await.unwrap(), body, "{answer}");
            settle().await;
            assert_eq!(idle(&upstreams), 0, "{answer}");
            assert_eq!(peer.rest().await, "");
        });
    }
}

#[test]
fn a_connection_that_says_more_than_its_answer_is_not_used_again() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, mut peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say(&format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"))
                .await;
            peer
        });
        assert_eq!(text(response).await.unwrap(), "ok");
        assert_eq!(peer.rest().await, "");
        let (response, _peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say(OK).await;
            peer
        });
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn an_answer_that_is_not_read_to_its_end_closes_the_connection() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, mut peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
            peer
        });
        assert_eq!(response.status(), StatusCode::OK);
        drop(response);
        assert_eq!(peer.rest().await, "");
        assert_eq!(idle(&upstreams), 0);
    });
}

#[test]
fn idle_connections_expire_one_by_one_and_the_worker_sleeps_then() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut peers = warm(&raw, &upstreams, 2).await;
        sleep(Duration::from_secs(30)).await;
        let (response, ()) = join!(get(&upstreams, "/again"), async {
            peers[1].head().await;
            peers[1].say(OK).await;
        });
        assert_eq!(text(response).await.unwrap(), "ok");
        sleep(Duration::from_secs(24)).await;
        assert_eq!(idle(&upstreams), 2);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(idle(&upstreams), 1);
        assert_eq!(peers[0].rest().await, "");
        assert_eq!(peers[1].now().await, "");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(idle(&upstreams), 0);
        assert_eq!(peers[1].rest().await, "");
        sleep(Duration::from_secs(1)).await;
        assert!(!upstreams.sweep.is_ticking());

        // And it all begins again.
        let _peers = warm(&raw, &upstreams, 1).await;
        sleep(Duration::from_secs(54)).await;
        assert_eq!(idle(&upstreams), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(idle(&upstreams), 0);
    });
}

#[test]
fn the_pool_is_bounded_and_can_be_off() {
    paused(async {
        let mut raw = Raw::unix();
        raw.definition.pool.max_idle = 1;
        let upstreams = raw.upstreams();
        let mut request = Box::pin(get(&upstreams, "/1"));
        let mut first = tokio::select! {
            _ = &mut request => panic!("answered"),
            peer = unanswered(&raw) => peer,
        };
        let (second, mut other) = join!(get(&upstreams, "/2"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say(OK).await;
            peer
        });
        assert_eq!(text(second).await.unwrap(), "ok");
        let (response, ()) = join!(request, first.say(OK));
        assert_eq!(text(response).await.unwrap(), "ok");
        assert_eq!(idle(&upstreams), 1);
        assert_eq!(other.rest().await, "");

        raw.definition.pool.idle = Duration::ZERO;
        let off = raw.upstreams();
        let (response, mut peer) = join!(get(&off, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say(OK).await;
            peer
        });
        assert_eq!(text(response).await.unwrap(), "ok");
        assert_eq!(peer.rest().await, "");
    });
}

#[test]
fn a_new_generation_keeps_the_connections_of_what_did_not_change() {
    paused(async {
        let mut raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut peers = warm(&raw, &upstreams, 1).await;

        raw.definition.timeouts = UpstreamTimeouts {
            head: Duration::from_secs(1),
            ..raw.definition.timeouts
        };
        let renewed = upstreams.renew(std::slice::from_ref(&raw.definition));
        drop(upstreams);
        let (response, ()) = join!(get(&renewed, "/"), async {
            peers[0].head().await;
            peers[0].say(OK).await;
        });
        assert_eq!(text(response).await.unwrap(), "ok");

        raw.definition.pool.max_idle = 7;
        let changed = renewed.renew(std::slice::from_ref(&raw.definition));
        assert_eq!(idle(&changed), 0);
        assert_eq!(idle(&renewed), 1);
        drop(renewed);
        assert_eq!(peers[0].rest().await, "");
    });
}

#[test]
fn a_closed_connection_is_noticed_before_it_is_used() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let peers = warm(&raw, &upstreams, 2).await;
        drop(peers);
        settle().await;
        let front = Front::new(&upstreams);
        let mut client = front.client();
        let ((), mut peer) = join!(
            client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"),
            raw.accept()
        );
        assert_eq!(
            peer.head().await,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"
        );
        assert_eq!(peer.bytes(4).await, "body");
        peer.say(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
    });
}
