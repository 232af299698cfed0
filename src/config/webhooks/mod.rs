//! Where events go, and how they are signed.
#![allow(dead_code)] // until records are read

pub mod secret;
pub mod sign;
