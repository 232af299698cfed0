//! `[webhooks]`

#[allow(dead_code)]
pub mod destinations;
#[allow(dead_code)]
pub mod url;
