//! Tells callers in time that their key's secret ends.

use http::HeaderMap;

use super::Policy;
use super::answer::http_date;
use super::bond::Proof;
use super::permit::Trail;

impl Policy {
    /// Writes when the key's secret ends into an answer, as an HTTP date (RFC 9110 §5.6.7), where that is configured and near at
    /// `now` (Unix seconds): the key's own end, or what is left of a rotation's overlap. In no other case does an answer have
    /// this header, whatever the service says. Tokens of users are not told of: they always end soon.
    pub fn tell_end(&self, headers: &mut HeaderMap, trail: &Trail, now: i64) {
        let Some(header) = &self.config.expiry.header else {
            return;
        };
        headers.remove(&header.name);
        let until = match &trail.proof {
            Some(Proof::Key { until, .. }) => *until,
            Some(Proof::Token { .. }) | None => None,
        };
        let near = until.filter(|until| (1..=header.within.seconds()).contains(&(until - now)));
        headers.extend(near.and_then(http_date).map(|date| (header.name.clone(), date)));
    }
}
