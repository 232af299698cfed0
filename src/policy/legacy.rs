//! Callers from before there were keys, who may come without one for a while.
//!
//! A room of its own because this is a hole in the wall on purpose: it is narrow (every condition must hold), it closes by
//! itself, and whoever comes through is told when.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use matchit::Router;

use super::answer::http_date;
use super::head::ClientHead;
use super::route::equivalents;
use crate::config::legacy::Legacy;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// `[[legacy]]`, compiled.
pub(super) struct Exemptions(Vec<Exemption>);

struct Exemption {
    sources: Vec<IpNet>,
    header: Option<(HeaderName, Option<String>)>,
    path: Option<Router<()>>,
    until: i64,
    passage: Arc<Exempt>,
}

/// Why somebody came without a key, and what the answer tells about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Exempt {
    /// The entry's name.
    pub name: Arc<str>,
    /// `Deprecation` (RFC 9745) and `Sunset` (RFC 8594).
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Exemptions {
    pub(super) fn compile(entries: &[Legacy]) -> Self {
        Self(entries.iter().map(Exemption::compile).collect())
    }

    /// The first entry that lets this request through at `now` (Unix seconds).
    pub(super) fn find(&self, head: &ClientHead<'_>, address: Option<IpAddr>, now: i64) -> Option<&Arc<Exempt>> {
        let found = self.0.iter().find(|entry| entry.holds(head, address, now));
        found.map(|entry| &entry.passage)
    }
}

impl Exemption {
    fn compile(entry: &Legacy) -> Self {
        let path = entry.path.as_deref().map(|pattern| {
            let mut router = Router::new();
            router
                .insert(pattern, ())
                .expect("the configuration has checked the pattern");
            // As in [[routes]]. What cannot be inserted is there already.
            for equivalent in equivalents(pattern) {
                let _ = router.insert(equivalent, ());
            }
            router
        });
        let deprecation = HeaderValue::try_from(format!("@{}", entry.since));
        Self {
            sources: entry.sources.clone(),
            header: entry.header.clone(),
            path,
            until: entry.until,
            passage: Arc::new(Exempt {
                name: Arc::clone(&entry.name),
                headers: [
                    deprecation.ok().map(|value| (DEPRECATION, value)),
                    http_date(entry.until).map(|value| (SUNSET, value)),
                ]
                .into_iter()
                .flatten()
                .collect(),
            }),
        }
    }

    fn holds(&self, head: &ClientHead<'_>, address: Option<IpAddr>, now: i64) -> bool {
        now < self.until
            && (self.sources.is_empty()
                || address.is_some_and(|address| self.sources.iter().any(|network| network.contains(&address))))
            && self.path.as_ref().is_none_or(|path| path.at(head.uri.path()).is_ok())
            && self.header.as_ref().is_none_or(|(name, value)| {
                let mut lines = head.headers.get_all(name).iter();
                lines.any(|line| value.as_ref().is_none_or(|value| line.as_bytes() == value.as_bytes()))
            })
    }
}
