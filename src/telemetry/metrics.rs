//! Metrics in the text format that Prometheus scrapes: `keygate_*`, base units, no label that grows with keys.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_appender::non_blocking::ErrorCounter;

use super::migration::Migration;
use super::webhooks::Webhooks;
use crate::clock;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    /// `keygate_requests_total{decision="forward"}`: held apart, because it is counted on every request.
    pub forwarded: Counter,
    /// `keygate_requests_total{decision="<code>"}`
    pub requests: Family<Decision, Counter>,
    /// `keygate_client_connections`
    pub connections: Gauge,
    /// `keygate_client_connections_refused_total{limit="connections|connections_per_source"}`
    pub connections_refused: Family<Limit, Counter>,
    /// `keygate_tunnels`
    pub tunnels: Gauge,
    /// `keygate_revocation_lag_seconds`: from a revocation to the moment at which nothing goes on under its key.
    revocation_lag: Family<Through, Histogram, fn() -> Histogram>,
    /// `keygate_withdrawn_total`: requests and tunnels ended because what they rested on had.
    pub withdrawn: Counter,
    /// `keygate_slow_verifications_total`: slow hashes computed.
    pub slow_verifications: Counter,
    /// `keygate_generation`
    pub generation: Gauge,
    /// `keygate_reload_failed`: 1 while the files on disk are refused and an older generation is in force.
    pub reload_failed: Gauge,
    /// When the key files were last seen to be readable and valid; Unix seconds. Told as `keygate_keys_age_seconds`.
    pub keys_seen: AtomicI64,
    keys_age: Gauge,
    /// `keygate_keys_last_good`: 1 while the keys in force are those that were last in force before the start.
    pub keys_last_good: Gauge,
    /// `keygate_reload_held`: 1 while the files on disk would drop so many keys that somebody has to accept it.
    pub reload_held: Gauge,
    /// `keygate_reloads_total{result="applied|held|refused"}`
    pub reloads: Family<Outcome, Counter>,
    /// `keygate_last_reload_timestamp_seconds`: when the generation in force was applied.
    pub last_reload: Gauge,
    /// `keygate_keys{state}`, counted when the generation was applied.
    pub keys: Family<State, Gauge>,
    /// `keygate_keys_expiring{within}`: keys that are good and end within that.
    keys_expiring: Family<Within, Gauge>,
    /// `keygate_alert_deliveries_total{result="delivered|failed|dropped"}`: webhooks, by what became of them.
    pub alert_deliveries: Family<Outcome, Counter>,
    /// `keygate_passages_total{passage="key"}`: held apart like `forwarded`.
    pub passed_by_key: Counter,
    /// `keygate_passages_total{passage="key|user|delegated|public|legacy|would_refuse"}`: requests let through, as what.
    pub passages: Family<Passage, Counter>,
    /// `keygate_user_keys`: usable keys for users' tokens, when they were last fetched.
    pub user_keys: Gauge,
    /// `keygate_user_keys_timestamp_seconds`: when they were; 0 is never.
    pub user_keys_fetched: Gauge,
    /// `keygate_user_key_fetches_total{result="fetched|failed"}`
    pub user_key_fetches: Family<Outcome, Counter>,
    /// `keygate_would_refuse_total{reason}`: requests that passed because their route only observes, by the refusal's code.
    pub would_refuse: Family<Reason, Counter>,
    /// `keygate_legacy_requests_total{entry}`: requests without a key, by the `[[legacy]]` entry that let them through.
    pub legacy_requests: Family<Entry, Counter>,
    /// Who these callers are: told as `keygate_would_refuse_callers` and `keygate_legacy_callers{entry}`.
    pub migration: Migration,
    would_refuse_callers: Gauge,
    legacy_callers: Family<Entry, Gauge>,
    /// `keygate_panics_total`
    pub panics: Counter,
    /// `keygate_state_degraded`: 1 while the state file cannot be written.
    pub state_degraded: Gauge,
    /// `keygate_state_corrupt`: state files that were moved aside since the start.
    pub state_corrupt: Gauge,
    /// `keygate_state_flush_failures_total`
    pub state_flush_failures: Counter,
    /// `keygate_state_last_flush_timestamp_seconds`
    pub state_last_flush: Gauge,
    /// `keygate_state_usage_dropped_total`: requests whose usage was given up.
    pub state_usage_dropped: Counter,
    /// `keygate_audit_waiting`: audit entries in memory, until the state file can be had.
    pub audit_waiting: Gauge,
    /// `keygate_audit_lost_total`: audit entries that were given up; each was logged.
    pub audit_lost: Counter,
    /// What is measured of the return path.
    pub webhooks: Webhooks,
    log_lines_dropped: Counter,
    registry: Registry,
}

