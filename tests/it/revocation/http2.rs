//! HTTP/2: a stream whose key dies is reset or refused, and the other streams of its connection go on.

use bytes::Bytes;
use h2::Reason;

use super::stage::Stage;
use super::{revoke, setup, told};
use crate::harness::{ALPHA, BETA, Gate, H2Client, block_on};

type Body = h2::RecvStream;

/// Asks for events under a key; the body of the answer, which has begun.
async fn events(client: &mut H2Client, path: &str, key: &str) -> Body {
    let request = client.request("GET", path, &[("x-api-key", key)]);
    let (answer, _) = client.start(request, true).await.unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

/// Reads events on, which have to be complete and in order.
async fn go_on(body: &mut Body, seen: &mut String) {
    let wanted = seen.len() + 100;
    while seen.len() < wanted {
        let data = body.data().await.expect("more events").unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
    let whole: String = (0..seen.len()).map(|number| format!("event {number};")).collect();
    assert!(whole.starts_with(seen.as_str()), "{seen}");
}

/// Reads up to the reset of a stream.
async fn reset(body: &mut Body) -> Reason {
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => body.flow_control().release_capacity(data.len()).unwrap(),
            Err(error) => return error.reason().expect("a reset, not the end of the connection"),
        }
    }
    panic!("it ended in good order");
}

#[test]
fn a_running_answer_is_reset_and_the_other_streams_of_the_connection_go_on() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let mut alpha = events(&mut client, "/events/alpha", ALPHA).await;
        let mut beta = events(&mut client, "/events/beta", BETA).await;
        let mut seen = String::new();
        go_on(&mut beta, &mut seen).await;
        revoke(&gate);
        reset(&mut alpha).await;
        stage.wait_for("/events/alpha", "cut");
        go_on(&mut beta, &mut seen).await;
        assert_eq!(client.get("/", &[("x-api-key", ALPHA)]).await.status(), 401);
        assert_eq!(client.get("/", &[("x-api-key", BETA)]).await.status(), 200);
        go_on(&mut beta, &mut seen).await;
    });
    told(&gate, "/events/alpha", "credential_invalid", "revoked");
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 1.0);
}

#[test]
fn a_stream_whose_client_takes_nothing_is_reset() {
    for window in [0, 100] {
        let stage = Stage::new();
        let gate = Gate::start(&setup(&stage.upstream));
        block_on(async {
            let mut settings = h2::client::Builder::new();
            settings.initial_window_size(window);
            let mut client = H2Client::open_with(gate.ingress(), &settings).await;
            let mut alpha = events(&mut client, "/download/alpha", ALPHA).await;
            let mut taken = 0;
            while taken < window as usize {
                taken += alpha.data().await.unwrap().unwrap().len();
            }
            revoke(&gate);
            let ended = alpha.data().await.expect("a reset");
            assert!(ended.unwrap_err().is_reset());
            stage.wait_for("/download/alpha", "cut");
            // The connection lives on, although it has no room for the body of any answer.
            let request = client.request("HEAD", "/", &[("x-api-key", BETA)]);
            let (answer, _) = client.start(request, true).await.unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        });
        told(&gate, "/download/alpha", "credential_invalid", "revoked");
    }
}

#[test]
fn an_upload_is_refused_or_reset_and_ends_badly_for_the_upstream() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("POST", "/upload/alpha", &[("x-api-key", ALPHA)]);
        let (answer, mut body) = client.start(request, false).await.unwrap();
        body.send_data(Bytes::from_static(b"first"), false).unwrap();
        let request = client.request("POST", "/upload/beta", &[("x-api-key", BETA)]);
        let (other_answer, mut other_body) = client.start(request, false).await.unwrap();
        other_body.send_data(Bytes::from_static(b"first"), false).unwrap();
        let received = async |target: &str| {
            while !stage
                .upstream
                .requests()
                .iter()
                .any(|it| it.target() == target && it.body == b"first")
            {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        received("/upload/alpha").await;
        received("/upload/beta").await;
        revoke(&gate);
        match answer.await {
            Ok(answer) => assert_eq!(answer.status(), 401),
            Err(error) => assert!(error.is_reset(), "{error}"),
        }
        stage.wait_for("/upload/alpha", "cut");
        // What is still sent goes nowhere.
        let _ = body.send_data(Bytes::from_static(b"second"), true);
        other_body.send_data(Bytes::from_static(b" and last"), true).unwrap();
        assert_eq!(other_answer.await.unwrap().status(), 200);
    });
    let requests = stage.upstream.requests();
    let body = |target: &str| requests.iter().find(|it| it.target() == target).unwrap().body.clone();
    assert_eq!(body("/upload/alpha"), b"first");
    assert_eq!(body("/upload/beta"), b"first and last");
    told(&gate, "/upload/alpha", "credential_invalid", "revoked");
}

#[test]
fn a_request_that_waits_for_its_answer_is_refused_and_the_next_on_the_connection_is_served() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("GET", "/waiting/alpha", &[("x-api-key", ALPHA)]);
        let (answer, _) = client.start(request, true).await.unwrap();
        let waits = async {
            while stage.upstream.requests().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let asked = async { answer.await.unwrap() };
        let revoked = async {
            waits.await;
            revoke(&gate);
        };
        let (answer, ()) = tokio::join!(asked, revoked);
        let answer = crate::harness::finish(answer).await.unwrap();
        assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_invalid"));
        stage.wait_for("/waiting/alpha", "gone");
        assert_eq!(client.get("/", &[("x-api-key", BETA)]).await.status(), 200);
    });
    told(&gate, "/waiting/alpha", "credential_invalid", "revoked");
}
