//! One flush: a backlog in one transaction.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::backlog::Backlog;
use super::super::tally::{Counts, LastUse};
use crate::policy::limits::{Purse, Spent};

/// How long it is kept at least what a key used last: 400 days, in seconds.
const LAST_KEPT: i64 = 400 * 86_400;

/// Writes everything, or nothing.
pub(super) fn all(database: &mut Connection, backlog: &Backlog, now_unix: i64) -> Result<(), rusqlite::Error> {
    // The lock comes first: other processes append to the audit trail.
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    balances(&transaction, &backlog.balances, &moment(now_unix))?;
    usage(&transaction, &backlog.usage)?;
    last_use(&transaction, &backlog.last_use)?;
    permission_use(&transaction, &backlog.permission_use)?;
    transaction.commit()
}

/// Removes usage that is older than it is kept, in seconds, and balances of periods that ended as long ago: whoever still
/// spends has a newer one. What keys used last is kept for longer, since it is what tells of a key that it is not used.
pub(super) fn prune(database: &Connection, kept: i64, now_unix: i64) -> Result<(), rusqlite::Error> {
    let before = moment(now_unix.saturating_sub(kept));
    database.execute("DELETE FROM usage WHERE hour < ?1", [&before])?;
    database.execute("DELETE FROM refusals WHERE hour < ?1", [&before])?;
    database.execute("DELETE FROM quota_balances WHERE period_ends < ?1", [&before])?;
    let before = moment(now_unix.saturating_sub(kept.max(LAST_KEPT)));
    database.execute("DELETE FROM last_use WHERE used_at < ?1", [&before])?;
    database.execute("DELETE FROM permission_use WHERE used_at < ?1", [&before])?;
    Ok(())
}

fn balances(database: &Transaction<'_>, balances: &HashMap<Purse, Spent>, now: &str) -> Result<(), rusqlite::Error> {
    let mut put = database.prepare(
        "INSERT INTO quota_balances (scope, owner, quota, used, allowed, period_begins, period_ends, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (scope, owner, quota) DO UPDATE SET used = excluded.used, allowed = excluded.allowed,
             period_begins = excluded.period_begins, period_ends = excluded.period_ends, updated_at = excluded.updated_at",
    )?;
    for (purse, spent) in balances {
        put.execute((
            purse.scope.word(),
            &*purse.owner,
            &*purse.quota,
            number(spent.used),
            number(spent.allowed),
            moment(spent.period.begin),
            moment(spent.period.end),
            now,
        ))?;
    }
    Ok(())
}

fn usage(database: &Transaction<'_>, usage: &HashMap<(Arc<str>, i64), Counts>) -> Result<(), rusqlite::Error> {
    let mut add = database.prepare(
        "INSERT INTO usage (hour, key_id, organization, requests, refused, failed, bytes_in, bytes_out)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (hour, key_id) DO UPDATE SET organization = excluded.organization,
             requests = requests + excluded.requests, refused = refused + excluded.refused,
             failed = failed + excluded.failed, bytes_in = bytes_in + excluded.bytes_in,
             bytes_out = bytes_out + excluded.bytes_out",
    )?;
    let mut add_refusals = database.prepare(
        "INSERT INTO refusals (hour, key_id, code, requests) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (hour, key_id, code) DO UPDATE SET requests = requests + excluded.requests",
    )?;
    for ((key, hour), counts) in usage {
        let hour = moment(*hour);
        let refused: u64 = counts.refused.iter().map(|(_, requests)| requests).sum();
        add.execute((
            &hour,
            &**key,
            &*counts.organization,
            number(counts.requests),
            number(refused),
            number(counts.failed),
            number(counts.bytes_in),
            number(counts.bytes_out),
        ))?;
        for (code, requests) in &counts.refused {
            add_refusals.execute((&hour, &**key, code, number(*requests)))?;
        }
    }
    Ok(())
}

fn last_use(
    database: &Transaction<'_>,
    last_use: &HashMap<Arc<str>, (Arc<str>, LastUse)>,
) -> Result<(), rusqlite::Error> {
    let mut put = database.prepare(
        "INSERT INTO last_use (key_id, organization, used_at, network, route) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (key_id) DO UPDATE SET organization = excluded.organization, used_at = excluded.used_at,
             network = excluded.network, route = excluded.route
         WHERE excluded.used_at >= used_at",
    )?;
    for (key, (organization, last)) in last_use {
        let network = last.address.map(network);
        put.execute((&**key, &**organization, moment(last.at), network, last.route.as_deref()))?;
    }
    Ok(())
}

fn permission_use(
    database: &Transaction<'_>,
    used: &HashMap<(Arc<str>, Box<str>), i64>,
) -> Result<(), rusqlite::Error> {
    let mut put = database.prepare(
        "INSERT INTO permission_use (key_id, permission, used_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (key_id, permission) DO UPDATE SET used_at = excluded.used_at WHERE excluded.used_at >= used_at",
    )?;
    for ((key, permission), at) in used {
        put.execute((&**key, &**permission, moment(*at)))?;
    }
    Ok(())
}

/// The neighbourhood of an address, which says enough about where a key is used: /24, or /48.
fn network(address: IpAddr) -> String {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map_or_else(|_| address.to_string(), |network| network.trunc().to_string())
}

/// RFC 3339, in UTC; times beyond the calendar's are its last.
pub(super) fn moment(unix: i64) -> String {
    let last = if unix < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(unix).unwrap_or(last).to_string()
}

/// The same with milliseconds, always three digits of them: texts are in the order of times.
pub(in crate::ledger) fn moment_millis(unix: i64) -> String {
    let last = if unix < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(unix).unwrap_or(last))
}

/// Milliseconds of what [`moment_millis`] made; `None` of anything else.
pub(super) fn millis(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// SQLite's numbers are signed.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{millis, moment_millis, network};

    #[test]
    fn moments_with_milliseconds_come_back_and_are_in_order() {
        let times = [-1, 0, 1, 999, 1_000, 1_769_900_400_120, 1_769_900_400_123];
        let texts = times.map(moment_millis);
        assert_eq!(texts[5], "2026-01-31T23:00:00.120Z");
        assert!(texts[1..].is_sorted(), "{texts:?}");
        assert_eq!(texts.map(|text| millis(&text)), times.map(Some));
        assert_eq!(millis("yesterday"), None);
    }

    #[test]
    fn an_address_is_remembered_as_its_network() {
        for (address, told) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            assert_eq!(network(address.parse().unwrap()), told);
        }
    }
}
