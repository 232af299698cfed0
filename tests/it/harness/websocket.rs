//! Both ends of a WebSocket: tokio-tungstenite as the client, tungstenite over a scripted upstream as the server.

use std::io::{Read, Write};
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Conversation, Next};

/// An open WebSocket.
pub struct WebSocketClient {
    stream: WebSocketStream<TcpStream>,
    /// The answer to the upgrade.
    pub response: Response,
}

impl WebSocketClient {
    /// Opens one at this target with these extra headers; a refusal is the answer as an error.
    pub async fn open(
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, http::Response<Vec<u8>>> {
        let mut request = http::Request::builder()
            .uri(format!("ws://{address}{target}"))
            .header("Host", address.to_string())
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request.body(()).unwrap(), stream).await {
            Ok((stream, response)) => Ok(Self { stream, response }),
            Err(tungstenite::Error::Http(answer)) => Err(answer.map(Option::unwrap_or_default)),
            Err(error) => panic!("the upgrade failed: {error}"),
        }
    }

    /// Sends a text message.
    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// The next message; `None` at the end, an error's text when the connection broke.
    pub async fn next(&mut self) -> Option<Result<Message, String>> {
        let next = tokio::time::timeout(super::BOUND, self.stream.next()).await;
        next.expect("a message in time")
            .map(|message| message.map_err(|error| error.to_string()))
    }

    /// The next message, which has to be a text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("a text message, not {other:?}"),
        }
    }

    /// Closes properly.
    pub async fn close(&mut self) {
        self.stream.close(None).await.unwrap();
    }
}

/// Accepts the upgrade in a script: writes the 101 (with these extra header lines) and hands out the server's end.
pub fn accept_websocket<'a>(it: &'a mut Conversation<'_>, headers: &str) -> WebSocket<Joined<'a>> {
    let key = it.head.header("sec-websocket-key").expect("a WebSocket key");
    let accept = derive_accept_key(key.as_bytes());
    it.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    ));
    let (reader, writer) = it.halves();
    WebSocket::from_raw_socket(Joined { reader, writer }, Role::Server, None)
}

/// A script that upgrades and sends every message back.
pub fn websocket_server(it: &mut Conversation) -> Next {
    let mut socket = accept_websocket(it, "");
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            break;
        }
    }
    Next::Close
}

/// A reader and a writer as one stream.
pub struct Joined<'a> {
    reader: &'a mut dyn Read,
    writer: &'a mut dyn Write,
}

impl Read for Joined<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(into)
    }
}

impl Write for Joined<'_> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.writer.write(from)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}
