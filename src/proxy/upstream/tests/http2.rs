//! HTTP/2 with prior knowledge: one connection for everybody, streams in both directions, trailers.

use std::rc::Rc;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::join;
use tokio::sync::mpsc;

use super::super::{Transport, Upstreams};
use super::rig::{Front, Raw, get, get_fails, head, paused, send, settle, text};
use crate::config::upstreams::Protocol;
use crate::policy::refusal::Failure;
use crate::proxy::relay::{Cut, ResponseBody};
use crate::proxy::upstream::Answer;

type Asked = (Request<RecvStream>, SendResponse<Bytes>);

fn h2c() -> Raw {
    let mut raw = Raw::unix();
    raw.definition.protocol = Protocol::H2c;
    raw
}

fn connections(upstreams: &Upstreams) -> usize {
    match &upstreams.targets[0].transport {
        Transport::Http2(http2) => http2.connections(),
        Transport::Http1(_) => panic!("not HTTP/2"),
    }
}

/// Accepts one connection and hands out its streams.
async fn serve(raw: &Raw, builder: h2::server::Builder) -> mpsc::UnboundedReceiver<Asked> {
    let stream = raw.accept().await.into_stream();
    let mut connection: Connection<_, Bytes> = builder.handshake(stream).await.unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        while let Some(Ok(asked)) = connection.accept().await {
            if sender.send(asked).is_err() {
                break;
            }
        }
    });
    receiver
}

fn ok() -> Response<()> {
    Response::new(())
}

fn trailers(name: &'static str, value: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, value.parse().unwrap());
    trailers
}

#[test]
fn requests_share_one_connection() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let mut waiting = Vec::new();
            for _ in 0..3 {
                waiting.push(streams.recv().await.unwrap());
            }
            for (request, mut respond) in waiting {
                let mut body = respond.send_response(ok(), false).unwrap();
                let path = request.uri().path().to_owned();
                body.send_data(Bytes::from(path), true).unwrap();
            }
            streams
        };
        let asking = async |target| text(get(&upstreams, target).await).await.unwrap();
        let (one, two, three, _streams) = join!(asking("/1"), asking("/2"), asking("/3"), serving);
        assert_eq!([one, two, three], ["/1", "/2", "/3"]);
        assert!(raw.is_quiet().await);
        assert_eq!(connections(&upstreams), 1);
    });
}

#[test]
fn the_upstream_sees_a_scheme_an_authority_and_te_trailers() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (request, mut respond) = streams.recv().await.unwrap();
            assert_eq!(request.uri(), "http://service.example/a?b");
            assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
            assert_eq!(request.headers()["te"], "trailers");
            respond.send_response(ok(), true).unwrap();
            streams
        };
        let (response, _streams) = join!(get(&upstreams, "/a?b"), serving);
        assert_eq!(response.status(), StatusCode::OK);
    });
}

#[test]
fn a_stream_goes_both_ways_with_trailers_at_both_ends() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let (mut client, connection) = h2::client::handshake(front.client_h2()).await.unwrap();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        let request = Request::post("http://a/chat.Chat/Talk")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut upload) = client.send_request(request, false).unwrap();

        let mut streams = serve(&raw, h2::server::Builder::new()).await;
        let (request, mut respond) = streams.recv().await.unwrap();
        assert_eq!(request.headers()["te"], "trailers");
        assert!(!request.headers().contains_key("content-length"));
        let mut asked = request.into_body();
        let mut answer = respond.send_response(ok(), false).unwrap();
        let mut answered = response.await.unwrap().into_body();
        for word in ["one", "two", "three"] {
            upload.send_data(Bytes::from(word), false).unwrap();
            assert_eq!(asked.data().await.unwrap().unwrap(), word);
            answer.send_data(Bytes::from(word), false).unwrap();
            assert_eq!(answered.data().await.unwrap().unwrap(), word);
        }
        let mut forged = trailers("x-auth-key-id", "forged");
        forged.insert("x-sum", "1".parse().unwrap());
        upload.send_trailers(forged).unwrap();
        assert!(asked.data().await.is_none());
        assert_eq!(asked.trailers().await.unwrap().unwrap(), trailers("x-sum", "1"));
        answer.send_trailers(trailers("grpc-status", "0")).unwrap();
        assert!(answered.data().await.is_none());
        assert_eq!(answered.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        assert_eq!(front.exchange(0).request_bytes(), 11);
        assert_eq!(front.exchange(0).response_bytes(), 11);
        assert_eq!(front.exchange(0).cut(), None);
    });
}

