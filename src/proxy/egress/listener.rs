//! Connections of the service behind: HTTP/1.1 and HTTP/2, in cleartext, on loopback or a Unix socket.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use super::office::Office;
use super::serve;
use crate::lifecycle::{self, Stage};
use crate::listen::Bound;
use crate::proxy::executor::LocalExecutor;
use crate::proxy::screen::{Protocol, sniff};
use crate::proxy::stream::{Socket, Stream};

/// The least that hyper takes.
const MIN_BUFFER: usize = 8192;
/// After a failed accept (no file descriptors left, mostly): closing connections will mend it.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the listeners are to be closed, then waits for what is open.
pub(super) async fn run(office: Rc<Office>, listeners: Vec<Bound>) {
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn_local(office.vital.clone().keep(accept(Rc::clone(&office), listener)));
    }
    let mut stages = office.stages.clone();
    lifecycle::reached(&mut stages, Stage::Closing).await;
    // With the loops go the listeners: new connections are refused by the kernel. What is open goes on, each to its end.
    loops.shutdown().await;
    tokio::select! {
        () = office.empty() => {}
        () = lifecycle::reached(&mut stages, Stage::Cutting) => {}
    }
}

async fn accept(office: Rc<Office>, listener: Bound) {
    let outcome = match listener {
        Bound::Tcp(listener) => match TcpListener::from_std(listener) {
            Ok(listener) => loop {
                let accepted = listener.accept().await;
                admit(&office, accepted.map(|(socket, _)| Socket::Tcp(socket)), false).await;
            },
            Err(error) => error,
        },
        Bound::Unix(listener, file) => match UnixListener::from_std(listener) {
            Ok(listener) => {
                let _file = file;
                loop {
                    let accepted = listener.accept().await;
                    admit(&office, accepted.map(|(socket, _)| Socket::Unix(socket)), true).await;
                }
            }
            Err(error) => error,
        },
    };
    error!(message = "a listener for events cannot be used", error = %outcome);
    office.vital.lost();
}

async fn admit(office: &Rc<Office>, accepted: io::Result<Socket>, is_local: bool) {
    let socket = match accepted {
        Ok(socket) => socket,
        Err(error) => {
            warn!(message = "cannot accept on the listener for events", %error);
            return sleep(PAUSE).await;
        }
    };
    let Some(place) = office.enter() else {
        return debug!(message = "connection refused, a limit is met");
    };
    let office = Rc::clone(office);
    spawn_local(async move {
        connection(&office, Stream::Clear(socket), is_local).await;
        drop(place);
    });
}

async fn connection(office: &Rc<Office>, stream: Stream, is_local: bool) {
    let (timeouts, limits) = {
        let config = &office.current.load().config;
        (config.timeouts.clone(), config.limits.clone())
    };
    let Ok(Ok((protocol, stream))) = timeout(timeouts.client_head, sniff(stream)).await else {
        return;
    };
    let service = service_fn(|request| {
        let office = Rc::clone(office);
        async move { Ok::<_, Infallible>(serve::serve(&office, is_local, request).await) }
    });
    let mut stages = office.stages.clone();
    let closing = lifecycle::reached(&mut stages, Stage::Closing);
    let stream = TokioIo::new(stream);
    let ended = match protocol {
        Protocol::Http1 => {
            let mut server = http1::Builder::new();
            // It counts from the last answer: a service keeps its connections for a while.
            server
                .timer(TokioTimer::new())
                .header_read_timeout(timeouts.client_idle)
                .max_headers(limits.header_count)
                .max_buf_size(limits.head_bytes.max(MIN_BUFFER));
            drive(server.serve_connection(stream, service), closing, |c| {
                c.graceful_shutdown()
            })
            .await
        }
        Protocol::Http2 => {
            let mut server = http2::Builder::new(LocalExecutor);
            server
                .timer(TokioTimer::new())
                .keep_alive_interval(timeouts.client_idle)
                .max_concurrent_streams(limits.streams_per_connection)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
            drive(server.serve_connection(stream, service), closing, |c| {
                c.graceful_shutdown()
            })
            .await
        }
    };
    if let Err(error) = ended {
        debug!(message = "a connection of the service ended early", %error);
    }
}

/// Serves a connection to its end; it is told to leave once the process is closing.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    closing: impl Future<Output = ()>,
    leave: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = closing => leave(connection.as_mut()),
    }
    connection.await
}
