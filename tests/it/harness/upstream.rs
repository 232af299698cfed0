//! A real server on a real socket that records the exact bytes of every request and answers by script.
//!
//! Plain threads and sockets, so that nothing between the wire and the record could tidy it up.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

use super::message::{Body, Head};
use super::wait_until;

/// A request as it came.
#[derive(Clone, Default)]
pub struct Recorded {
    /// Its head.
    pub head: Head,
    /// Its content so far.
    pub body: Vec<u8>,
    /// The trailers of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Whether the body was read to its end.
    pub complete: bool,
    /// On which connection it came, from 1.
    pub connection: usize,
}

impl Recorded {
    /// The request's target.
    pub fn target(&self) -> String {
        self.head.word(1)
    }

    /// A header's only value.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.header(name)
    }
}

/// What happens to the connection after an answer.
pub enum Next {
    /// The next request is read.
    Keep,
    /// It is closed.
    Close,
    /// It is reset: the other side finds it broken, not ended.
    Reset,
}

/// A TCP or Unix stream.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn try_clone(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
        }
    }

    /// Has it reset instead of ended when its last handle is dropped.
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(from),
            Self::Unix(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One request in the hands of a script: its head is read, its body not yet.
pub struct Conversation<'a> {
    /// The request's head.
    pub head: Head,
    /// On which connection, from 1.
    pub connection: usize,
    /// Which request of all, from 1.
    pub number: usize,
    reader: &'a mut BufReader<Stream>,
    writer: Stream,
    shared: &'a Shared,
}

impl Conversation<'_> {
    /// Reads and records the body, once; `false` when the other side closed before its end.
    pub fn read_body(&mut self) -> bool {
        let index = self.number - 1;
        if self.shared.requests.lock().unwrap()[index].complete {
            return true;
        }
        let record = |bytes: &[u8]| {
            self.shared.requests.lock().unwrap()[index]
                .body
                .extend_from_slice(bytes)
        };
        let trailers = if self.head.chunked() {
            match Body::read_chunked(self.reader, record) {
                Ok(body) => body.trailers,
                Err(_) => return false,
            }
        } else {
            let mut left = self.head.length().unwrap_or(0);
            let mut buffer = vec![0; 64 * 1024];
            while left > 0 {
                let wanted = buffer.len().min(usize::try_from(left).unwrap());
                match self.reader.read(&mut buffer[..wanted]) {
                    Ok(0) | Err(_) => return false,
                    Ok(read) => {
                        record(&buffer[..read]);
                        left -= read as u64;
                    }
                }
            }
            Vec::new()
        };
        let request = &mut self.shared.requests.lock().unwrap()[index];
        request.trailers = trailers;
        request.complete = true;
        true
    }

    /// The body as far as it was read.
    pub fn body(&self) -> Vec<u8> {
        self.shared.requests.lock().unwrap()[self.number - 1].body.clone()
    }

    /// Writes bytes; what the other side no longer wants is lost.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.writer.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads what comes next, raw: for tunnels and counting. `0` is the end.
    pub fn receive(&mut self, into: &mut [u8]) -> usize {
        self.reader.read(into).unwrap_or(0)
    }

    /// Reads the body, then answers with this status line, these header lines and this body.
    pub fn answer(&mut self, status: &str, headers: &str, body: impl AsRef<[u8]>) -> Next {
        let body = body.as_ref();
        self.read_body();
        let mut message = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        if self.head.word(0) != "HEAD" {
            message.extend_from_slice(body);
        }
        if self.send(message) { Next::Keep } else { Next::Close }
    }

    /// Waits until the other side closes; whatever still comes is dropped.
    pub fn wait_for_end(&mut self) -> Next {
        let mut buffer = [0; 4096];
        while self.receive(&mut buffer) > 0 {}
        Next::Close
    }

    /// The two halves, for tunnels: a reader that holds what was read too far, and a writer.
    pub fn halves(&mut self) -> (&mut (dyn Read + Send), &mut (dyn Write + Send)) {
        (self.reader, &mut self.writer)
    }
}

enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    /// By the number of their connection.
    open: Mutex<HashMap<usize, Stream>>,
    stopping: AtomicBool,
}

