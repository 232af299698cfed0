//! Change: what an operator may do to a gate.
//!
//! A room of its own so that everything that alters keys or the running gate stands apart from what carries requests.
//! Nothing here touches a live connection, and nothing here prints: commands and listeners say what happened.

pub mod keyfile;
pub mod mint;