#[test]
fn an_answer_of_trailers_alone_passes() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = streams.recv().await.unwrap();
            let mut response = ok();
            response.headers_mut().insert("grpc-status", "5".parse().unwrap());
            respond.send_response(response, true).unwrap();
            let (_, mut respond) = streams.recv().await.unwrap();
            let mut body = respond.send_response(ok(), false).unwrap();
            body.send_trailers(trailers("grpc-status", "7")).unwrap();
            streams
        };
        let asking = async {
            let response = get(&upstreams, "/1").await;
            assert_eq!(response.headers()["grpc-status"], "5");
            let response = get(&upstreams, "/2").await;
            let body = ResponseBody::upstream(response.into_body(), ());
            let collected = body.collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["grpc-status"], "7");
        };
        join!(serving, asking);
    });
}

#[test]
fn a_dropped_request_resets_its_stream_and_nothing_else() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let mut abandoned = Box::pin(send(&upstreams, Method::GET, "/abandoned"));
        let (mut streams, mut respond) = tokio::select! {
            _ = &mut abandoned => panic!("answered"),
            opened = async {
                let mut streams = serve(&raw, h2::server::Builder::new()).await;
                let (_, respond) = streams.recv().await.unwrap();
                (streams, respond)
            } => opened,
        };
        drop(abandoned);
        let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
        assert_eq!(reason, Reason::CANCEL);
        let (response, ()) = join!(get(&upstreams, "/kept"), async {
            let (_, mut respond) = streams.recv().await.unwrap();
            respond.send_response(ok(), true).unwrap();
        });
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(connections(&upstreams), 1);
    });
}

#[test]
fn a_client_that_leaves_ends_both_directions_of_its_stream() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let (mut client, connection) = h2::client::handshake(front.client_h2()).await.unwrap();
        let driving = tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        let (response, mut upload) = client
            .send_request(Request::post("http://a/").body(()).unwrap(), false)
            .unwrap();
        upload.send_data(Bytes::from_static(b"some"), false).unwrap();
        let mut streams = serve(&raw, h2::server::Builder::new()).await;
        let (request, mut respond) = streams.recv().await.unwrap();
        let mut asked = request.into_body();
        assert_eq!(asked.data().await.unwrap().unwrap(), "some");
        let _answer = respond.send_response(ok(), false).unwrap();
        let _answered = response.await.unwrap();
        driving.abort();
        assert!(asked.data().await.unwrap().is_err());
        settle().await;
        assert!(front.exchange(0).cut().is_some());
    });
}

#[test]
fn after_goaway_the_next_request_goes_to_a_new_connection() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let stream = raw.accept().await.into_stream();
            let mut connection: Connection<_, Bytes> = h2::server::handshake(stream).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            connection.graceful_shutdown();
            respond.send_response(ok(), true).unwrap();
            while let Some(Ok(_)) = connection.accept().await {}
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = streams.recv().await.unwrap();
            respond.send_response(ok(), true).unwrap();
            streams
        };
        let asking = async {
            assert_eq!(get(&upstreams, "/1").await.status(), StatusCode::OK);
            settle().await;
            assert_eq!(connections(&upstreams), 0);
            assert_eq!(get(&upstreams, "/2").await.status(), StatusCode::OK);
        };
        let (_streams, ()) = join!(serving, asking);
    });
}

#[test]
fn a_stream_refused_on_a_connection_that_was_there_is_tried_on_a_new_one() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut first = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = first.recv().await.unwrap();
            respond.send_response(ok(), true).unwrap();
            let (_, mut respond) = first.recv().await.unwrap();
            respond.send_reset(Reason::REFUSED_STREAM);
            let mut second = serve(&raw, h2::server::Builder::new()).await;
            let (request, mut respond) = second.recv().await.unwrap();
            assert_eq!(request.uri().path(), "/2");
            respond.send_response(ok(), true).unwrap();
            (first, second)
        };
        let asking = async {
            get(&upstreams, "/1").await;
            assert_eq!(get(&upstreams, "/2").await.status(), StatusCode::OK);
        };
        join!(serving, asking);
    });
}

#[test]
fn a_stream_that_failed_for_a_reason_is_not_tried_again() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = streams.recv().await.unwrap();
            respond.send_response(ok(), true).unwrap();
            let (_, mut respond) = streams.recv().await.unwrap();
            respond.send_reset(Reason::INTERNAL_ERROR);
            streams
        };
        let asking = async {
            get(&upstreams, "/1").await;
            assert_eq!(get_fails(&upstreams, "/2").await, Failure::UpstreamInvalid);
        };
        let (mut streams, ()) = join!(serving, asking);
        settle().await;
        assert!(streams.try_recv().is_err());
        assert!(raw.is_quiet().await);
    });
}

