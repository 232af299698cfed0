//! Keygate: a reverse-proxy sidecar that enforces API keys in front of messaging services.

pub mod clock;
pub mod config;
pub mod policy;
pub mod proxy;
pub mod secret;
