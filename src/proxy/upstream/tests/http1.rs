//! The exchange itself: what the upstream sees, and what comes back.

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;

use super::rig::{Front, ID, Raw, get, head, paused, real_time, send, settle, text};
use crate::policy::refusal::Failure;
use crate::proxy::relay::{Cut, Exchange, RequestBody};
use crate::proxy::upstream::Answer;

#[test]
fn the_upstream_sees_exactly_this_over_tcp() {
    real_time(async {
        let raw = Raw::tcp().await;
        let upstreams = raw.upstreams();
        let (response, ()) = join!(get(&upstreams, "/v1/messages?to=1"), async {
            let mut peer = raw.accept().await;
            assert_eq!(
                peer.head().await,
                "GET /v1/messages?to=1 HTTP/1.1\r\nhost: service.example\r\n\r\n"
            );
            peer.say("HTTP/1.1 200 OK\r\nX-Service: yes\r\nContent-Length: 5\r\n\r\nhello")
                .await;
        });
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-service"], "yes");
        assert_eq!(text(response).await.unwrap(), "hello");
    });
}

#[test]
fn a_connection_is_used_again_over_a_unix_socket() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let asking = async {
            for target in ["/1", "/2", "/3"] {
                assert_eq!(text(get(&upstreams, target).await).await.unwrap(), "ok");
            }
        };
        let answering = async {
            let mut peer = raw.accept().await;
            for target in ["/1", "/2", "/3"] {
                assert_eq!(
                    peer.head().await,
                    format!("GET {target} HTTP/1.1\r\nhost: service.example\r\n\r\n")
                );
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
            peer
        };
        let ((), _peer) = join!(asking, answering);
        assert!(raw.is_quiet().await);
    });
}

#[test]
fn an_absolute_target_becomes_origin_form() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (_, ()) = join!(get(&upstreams, "http://service.example/a?b"), async {
            let mut peer = raw.accept().await;
            assert_eq!(peer.head().await, "GET /a?b HTTP/1.1\r\nhost: service.example\r\n\r\n");
            peer.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        });
    });
}

#[test]
fn a_head_cannot_announce_a_body_that_is_not_there() {
    for (name, value, seen) in [
        ("content-length", "5", "content-length: 0\r\n"),
        ("content-length", "0", "content-length: 0\r\n"),
        ("transfer-encoding", "chunked", ""),
    ] {
        paused(async move {
            let raw = Raw::unix();
            let upstreams = raw.upstreams();
            let mut head = head(Method::POST, "/");
            head.headers.insert(name, value.parse().unwrap());
            let exchange = Exchange::new(upstreams.sweep.watch());
            let body = RequestBody::empty(&exchange);
            let (answer, ()) = join!(upstreams.send(ID, None, head, body), async {
                let mut peer = raw.accept().await;
                assert_eq!(
                    peer.head().await,
                    format!("POST / HTTP/1.1\r\nhost: service.example\r\n{seen}\r\n")
                );
                peer.say("HTTP/1.1 204 No Content\r\n\r\n").await;
            });
            assert!(answer.is_ok());
        });
    }
}

#[test]
fn answers_without_a_body_keep_their_length_and_free_the_connection_at_once() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let mut client = front.client();
        let asking = async {
            client.say("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.head().await, "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n");
            client.say("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            // The length that a 304 may announce is a courtesy; hyper's server leaves it out.
            assert_eq!(client.head().await, "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n");
            client.say("DELETE /204 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.head().await, "HTTP/1.1 204 No Content\r\n\r\n");
            client.say("GET /end HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.head().await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        };
        let answering = async {
            let mut peer = raw.accept().await;
            for answer in [
                "200 OK\r\nContent-Length: 1234",
                "304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99",
                "204 No Content",
                "200 OK\r\nContent-Length: 0",
            ] {
                peer.head().await;
                peer.say(&format!("HTTP/1.1 {answer}\r\n\r\n")).await;
            }
            peer
        };
        let ((), _peer) = join!(asking, answering);
        assert!(raw.is_quiet().await);
    });
}

#[test]
fn informational_responses_are_dropped() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, ()) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
            peer.say("HTTP/1.1 102 Processing\r\n\r\n").await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        });
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("link"));
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn a_switch_hands_over_the_stream_and_its_first_bytes() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut head = head(Method::GET, "/socket");
        head.headers.insert("connection", "Upgrade".parse().unwrap());
        head.headers.insert("upgrade", "websocket".parse().unwrap());
        let exchange = Exchange::new(upstreams.sweep.watch());
        let body = RequestBody::empty(&exchange);
        let (answer, mut peer) = join!(upstreams.send(ID, None, head, body), async {
            let mut peer = raw.accept().await;
            assert_eq!(
                peer.head().await,
                "GET /socket HTTP/1.1\r\nhost: service.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
            );
            peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
                .await;
            peer
        });
        let Ok(Answer::Switched(mut switched)) = answer else {
            panic!("not switched")
        };
        assert_eq!(switched.head.status, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(switched.head.headers["upgrade"], "websocket");
        assert_eq!(switched.first_bytes, "first");
        switched.stream.write_all(b"ping").await.unwrap();
        assert_eq!(peer.bytes(4).await, "ping");
        peer.say("pong").await;
        let mut pong = [0; 4];
        switched.stream.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"pong");
        drop(switched);
        assert_eq!(peer.rest().await, "");
    });
}

#[test]
fn a_declined_switch_is_an_ordinary_answer_on_a_reusable_connection() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let mut head = head(Method::GET, "/socket");
        head.headers.insert("connection", "Upgrade".parse().unwrap());
        head.headers.insert("upgrade", "websocket".parse().unwrap());
        let exchange = Exchange::new(upstreams.sweep.watch());
        let body = RequestBody::empty(&exchange);
        let (answer, mut peer) = join!(upstreams.send(ID, None, head, body), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
                .await;
            peer
        });
        let Ok(Answer::Response(response)) = answer else {
            panic!("no response")
        };
        assert_eq!(text(response).await.unwrap(), "no");
        let (again, ()) = join!(get(&upstreams, "/"), async {
            peer.head().await;
            peer.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        });
        assert_eq!(again.status(), StatusCode::NO_CONTENT);
    });
}

#[test]
fn a_dropped_request_closes_the_upstream_connection() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let sending = send(&upstreams, Method::GET, "/slow");
        let mut peer = tokio::select! {
            _ = sending => panic!("answered"),
            peer = async {
                let mut peer = raw.accept().await;
                peer.head().await;
                peer
            } => peer,
        };
        assert_eq!(peer.rest().await, "");
    });
}

#[test]
fn a_client_that_leaves_takes_its_upstream_connection_with_it() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let mut client = front.client();
        let (mut peer, ()) = join!(raw.accept(), client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(client.bytes(4).await, "some");
        drop(client);
        assert_eq!(peer.rest().await, "");
        assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::ClientGone)));
        assert_eq!(front.exchange(0).response_bytes(), 4);
        settle().await;
    });
}
