//! Decide: the immutable snapshot that says yes or no.
//!
//! A room of its own so that every decision can be read, tested as a truth table and explained without a socket. Nothing
//! here is `async`, reads a clock or a file, or logs: time and heads come as arguments, effects go back as data.

pub mod caller;
pub mod credential;
pub mod head;
pub mod keyring;
pub mod refusal;
