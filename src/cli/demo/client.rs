//! The check's own HTTP client: real requests over real connections, with every wait bounded.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::call::{Call, Places};
use super::fact::Answer;
use super::steps::numbered;
use crate::clock;

/// Nothing on the loopback interface takes this long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the check says through a WebSocket, and hears back.
const PING: &str = "are you there?";

/// Sends calls to where they go.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Where that is.
    pub places: Places,
}

impl Client {
    /// One call on a connection of its own.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub async fn call(self, call: &Call) -> anyhow::Result<Answer> {
        self.burst(0, call).await
    }

    /// `first` numbered calls one after the other on one connection, then the call itself.
    ///
    /// # Errors
    /// When one of the answers does not come whole, in time.
    pub async fn burst(self, first: usize, call: &Call) -> anyhow::Result<Answer> {
        let mut connection = patient(self.connect(call)).await?;
        let mut before = Vec::with_capacity(first);
        for number in 1..=first {
            let request = self.request(&numbered(call, &number.to_string()))?;
            before.push(patient(exchange(&mut connection, request)).await?.status);
        }
        let mut answer = patient(exchange(&mut connection, self.request(call)?)).await?;
        answer.before = before;
        Ok(answer)
    }

    /// Opens a WebSocket, hears its first frame, has a text echoed, and closes it.
    ///
    /// # Errors
    /// When the tunnel does not carry frames both ways and close properly, in time. A refused handshake is an answer.
    pub async fn socket(self, call: &Call) -> anyhow::Result<Answer> {
        patient(async {
            let stream = TcpStream::connect(call.place(&self.places)).await;
            let stream = stream.context("cannot connect")?;
            let request = call.handshake(&self.places).context("not a valid request")?;
            let (mut socket, response) = match tokio_tungstenite::client_async(request, stream).await {
                Ok(opened) => opened,
                Err(Error::Http(refused)) => {
                    let (head, body) = refused.into_parts();
                    let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
                    return Ok(answer(Response::from_parts(head, ()), body));
                }
                Err(error) => return Err(error).context("the WebSocket handshake failed"),
            };
            let first = socket
                .next()
                .await
                .context("closed before the first frame")??
                .into_text()?;
            socket.send(Message::text(PING)).await?;
            let echoed = socket.next().await.context("closed before the echo")??;
            anyhow::ensure!(echoed == Message::text(PING), "another text came back than was sent");
            socket.close(None).await?;
            while let Some(frame) = socket.next().await {
                frame.context("the WebSocket was not closed properly")?;
            }
            Ok(answer(response.map(|_| ()), first.to_string()))
        })
        .await
    }

    async fn connect(self, call: &Call) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(call.place(&self.places)).await;
        let stream = stream.context("cannot connect")?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Its errors come out of the exchange as well.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(self, call: &Call) -> anyhow::Result<Request<Full<Bytes>>> {
        call.request(&self.places).context("not a valid request")
    }
}

/// Gives up on what takes too long.
async fn patient<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let late = || format!("nothing within {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, work).await.with_context(late)?
}

async fn exchange(connection: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    connection.ready().await.context("the connection was closed")?;
    let response = connection.send_request(request).await.context("no answer")?;
    let (head, body) = response.into_parts();
    let (body, arrivals) = read(body).await.context("the answer's body is cut short")?;
    Ok(Answer {
        arrivals,
        ..answer(Response::from_parts(head, ()), body)
    })
}

/// The whole body, and when its pieces came.
async fn read(mut body: Incoming) -> hyper::Result<(String, Vec<Duration>)> {
    let start = clock::monotonic();
    let (mut bytes, mut arrivals) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
            arrivals.push(Duration::from_nanos(clock::monotonic().saturating_sub(start)));
        }
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), arrivals))
}

fn answer(head: Response<()>, body: String) -> Answer {
    let (head, ()) = head.into_parts();
    Answer {
        status: head.status,
        headers: head.headers,
        body,
        before: Vec::<StatusCode>::new(),
        arrivals: Vec::new(),
    }
}
