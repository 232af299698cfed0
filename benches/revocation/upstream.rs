//! The service behind: WebSockets and events that tick, and answers of eight bytes; and when something last came to it under
//! the key that is revoked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

use super::clients::read_head;
use super::elsewhere;

/// How often each of them says something.
pub const TICK: Duration = Duration::from_millis(50);

/// A running server; it lives as long as the process.
#[derive(Clone)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    began: Instant,
    /// Microseconds from `began` to the last byte, or request, under the key that is revoked.
    last: Arc<AtomicU64>,
}

impl Upstream {
    /// Serves on a free port, on a thread of its own.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let upstream = Self {
            address: listener.local_addr().expect("an address"),
            began: Instant::now(),
            last: Arc::default(),
        };
        let ours = upstream.clone();
        std::thread::spawn(move || {
            elsewhere::block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a socket of ours");
                while let Ok((stream, _)) = listener.accept().await {
                    let ours = ours.clone();
                    // However a connection ends, its client says what it makes of that.
                    tokio::spawn(async move { drop(ours.serve(stream).await) });
                }
            });
        });
        upstream
    }

    /// When something last came under the key that is revoked.
    pub fn last(&self) -> Instant {
        self.began + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }

    fn came(&self, is_alpha: bool) {
        if is_alpha {
            let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.last.fetch_max(now, Ordering::Relaxed);
        }
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        loop {
            let head = read_head(&mut stream).await?;
            let is_alpha = head.contains("x-auth-key-id: key_alpha\r\n");
            self.came(is_alpha);
            if head.starts_with("GET /websocket ") {
                return self.websocket(stream, is_alpha).await;
            }
            if head.starts_with("GET /events ") {
                return events(stream).await;
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\neight by")
                .await?;
        }
    }

    async fn websocket(&self, mut stream: BufReader<TcpStream>, is_alpha: bool) -> io::Result<()> {
        let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switched.as_bytes()).await?;
        let mut ticks = ticks();
        let mut buffer = [0; 4096];
        let mut number = 0_u64;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let mut frame = vec![0x82, 8];
                    frame.extend(number.to_be_bytes());
                    stream.write_all(&frame).await?;
                    number += 1;
                }
                read = stream.read(&mut buffer) => match read? {
                    0 => return Ok(()),
                    // A client's frames here are binary; what else comes is goodbye.
                    _ if buffer[0] == 0x88 => return stream.write_all(b"\x88\x02\x03\xf0").await,
                    _ => self.came(is_alpha),
                },
            }
        }
    }
}

async fn events(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    let mut ticks = ticks();
    for number in 0_u64.. {
        ticks.tick().await;
        let mut chunk = b"8\r\n".to_vec();
        chunk.extend(number.to_be_bytes());
        chunk.extend(b"\r\n");
        stream.write_all(&chunk).await?;
    }
    Ok(())
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
