//! The connections of the admin listener: few, short, and none that keeps another out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Desk;
use super::guard::Caller;
use crate::lifecycle::Vital;
use crate::listen::Bound;

/// Probes, scrapes and calls are few and soon done; where more than this are open, the oldest gives way.
const CONNECTIONS: usize = 64;
/// How long a connection may take in all.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a request head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open ones, the oldest first.
#[derive(Default)]
pub(super) struct Connections(Mutex<VecDeque<AbortHandle>>);

/// Serves on one admin address.
///
/// # Errors
/// When the listener cannot be handed to the runtime.
pub(super) fn listen(desk: Rc<Desk>, listener: Bound, vital: Vital) -> io::Result<()> {
    match listener {
        Bound::Tcp(listener) => {
            let listener = TcpListener::from_std(listener)?;
            spawn_local(vital.keep(async move {
                loop {
                    let accepted = listener.accept().await;
                    let accepted = accepted.map(|(socket, from)| (socket, Caller::Network(from.ip().to_canonical())));
                    admit(&desk, accepted).await;
                }
            }));
        }
        Bound::Unix(listener, file) => {
            let listener = UnixListener::from_std(listener)?;
            spawn_local(vital.keep(async move {
                let _file = file;
                loop {
                    let accepted = listener.accept().await;
                    let accepted = accepted.map(|(socket, _)| {
                        let caller = Caller::of_unix(&socket);
                        (socket, caller)
                    });
                    admit(&desk, accepted).await;
                }
            }));
        }
    }
    Ok(())
}

async fn admit<IO>(desk: &Rc<Desk>, accepted: io::Result<(IO, Caller)>)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (socket, caller) = match accepted {
        Ok(socket) => socket,
        Err(error) => {
            warn!(message = "cannot accept on the admin listener", %error);
            return sleep(ACCEPT_PAUSE).await;
        }
    };
    let serving = Rc::clone(desk);
    let connection = spawn_local(async move {
        let service = service_fn(|request| async { Ok::<_, Infallible>(serving.answer(caller, request).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(socket), service);
        if let Ok(Err(error)) = timeout(CONNECTION_TIME, connection).await {
            debug!(message = "admin connection ended early", %error);
        }
    });
    desk.connections.keep(connection.abort_handle());
}

impl Connections {
    /// Remembers a new connection. Whoever holds many open, for nothing, keeps no probe from being answered.
    fn keep(&self, connection: AbortHandle) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connection);
    }
}
