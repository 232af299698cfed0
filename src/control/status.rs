//! What is in force, and how far a migration has come: what `GET /admin/v1/status` answers and `keygate status` reads.
//!
//! A room of its own because it joins what was seen ([`crate::telemetry::migration`]) with what is configured, and draws the
//! one conclusion that an operator waits for: whether anybody would be refused if everything were enforced now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Control;
use super::reload::Held;
use crate::config::Config;
use crate::config::routes::{Enforcement, Route};
use crate::config::webhooks::Webhook;
use crate::lifecycle::Stage;
use crate::policy::Policy;
use crate::telemetry::migration::{Migration, Observed, Seen};

const DAY: i64 = 24 * 3600;

/// What is in force, at a moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Keygate's version.
    pub version: String,
    /// The generation in force.
    pub generation: u64,
    /// Since when it is; Unix seconds.
    pub generation_since: i64,
    /// Since when the process runs, and counts what is below; Unix seconds.
    pub started: i64,
    /// `applied`, or `refused` or `held` where the files on disk are not what is in force.
    pub last_reload: String,
    /// What waits for somebody to accept it.
    pub held: Option<Held>,
    /// Where the keys in force are not those of the key file, which could not be used at the start: when they were last seen in
    /// it; Unix seconds.
    pub last_good: Option<i64>,
    /// For how many seconds the key files have not been seen to be readable and valid.
    pub keys_age: i64,
    /// Whether the process is about to end.
    pub draining: bool,
    /// How many keys are in each state.
    pub keys: Vec<Keys>,
    /// The routes that are not enforced.
    pub not_enforced: Vec<NotEnforced>,
    /// What routes that only observe would have refused.
    pub observed: Vec<WouldRefuse>,
    /// Whom `[[legacy]]` lets in.
    pub legacy: Vec<Legacy>,
    /// The return path; `None` where there are no webhooks.
    pub webhooks: Option<Webhooks>,
    /// Whether enforcing everything now would refuse anybody seen in the last 24 hours.
    pub enforcing_would_refuse: bool,
    /// The same in words.
    pub verdict: String,
}

/// How the return path stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Webhooks {
    /// Webhooks that are registered.
    pub registered: usize,
    /// Those among them that are not active.
    pub inactive: usize,
    /// Those to which nothing is sent for now.
    pub paused: usize,
    /// Queued events that wait, for whichever webhook.
    pub waiting: i64,
    /// Queued events that are not tried any more.
    pub dead: i64,
}

/// Keys in one state.
#[derive(Debug, Serialize, Deserialize)]
pub struct Keys {
    /// The state.
    pub state: String,
    /// How many.
    pub count: usize,
}

/// A route that is not enforced.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotEnforced {
    /// Its pattern.
    pub route: String,
    /// Its methods; empty is all.
    pub methods: Vec<String>,
    /// `observe` or `off`.
    pub enforcement: String,
}

/// What one route would have refused for one reason.
#[derive(Debug, Serialize, Deserialize)]
pub struct WouldRefuse {
    /// The route's methods, where it names some, and its pattern.
    pub route: String,
    /// The refusal's code.
    pub code: String,
    /// Requests since the process began.
    pub requests: u64,
    /// Different keys or addresses in the last 24 hours.
    pub callers: usize,
    /// Unix seconds.
    pub last_seen: i64,
    /// Whether the route still observes; what it refused before is history otherwise.
    pub still_observed: bool,
}

/// One `[[legacy]]` entry, and who still needs it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Legacy {
    /// Its name.
    pub name: String,
    /// Unix seconds.
    pub until: i64,
    /// Whole days until then; 0 on the last day and after it.
    pub days_left: i64,
    /// Whether it has ended.
    pub ended: bool,
    /// Its note.
    pub note: Option<String>,
    /// Requests since the process began.
    pub requests: u64,
    /// Different addresses in the last 24 hours.
    pub callers: usize,
    /// Unix seconds; absent where nobody came.
    pub last_seen: Option<i64>,
}

