//! Clients of each kind: what came to them, whether in order, and when they saw their end.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::interval;

/// How often a WebSocket's client says something, and how long one waits between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of one connection, or of one stream.
pub struct Seen {
    /// When the last byte of the service's came.
    pub last_byte: Instant,
    /// When its end was seen; `None` where it was open when the clients were told to stop.
    pub ended: Option<Instant>,
    /// What was wrong: a gap, an end that is not the right one.
    pub wrong: Option<String>,
}

/// One client at work.
pub struct Client {
    next: u64,
    last_byte: Instant,
    wrong: Option<String>,
    /// Grows by one when the first byte is here.
    running: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
}

impl Client {
    pub fn new(running: &watch::Sender<usize>, stop: &watch::Receiver<bool>) -> Self {
        Self {
            next: 0,
            last_byte: Instant::now(),
            wrong: None,
            running: running.clone(),
            stop: stop.clone(),
        }
    }

    /// The next number came, and it has to be that.
    fn came(&mut self, number: u64) {
        self.last_byte = Instant::now();
        if number != self.next {
            self.wrong
                .get_or_insert_with(|| format!("{number} in place of {}", self.next));
        }
        if self.next == 0 {
            self.running.send_modify(|running| *running += 1);
        }
        self.next = number + 1;
    }

    fn seen(self, ended: Result<(), String>) -> Seen {
        let is_over = !*self.stop.borrow();
        Seen {
            last_byte: self.last_byte,
            ended: is_over.then(Instant::now),
            wrong: self.wrong.or(ended.err().filter(|_| is_over)),
        }
    }

    /// A WebSocket, until it is told 1008.
    pub async fn websocket(mut self, address: SocketAddr, key: &str) -> Seen {
        let ended = match self.websocket_inner(address, key).await {
            Ok(end) => end,
            Err(error) => Err(error.to_string()),
        };
        self.seen(ended)
    }

    async fn websocket_inner(&mut self, address: SocketAddr, key: &str) -> io::Result<Result<(), String>> {
        let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut stream = open(address).await?;
        stream.write_all(request("/websocket", key, lines).as_bytes()).await?;
        let head = read_head(&mut stream).await?;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Ok(Err(head));
        }
        let mut says = interval(PAUSE);
        let mut stop = self.stop.clone();
        let mut buffer = Vec::new();
        loop {
            tokio::select! {
                _ = says.tick() => stream.write_all(b"\x82\x84\0\0\0\0mask").await?,
                read = stream.read_buf(&mut buffer) => if read? == 0 {
                    return Ok(Err("an end without a close frame".to_owned()));
                },
                _ = stop.changed() => return Ok(Ok(())),
            }
            while buffer.len() >= 10 && buffer[0] == 0x82 {
                self.came(number(&buffer[2..10]));
                buffer.drain(..10);
            }
            if buffer.len() >= 4 && buffer[0] == 0x88 {
                // A proper goodbye, for which the other side waits a while; what it makes of it is of no concern here.
                let _ = stream.write_all(b"\x88\x82\0\0\0\0\x03\xf0").await;
                return Ok(match buffer[2..4] {
                    [0x03, 0xf0] => Ok(()),
                    _ => Err(format!("closed with {:?}", &buffer[2..])),
                });
            }
        }
    }

    /// A stream of events over HTTP/2, until it is reset.
    pub async fn stream(mut self, send: SendRequest<Bytes>, key: &str) -> Seen {
        let ended = self.stream_inner(send, key).await;
        let ended = ended.unwrap_or_else(|error| {
            if error.is_reset() {
                Ok(())
            } else {
                Err(error.to_string())
            }
        });
        self.seen(ended)
    }

    async fn stream_inner(&mut self, send: SendRequest<Bytes>, key: &str) -> Result<Result<(), String>, h2::Error> {
        let request = http::Request::get("http://gate.test/events").header("x-api-key", key);
        let request = request.body(()).expect("a request");
        let (answer, _) = send.ready().await?.send_request(request, true)?;
        let answer = answer.await?;
        if answer.status() != 200 {
            return Ok(Err(answer.status().to_string()));
        }
        let mut body = answer.into_body();
        let mut stop = self.stop.clone();
        let mut buffer = Vec::new();
        loop {
            let data = tokio::select! {
                data = body.data() => data,
                _ = stop.changed() => return Ok(Ok(())),
            };
            let Some(data) = data else {
                return Ok(Err("an end in good order".to_owned()));
            };
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            buffer.extend_from_slice(&data);
            while buffer.len() >= 8 {
                self.came(number(&buffer[..8]));
                buffer.drain(..8);
            }
        }
    }

    /// A connection on which one request follows another, until one is refused.
    pub async fn asks(mut self, address: SocketAddr, key: &str, pause: Duration) -> Seen {
        let ended = self.asks_inner(address, key, pause).await;
        let ended = ended.unwrap_or_else(|error| Err(error.to_string()));
        self.seen(ended)
    }

    async fn asks_inner(&mut self, address: SocketAddr, key: &str, pause: Duration) -> io::Result<Result<(), String>> {
        let mut stream = open(address).await?;
        let request = request("/eight", key, "");
        let mut stop = self.stop.clone();
        loop {
            match ask(&mut stream, &request).await? {
                200 => self.came(self.next),
                401 => return Ok(Ok(())),
                other => return Ok(Err(format!("answered with {other}"))),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => return Ok(Ok(())),
            }
        }
    }
}

/// Connects.
pub async fn open(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// A request without a body.
pub fn request(target: &str, key: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: gate.test\r\nX-API-Key: {key}\r\n{lines}\r\n")
}

/// Asks and reads the whole answer; its status.
pub async fn ask(stream: &mut BufReader<TcpStream>, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(stream).await?.to_ascii_lowercase();
    let word = |found: Option<&str>| found.and_then(|word| word.trim().parse::<u16>().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; usize::from(word(length).unwrap_or(0))];
    stream.read_exact(&mut body).await?;
    word(head.split(' ').nth(1)).ok_or(io::ErrorKind::InvalidData.into())
}

/// Reads one head.
pub async fn read_head(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if tokio::io::AsyncBufReadExt::read_line(stream, &mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