/// A decision's code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Decision {
    /// `forward`, `answer` for what Keygate answers itself, or the code of the refusal or failure.
    pub decision: &'static str,
}

/// As what a request was let through.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Passage {
    /// `key`, `user`, `delegated`, `public`, `legacy` or `would_refuse`.
    pub passage: &'static str,
}

/// Which limit was met.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Limit {
    /// The option's name.
    pub limit: &'static str,
}

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// `applied`, `held` or `refused`; of a fetch `fetched` or `failed`; of a webhook `delivered`, `failed` or `dropped`.
    pub result: &'static str,
}

/// Within which time a key ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Within {
    /// As in `keys.expiry.alerts`: `14d`.
    within: String,
}

/// Why a request would have been refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The refusal's code.
    pub reason: &'static str,
}

/// A `[[legacy]]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Entry {
    /// Its name.
    pub entry: String,
}

/// How a revocation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Through the admin listener.
    Push,
    /// Through the key file.
    File,
}

/// [`Channel`], as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Through {
    /// `push`, `file`
    channel: &'static str,
}

impl Channel {
    fn label(self) -> Through {
        Through {
            channel: match self {
                Self::Push => "push",
                Self::File => "file",
            },
        }
    }
}

/// A key's state, or a queued event's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct State {
    /// `active`, `disabled`, `revoked`, `expired`, `not_yet_valid`; `waiting`, `dead`, `delivered`.
    pub state: &'static str,
}

