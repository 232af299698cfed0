//! What holds between sections: things that are valid alone, and wrong or pointless together.
//!
//! A room of its own because each check looks at several sections, after all of them have been read.

use std::net::{IpAddr, SocketAddr};

use super::credentials::{Credentials, Source};
use super::environments::Environment;
use super::identity::Identity;
use super::ingress::Listen;
use super::legacy::Legacy;
use super::plans::{DEFAULT, Limit, Plan, PlanId};
use super::reader::{Item, Place};
use super::records::Records;
use super::routes::Placed;
use super::upstreams::{Endpoint, Upstream};
use super::webhooks::{Delivery, Webhook, Webhooks};

/// No two listeners may want the same address.
pub(super) fn listeners<'d>(listeners: &[(&[Listen], &[Place<'d>])]) {
    let all = listeners.iter().flat_map(|(listen, places)| listen.iter().zip(*places));
    let all: Vec<(&Listen, &Place<'d>)> = all.collect();
    for (index, (listen, place)) in all.iter().enumerate() {
        let earlier = all[..index].iter().find(|(other, _)| collide(other, listen));
        if let Some((other, at)) = earlier {
            let what = if other == listen {
                format!("{listen} is listened on already")
            } else {
                format!("{listen} and {other} cannot both be had")
            };
            place.error(what, format!("the other one is {} ({})", at.path(), at.location()));
        }
    }
}

/// A listener for events, and webhooks for them to go to, belong together.
pub(super) fn events(egress: Option<&Item<'_>>, webhooks: Option<&Item<'_>>) {
    match (egress, webhooks) {
        (Some(egress), None) => egress.key_place().error(
            "has nowhere to send events to, since there is no [webhooks]",
            "add [webhooks] with file = \"webhooks.toml\", or remove it",
        ),
        (None, Some(webhooks)) => webhooks.key_place().warning(
            "gets no events, since there is no [egress]",
            "add [egress], where the service brings its events",
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// Events that are queued are queued in the state file.
pub(super) fn queue(webhooks: Option<(&Item<'_>, &Webhooks)>, state: Option<&Item<'_>>) {
    let Some((item, webhooks)) = webhooks else { return };
    let is_queued = |webhook: &&Webhook| match webhook.delivery {
        Delivery::Queued { .. } => true,
        Delivery::Request => false,
    };
    if state.is_none()
        && let Some(webhook) = webhooks.list.iter().find(is_queued)
    {
        item.key_place().error(
            format!(
                "has a webhook whose events are queued ({:?}), and there is no [state] to queue them in",
                webhook.id
            ),
            "add [state] with path = \"keygate.db\", or remove delivery = \"queued\"",
        );
    }
}

/// Whether only one of two can be had. `[::]` takes IPv4 too.
fn collide(a: &Listen, b: &Listen) -> bool {
    match (a, b) {
        (Listen::Unix(a), Listen::Unix(b)) => a == b,
        (Listen::Tcp(a), Listen::Tcp(b)) => {
            let covers = |all: &SocketAddr, one: &SocketAddr| match all.ip() {
                IpAddr::V4(ip) => ip.is_unspecified() && one.is_ipv4(),
                IpAddr::V6(ip) => ip.is_unspecified(),
            };
            a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
        }
        (Listen::Unix(_), Listen::Tcp(_)) | (Listen::Tcp(_), Listen::Unix(_)) => false,
    }
}

/// No upstream may be Keygate itself: its requests would go round for ever.
pub(super) fn loops(upstreams: &[Upstream], places: &[Place<'_>], ingress: &[Listen]) {
    for (upstream, place) in upstreams.iter().zip(places) {
        let is_own = ingress.iter().any(|listen| match (&upstream.endpoint, listen) {
            (Endpoint::Unix(path), Listen::Unix(own)) => path == own,
            (Endpoint::Tcp { host, port }, Listen::Tcp(own)) => *port == own.port() && reaches(host, own),
            (Endpoint::Unix(_), Listen::Tcp(_)) | (Endpoint::Tcp { .. }, Listen::Unix(_)) => false,
        });
        if is_own {
            place.error(
                "is the address that Keygate itself listens on",
                "name the address of the service behind Keygate",
            );
        }
    }
}

fn reaches(host: &str, own: &SocketAddr) -> bool {
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    host.parse::<IpAddr>().is_ok_and(|address| {
        address == own.ip() || address.is_loopback() && (own.ip().is_unspecified() || own.ip().is_loopback())
    })
}

/// Warns about plans that nobody has.
pub(super) fn plans(plans: &[(Plan, Place<'_>)], environments: &[(Environment, Place<'_>)], records: &Records) {
    let mut used = vec![false; plans.len()];
    let named = environments
        .iter()
        .map(|(environment, _)| environment.plan)
        .chain(records.organizations.iter().map(|organization| organization.plan))
        .chain(records.keys.iter().map(|key| key.plan));
    for PlanId(index) in named.flatten() {
        if let Some(used) = used.get_mut(usize::from(index)) {
            *used = true;
        }
    }
    for ((plan, place), used) in plans.iter().zip(used) {
        if !used && plan.name != DEFAULT {
            place.warning(
                "nobody has this plan",
                "name it in an environment, an organization or a key, or remove it",
            );
        }
    }
}

/// Warns about environments that no key can be in.
pub(super) fn environments(environments: &[(Environment, Place<'_>)], records: &Records) {
    let mut used = vec![false; environments.len()];
    for id in records.keys.iter().filter_map(|key| key.environment) {
        if let Some(used) = used.get_mut(usize::from(id.0)) {
            *used = true;
        }
    }
    for ((environment, place), used) in environments.iter().zip(used) {
        if environment.prefixes.is_empty() && !used {
            place.warning(
                "no key is in this environment, and none can come to it by its prefix",
                "add prefixes = [\"…\"], name it in a key, or remove it",
            );
        }
    }
}

/// Warns about environments whose keys no source takes.
pub(super) fn key_prefixes(environments: &[(Environment, Place<'_>)], credentials: &Credentials) {
    let takes = |key: &str| {
        let mut sources = credentials.prefixes.iter();
        sources.any(|prefixes| prefixes.is_empty() || prefixes.iter().any(|prefix| key.starts_with(prefix.as_str())))
    };
    for (environment, place) in environments {
        for prefix in environment.prefixes.iter().filter(|prefix| !takes(prefix)) {
            place.warning(
                format!("keys that begin with {prefix:?} are taken nowhere"),
                "every [[credentials]] has a `prefix` of its own; add this one to one of them",
            );
        }
    }
}

/// Refuses required headers that never go on: what Keygate itself says, and what holds nothing but keys.
pub(super) fn required_headers(routes: &[Placed<'_>], credentials: &Credentials, identity: &Identity) {
    for placed in routes {
        let (route, place) = (&placed.route, &placed.required_headers);
        let counting = route.credentials.as_ref().unwrap_or(&credentials.everywhere);
        for header in &route.required_headers {
            let holds_keys = |&index: &u16| {
                let index = usize::from(index);
                let is_here = match &credentials.sources[index] {
                    Source::Header(name) => *name == header.name,
                    Source::Scheme { header: name, scheme } => {
                        let wanted = header.scheme.as_ref();
                        *name == header.name && wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(scheme))
                    }
                    Source::BasicPassword | Source::Query(_) | Source::Cookie(_) | Source::WebSocketProtocol(_) => {
                        false
                    }
                };
                is_here && credentials.prefixes[index].is_empty()
            };
            if identity.reserved.contains(&header.name) {
                place.error(
                    format!(
                        "`{}` never comes from a client: it is removed, and said anew",
                        header.name
                    ),
                    "require what the client sends itself",
                );
            } else if route.access.takes_keys() && counting.iter().any(holds_keys) {
                place.error(
                    format!("`{}` is where keys are taken from, and goes with them", header.name),
                    "give that [[credentials]] entry a `prefix`, or name others in the route's `credentials`",
                );
            }
        }
    }
}

/// Refuses routes that cost more than a plan, or a key's own limits, ever hold at once.
pub(super) fn costs(routes: &[Placed<'_>], plans: &[(Plan, Place<'_>)], records: &Records) {
    let key_limits = records
        .keys
        .iter()
        .filter_map(|key| Some((format!("key {:?}", key.id), smallest(key.limits.as_deref()?)?)))
        .min_by_key(|(_, limit)| limit.burst);
    let all: Vec<(String, &Limit)> = plans
        .iter()
        .filter_map(|(plan, _)| Some((format!("plan {:?}", plan.name), smallest(&plan.limits)?)))
        .chain(key_limits)
        .collect();
    for placed in routes.iter().filter(|placed| placed.route.access.takes_callers()) {
        let cost = placed.route.cost;
        for (who, limit) in all.iter().filter(|(_, limit)| cost > limit.burst) {
            placed.cost.error(
                format!(
                    "costs {cost}, but limit {:?} of {who} never holds more than {}: no such request could be admitted",
                    limit.name, limit.burst
                ),
                "lower `cost`, or raise `requests` and `burst` of the limit",
            );
        }
    }
}

/// Warns about callers that may not come any more.
pub(super) fn legacy(entries: &[(Legacy, Place<'_>)], now: i64) {
    for (_, place) in entries.iter().filter(|(legacy, _)| legacy.until <= now) {
        place.warning(
            "has passed: these callers are refused now",
            "remove the entry, or name a later day",
        );
    }
}

fn smallest(limits: &[Limit]) -> Option<&Limit> {
    limits.iter().min_by_key(|limit| limit.burst)
}

/// What lets users in and `[user_tokens]` belong together. `unmatched` is the option of `[ingress]`, where it lets users in.
pub(super) fn users<'d>(routes: &[Placed<'d>], unmatched: Option<&Item<'d>>, section: Option<&Item<'d>>) {
    let takes_users = routes.iter().filter(|placed| placed.route.access.takes_users());
    let doors: Vec<&Place<'d>> = takes_users
        .map(|placed| &placed.access)
        .chain(unmatched.map(Item::place))
        .collect();
    match section {
        None => {
            for place in doors {
                place.error(
                    "lets users in, but nothing says who they are",
                    "add [user_tokens], or write \"key\"",
                );
            }
        }
        Some(section) if doors.is_empty() => section.key_place().warning(
            "no route lets users in",
            "write access = \"user\" or access = \"key-or-user\" in a [[routes]]",
        ),
        Some(_) => {}
    }
}
