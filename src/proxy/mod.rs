//! Carry: client connections, upstream connections, and what flows between them.

pub mod relay;
pub mod sweep;
pub mod upstream;