#[test]
fn an_answer_cut_in_the_middle_is_an_error() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = streams.recv().await.unwrap();
            let mut body = respond.send_response(ok(), false).unwrap();
            body.send_data(Bytes::from_static(b"half"), false).unwrap();
            settle().await;
            body.send_reset(Reason::INTERNAL_ERROR);
            streams
        };
        let asking = async { text(get(&upstreams, "/").await).await };
        let (body, _streams) = join!(asking, serving);
        assert_eq!(body, Err(Cut::Failed(Failure::UpstreamInvalid)));
    });
}

#[test]
fn a_full_connection_gets_a_companion() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut limited = h2::server::Builder::new();
            limited.max_concurrent_streams(1);
            let mut first = serve(&raw, limited).await;
            let (_, mut respond) = first.recv().await.unwrap();
            respond.send_response(ok(), true).unwrap();
            // From here on the gate knows the limit.
            let one = first.recv().await.unwrap();
            let mut second = serve(&raw, h2::server::Builder::new()).await;
            let two = second.recv().await.unwrap();
            for (_, mut respond) in [one, two] {
                respond.send_response(ok(), true).unwrap();
            }
            (first, second)
        };
        let asking = async {
            get(&upstreams, "/0").await;
            settle().await;
            join!(get(&upstreams, "/1"), async {
                settle().await;
                get(&upstreams, "/2").await
            });
        };
        join!(serving, asking);
        assert_eq!(connections(&upstreams), 2);
    });
}

#[test]
fn a_silent_connection_is_left_when_a_request_times_out_on_it() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut silent = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = silent.recv().await.unwrap();
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            assert_eq!(reason, Reason::CANCEL);
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (_, mut respond) = streams.recv().await.unwrap();
            respond.send_response(ok(), true).unwrap();
            (silent, streams)
        };
        let asking = async {
            let start = super::rig::clock();
            assert_eq!(get_fails(&upstreams, "/1").await, Failure::UpstreamTimeout);
            assert!(super::rig::clock() - start >= 60.0);
            assert_eq!(get(&upstreams, "/2").await.status(), StatusCode::OK);
        };
        join!(serving, asking);
    });
}

#[test]
fn an_upstream_that_does_not_speak_http2() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let serving = async {
            let mut peer = raw.accept().await;
            peer.until("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
            peer.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            peer.rest().await
        };
        let (failure, _) = join!(get_fails(&upstreams, "/"), serving);
        assert_eq!(failure, Failure::UpstreamInvalid);
    });
}

#[test]
fn an_answer_that_ends_early_ends_the_request_too() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let (mut client, connection) = h2::client::handshake(front.client_h2()).await.unwrap();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        let (response, mut upload) = client
            .send_request(Request::post("http://a/").body(()).unwrap(), false)
            .unwrap();
        upload.send_data(Bytes::from_static(b"some"), false).unwrap();
        let mut streams = serve(&raw, h2::server::Builder::new()).await;
        let (request, mut respond) = streams.recv().await.unwrap();
        let mut asked = request.into_body();
        assert_eq!(asked.data().await.unwrap().unwrap(), "some");
        let mut answer = respond.send_response(ok(), false).unwrap();
        let response = response.await.unwrap();
        settle().await;
        answer.send_data(Bytes::from_static(b"done"), true).unwrap();
        assert_eq!(response.into_body().data().await.unwrap().unwrap(), "done");
        assert!(asked.data().await.unwrap().is_err());
        settle().await;
        assert_eq!(front.exchange(0).cut(), None);
        assert_eq!(Rc::strong_count(&front.exchange(0)), 2);
    });
}

#[test]
fn an_expectation_stays_with_the_gate() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let front = Front::new(&upstreams);
        let mut client = front.client();
        client
            .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut streams = serve(&raw, h2::server::Builder::new()).await;
        let (request, mut respond) = streams.recv().await.unwrap();
        assert!(!request.headers().contains_key("expect"));
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.say("body").await;
        let mut asked = request.into_body();
        assert_eq!(asked.data().await.unwrap().unwrap(), "body");
        respond.send_response(ok(), true).unwrap();
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
    });
}

#[test]
fn the_upstreams_authority_stands_in_for_a_missing_host() {
    paused(async {
        let raw = h2c();
        let upstreams = raw.upstreams();
        let mut hostless = head(Method::GET, "/");
        hostless.headers.clear();
        let exchange = crate::proxy::relay::Exchange::new(upstreams.sweep.watch());
        let body = crate::proxy::relay::RequestBody::empty(&exchange);
        let (answer, ()) = join!(upstreams.send(super::rig::ID, None, hostless, body), async {
            let mut streams = serve(&raw, h2::server::Builder::new()).await;
            let (request, mut respond) = streams.recv().await.unwrap();
            assert_eq!(request.uri().authority().unwrap(), "upstream.example");
            respond.send_response(ok(), true).unwrap();
            settle().await;
        });
        assert!(matches!(answer, Ok(Answer::Response(_))));
    });
}
