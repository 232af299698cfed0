//! `[plans.NAME]`: how much a key may ask for.

use std::time::Duration;

/// Index into [`super::Config::plans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(pub u16);

/// One plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// `limits`: all of them admit a request, or none is spent.
    pub limits: Vec<Limit>,
    /// `concurrency`: requests and tunnels in flight at once per key; `None` is unlimited.
    pub concurrency: Option<u32>,
    /// `rate_limit_headers`: the dialects told to the caller, default `["ratelimit"]`.
    pub headers: Vec<Dialect>,
}

/// One named window: `{ name = "sec", requests = 80, per = "1s", burst = 80, strict = false }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What headers and errors call it. A token of RFC 9110 characters.
    pub name: String,
    /// How many units per window; at least 1.
    pub requests: u32,
    /// The window's length; at least one millisecond.
    pub per: Duration,
    /// How many units may come at once; at least 1, default and at most `requests`.
    pub burst: u32,
    /// No interval of the window's length ever admits more than `requests`.
    pub strict: bool,
}

/// A dialect of rate-limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `ratelimit`: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11).
    RateLimit,
    /// `x-ratelimit`: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (Unix seconds) of the tightest window.
    XRateLimit,
    /// `x-ratelimit-window`: `X-RateLimit-<window>-Limit` and `-Remaining` for each window.
    XRateLimitWindow,
}
