//! What may be open under a key: at an upstream that has all of it, and as a client sees it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::{BOUND, Connection, Conversation, Next, Upstream, accept_websocket, get, presents, wait_until};

/// More than all buffers on the way hold.
const MORE_THAN_FITS: u64 = 1 << 40;

/// What may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A WebSocket that sends everything back.
    WebSocket,
    /// Another protocol that sends everything back.
    Other,
    /// Events that go on for ever.
    Events,
    /// A download of known length, which the client does not take.
    Download,
    /// An upload of known length.
    Upload,
    /// A request whose answer does not come.
    Waiting,
}

/// All of them.
pub const KINDS: [Kind; 6] = [
    Kind::WebSocket,
    Kind::Other,
    Kind::Events,
    Kind::Download,
    Kind::Upload,
    Kind::Waiting,
];

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::WebSocket => "/websocket",
            Self::Other => "/other",
            Self::Events => "/events",
            Self::Download => "/download",
            Self::Upload => "/upload",
            Self::Waiting => "/waiting",
        }
    }
}

/// An upstream that has all of them, and tells how they ended there.
pub struct Stage {
    /// The server.
    pub upstream: Upstream,
    told: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// Serves on a free TCP port.
    pub fn new() -> Self {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let ours = Arc::clone(&told);
        let upstream = Upstream::tcp(move |it| {
            let target = it.head.word(1);
            let Some(end) = play(it, &target) else {
                return it.answer("200 OK", "", "hello");
            };
            ours.lock().unwrap().push(format!("{target} {end}"));
            Next::Close
        });
        Self { upstream, told }
    }

    /// Waits until the upstream has seen this end at this target.
    #[track_caller]
    pub fn wait_for(&self, target: &str, end: &str) {
        let wanted = format!("{target} {end}");
        wait_until(&format!("{wanted:?} at the upstream"), || {
            let told = self.told.lock().unwrap();
            let said = told.iter().find(|line| line.starts_with(&format!("{target} ")));
            assert!(
                said.is_none_or(|said| *said == wanted),
                "{told:?} instead of {wanted:?}"
            );
            said.map(drop)
        });
    }

    /// What the upstream has seen end.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

/// Serves one request to its end, and says what that was; `None` is for whatever has an end of its own.
fn play(it: &mut Conversation, target: &str) -> Option<String> {
    let end = if target.starts_with("/websocket") {
        let mut socket = accept_websocket(it, "");
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => {
                    // Also says goodbye itself.
                    let _ = socket.flush();
                    let frame = frame.map(|frame| format!("{} {}", u16::from(frame.code), frame.reason));
                    break frame.unwrap_or_else(|| "closed".to_owned());
                }
                Ok(message) => {
                    if socket.send(message).is_err() {
                        break "cut".to_owned();
                    }
                }
                Err(_) => break "cut".to_owned(),
            }
        }
    } else if target.starts_with("/other") {
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        let mut buffer = [0; 4096];
        loop {
            match it.receive(&mut buffer) {
                0 => break "ended".to_owned(),
                read if it.send(&buffer[..read]) => {}
                _ => break "cut".to_owned(),
            }
        }
    } else if target.starts_with("/events") {
        it.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut number = 0;
        loop {
            let event = format!("event {number};");
            if !it.send(format!("{:x}\r\n{event}\r\n", event.len())) {
                break "cut".to_owned();
            }
            number += 1;
            std::thread::sleep(Duration::from_millis(5));
        }
    } else if target.starts_with("/download") {
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MORE_THAN_FITS}\r\n\r\n"));
        let part = vec![b'x'; 64 * 1024];
        while it.send(&part) {}
        "cut".to_owned()
    } else if target.starts_with("/upload") {
        if it.read_body() {
            return None;
        }
        "cut".to_owned()
    } else if target.starts_with("/waiting") || target.starts_with("/grpc.") {
        it.wait_for_end();
        "gone".to_owned()
    } else {
        return None;
    };
    Some(end)
}

/// One of them, as its client sees it.
pub struct Open {
    kind: Kind,
    connection: Connection,
    target: String,
    /// The next event, or how much was sent.
    next: u64,
}

impl Open {
    /// Opens one under a key, with this at the end of its path, and waits until it is running.
    #[track_caller]
    pub fn begin(address: std::net::SocketAddr, stage: &Stage, kind: Kind, key: &str, whose: &str) -> Self {
        Self::begin_as(address, stage, kind, &presents(key), whose)
    }

