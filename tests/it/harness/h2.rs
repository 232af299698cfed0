//! Both ends of HTTP/2 with prior knowledge: the `h2` crate as the client and as an upstream that records heads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, request};

/// A connection to the gate.
pub struct H2Client {
    send: SendRequest<Bytes>,
    authority: String,
    driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// What came back.
pub struct H2Answer {
    /// Status and headers.
    pub head: Response<()>,
    /// The content.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
}

impl H2Answer {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    }

    /// `code` of the problem document.
    pub fn code(&self) -> String {
        super::message::code(&self.body)
    }
}

impl H2Client {
    /// Connects; the runtime that this is called on drives the connection.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &h2::client::Builder::new()).await
    }

    /// As [`H2Client::open`], with settings of its own.
    pub async fn open_with(address: SocketAddr, settings: &h2::client::Builder) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, connection) = settings.handshake(stream).await.unwrap();
        let driver = tokio::spawn(connection);
        Self {
            send,
            authority: address.to_string(),
            driver,
        }
    }

    /// A request for this target with these headers.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder()
            .version(http::Version::HTTP_2)
            .method(method)
            .uri(format!("http://{}{target}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    /// Sends a request with a body (none when empty) and trailers, and reads the whole answer.
    pub async fn exchange(
        &mut self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<H2Answer, h2::Error> {
        let (answer, mut stream) = self.start(request, body.is_empty() && trailers.is_none()).await?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), trailers.is_none())?;
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers)?;
        }
        finish(answer.await?).await
    }

    /// Sends only a head.
    pub async fn start(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        self.send = self.send.clone().ready().await?;
        self.send.send_request(request, end)
    }

    /// `GET` with these headers.
    pub async fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> H2Answer {
        let request = self.request("GET", target, headers);
        self.exchange(request, b"", None).await.unwrap()
    }

    /// Waits for the end of the connection.
    pub async fn closed(self) -> Result<(), h2::Error> {
        drop(self.send);
        tokio::time::timeout(super::BOUND, self.driver)
            .await
            .expect("the connection ends in time")
            .unwrap()
    }
}

/// Reads an answer to its end.
pub async fn finish(answer: Response<h2::RecvStream>) -> Result<H2Answer, h2::Error> {
    let (parts, mut stream) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(H2Answer {
        head: Response::from_parts(parts, ()),
        body,
        trailers: stream.trailers().await?,
    })
}

/// What an [`H2Upstream`] got.
pub struct H2Recorded {
    /// The head.
    pub head: request::Parts,
    /// The content.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
}

/// An upstream that speaks HTTP/2 in cleartext, records, and answers 200 `hello` with the trailer `x-end: yes`.
pub struct H2Upstream {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<H2Recorded>>>,
}

impl H2Upstream {
    /// Serves on a free TCP port until the test process ends.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&requests);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&theirs)));
                }
            });
        });
        Self { address, requests }
    }

    /// Its `url` for `[upstreams.NAME]`.
    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// Takes what came so far.
    pub fn requests(&self) -> Vec<H2Recorded> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

async fn serve(stream: tokio::net::TcpStream, requests: Arc<Mutex<Vec<H2Recorded>>>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let requests = Arc::clone(&requests);
        tokio::spawn(async move {
            let (head, mut stream) = request.into_parts();
            let mut body = Vec::new();
            while let Some(Ok(data)) = stream.data().await {
                let _ = stream.flow_control().release_capacity(data.len());
                body.extend_from_slice(&data);
            }
            let trailers = stream.trailers().await.ok().flatten();
            requests.lock().unwrap().push(H2Recorded { head, body, trailers });
            if let Ok(mut answer) = respond.send_response(Response::new(()), false) {
                let _ = answer.send_data(Bytes::from_static(b"hello"), false);
                let mut end = HeaderMap::new();
                end.insert("x-end", "yes".parse().unwrap());
                let _ = answer.send_trailers(end);
            }
        });
    }
}
