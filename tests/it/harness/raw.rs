//! A client that writes exactly the bytes that it is given.

use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use super::BOUND;
use super::message::{Head, Response};

/// One TCP connection.
pub struct Connection {
    writer: TcpStream,
    /// What has come and is not read yet.
    pub reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from this address of this host.
    #[track_caller]
    pub fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(writer: TcpStream) -> Self {
        writer.set_read_timeout(Some(BOUND)).unwrap();
        writer.set_write_timeout(Some(BOUND)).unwrap();
        writer.set_nodelay(true).unwrap();
        let reader = BufReader::new(writer.try_clone().unwrap());
        Self { writer, reader }
    }

    /// Writes bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).unwrap();
    }

    /// Writes bytes; `false` when the other side no longer takes them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.writer.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads one answer, which has to come.
    #[track_caller]
    pub fn answer(&mut self) -> Response {
        Response::read(&mut self.reader, false)
            .expect("an answer")
            .expect("an answer before the end of the connection")
    }

    /// Reads one answer to a HEAD request.
    #[track_caller]
    pub fn answer_to_head(&mut self) -> Response {
        Response::read(&mut self.reader, true)
            .expect("an answer")
            .expect("an answer before the end of the connection")
    }

    /// Reads one answer if one comes before the end of the connection.
    pub fn try_answer(&mut self) -> Option<Response> {
        Response::read(&mut self.reader, false).ok().flatten()
    }

    /// Reads only a head.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        Head::read(&mut self.reader).expect("a head").expect("a head")
    }

    /// Reads exactly `length` bytes.
    #[track_caller]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).expect("more bytes");
        bytes
    }

    /// Reads until the text has come, and gives everything up to its end.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(text.as_bytes()) {
            self.reader
                .read_exact(&mut byte)
                .unwrap_or_else(|error| panic!("{text:?} after {:?}: {error}", String::from_utf8_lossy(&seen)));
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Whether nothing has come that is not read yet, the other side's end included.
    pub fn is_quiet(&mut self) -> bool {
        if !self.reader.buffer().is_empty() {
            return false;
        }
        self.writer.set_nonblocking(true).unwrap();
        let peeked = self.writer.peek(&mut [0]);
        self.writer.set_nonblocking(false).unwrap();
        peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Closes the sending side only.
    pub fn finish(&self) {
        self.writer.shutdown(Shutdown::Write).unwrap();
    }

    /// Vanishes: the other side gets a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.writer)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }

    /// Waits for the other side's end of the connection; what came before it.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest,
            Err(error) => panic!(
                "the connection stays open: {error}; so far {:?}",
                String::from_utf8_lossy(&rest)
            ),
        }
    }
}

/// Sends bytes on a connection of their own and reads one answer.
#[track_caller]
pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
    let mut connection = Connection::open(address);
    connection.send(bytes);
    connection.answer()
}

/// The bytes of a request without a body; `headers` are whole lines.
pub fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: gate.test\r\n{headers}\r\n")
}

/// The bytes of a request with a body of known length; `headers` are whole lines.
pub fn post(target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// The header line that presents a key.
pub fn presents(key: &str) -> String {
    format!("X-API-Key: {key}\r\n")
}
