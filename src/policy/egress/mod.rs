//! The return path.

pub mod destination;
