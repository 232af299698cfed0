//! The return path: events of the service leave through Keygate, and arrive signed, where they belong and nowhere else.

mod addressing;
mod answers;
mod bodies;
mod clients;
mod destinations;
mod listener;
mod queue;
mod retries;
mod rotation;
pub mod stage;
mod storm;
mod tls;