/// The server.
pub struct Upstream {
    place: Place,
    shared: Arc<Shared>,
}

type Script = Arc<dyn Fn(&mut Conversation) -> Next + Send + Sync>;

impl Upstream {
    /// Serves on a free TCP port.
    pub fn tcp(script: impl Fn(&mut Conversation) -> Next + Send + Sync + 'static) -> Self {
        Self::tcp_on("127.0.0.1:0".parse().unwrap(), script)
    }

    /// Serves on this TCP address.
    pub fn tcp_on(address: SocketAddr, script: impl Fn(&mut Conversation) -> Next + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap());
        Self::serve(place, script, move || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nodelay(true).ok()?;
            Some(Stream::Tcp(stream))
        })
    }

    /// Serves on a Unix socket.
    pub fn unix(path: &Path, script: impl Fn(&mut Conversation) -> Next + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::serve(Place::Unix(path.to_owned()), script, move || {
            listener.accept().ok().map(|(stream, _)| Stream::Unix(stream))
        })
    }

    /// Answers every request with 200 and `hello`.
    pub fn hello() -> Self {
        Self::tcp(|it| it.answer("200 OK", "Content-Type: text/plain\r\n", "hello"))
    }

    fn serve(
        place: Place,
        script: impl Fn(&mut Conversation) -> Next + Send + Sync + 'static,
        accept: impl Fn() -> Option<Stream> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let script: Script = Arc::new(script);
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Some(stream) = accept() {
                if theirs.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let connection = theirs.connections.fetch_add(1, Ordering::SeqCst) + 1;
                theirs.open.lock().unwrap().insert(connection, stream.try_clone());
                let (shared, script) = (Arc::clone(&theirs), Arc::clone(&script));
                std::thread::spawn(move || {
                    let next = converse(&stream, connection, &shared, &script);
                    shared.open.lock().unwrap().remove(&connection);
                    match next {
                        Next::Reset => stream.reset(),
                        Next::Keep | Next::Close => stream.shutdown(Shutdown::Both),
                    }
                    drop(stream);
                    shared.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { place, shared }
    }

    /// Its `url` for `[upstreams.NAME]`.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Its TCP address.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("{} is not a TCP address", path.display()),
        }
    }

    /// Everything that came so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The only request that came.
    #[track_caller]
    pub fn only_request(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "the upstream got {:?}", starts(&requests));
        requests.remove(0)
    }

    /// The newest request.
    #[track_caller]
    pub fn last_request(&self) -> Recorded {
        self.requests().pop().expect("the upstream got a request")
    }

    /// The first lines of everything that came so far.
    pub fn start_lines(&self) -> Vec<String> {
        starts(&self.requests())
    }

    /// Waits until `n` requests have come.
    #[track_caller]
    pub fn wait_for_requests(&self, n: usize) -> Vec<Recorded> {
        wait_until(&format!("{n} requests at the upstream"), || {
            Some(self.requests()).filter(|requests| requests.len() >= n)
        })
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them have ended.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Closes every open connection.
    pub fn close_connections(&self) {
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.close_connections();
        // One more connection wakes the acceptor, which then closes its listener.
        let _ = match &self.place {
            Place::Tcp(address) => TcpStream::connect(address).map(drop),
            Place::Unix(path) => UnixStream::connect(path).map(drop),
        };
    }
}

fn converse(stream: &Stream, connection: usize, shared: &Shared, script: &Script) -> Next {
    let mut reader = BufReader::new(stream.try_clone());
    while let Ok(Some(head)) = Head::read(&mut reader) {
        let number = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(Recorded {
                head: head.clone(),
                connection,
                ..Recorded::default()
            });
            requests.len()
        };
        let mut conversation = Conversation {
            head,
            connection,
            number,
            reader: &mut reader,
            writer: stream.try_clone(),
            shared,
        };
        match script(&mut conversation) {
            Next::Keep => {}
            last @ (Next::Close | Next::Reset) => return last,
        }
    }
    Next::Close
}

fn starts(requests: &[Recorded]) -> Vec<String> {
    requests.iter().map(|request| request.head.start_line()).collect()
}
