//! What goes on after the answer's head: server-sent events and the WebSocket.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frames;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::messages::{Message, Messages, REMEMBERED};
use super::{Reply, Wrong, number};

/// A WebSocket message is at most this long, in bytes.
const MESSAGE: usize = 64 * 1024;

/// `GET /v1/stream`: `count` events (1 to 1000), `interval_ms` (0 to 10,000) apart, each flushed as it comes.
pub(super) fn stream(request: &Request<Incoming>) -> Result<Response<Reply>, Wrong> {
    let count = number(request.uri(), "count", 5, 1..=1_000)?;
    let interval = Duration::from_millis(number(request.uri(), "interval_ms", 300, 0..=10_000)?);
    let events = stream::unfold(1, move |n| async move {
        if n > count {
            return None;
        }
        if n > 1 {
            tokio::time::sleep(interval).await;
        }
        let event = format!("id: {n}\nevent: tick\ndata: {{\"n\":{n},\"of\":{count}}}\n\n");
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), n + 1))
    });
    let mut response = Response::new(StreamBody::new(events).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /v1/events`: the WebSocket handshake (RFC 6455 §4.2). The first subprotocol that the client offers is taken,
/// since browsers give up where they offer some and none is taken. `replay` says how many past messages come first.
pub(super) fn events(mut request: Request<Incoming>, messages: &Messages) -> Result<Response<Reply>, Wrong> {
    let replay = number(request.uri(), "replay", 0, 0..=REMEMBERED as u64)?;
    let mut response = create_response_with_body(&request, || Empty::new().boxed_unsync())
        .map_err(|_| (StatusCode::UPGRADE_REQUIRED, "this is a WebSocket (RFC 6455)"))?;
    if let Some(protocol) = first_protocol(&request) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let (past, next) = messages.subscribe(usize::try_from(replay).unwrap_or(REMEMBERED));
    tokio::spawn(talk(hyper::upgrade::on(&mut request), past, next));
    Ok(response)
}

fn first_protocol(request: &Request<Incoming>) -> Option<HeaderValue> {
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    HeaderValue::from_str(offered.split(',').next()?.trim()).ok()
}

/// Until either side closes: events go out, text comes back. A subscriber that falls behind by more than is remembered
/// misses the oldest events.
async fn talk(upgrade: OnUpgrade, past: Vec<Message>, mut next: broadcast::Receiver<Message>) {
    let Ok(upgraded) = upgrade.await else { return };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    for message in past {
        if socket.send(event(&message)).await.is_err() {
            return;
        }
    }
    loop {
        let reply = tokio::select! {
            sent = next.recv() => match sent {
                Ok(message) => event(&message),
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            received = socket.next() => match received {
                Some(Ok(text @ (Frames::Text(_) | Frames::Binary(_)))) => text,
                // Answered by the library, with what is sent next at the latest; flush says now.
                Some(Ok(Frames::Ping(_) | Frames::Pong(_) | Frames::Frame(_))) => {
                    if socket.flush().await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(Ok(Frames::Close(_))) => return finish(socket).await,
                Some(Err(_)) | None => return,
            },
        };
        if socket.send(reply).await.is_err() {
            return;
        }
    }
}

/// Sends the answer to the client's close, and waits for the end of the connection.
async fn finish(mut socket: WebSocketStream<TokioIo<Upgraded>>) {
    while let Some(Ok(_)) = socket.next().await {}
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'static str,
    message: &'a Message,
}

fn event(message: &Message) -> Frames {
    let event = Event {
        event: "message.accepted",
        message,
    };
    Frames::text(serde_json::to_string(&event).expect("texts are JSON"))
}
