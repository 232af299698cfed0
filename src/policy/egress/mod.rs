//! The return path: what receivers get.

pub mod sign;
