//! The admin listener: probes, metrics, and questions about the running process, on a port (or Unix socket) of its own.
//!
//! `/livez` says that the process runs, and depends on nothing else: restarting Keygate does not mend an upstream.
//! `/startupz` says that the first generation is in force, `/readyz` that traffic should come: not while draining.
//! `/metrics` is what Prometheus scrapes. These are for everybody who can connect.
//!
//! Everything below `/admin/` is for operators ([`guard`]): `GET /admin/v1/status` says what is in force and how far a
//! migration has come, `POST /admin/v1/explain` what would become of a request. Both only look.

mod answers;
mod guard;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::answers::{Answer, problem, text};
use self::guard::{Caller, Guard};
use super::explain::{Question, explain};
use super::{Control, status};
use crate::clock;
use crate::lifecycle::Stage;
use crate::listen::Bound;

/// Probes and scrapes are few and soon done; where more than this are open, the oldest gives way.
const CONNECTIONS: usize = 64;
/// How long a connection may take in all.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a request head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long the body of a question may be: a key, and headers.
const QUESTION_BYTES: usize = 64 << 10;
/// How long it may take.
const QUESTION_TIME: Duration = Duration::from_secs(5);
/// How many questions are thought about at once: each may cost a slow hash.
const THINKING: usize = 1;
/// After a failed accept (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all admin connections share.
struct Desk {
    control: Arc<Control>,
    guard: Guard,
    /// The open ones, the oldest first.
    connections: Mutex<VecDeque<AbortHandle>>,
    thinking: Arc<Semaphore>,
}

/// Serves on every admin address.
///
/// # Errors
/// When a listener cannot be handed to the runtime.
pub(super) fn spawn(control: &Arc<Control>, bound: Vec<Bound>) -> io::Result<()> {
    let desk = Arc::new(Desk {
        control: Arc::clone(control),
        guard: Guard::new(),
        connections: Mutex::default(),
        thinking: Arc::new(Semaphore::new(THINKING)),
    });
    for listener in bound {
        let desk = Arc::clone(&desk);
        match listener {
            Bound::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                spawn_local(control.vital().keep(async move {
                    loop {
                        let accepted = listener.accept().await;
                        let accepted =
                            accepted.map(|(socket, from)| (socket, Caller::Network(from.ip().to_canonical())));
                        admit(&desk, accepted).await;
                    }
                }));
            }
            Bound::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                spawn_local(control.vital().keep(async move {
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
    }
    Ok(())
}

async fn admit<IO>(desk: &Arc<Desk>, accepted: io::Result<(IO, Caller)>)
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
    let serving = Arc::clone(desk);
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
    desk.keep(connection.abort_handle());
}

impl Desk {
    /// Remembers a new connection. Whoever holds many open, for nothing, keeps no probe from being answered.
    fn keep(&self, connection: AbortHandle) {
        let mut open = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connection);
    }

    async fn answer(&self, caller: Caller, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if !path.starts_with("/admin/") {
            return self.probe(request.method(), path);
        }
        let policy = self.control.current.load();
        let tokens = &policy.config.admin.tokens;
        if let Err(denied) = self.guard.admit(tokens, caller, &request) {
            return answers::denied(denied);
        }
        let looks = request.method() == Method::GET || request.method() == Method::HEAD;
        match path {
            "/admin/v1/status" if looks => answers::json(&status::of(&self.control, &policy, clock::unix())),
            "/admin/v1/status" => answers::not_allowed("GET, HEAD"),
            "/admin/v1/explain" if request.method() == Method::POST => self.explain(request).await,
            "/admin/v1/explain" => answers::not_allowed("POST"),
            _ => problem(
                StatusCode::NOT_FOUND,
                "not_found",
                "There are /admin/v1/status and /admin/v1/explain.",
            ),
        }
    }

    fn probe(&self, method: &Method, path: &str) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            return answers::not_allowed("GET, HEAD");
        }
        let control = &self.control;
        match path {
            // This thread runs only once the first generation is in force, so both are simply true.
            "/livez" | "/startupz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if *control.conductor.stages().borrow() == Stage::Serving => text(StatusCode::OK, "ok\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/metrics" => answers::metrics(control.metrics.render(control.dropped_lines.as_ref())),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /livez, /readyz, /startupz, /metrics and, for operators, /admin/v1/status and /admin/v1/explain\n",
            ),
        }
    }

    /// With the generation in force when the question is whole.
    async fn explain(&self, request: Request<Incoming>) -> Answer {
        let invalid = |detail: &str| problem(StatusCode::BAD_REQUEST, "question_invalid", detail);
        let body = Limited::new(request.into_body(), QUESTION_BYTES);
        let body = match timeout(QUESTION_TIME, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return problem(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "A question has at most 64 KiB.",
                );
            }
            Ok(Err(_)) => return invalid("The body is cut short."),
            Err(_) => {
                return problem(
                    StatusCode::REQUEST_TIMEOUT,
                    "body_timeout",
                    "The body did not arrive in time.",
                );
            }
        };
        let question: Question = match serde_json::from_slice(&body) {
            Ok(question) => question,
            // Its text could quote the key.
            Err(error) => {
                return invalid(&format!(
                    "The body is not a question: see line {}, column {} of it. It is JSON with request, headers, host, from, \
                     tls, http, in and key.",
                    error.line(),
                    error.column()
                ));
            }
        };
        let Ok(place) = Arc::clone(&self.thinking).acquire_owned().await else {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "draining", "The process ends.");
        };
        let policy = self.control.current.load();
        // It is thought to its end, and keeps its place, even where nobody waits for the answer any more.
        let thought = spawn_blocking(move || {
            let _place = place;
            explain(&policy, &question, clock::now())
        });
        match thought.await {
            Ok(Ok(explanation)) => answers::json(&explanation),
            Ok(Err(unanswerable)) => invalid(&format!("{}: {}", unanswerable.what, unanswerable.help)),
            Err(_) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The explanation ended by a bug.",
            ),
        }
    }
}