    /// As [`Open::begin`], with these header lines.
    #[track_caller]
    pub fn begin_as(address: std::net::SocketAddr, stage: &Stage, kind: Kind, presents: &str, whose: &str) -> Self {
        let target = format!("{}/{whose}", kind.path());
        let mut connection = Connection::open(address);
        match kind {
            Kind::WebSocket => connection.send(get(&target, &format!("{presents}{WEBSOCKET}"))),
            Kind::Other => {
                let upgrade = "Connection: Upgrade\r\nUpgrade: echo\r\n";
                connection.send(get(&target, &format!("{presents}{upgrade}")));
            }
            Kind::Events | Kind::Download | Kind::Waiting => connection.send(get(&target, presents)),
            Kind::Upload => connection.send(format!(
                "POST {target} HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {MORE_THAN_FITS}\r\n{presents}\r\n"
            )),
        }
        match kind {
            Kind::WebSocket | Kind::Other => assert_eq!(connection.head().word(1), "101"),
            Kind::Events | Kind::Download => assert_eq!(connection.head().word(1), "200"),
            Kind::Upload | Kind::Waiting => {
                wait_until("the request at the upstream", || received(stage, &target).map(drop));
            }
        }
        let mut open = Self {
            kind,
            connection,
            target,
            next: 0,
        };
        open.goes_on(stage);
        open
    }

    /// Its target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// It is as it should be, and what has come in the meantime is complete and in order.
    #[track_caller]
    pub fn goes_on(&mut self, stage: &Stage) {
        let connection = &mut self.connection;
        match self.kind {
            Kind::WebSocket => {
                connection.send(MASKED_HI);
                assert_eq!(connection.bytes(4), b"\x81\x02hi", "{}", self.target);
            }
            Kind::Other => {
                connection.send("hi");
                assert_eq!(connection.bytes(2), b"hi", "{}", self.target);
            }
            Kind::Events => {
                // Until one has come that was not there before.
                let end = std::time::Instant::now() + Duration::from_millis(20);
                loop {
                    let number = self.next;
                    assert!(self.event().ends_with(&format!("event {number};")), "{}", self.target);
                    self.next += 1;
                    if std::time::Instant::now() > end {
                        break;
                    }
                }
            }
            Kind::Download => assert_eq!(connection.bytes(1000), [b'x'; 1000]),
            Kind::Upload => {
                connection.send("more");
                self.next += 4;
                let sent = self.next;
                wait_until("what was sent", || {
                    (received(stage, &self.target)? == sent).then_some(())
                });
            }
            Kind::Waiting => assert!(connection.is_quiet(), "{}", self.target),
        }
    }

    /// Reads up to the end of the next event.
    fn event(&mut self) -> String {
        self.connection.until(";")
    }

    /// It ends as it should when its key dies, to which a request that is not answered yet is told this status.
    #[track_caller]
    pub fn ends(&mut self, stage: &Stage, status: u16) {
        let connection = &mut self.connection;
        match self.kind {
            Kind::WebSocket => {
                assert_eq!(connection.bytes(KEY_REVOKED.len()), KEY_REVOKED);
                connection.send(MASKED_CLOSE);
                assert_eq!(connection.rest(), b"", "nothing follows a close frame");
                stage.wait_for(&self.target, "1008 key revoked");
            }
            Kind::Other => {
                assert_eq!(connection.rest(), b"");
                stage.wait_for(&self.target, "ended");
            }
            Kind::Events => {
                let rest = String::from_utf8(connection.rest()).unwrap();
                assert!(!rest.contains("\r\n0\r\n"), "it looks complete: {rest:?}");
                stage.wait_for(&self.target, "cut");
            }
            Kind::Download => {
                // Before anything is taken.
                stage.wait_for(&self.target, "cut");
                assert!((connection.rest().len() as u64) < MORE_THAN_FITS);
            }
            Kind::Upload => {
                if let Some(answer) = connection.try_answer() {
                    assert_eq!(answer.status(), status);
                }
                stage.wait_for(&self.target, "cut");
                assert_eq!(received(stage, &self.target), Some(self.next));
            }
            Kind::Waiting => {
                assert_eq!(connection.answer().status(), status, "{}", self.target);
                stage.wait_for(&self.target, "gone");
            }
        }
    }
}

/// How much of a request's body has come to the upstream.
fn received(stage: &Stage, target: &str) -> Option<u64> {
    let requests = stage.upstream.requests();
    let request = requests.iter().find(|request| request.target() == target)?;
    Some(request.body.len() as u64)
}

/// The header lines of a WebSocket's request.
pub const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// `hi` in a text frame, under a mask of zeros.
pub const MASKED_HI: &[u8] = b"\x81\x82\0\0\0\0hi";
/// A client's close frame.
pub const MASKED_CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xf0";
/// A server's close frame: 1008 `key revoked`.
pub const KEY_REVOKED: &[u8] = b"\x88\x0d\x03\xf0key revoked";

/// Every kind under this key.
#[track_caller]
pub fn begin_all(address: std::net::SocketAddr, stage: &Stage, key: &str, whose: &str) -> Vec<Open> {
    let begin = |kind| Open::begin(address, stage, kind, key, whose);
    KINDS.into_iter().map(begin).collect()
}

/// How much later than at its moment something may happen here, where the machine is busy with other tests.
pub const LATE: Duration = Duration::from_secs(BOUND.as_secs() / 4);