/// How it is at `now`, in Unix seconds.
pub(super) fn of(control: &Control, policy: &Policy, now: i64) -> Status {
    let (config, metrics) = (&policy.config, &control.metrics);
    let observed = observed(config, &metrics.migration, now);
    let legacy = legacy(config, &metrics.migration, now);
    let (enforcing_would_refuse, verdict) = verdict(config, &observed, &legacy);
    let keys = policy.keyring().count_by_state(policy.revocations(), now);
    let held = control.reloads.held();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: policy.generation,
        generation_since: metrics.last_reload.get(),
        started: control.started,
        last_reload: match (&held, metrics.reload_failed.get()) {
            (Some(_), _) => "held",
            (None, 0) => "applied",
            (None, _) => "refused",
        }
        .to_owned(),
        held,
        last_good: control.reloads.last_good(),
        keys_age: metrics.keys_age(now),
        draining: *control.conductor.stages().borrow() > Stage::Serving,
        keys: keys
            .map(|(state, count)| Keys {
                state: state.word().to_owned(),
                count,
            })
            .into(),
        not_enforced: config.routes.iter().filter_map(NotEnforced::of).collect(),
        legacy,
        observed,
        webhooks: Webhooks::of(control, policy),
        enforcing_would_refuse,
        verdict,
    }
}

fn observed(config: &Config, migration: &Migration, now: i64) -> Vec<WouldRefuse> {
    let seen = migration.observed(now).into_iter();
    seen.map(|Observed { route, code, seen }| WouldRefuse {
        still_observed: config
            .routes
            .iter()
            .any(|known| known.label() == route && known.enforcement == Enforcement::Observe),
        route,
        code: code.to_owned(),
        requests: seen.requests,
        callers: seen.callers,
        last_seen: seen.last_seen,
    })
    .collect()
}

fn legacy(config: &Config, migration: &Migration, now: i64) -> Vec<Legacy> {
    let seen = migration.still_legacy(now);
    let entries = config.legacy.iter().map(|entry| {
        let seen: Option<Seen> = seen.iter().find(|one| *one.name == *entry.name).map(|one| one.seen);
        Legacy {
            name: entry.name.to_string(),
            until: entry.until,
            days_left: (entry.until - now).max(0) / DAY,
            ended: entry.until <= now,
            note: entry.note.clone(),
            requests: seen.map_or(0, |seen| seen.requests),
            callers: seen.map_or(0, |seen| seen.callers),
            last_seen: seen.map(|seen| seen.last_seen),
        }
    });
    entries.collect()
}

/// Whether enforcing would refuse anybody, and a sentence about it.
fn verdict(config: &Config, observed: &[WouldRefuse], legacy: &[Legacy]) -> (bool, String) {
    let left = observed.iter().filter(|one| one.still_observed && one.callers > 0);
    let left: Vec<String> = left
        .map(|one| format!("{} {} ({})", one.route, one.code, callers(one.callers)))
        .collect();
    if !left.is_empty() {
        return (true, format!("enforcing now would refuse {}", left.join(", ")));
    }
    let has = |enforcement| config.routes.iter().any(|route| route.enforcement == enforcement);
    let off = match has(Enforcement::Off) {
        true => "; nobody is counted where enforcement is off",
        false => "",
    };
    let text = if has(Enforcement::Observe) {
        "enforcing now would refuse nobody who was seen in the last 24 hours"
    } else {
        "no route observes, so there is nothing to enforce"
    };
    let without: usize = legacy
        .iter()
        .filter(|entry| !entry.ended)
        .map(|entry| entry.callers)
        .sum();
    let without = match without {
        0 => String::new(),
        _ => format!("; without a key, as [[legacy]] lets them, came {}", callers(without)),
    };
    (false, format!("{text}{off}{without}"))
}

fn callers(number: usize) -> String {
    format!("{number} caller{}", if number == 1 { "" } else { "s" })
}

impl Webhooks {
    fn of(control: &Control, policy: &Policy) -> Option<Self> {
        let webhooks = policy.egress.as_ref()?.webhooks();
        let (waiting, dead) = control.metrics.webhooks.queue_now();
        let paused = |webhook: &&Arc<Webhook>| control.queue.pause_of(&webhook.id).is_some();
        Some(Self {
            registered: webhooks.len(),
            inactive: webhooks.iter().filter(|webhook| !webhook.active).count(),
            paused: webhooks.iter().filter(paused).count(),
            waiting,
            dead,
        })
    }
}

impl NotEnforced {
    fn of(route: &Route) -> Option<Self> {
        let enforcement = match route.enforcement {
            Enforcement::Enforce => return None,
            Enforcement::Observe => "observe",
            Enforcement::Off => "off",
        };
        Some(Self {
            route: route.path.to_string(),
            methods: route.methods.iter().map(ToString::to_string).collect(),
            enforcement: enforcement.to_owned(),
        })
    }
}
