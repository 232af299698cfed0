//! TEMPORARY
use http::{HeaderMap, HeaderName};
#[derive(Debug)]
pub struct Leaks;
impl Leaks {
    pub fn find(&self, _body: &[u8]) -> Option<&str> { None }
    pub fn scrub(&self, headers: &mut HeaderMap) -> Vec<HeaderName> {
        let mut removed = Vec::new();
        for name in ["x-api-key", "x-admin-key", "proxy-authorization", "connection", "proxy-connection", "x-egress-token", "authorization", "x-internal", "x-note", "x-auth-organization"] {
            if headers.remove(name).is_some() { removed.push(HeaderName::from_static(name)); }
        }
        removed
    }
}
