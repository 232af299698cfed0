//! What Keygate tells its operators: log lines ([`log`]) and metrics ([`metrics`]).
//!
//! A leaf beside `clock` and `secret`: every room may report, and nothing is decided from a report.

pub mod log;
pub mod metrics;
