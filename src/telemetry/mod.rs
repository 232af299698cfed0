//! What Keygate tells its operators: log lines ([`log`]), metrics ([`metrics`]), and how far a
//! migration has come ([`migration`]).
//!
//! A leaf beside `clock` and `secret`: every room may report, and nothing is decided from a report.

pub mod log;
pub mod metrics;
pub mod migration;
pub mod webhooks;
