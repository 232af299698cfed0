//! Each wait has its own deadline, and each deadline its own failure.

use std::time::Duration;

use tokio::join;
use tokio::time::sleep;

use super::rig::{Front, Raw, clock, get, get_fails, paused, real_time, text};
use crate::config::upstreams::Endpoint;
use crate::policy::refusal::Failure;
use crate::proxy::relay::Cut;
use crate::proxy::sweep::Sweep;
use crate::proxy::upstream::Upstreams;

/// Within two ticks.
fn about(measured: f64, seconds: f64) {
    assert!(
        measured >= seconds && measured <= seconds + 0.25,
        "{measured} s instead of {seconds} s"
    );
}

#[test]
fn no_connection_in_time() {
    real_time(async {
        // A listener whose queue is full does not answer.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut fillers = Vec::new();
        while let Ok(Ok(filler)) =
            tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
        {
            fillers.push(filler);
        }
        let mut definition = super::rig::definition(Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
        });
        definition.timeouts.connect = Duration::from_millis(300);
        let upstreams = Upstreams::new(&[definition], &Sweep::new());
        assert_eq!(get_fails(&upstreams, "/").await, Failure::UpstreamConnectTimeout);
    });
}

#[test]
fn no_answer_in_time() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let start = clock();
        let (failure, closed) = join!(get_fails(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.rest().await
        });
        assert_eq!(failure, Failure::UpstreamTimeout);
        assert_eq!(closed, "");
        about(clock() - start, 60.0);
    });
}

#[test]
fn an_answer_on_a_kept_connection_has_its_own_time() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, mut peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            sleep(Duration::from_secs(50)).await;
            peer.say("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer
        });
        assert_eq!(text(response).await.unwrap(), "");
        let (response, ()) = join!(get(&upstreams, "/"), async {
            peer.head().await;
            sleep(Duration::from_secs(50)).await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        });
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn an_answer_that_stops_in_the_middle() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, mut peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
            peer
        });
        let start = clock();
        let (body, closed) = join!(text(response), async {
            // Each byte starts the time again.
            sleep(Duration::from_secs(50)).await;
            peer.say("a").await;
            sleep(Duration::from_secs(50)).await;
            peer.say("b").await;
            peer.rest().await
        });
        assert_eq!(body, Err(Cut::Failed(Failure::UpstreamIdleTimeout)));
        assert_eq!(closed, "");
        about(clock() - start, 160.0);
    });
}

#[test]
fn the_time_of_a_client_that_does_not_read_is_not_the_upstreams() {
    paused(async {
        let raw = Raw::unix();
        let upstreams = raw.upstreams();
        let (response, _peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer
        });
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn an_exchange_that_takes_too_long_as_a_whole() {
    paused(async {
        let mut raw = Raw::unix();
        raw.definition.timeouts.total = Some(Duration::from_secs(90));
        let upstreams = raw.upstreams();
        let start = clock();
        let (response, mut peer) = join!(get(&upstreams, "/"), async {
            let mut peer = raw.accept().await;
            peer.head().await;
            sleep(Duration::from_secs(40)).await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
            peer
        });
        let dripping = async {
            while peer.try_say(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let reading = async {
            let body = text(response).await;
            (body, clock() - start)
        };
        let ((body, took), ()) = join!(reading, dripping);
        assert_eq!(body, Err(Cut::Failed(Failure::TotalTimeout)));
        about(took, 90.0);

        // And before the answer.
        raw.definition.timeouts.total = Some(Duration::from_secs(10));
        let upstreams = raw.upstreams();
        let (failure, _peer) = join!(get_fails(&upstreams, "/"), raw.accept());
        assert_eq!(failure, Failure::TotalTimeout);
    });
}

#[test]
fn a_client_that_stops_sending_its_body() {
    paused(async {
        let raw = Raw::unix();
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        for _ in 0..3 {
            sleep(Duration::from_secs(25)).await;
            client.say("x").await;
            peer.bytes(1).await;
        }
        let start = clock();
        assert!(client.head().await.starts_with("HTTP/1.1 408 "));
        about(clock() - start, 30.0);
        assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::ClientBodyTimeout)));
        assert_eq!(peer.rest().await, "");
    });
}

#[test]
fn a_slow_upload_is_not_an_upstream_that_does_not_answer() {
    paused(async {
        let mut raw = Raw::unix();
        raw.definition.timeouts.head = Duration::from_secs(5);
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        client
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
            .await;
        let mut peer = raw.accept().await;
        peer.head().await;
        for _ in 0..9 {
            sleep(Duration::from_secs(20)).await;
            client.say("x").await;
            peer.bytes(1).await;
        }
        // The last byte starts the upstream's own time.
        client.say("x").await;
        let start = clock();
        assert!(client.head().await.starts_with("HTTP/1.1 504 "));
        about(clock() - start, 5.0);
        assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::UpstreamTimeout)));
    });
}

#[test]
fn an_upstream_that_does_not_take_the_body() {
    paused(async {
        let mut raw = Raw::unix();
        raw.definition.timeouts.head = Duration::from_secs(5);
        let front = Front::new(&raw.upstreams());
        let mut client = front.client();
        let _peer = {
            let (peer, ()) = join!(
                raw.accept(),
                client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            );
            peer
        };
        let block = vec![b'x'; 64 * 1024];
        loop {
            tokio::select! {
                biased;
                sent = client.try_say(&block) => if sent.is_err() { break },
                () = sleep(Duration::from_secs(30)) => break,
            }
        }
        assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::UpstreamTimeout)));
    });
}

#[test]
fn a_quiet_request_is_no_timeout_once_the_answer_has_begun() {
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
        // The upstream speaks, the client does not.
        for _ in 0..5 {
            sleep(Duration::from_secs(45)).await;
            peer.say("1\r\na\r\n").await;
            client.until("a\r\n").await;
        }
        // The client speaks, the upstream does not.
        for _ in 0..5 {
            sleep(Duration::from_secs(45)).await;
            client.say("1\r\nb\r\n").await;
            peer.until("b\r\n").await;
        }
        // Nobody speaks.
        let start = clock();
        assert_eq!(peer.rest().await, "");
        about(clock() - start, 60.0);
        assert_eq!(front.exchange(0).cut(), Some(Cut::Failed(Failure::UpstreamIdleTimeout)));
    });
}
