//! The service over its socket, as a gateway would use it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frames;

use super::super::call::{Call, Places};
use super::super::client::Client;
use super::super::fact::Answer;
use super::*;

fn service() -> (Service, Client) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let service = start(listener).expect("started");
    let client = Client {
        places: Places::only(service.address()),
    };
    (service, client)
}

async fn ask(client: Client, call: &Call) -> Answer {
    client.call(call).await.expect("an answer")
}

fn sending(text: &str) -> Call {
    Call::to("/v1/messages").posting(&json!({ "to": "+15550100", "text": text }).to_string())
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

#[tokio::test]
async fn what_is_sent_is_listed_up_to_a_bound() {
    let (_service, client) = service();
    let first = ask(client, &sending("0")).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(parsed(&first), json!({ "id": "msg_1", "to": "+15550100", "text": "0" }));
    for n in 1..=messages::REMEMBERED {
        ask(client, &sending(&n.to_string())).await;
    }
    let listed = parsed(&ask(client, &Call::to("/v1/messages")).await);
    let listed = listed["messages"].as_array().expect("a list");
    assert_eq!(listed.len(), messages::REMEMBERED);
    assert_eq!(
        (&listed[0]["text"], &listed[messages::REMEMBERED - 1]["text"]),
        (&json!("1"), &json!("100"))
    );
}

#[tokio::test]
async fn messages_and_the_echo_may_stand_below_anything() {
    let (_service, client) = service();
    let message = json!({ "to": "+15550100", "text": "0" }).to_string();
    let sent = ask(client, &Call::to("/api/v1/sessions/s1/messages").posting(&message)).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED);
    let listed = parsed(&ask(client, &Call::to("/v1/some/message")).await);
    assert_eq!(listed["messages"][0]["id"], "msg_1");
    let echo = parsed(&ask(client, &Call::to("/management/sub-1/echo?x=1")).await);
    assert_eq!(echo["target"], "/management/sub-1/echo?x=1");
}

