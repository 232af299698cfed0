//! The access line: one event per request or tunnel, from a guard, so that a client that goes away is logged too.
//!
//! # Security
//! What it writes comes from the decision, never from the wire as is: the path without the query's credential, the key's
//! public id, codes. No header value of the client's is ever logged.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use http::{Method, StatusCode, Version};
use tracing::info;

use super::relay::Exchange;
use super::worker::Worker;
use crate::clock;
use crate::config::telemetry::AccessLog;
use crate::policy::Policy;
use crate::policy::caller::Caller;
use crate::policy::refusal::Failure;

/// What is known of a request so far; written when the last owner lets go of it.
pub(super) struct AccessLine {
    worker: Rc<Worker>,
    policy: Rc<Arc<Policy>>,
    /// Bytes and failures, counted where they pass.
    pub(super) exchange: Rc<Exchange>,
    opened: u64,
    upstream_began: Cell<Option<u64>>,
    upstream_took: Cell<Option<u64>>,
    method: Method,
    version: Version,
    facts: RefCell<Facts>,
    decision: Cell<&'static str>,
    reason: Cell<&'static str>,
    status: Cell<u16>,
    tunnel: Cell<bool>,
}

#[derive(Default)]
struct Facts {
    request_id: String,
    path: String,
    client: Option<std::net::IpAddr>,
    caller: Option<Arc<Caller>>,
    route: Option<usize>,
}

/// The decision of a request that was let through.
const FORWARD: &str = "forward";

impl AccessLine {
    /// Opens the line of a request that arrived at `opened` (monotonic nanoseconds).
    pub(super) fn open(worker: &Rc<Worker>, policy: Rc<Arc<Policy>>, opened: u64, method: Method, version: Version) -> Rc<Self> {
        Rc::new(Self {
            worker: Rc::clone(worker),
            policy,
            exchange: Rc::default(),
            opened,
            upstream_began: Cell::new(None),
            upstream_took: Cell::new(None),
            method,
            version,
            facts: RefCell::default(),
            decision: Cell::new(FORWARD),
            reason: Cell::new(""),
            status: Cell::new(0),
            tunnel: Cell::new(false),
        })
    }

    /// The request's name and target, the latter without any credential.
    pub(super) fn identify(&self, request_id: &str, path: &str, client: Option<std::net::IpAddr>) {
        let mut facts = self.facts.borrow_mut();
        request_id.clone_into(&mut facts.request_id);
        path.clone_into(&mut facts.path);
        facts.client = client;
    }
}
