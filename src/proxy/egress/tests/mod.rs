//! Names that lie, and receivers that are not there, or not themselves.

mod connecting;
#[path = "../../../../tests/it/harness/dns.rs"]
#[allow(dead_code)] // shared with the tests from outside
mod dns;
mod resolving;

use crate::config::webhooks::destinations;
use crate::policy::egress::destination::Destinations;

fn with(options: &str) -> Destinations {
    Destinations::new(&destinations::of_text(options))
}
