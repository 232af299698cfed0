//! The admin listener: probes and metrics for everybody who can connect, and the operators' API, on a port (or Unix
//! socket) of its own.
//!
//! Everything below `/admin/v1` goes the same way ([`Desk::answer`]): who asks (`guard`), what for (`routes`), whether that
//! role may, and only then the route itself, one file for each resource. What is not done comes back as a [`Problem`];
//! what was refused to somebody is told in one place (`Desk::refused`). The API is described in `openapi.json`, which is
//! served, and held against the table of routes and the running listener by tests.
//!
//! Invariants: no answer and no log line holds a hash or a secret, except the one secret that a call has just made. No input
//! makes an answer of 5xx. Nothing here waits for a disk on this thread.

mod answers;
mod audit;
mod body;
mod connections;
mod content;
mod explain;
mod fields;
mod guard;
mod keys;
mod openapi;
mod probes;
mod problem;
mod query;
mod refusals;
mod reload;
mod routes;
mod status;
mod usage;
mod webhooks;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::{debug, info};

use self::answers::Answer;
use self::connections::Connections;
use self::guard::{Caller, Denied, Guard, Identity};
use self::keys::Shelf;
use self::problem::Problem;
use self::refusals::{Call, Refusals};
use self::routes::{Found, Route, Routes};
use super::Control;
use crate::listen::Bound;

/// How many questions are thought about at once: each may cost a slow hash.
const THINKING: usize = 1;

/// What all admin connections share.
struct Desk {
    control: Arc<Control>,
    guard: Guard,
    refusals: Refusals,
    routes: Routes,
    connections: Connections,
    thinking: Arc<Semaphore>,
    shelf: Shelf,
    /// The state file; where it is does not change while the process runs.
    state: Option<PathBuf>,
}

/// Serves on every admin address.
///
/// # Errors
/// When a listener cannot be handed to the runtime.
pub(super) fn spawn(control: &Arc<Control>, bound: Vec<Bound>) -> io::Result<()> {
    let first = control.current.load();
    let desk = Rc::new(Desk {
        control: Arc::clone(control),
        guard: Guard::new(&first.config.admin),
        refusals: Refusals::new(),
        routes: Routes::new(),
        connections: Connections::default(),
        thinking: Arc::new(Semaphore::new(THINKING)),
        shelf: Shelf::default(),
        state: first.config.state.as_ref().map(|state| state.path.clone()),
    });
    for listener in bound {
        connections::listen(Rc::clone(&desk), listener, control.vital())?;
    }
    Ok(())
}

impl Desk {
    async fn answer(&self, caller: Caller, request: Request<Incoming>) -> Answer {
        if !request.uri().path().starts_with("/admin/") {
            return probes::answer(&self.control, request.method(), request.uri().path());
        }
        let answer = self.call(caller, request).await;
        answer.unwrap_or_else(answers::problem)
    }

    async fn call(&self, caller: Caller, request: Request<Incoming>) -> Result<Answer, Problem> {
        let settings = self.control.current.load();
        let identity = self
            .guard
            .identify(&settings.config.admin, caller, request.headers())
            .map_err(|denied| self.refused(None, caller, &Call::of(&request), denied))?;
        let (route, named) = match self.routes.find(request.method(), request.uri().path()) {
            Found::Route(route, named) => (route, named),
            Found::OtherMethods(allow) => return Err(Problem::not_allowed(&allow)),
            Found::Options(allow) => return Ok(answers::options(&allow)),
            Found::Nothing => return Err(Problem::not_found("GET /admin/v1/openapi.json says what there is.")),
        };
        identity
            .may(route.role())
            .map_err(|denied| self.refused(Some(&identity), caller, &Call::of(&request), denied))?;
        admitted(&identity, route, &request);
        let id = named.id;
        match route {
            Route::Status => status::show(self, &request),
            Route::Explain => explain::answer(self, request).await,
            Route::Reload => reload::answer(self, &identity, request).await,
            Route::ListKeys => keys::list(self, &request).await,
            Route::CreateKey => keys::create(self, &identity, request).await,
            Route::ShowKey => keys::show(self, &id, &request).await,
            Route::RotateKey => keys::rotate(self, &identity, &id, request).await,
            Route::RevokeKey => keys::revoke(self, &identity, &id, request).await,
            Route::DisableKey => keys::disable(self, &identity, &id, request).await,
            Route::EnableKey => keys::enable(self, &identity, &id, request).await,
            Route::Usage => usage::show(self, &request).await,
            Route::Audit => audit::show(self, &identity, &request).await,
            Route::ListWebhooks => webhooks::list(self, &request).await,
            Route::WebhookActivity => webhooks::activity(self, &request).await,
            Route::WebhookEvents => webhooks::events(self, &request).await,
            Route::ShowWebhook => webhooks::show(self, &id, &request).await,
            Route::TestWebhook => webhooks::test(self, &identity, &id, request).await,
            Route::PauseWebhook => webhooks::pause(self, &identity, &id, request).await,
            Route::ResumeWebhook => webhooks::resume(self, &identity, &id, request).await,
            Route::ReplayEvent => webhooks::replay(self, &identity, (&id, &named.event), request).await,
            Route::OpenApi => openapi::show(&request),
        }
    }

    /// Tells that a call was refused to somebody.
    fn refused(&self, identity: Option<&Identity>, source: Caller, call: &Call, denied: Denied) -> Problem {
        self.refusals.tell(&self.control.audit, identity, source, call, denied);
        denied.into()
    }
}

/// Writes down a call that was let in. Whoever only looks may look every second, so that is detail.
fn admitted(identity: &Identity, route: Route, request: &Request<Incoming>) {
    let Identity { actor, source, role } = identity;
    let (method, path) = (request.method(), request.uri().path());
    if route.changes() {
        info!(message = "admin call", %source, by = %actor, %role, %method, path);
    } else {
        debug!(message = "admin call", %source, by = %actor, %role, %method, path);
    }
}
