//! What a route demands of a caller whose key is good, each rule by itself.
//!
//! A room of its own because every rule is a sentence that an operator wrote, and is read, tested and explained alone. None
//! of them spends anything or looks at another.
//!
//! # Security
//! A request that names an organization or a subscription names exactly one: where the parameter is missing or repeated, or
//! its encoding is broken, nobody is it. So it is where a server could find a second one, or another text in the first: what
//! resembles a parameter of the query counts as that parameter, once more. A mismatch is answered as if there were no
//! other: what is refused is the same for a tenant that exists and for one that does not.

use std::borrow::Cow;

use http::HeaderName;

use super::caller::Caller;
use super::credential::fields::{self, Decoded};
use super::head::ClientHead;
use super::permissions::Permissions;
use super::refusal::Refusal;
use super::route::Routes;
use crate::config::routes::{Parameter, Permission, RequiredHeader, Route, Subscription};
use crate::config::trust::MaxStale;

/// The caller's environment is one of the route's.
pub(super) fn environment(route: &Route, caller: &Caller) -> Result<(), Refusal> {
    let admitted = |id| route.environments.contains(&id);
    if route.environments.is_empty() || caller.environment.is_some_and(admitted) {
        Ok(())
    } else {
        Err(Refusal::EnvironmentDenied("route"))
    }
}

/// The caller may do what the route is for.
pub(super) fn permission(route: &Route, permissions: &Permissions) -> Result<(), Refusal> {
    if permissions.satisfy(route.permission.as_ref()) {
        Ok(())
    } else {
        Err(Refusal::PermissionDenied)
    }
}

/// What the caller is here for is open: the key files have been seen lately enough. Of several permissions that would do, one
/// that the caller has must be open; of those that are all needed, each. What is not asked for is told as `*` is.
pub(super) fn freshness(route: &Route, caller: &Caller, most: &MaxStale, age: u64) -> Result<(), Refusal> {
    let is_open = |permission: Option<&str>| most.of(permission).is_none_or(|most| age <= most.as_secs());
    let open = match &route.permission {
        None => is_open(None),
        Some(Permission::Any(names)) => names
            .iter()
            .any(|name| caller.permissions.contains(name) && is_open(Some(name))),
        Some(Permission::All(names)) => names.iter().all(|name| is_open(Some(name))),
    };
    if open { Ok(()) } else { Err(Refusal::KeysStale) }
}

/// The caller has the subscription that the route, or the request, names.
pub(super) fn subscription(
    route: &Route,
    caller: &Caller,
    head: &ClientHead<'_>,
    routes: &Routes,
) -> Result<(), Refusal> {
    let told;
    let wanted = match &route.subscription {
        None => return Ok(()),
        Some(Subscription::Named(name)) => name.as_str(),
        Some(Subscription::Told(parameter)) => {
            told = named(parameter, head, routes).ok_or(Refusal::SubscriptionDenied)?;
            &told
        }
    };
    if caller.subscriptions.iter().any(|held| **held == *wanted) {
        Ok(())
    } else {
        Err(Refusal::SubscriptionDenied)
    }
}

/// The organization that the request names is the caller's. Who belongs to none has none that could be named.
pub(super) fn tenant(route: &Route, caller: &Caller, head: &ClientHead<'_>, routes: &Routes) -> Result<(), Refusal> {
    let Some(parameter) = &route.organization else {
        return Ok(());
    };
    match named(parameter, head, routes) {
        // A user may belong to none: then nothing that a request names is it, not even an empty name.
        Some(named) if !named.is_empty() && *named == *caller.organization => Ok(()),
        Some(_) | None => Err(Refusal::TenantDenied),
    }
}

/// The other credentials that the service asks for are there; what they say is the service's business. What stood in one that
/// `goes` was the caller's own credential, and is no other.
pub(super) fn required_headers(
    route: &Route,
    head: &ClientHead<'_>,
    goes: impl Fn(&HeaderName) -> bool,
) -> Result<(), Refusal> {
    let is_there = |header: &RequiredHeader| {
        let mut lines = head.headers.get_all(&header.name).iter();
        !goes(&header.name) && lines.any(|value| holds_something(header, fields::trim(value.as_bytes())))
    };
    if route.required_headers.iter().all(is_there) {
        Ok(())
    } else {
        Err(Refusal::HeaderMissing)
    }
}

fn holds_something(header: &RequiredHeader, value: &[u8]) -> bool {
    let Some(scheme) = &header.scheme else {
        return !value.is_empty();
    };
    let word = value.get(..scheme.len());
    let rest = value.get(scheme.len()..).and_then(|rest| rest.strip_prefix(b" "));
    word.is_some_and(|word| word.eq_ignore_ascii_case(scheme.as_bytes()))
        && rest.is_some_and(|rest| !fields::trim(rest).is_empty())
}

/// What the request names, percent-decoded where it stands in the target.
fn named<'a>(parameter: &Parameter, head: &ClientHead<'a>, routes: &Routes) -> Option<Cow<'a, str>> {
    match parameter {
        Parameter::Path(position) => decoded(routes.parameter(head.uri.path(), *position)?),
        Parameter::Query(name) => {
            let query = head.uri.query().unwrap_or_default();
            let part = only(fields::query(query).filter(|part| resembles(part, name)))?;
            let value = fields::parameter_value(part);
            // Forms write spaces as `+`, and some servers end a parameter at `;`.
            let is_plain = fields::is_parameter(part, name) && !value.contains(['+', ';']);
            if is_plain { decoded(value) } else { None }
        }
        Parameter::Header(name) => {
            let value = only(head.headers.get_all(name).iter())?;
            let value = std::str::from_utf8(fields::trim(value.as_bytes())).ok()?;
            Some(Cow::Borrowed(value))
        }
    }
}

/// Whether some server could take a part of a query for the parameter `name`: without case, without spaces around it, ended
/// by a bracket (`org[]`) or a zero byte, or behind a `;`.
fn resembles(part: &str, name: &str) -> bool {
    part.split(';').any(|part| {
        let written = part.split_once('=').map_or(part, |(written, _)| written);
        if written.eq_ignore_ascii_case(name) {
            return true;
        }
        let written: Vec<u8> = percent_encoding::percent_decode_str(written)
            .map(|byte| if byte == b'+' { b' ' } else { byte })
            .collect();
        let ends = |byte: &u8| matches!(byte, b'[' | 0);
        let cut = written.split(ends).next().unwrap_or_default();
        let is_name = |read: &[u8]| read.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        is_name(&written) || is_name(cut)
    })
}

fn only<T>(mut several: impl Iterator<Item = T>) -> Option<T> {
    let first = several.next()?;
    several.next().is_none().then_some(first)
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    match fields::decode(text)? {
        Decoded::Verbatim(_) => Some(Cow::Borrowed(text)),
        Decoded::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}
