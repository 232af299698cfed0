//! Answers that are none.

use http::Method;
use tokio::join;

use super::rig::{Raw, definition, get_fails, nowhere, paused, real_time, send};
use crate::config::upstreams::Endpoint;
use crate::policy::refusal::Failure;
use crate::proxy::relay::Cut;
use crate::proxy::sweep::Sweep;
use crate::proxy::upstream::Upstreams;

#[test]
fn what_is_not_an_unambiguous_answer_is_invalid() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Space : a\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        paused(async move {
            let raw = Raw::unix();
            let upstreams = raw.upstreams();
            let (failure, ()) = join!(get_fails(&upstreams, "/"), async {
                let mut peer = raw.accept().await;
                peer.head().await;
                peer.say(answer).await;
                if !answer.is_empty() && answer.ends_with("\r\n\r\n") {
                    // Closed by the gate.
                    peer.rest().await;
                }
            });
            assert_eq!(failure, Failure::UpstreamInvalid, "{answer}");
            assert!(raw.is_quiet().await, "tried again: {answer}");
        });
    }
}

#[test]
fn an_upstream_that_is_not_there_is_unreachable() {
    paused(async {
        let upstreams = Upstreams::new(&[definition(nowhere())], &Sweep::new());
        assert_eq!(get_fails(&upstreams, "/").await, Failure::UpstreamUnreachable);
    });
    real_time(async {
        let raw = Raw::tcp().await;
        let upstreams = raw.upstreams();
        drop(raw);
        assert_eq!(get_fails(&upstreams, "/").await, Failure::UpstreamUnreachable);
        let nameless = definition(Endpoint::Tcp {
            host: "no such name".to_owned(),
            port: 80,
        });
        let upstreams = Upstreams::new(&[nameless], &Sweep::new());
        assert_eq!(get_fails(&upstreams, "/").await, Failure::UpstreamUnreachable);
    });
}

#[test]
fn a_head_that_is_too_long_is_invalid() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (outcome, ()) = join!(send(&upstreams, Method::GET, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            let _ = peer.try_say(b"HTTP/1.1 200 OK\r\n").await;
            for _ in 0..100 {
                let line = format!("X-Padding: {}\r\n", "x".repeat(1000));
                if peer.try_say(line.as_bytes()).await.is_err() {
                    break;
                }
            }
        });
        assert_eq!(outcome.err(), Some(Cut::Failed(Failure::UpstreamInvalid)));
    });
}
