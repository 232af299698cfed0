//! What leaves through the return path, decided.

pub mod leak;
