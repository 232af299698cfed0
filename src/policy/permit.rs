//! What lets a request through.
//!
//! # Security
//! The fields are private and only [`super::decide`] fills them in: whoever holds a `Permit` holds a decision. It is spent by
//! value: [`Permit::head`] turns the client's head into the upstream's, once.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::credential::Taken;
use super::forwarded::Client;
use super::header_law::{HeaderLaw, Injection};
use super::limits::{Report, Slot};
use super::standing::{PlanHeaders, Standing};
use crate::config::upstreams::UpstreamId;

/// The decision to forward one request.
pub struct Permit {
    pub(super) standing: Option<Arc<Standing>>,
    pub(super) upstream: UpstreamId,
    pub(super) taken: Taken,
    pub(super) client: Client,
    pub(super) report: Report,
    pub(super) slot: Option<Slot>,
    pub(super) law: Arc<HeaderLaw>,
}
