//! The screen with hyper behind it, over a duplex pipe.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;

use super::LIMITS;
use crate::policy::refusal::Hygiene;
use crate::proxy::screen::{BodyFailure, Phase, Screen, ScreenHandle, linger};

/// What the service saw of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Request {
        method: String,
        target: String,
        body: Vec<u8>,
    },
    /// A request whose body could not be read.
    Failed {
        method: String,
        target: String,
        failure: Option<BodyFailure>,
    },
    Refused(Hygiene),
}

/// An answer that says when it is done.
struct Answer {
    content: Full<Bytes>,
    call: u64,
    handle: ScreenHandle,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.content.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.handle.answered(self.call);
    }
}

/// Serves one connection as the proxy would, until hyper is done; says what the service saw.
pub(super) async fn serve(io: DuplexStream, gate: Option<Rc<Notify>>) -> (Vec<Seen>, ScreenHandle) {
    let screen = Screen::new(io, LIMITS);
    let handle = screen.handle();
    let seen = RefCell::new(Vec::new());
    let calls = Cell::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let call = calls.replace(calls.get() + 1);
        let (handle, seen, gate) = (&handle, &seen, &gate);
        async move {
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let (parts, body) = request.into_parts();
            let (method, target) = (parts.method.to_string(), parts.uri.to_string());
            let (status, this) = if let Some(refused) = handle.take_refusal(call) {
                (refused.hygiene.status(), Seen::Refused(refused.hygiene))
            } else {
                match body.collect().await {
                    Ok(body) => {
                        let body = body.to_bytes().to_vec();
                        (StatusCode::OK, Seen::Request { method, target, body })
                    }
                    Err(_) => {
                        let failure = handle.body_failure(call);
                        (
                            StatusCode::BAD_REQUEST,
                            Seen::Failed {
                                method,
                                target,
                                failure,
                            },
                        )
                    }
                }
            };
            seen.borrow_mut().push(this);
            let content = Full::new(Bytes::from(format!("answer {call}")));
            let answer = Answer {
                content,
                call,
                handle: handle.clone(),
            };
            Ok::<_, Infallible>(
                Response::builder()
                    .status(status)
                    .header("x-from", "service")
                    .body(answer)
                    .unwrap(),
            )
        }
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .half_close(false)
        .serve_connection(TokioIo::new(screen), service);
    // An error is the client's doing; the test looks at what it got.
    drop(connection.await);
    (seen.into_inner(), handle)
}

