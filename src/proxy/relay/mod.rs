//! What flows between a client and an upstream: two bodies, and the exchange that both belong to.
//!
//! A room of its own because a body outlives the function that started it: the client's is read by the upstream's
//! connection, the upstream's by the client's, and both account, keep time and fail in one place, the [`Exchange`].
//!
//! Invariants: one frame is handed on at a time, so a body of any size holds no more than the two connections' buffers;
//! a body that is cut ends in an error, never in a clean end; the first [`Cut`] of an exchange is the one that counts.

mod exchange;
mod gate;
mod request;
mod response;

pub use exchange::{Cut, Exchange};
pub use gate::Gate;
pub use request::{BodyRules, RequestBody};
pub use response::{Pace, ResponseBody, UpstreamBody};