#[tokio::test]
async fn wrong_requests_get_their_own_answers() {
    let (_service, client) = service();
    let post = |body: &str| Call::to("/v1/messages").posting(body);
    let cases = [
        (Call::to("/"), 404),
        (Call::to("/v1/messages/1"), 404),
        (post("not JSON"), 400),
        (post(r#"{"to": "+15550100"}"#), 400),
        (post(r#"{"to": "", "text": "x"}"#), 422),
        (post(r#"{"to": "+15550100", "text": ""}"#), 422),
        (sending(&"x".repeat(1601)), 422),
        (post(&" ".repeat(16 * 1024 + 1)), 413),
        (Call::to("/v1/stream?count=0"), 400),
        (Call::to("/v1/stream?count=1001"), 400),
        (Call::to("/v1/stream?interval_ms=soon"), 400),
        (Call::to("/v1/events"), 426),
        (Call::to("/v1/events?replay=101"), 400),
    ];
    for (call, status) in cases {
        let answer = ask(client, &call).await;
        assert_eq!(answer.status.as_u16(), status, "{} {}", call.method, call.target);
        assert!(parsed(&answer)["error"].is_string(), "{}", answer.body);
    }
}

#[tokio::test]
async fn echo_tells_headers_in_order_and_the_length_of_the_body() {
    let (service, client) = service();
    let mut call = Call::to("/v1/echo?a=b%20c")
        .with("X-Second", "2")
        .with("X-First", "1")
        .with("X-Second", "3");
    call.method = Method::PUT;
    call.body = Some("x".repeat(100_000));
    let expected = json!({
        "method": "PUT",
        "target": "/v1/echo?a=b%20c",
        "headers": [
            format!("host: {}", service.address()),
            "x-second: 2",
            "x-second: 3",
            "x-first: 1",
            "content-length: 100000",
        ],
        "body_length": 100_000,
    });
    assert_eq!(parsed(&ask(client, &call).await), expected);
}

#[tokio::test]
async fn the_stream_is_flushed_event_by_event() {
    let (_service, client) = service();
    let answer = ask(client, &Call::to("/v1/stream?count=3&interval_ms=100")).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert!(
        answer
            .body
            .starts_with("id: 1\nevent: tick\ndata: {\"n\":1,\"of\":3}\n\nid: 2\n"),
        "{}",
        answer.body
    );
    assert_eq!(answer.arrivals.len(), 3);
    assert!(
        answer.arrivals[2] - answer.arrivals[0] >= Duration::from_millis(100),
        "{:?}",
        answer.arrivals
    );
}

async fn open(client: Client, target: &str, protocols: Option<&str>) -> (WebSocketStream<TcpStream>, Response<()>) {
    let call = Call::to(target)
        .with("Connection", "Upgrade")
        .with("Upgrade", "websocket")
        .with("Sec-WebSocket-Version", "13")
        .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let call = protocols
        .into_iter()
        .fold(call, |call, value| call.with("Sec-WebSocket-Protocol", value));
    let request = call.handshake(&client.places).expect("valid");
    let stream = TcpStream::connect(client.places.gateway).await.expect("connected");
    let (socket, response) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("upgraded");
    (socket, response.map(|_| ()))
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Frames {
    let next = tokio::time::timeout(Duration::from_secs(10), socket.next());
    next.await.expect("in time").expect("open").expect("a frame")
}

fn text_of(frame: &Frames) -> Value {
    let event: Value = serde_json::from_str(frame.to_text().expect("text")).expect("JSON");
    assert_eq!(event["event"], "message.accepted");
    event["message"]["text"].clone()
}

#[tokio::test]
async fn subscribers_hear_of_messages_and_get_their_own_words_back() {
    let (_service, client) = service();
    let (mut one, _) = open(client, "/v1/events", None).await;
    let (mut two, _) = open(client, "/v1/events", None).await;
    ask(client, &sending("a")).await;
    assert_eq!(text_of(&hear(&mut one).await), json!("a"));
    assert_eq!(text_of(&hear(&mut two).await), json!("a"));
    one.send(Frames::text("hello")).await.expect("sent");
    assert_eq!(hear(&mut one).await, Frames::text("hello"));
    one.send(Frames::Ping(Bytes::from_static(b"p"))).await.expect("sent");
    assert_eq!(hear(&mut one).await, Frames::Pong(Bytes::from_static(b"p")));
    one.close(None).await.expect("sent");
    assert!(hear(&mut one).await.is_close());
    assert!(one.next().await.is_none());
}

#[tokio::test]
async fn replay_tells_the_latest_messages_first_and_once() {
    let (_service, client) = service();
    for text in ["a", "b", "c"] {
        ask(client, &sending(text)).await;
    }
    let (mut socket, _) = open(client, "/v1/events?replay=2", None).await;
    ask(client, &sending("d")).await;
    for text in ["b", "c", "d"] {
        assert_eq!(text_of(&hear(&mut socket).await), json!(text));
    }
}

#[tokio::test]
async fn the_first_subprotocol_is_taken() {
    let (_service, client) = service();
    let (_, none) = open(client, "/v1/events", None).await;
    assert!(!none.headers().contains_key("sec-websocket-protocol"));
    let (_, chosen) = open(client, "/v1/events", Some("chat.v1, chat.v2")).await;
    assert_eq!(chosen.headers()["sec-websocket-protocol"], "chat.v1");
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (_service, client) = service();
    let answer = client.burst(20, &Call::to("/v1/messages")).await.expect("answers");
    assert_eq!(answer.before, vec![StatusCode::OK; 20]);
}

#[test]
fn dropping_it_frees_its_port() {
    let (service, _) = service();
    let address = service.address();
    drop(service);
    TcpListener::bind(address).expect("the port is free");
}