/// Sends parts, closes the sending side, and reads everything that comes.
pub(super) async fn exchange<'b>(parts: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Seen>, String) {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (mut reader, mut writer) = tokio::io::split(client);
    let send = async {
        for part in parts {
            if writer.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(writer.shutdown().await);
    };
    let receive = async {
        let mut answers = String::new();
        reader.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let ((), answers, (seen, _)) = tokio::join!(send, receive, serve(server, None));
    (seen, answers)
}

fn request(method: &str, target: &str, body: &[u8]) -> Seen {
    Seen::Request {
        method: method.into(),
        target: target.into(),
        body: body.into(),
    }
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[tokio::test]
async fn a_refusal_is_answered_in_order_after_the_pipelined_answers() {
    let stream = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
        POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n\
        GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for size in [1, 10, 1000] {
        let (seen, answers) = exchange(stream.chunks(size)).await;
        let refused = Seen::Refused(Hygiene::AmbiguousLength);
        assert_eq!(
            seen,
            [request("GET", "/a", b""), request("POST", "/b", b"abc"), refused]
        );
        assert_eq!(statuses(&answers), ["200", "200", "400"]);
        assert!(answers.contains("connection: close"), "{answers}");
        assert!(answers.ends_with("answer 2"), "{answers}");
    }
}

#[tokio::test]
async fn a_refused_head_request_is_answered_without_a_body() {
    let (seen, answers) = exchange([&b"HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"[..]]).await;
    assert_eq!(seen, [Seen::Refused(Hygiene::Host)]);
    assert!(
        answers.contains("content-length: 8") && answers.ends_with("\r\n\r\n"),
        "{answers}"
    );
}

#[tokio::test]
async fn a_wrong_version_is_a_505_and_an_endless_head_a_431_or_414() {
    let endless = "a".repeat(2000);
    for (head, status) in [
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), "505"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
            "501",
        ),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {endless}"), "431"),
        (format!("GET /{endless}"), "414"),
    ] {
        let (_, answers) = exchange([head.as_bytes()]).await;
        assert_eq!(statuses(&answers), [status]);
        assert!(answers.contains("x-from: service"));
    }
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_all_its_answers() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let gate = Rc::new(Notify::new());
    let call = async {
        client
            .write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3))
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        for _ in 0..3 {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            gate.notify_one();
        }
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let (answers, (seen, handle)) = tokio::join!(call, serve(server, Some(Rc::clone(&gate))));
    assert_eq!(statuses(&answers), ["200", "200", "200"]);
    assert_eq!(seen.len(), 3);
    assert_eq!(handle.0.unanswered(), 0);
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_loses_nothing_of_it_when_it_has_closed_its_sending_side() {
    // The pipe holds 16 bytes, so every answer is flushed in many parts.
    let (mut client, server) = tokio::io::duplex(16);
    let call = async {
        client
            .write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2))
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let (answers, (seen, _)) = tokio::join!(call, serve(server, None));
    assert_eq!(statuses(&answers), ["200", "200"]);
    assert!(answers.ends_with("answer 1"));
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_from_outside() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let screen = Screen::new(server, LIMITS);
    let handle = screen.handle();
    let service = service_fn(|_: Request<Incoming>| {
        let answer = Answer {
            content: Full::new(Bytes::from("x")),
            call: 0,
            handle: handle.clone(),
        };
        async { Ok::<_, Infallible>(Response::new(answer)) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(screen), service);
    let call = async {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        while handle.snapshot().bytes_written == 0 || handle.snapshot().phase != Phase::Idle {
            tokio::task::yield_now().await;
        }
        handle.close_idle();
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let (served, answers) = tokio::join!(connection, call);
    served.unwrap();
    assert_eq!(statuses(&answers), ["200"]);
}

#[tokio::test]
async fn a_head_that_takes_too_long_gets_a_408_and_a_broken_body_a_400() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let screen = Screen::new(server, LIMITS);
    let handle = screen.handle();
    let service = service_fn(|_: Request<Incoming>| {
        let status = handle.take_refusal(0).unwrap().hygiene.status();
        let answer = Answer {
            content: Full::default(),
            call: 0,
            handle: handle.clone(),
        };
        async move { Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap()) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(screen), service);
    let call = async {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            .await
            .unwrap();
        while handle.snapshot().phase != Phase::Head {
            tokio::task::yield_now().await;
        }
        handle.expire_head();
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let (served, answers) = tokio::join!(connection, call);
    served.unwrap();
    assert_eq!(statuses(&answers), ["408"]);

    let broken = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n";
    let (seen, answers) = exchange([&broken[..]]).await;
    assert_eq!(
        seen,
        [Seen::Failed {
            method: "POST".into(),
            target: "/".into(),
            failure: Some(BodyFailure::Broken)
        }]
    );
    assert_eq!(statuses(&answers), ["400"]);
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_body_arrives_whole_through_a_narrow_pipe() {
    let (mut client, server) = tokio::io::duplex(64);
    let screen = Screen::new(server, LIMITS);
    let handle = screen.handle();
    let service = service_fn(|_: Request<Incoming>| {
        let content = Full::new(Bytes::from(vec![b'x'; 20_000]));
        let handle = handle.clone();
        async move {
            Ok::<_, Infallible>(Response::new(Answer {
                content,
                call: 0,
                handle,
            }))
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(screen), service);
    let serve = async {
        // Not `poll_without_shutdown`: that is done before the answer is flushed, and would lose most of it.
        poll_fn(|cx| Pin::new(&mut connection).poll(cx)).await.unwrap();
        assert!(handle.leaves_unread());
        let (io, _) = connection.into_parts().io.into_inner().into_inner();
        linger(io, 1 << 20, Duration::from_secs(2)).await;
    };
    let call = async {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly the beginning";
        client.write_all(head).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        drop(client);
        answer
    };
    let ((), answer) = tokio::join!(serve, call);
    assert!(answer.ends_with(&[b'x'; 20_000]), "{} bytes", answer.len());
}

#[tokio::test]
async fn after_a_switch_of_protocols_every_byte_is_there_in_order() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    for released_early in [false, true] {
        for size in [1, 7, 70, 1000] {
            let (mut client, server) = tokio::io::duplex(1 << 16);
            let screen = Screen::new(server, LIMITS);
            let handle = screen.handle();
            let service = service_fn(|_: Request<Incoming>| {
                if released_early {
                    handle.release(0);
                }
                let answer = Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header("connection", "upgrade")
                    .header("upgrade", "x")
                    .body(Full::<Bytes>::default())
                    .unwrap();
                async { Ok::<_, Infallible>(answer) }
            });
            let mut connection = http1::Builder::new().serve_connection(TokioIo::new(screen), service);
            let serve = async {
                poll_fn(|cx| Pin::new(&mut connection).poll(cx)).await.unwrap();
                let parts = connection.into_parts();
                let (mut io, held) = parts.io.into_inner().into_inner();
                let mut bytes = [&parts.read_buf[..], &held].concat();
                io.read_to_end(&mut bytes).await.unwrap();
                bytes
            };
            let call = async {
                for part in [head, &b"GET is no head any more\n\n"[..]].concat().chunks(size) {
                    client.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                answer
            };
            let (bytes, answer) = tokio::join!(serve, call);
            assert_eq!(bytes, b"GET is no head any more\n\n", "{size}");
            assert_eq!(statuses(&answer), ["101"]);
        }
    }
}
