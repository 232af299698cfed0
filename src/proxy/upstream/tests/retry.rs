//! A second try: when, and above all when not.

use http::Method;
use tokio::join;

use super::rig::{Front, Peer, Raw, get, get_fails, paused, send, text};
use crate::policy::refusal::Failure;
use crate::proxy::relay::Cut;
use crate::proxy::upstream::{Answer, Upstreams};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One connection in the pool.
async fn warm(raw: &Raw, upstreams: &Upstreams) -> Peer {
    let (response, peer) = join!(get(upstreams, "/warm"), async {
        let mut peer = raw.accept().await;
        peer.head().await;
        peer.say(OK).await;
        peer
    });
    assert_eq!(text(response).await.unwrap(), "ok");
    peer
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_sent_once_more() {
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        paused(async move {
            let raw = Raw::unix();
            let upstreams = raw.upstreams();
            let mut stale = warm(&raw, &upstreams).await;
            let (answer, ()) = join!(send(&upstreams, method.clone(), "/x"), async {
                let first = stale.head().await;
                drop(stale);
                let mut fresh = raw.accept().await;
                assert_eq!(fresh.head().await, first);
                fresh.say("HTTP/1.1 204 No Content\r\n\r\n").await;
            });
            assert!(matches!(answer, Ok(Answer::Response(_))), "{method}");
            assert!(raw.is_quiet().await);
        });
    }
}

#[test]
fn it_is_sent_once_more_and_not_twice() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut stale = warm(&raw, &upstreams).await;
        let (failure, ()) = join!(get_fails(&upstreams, "/x"), async {
            stale.head().await;
            drop(stale);
            raw.accept().await.head().await;
        });
        assert_eq!(failure, Failure::UpstreamInvalid);
        assert!(raw.is_quiet().await);
    });
}

#[test]
fn a_request_on_a_fresh_connection_is_not_sent_again() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (failure, ()) = join!(get_fails(&upstreams, "/x"), async {
            raw.accept().await.head().await;
        });
        assert_eq!(failure, Failure::UpstreamInvalid);
        assert!(raw.is_quiet().await);
    });
}

#[test]
fn the_second_try_goes_to_a_fresh_connection_and_not_to_the_next_stale_one() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        // Two idle connections, of which the second is used next.
        let mut request = Box::pin(get(&upstreams, "/1"));
        let mut one = tokio::select! {
            _ = &mut request => panic!("answered"),
            peer = async {
                let mut peer = raw.accept().await;
                peer.head().await;
                peer
            } => peer,
        };
        let two = warm(&raw, &upstreams).await;
        let (response, ()) = join!(request, one.say(OK));
        assert_eq!(text(response).await.unwrap(), "ok");

        let (response, ()) = join!(get(&upstreams, "/x"), async {
            one.head().await;
            drop(one);
            let mut fresh = raw.accept().await;
            fresh.head().await;
            fresh.say(OK).await;
        });
        assert_eq!(text(response).await.unwrap(), "ok");
        drop(two);
    });
}

#[test]
fn a_post_that_the_upstream_may_have_seen_is_never_sent_twice() {
    for request in [
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
    ] {
        paused(async move {
            let raw = Raw::unix();
            let upstreams = raw.upstreams();
            let mut stale = warm(&raw, &upstreams).await;
            let front = Front::new(&upstreams);
            let mut client = front.client();
            client.say(request).await;
            stale.head().await;
            drop(stale);
            assert!(client.head().await.starts_with("HTTP/1.1 502 "), "{request}");
            assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::UpstreamInvalid)));
            assert!(raw.is_quiet().await, "sent again: {request}");
        });
    }
}

#[test]
fn a_post_that_never_left_goes_out_on_a_fresh_connection_with_its_body() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let stale = warm(&raw, &upstreams).await;
        let front = Front::new(&upstreams);
        let mut client = front.client();
        // Both happen before the gate looks: the close is there when the request is picked up.
        client
            .say("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
            .await;
        drop(stale);
        let mut fresh = raw.accept().await;
        assert_eq!(
            fresh.head().await,
            "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"
        );
        assert_eq!(fresh.bytes(4).await, "body");
        fresh.say(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
        assert!(raw.is_quiet().await);
    });
}

#[test]
fn an_invalid_answer_on_a_pooled_connection_is_not_asked_for_again() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut pooled = warm(&raw, &upstreams).await;
        let (failure, ()) = join!(get_fails(&upstreams, "/x"), async {
            pooled.head().await;
            pooled.say("nonsense\r\n\r\n").await;
        });
        assert_eq!(failure, Failure::UpstreamInvalid);
        assert!(raw.is_quiet().await);
    });
}