/// From a millisecond to five minutes: a push takes some milliseconds, a mounted Secret up to two minutes.
fn lags() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::<Decision, Counter>::default();
        let passages = Family::<Passage, Counter>::default();
        let mut metrics = Self {
            forwarded: requests.get_or_create_owned(&Decision { decision: "forward" }),
            requests,
            connections: Gauge::default(),
            connections_refused: Family::default(),
            tunnels: Gauge::default(),
            revocation_lag: Family::new_with_constructor(lags),
            withdrawn: Counter::default(),
            slow_verifications: Counter::default(),
            generation: Gauge::default(),
            reload_failed: Gauge::default(),
            keys_seen: AtomicI64::new(clock::unix()),
            keys_age: Gauge::default(),
            keys_last_good: Gauge::default(),
            reload_held: Gauge::default(),
            reloads: Family::default(),
            last_reload: Gauge::default(),
            keys: Family::default(),
            keys_expiring: Family::default(),
            alert_deliveries: Family::default(),
            passed_by_key: passages.get_or_create_owned(&Passage { passage: "key" }),
            passages,
            user_keys: Gauge::default(),
            user_keys_fetched: Gauge::default(),
            user_key_fetches: Family::default(),
            would_refuse: Family::default(),
            legacy_requests: Family::default(),
            migration: Migration::default(),
            would_refuse_callers: Gauge::default(),
            legacy_callers: Family::default(),
            panics: Counter::default(),
            state_degraded: Gauge::default(),
            state_corrupt: Gauge::default(),
            state_flush_failures: Counter::default(),
            state_last_flush: Gauge::default(),
            state_usage_dropped: Counter::default(),
            audit_waiting: Gauge::default(),
            audit_lost: Counter::default(),
            webhooks: Webhooks::default(),
            log_lines_dropped: Counter::default(),
            registry: Registry::with_prefix("keygate"),
        };
        metrics.begin_at_zero();
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Counts a decision: `answer`, or the code of a refusal or failure.
    pub fn decided(&self, code: &'static str) {
        self.requests.get_or_create(&Decision { decision: code }).inc();
    }

    /// Counts a revocation that is in force, and how long that took.
    pub fn revoked(&self, channel: Channel, lag: Duration) {
        self.revocation_lag
            .get_or_create(&channel.label())
            .observe(lag.as_secs_f64());
    }

    /// How many keys end within this; `None` where that is told no more.
    pub fn keys_expiring(&self, within: String, keys: Option<usize>) {
        let within = Within { within };
        match keys {
            Some(keys) => drop(
                self.keys_expiring
                    .get_or_create(&within)
                    .set(i64::try_from(keys).unwrap_or(i64::MAX)),
            ),
            None => drop(self.keys_expiring.remove(&within)),
        }
    }

    /// Everything, in the text format (OpenMetrics 1.0). `dropped` counts the log lines that were given up.
    #[must_use]
    pub fn render(&self, dropped: Option<&ErrorCounter>) -> String {
        if let Some(dropped) = dropped {
            let lines = u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX);
            self.log_lines_dropped.inner().store(lines, Ordering::Relaxed);
        }
        self.keys_age.set(self.keys_age(clock::unix()));
        self.tell_migration(clock::unix());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }

    /// For how many seconds nobody has seen the key files to be readable and valid.
    #[must_use]
    pub fn keys_age(&self, now: i64) -> i64 {
        now.saturating_sub(self.keys_seen.load(Ordering::Relaxed)).max(0)
    }

    fn tell_migration(&self, now: i64) {
        let count = |callers: usize| i64::try_from(callers).unwrap_or(i64::MAX);
        self.would_refuse_callers
            .set(count(self.migration.would_refuse_callers(now)));
        for legacy in self.migration.still_legacy(now) {
            let entry = legacy.name;
            self.legacy_callers
                .get_or_create(&Entry { entry })
                .set(count(legacy.seen.callers));
        }
    }

    /// What has not happened yet has happened 0 times: a series that only appears with its first event hides that event
    /// from whoever watches the increase.
    fn begin_at_zero(&self) {
        for result in ["applied", "held", "refused"] {
            self.reloads.get_or_create(&Outcome { result }).inc_by(0);
        }
        for channel in [Channel::Push, Channel::File] {
            drop(self.revocation_lag.get_or_create(&channel.label()));
        }
        for passage in ["key", "user", "delegated", "public", "legacy", "would_refuse"] {
            self.passages.get_or_create(&Passage { passage }).inc_by(0);
        }
        for result in ["fetched", "failed"] {
            self.user_key_fetches.get_or_create(&Outcome { result }).inc_by(0);
        }
        for result in ["delivered", "failed", "dropped"] {
            self.alert_deliveries.get_or_create(&Outcome { result }).inc_by(0);
        }
        for limit in ["connections", "connections_per_source"] {
            self.connections_refused.get_or_create(&Limit { limit }).inc_by(0);
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        self.webhooks.register(registry);
        registry.register("requests", "Requests by decision", self.requests.clone());
        registry.register(
            "client_connections",
            "Open client connections",
            self.connections.clone(),
        );
        registry.register(
            "client_connections_refused",
            "Client connections refused because a limit was met",
            self.connections_refused.clone(),
        );
        registry.register("tunnels", "Open tunnels", self.tunnels.clone());
        registry.register(
            "revocation_lag_seconds",
            "From a revocation, by push or as revoked_at in the key file tells it, to its enforcement on all workers",
            self.revocation_lag.clone(),
        );
        registry.register(
            "withdrawn",
            "Requests and tunnels ended midway because their key or token had ended or lost what they need",
            self.withdrawn.clone(),
        );
        registry.register(
            "slow_verifications",
            "Slow key hashes computed",
            self.slow_verifications.clone(),
        );
        registry.register(
            "generation",
            "Number of the generation in force",
            self.generation.clone(),
        );
        registry.register(
            "reload_failed",
            "1 while the files on disk are refused and an older generation is in force",
            self.reload_failed.clone(),
        );
        registry.register(
            "keys_last_good",
            "1 since a start on the last good keys because the key file could not be used, until it can",
            self.keys_last_good.clone(),
        );
        registry.register(
            "keys_age_seconds",
            "Time since the key files were last seen to be readable and valid",
            self.keys_age.clone(),
        );
        registry.register(
            "reload_held",
            "1 while the files on disk are held because they would drop a large share of the keys",
            self.reload_held.clone(),
        );
        registry.register("reloads", "Reloads by result", self.reloads.clone());
        registry.register(
            "last_reload_timestamp_seconds",
            "When the generation in force was applied",
            self.last_reload.clone(),
        );
        registry.register(
            "keys",
            "Key records by state when the generation was applied",
            self.keys.clone(),
        );
        registry.register(
            "keys_expiring",
            "Valid keys that end within so long",
            self.keys_expiring.clone(),
        );
        registry.register(
            "alert_deliveries",
            "Webhooks about ends of keys, by what became of them",
            self.alert_deliveries.clone(),
        );
        registry.register(
            "would_refuse",
            "Requests that passed because their route only observes, by the code of the refusal",
            self.would_refuse.clone(),
        );
        registry.register(
            "would_refuse_callers",
            "Keys and addresses of the last 24 hours that enforcing all routes would have refused something",
            self.would_refuse_callers.clone(),
        );
        registry.register(
            "legacy_requests",
            "Requests without a key, by the legacy entry that let them through",
            self.legacy_requests.clone(),
        );
        registry.register(
            "legacy_callers",
            "Addresses of the last 24 hours that came without a key, by legacy entry",
            self.legacy_callers.clone(),
        );
        registry.register("passages", "Requests let through, by as what", self.passages.clone());
        registry.register(
            "user_keys",
            "Usable keys for users' tokens, when they were last fetched",
            self.user_keys.clone(),
        );
        registry.register(
            "user_keys_timestamp_seconds",
            "When keys for users' tokens were last fetched",
            self.user_keys_fetched.clone(),
        );
        registry.register(
            "user_key_fetches",
            "Fetches of keys for users' tokens, by result",
            self.user_key_fetches.clone(),
        );
        registry.register("panics", "Tasks ended by a bug", self.panics.clone());
        registry.register(
            "log_lines_dropped",
            "Log lines given up because the writer could not keep up",
            self.log_lines_dropped.clone(),
        );
        self.register_state();
    }

    fn register_state(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "state_degraded",
            "1 while the state file cannot be written; traffic goes on",
            self.state_degraded.clone(),
        );
        registry.register(
            "state_corrupt",
            "Damaged state files that were moved aside since the start",
            self.state_corrupt.clone(),
        );
        registry.register(
            "state_flush_failures",
            "Times that the state file could not be written",
            self.state_flush_failures.clone(),
        );
        registry.register(
            "state_last_flush_timestamp_seconds",
            "When something was last written to the state file",
            self.state_last_flush.clone(),
        );
        registry.register(
            "state_usage_dropped",
            "Requests whose usage was given up because too much of it waited for the state file",
            self.state_usage_dropped.clone(),
        );
        registry.register(
            "audit_waiting",
            "Audit entries in memory, until the state file can be had",
            self.audit_waiting.clone(),
        );
        registry.register(
            "audit_lost",
            "Audit entries that will not be in the state file; each was logged as an error",
            self.audit_lost.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn forwarded_requests_are_one_series_of_the_family() {
        let metrics = Metrics::default();
        metrics.forwarded.inc();
        metrics.decided("rate_limited");
        let text = metrics.render(None);
        assert!(
            text.contains("keygate_requests_total{decision=\"forward\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("keygate_requests_total{decision=\"rate_limited\"} 1"),
            "{text}"
        );
        assert!(text.contains("keygate_reload_failed 0"), "{text}");
        assert!(text.contains("keygate_reloads_total{result=\"refused\"} 0"), "{text}");
    }
}
