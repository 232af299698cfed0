//! Sockets to accept on: bound before anything runs, so that a taken port ends the start and nothing else.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ingress::Listen;

/// How many connections the kernel may hold for us before we accept them.
const BACKLOG: i32 = 4096;

/// A bound, listening, non-blocking socket.
#[derive(Debug)]
pub enum Bound {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket, with the file to remove at the end.
    Unix(UnixListener, SocketFile),
}

/// A Unix socket's file; removed when the listener goes.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Bound {
    /// Binds all addresses, or none: an error names the address that could not be had.
    ///
    /// # Errors
    /// When an address is taken, not ours, or not permitted.
    pub fn all(addresses: &[Listen]) -> io::Result<Vec<Self>> {
        addresses
            .iter()
            .map(|address| {
                Self::one(address)
                    .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
            })
            .collect()
    }

    fn one(address: &Listen) -> io::Result<Self> {
        match address {
            Listen::Tcp(address) => tcp(*address).map(Self::Tcp),
            Listen::Unix(path) => unix(path).map(|listener| Self::Unix(listener, SocketFile(path.clone()))),
        }
    }

    /// The TCP address, with the port that was really taken.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(_) => f.write_str("a closed socket"),
            },
            Self::Unix(_, file) => write!(f, "unix:{}", file.0.display()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it already; there is nothing more to do then.
        let _ = fs::remove_file(&self.0);
    }
}

/// `TCP_NODELAY` is set here, once: accepted sockets inherit it.
fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the file of a socket that nobody listens on any more (a process that was killed leaves it behind). A living
/// socket, and every other kind of file, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens there",
            )),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of another kind",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
