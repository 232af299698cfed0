//! Reading the file, as it stands at one moment.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row as Columns};

use super::{Trouble, connect, trail, write};
use crate::ledger::audit::Link;
use crate::ledger::audit::chain::Row;
use crate::ledger::audit::verify::Verdict;
use crate::ledger::read::{AuditPage, AuditQuery, By, Counts, KeyUsage, LastUse, Period, Usage, UsageQuery, Uses};

/// Which rows of `usage` are asked for.
const WANTED: &str = "hour >= ?1 AND hour < ?2 AND (?3 IS NULL OR key_id = ?3 OR organization = ?3)";
/// The same of `refusals`, which know no organization.
const WANTED_REFUSALS: &str = "hour >= ?1 AND hour < ?2 AND (?3 IS NULL OR key_id = ?3 OR key_id IN (
     SELECT key_id FROM usage WHERE organization = ?3 AND hour >= ?1 AND hour < ?2))";
const SUMS: &str = "coalesce(sum(requests), 0), coalesce(sum(refused), 0), coalesce(sum(failed), 0), \
                    coalesce(sum(bytes_in), 0), coalesce(sum(bytes_out), 0)";

/// A state file that is open to be read.
pub(in crate::ledger) struct Reader(pub(super) Connection);

impl Reader {
    /// Opens it. What it tells from now on is what stands in it now.
    pub(in crate::ledger) fn open(path: &Path) -> Result<Self, Trouble> {
        connect::to_read(path).map(Self)
    }

    pub(in crate::ledger) fn usage(&self, query: &UsageQuery) -> Result<Usage, Trouble> {
        let since = write::moment(query.since - query.since.rem_euclid(3_600));
        let wanted = (
            &since,
            query.until.map_or_else(|| "~".to_owned(), write::moment),
            &query.of,
        );
        let mut total: Counts = self.0.query_row(
            &format!("SELECT {SUMS} FROM usage WHERE {WANTED}"),
            wanted.clone(),
            |row| counts(row, 0),
        )?;
        let mut select = self.0.prepare(&format!(
            "SELECT key_id, max(organization), {SUMS} FROM usage WHERE {WANTED}
             GROUP BY key_id ORDER BY sum(requests) DESC, key_id LIMIT ?4 OFFSET ?5"
        ))?;
        let page = (wanted.0, &wanted.1, wanted.2, i64::from(query.limit) + 1, query.offset);
        let rows = select.query_map(page, |row| {
            Ok(KeyUsage {
                key: row.get(0)?,
                organization: row.get(1)?,
                last_use: None,
                total: counts(row, 2)?,
                periods: Vec::new(),
            })
        })?;
        let mut keys: Vec<KeyUsage> = rows.collect::<Result<_, _>>()?;
        let more = keys.len() > query.limit as usize;
        keys.truncate(query.limit as usize);
        for key in &mut keys {
            key.last_use = self.last_use_of(&key.key)?;
        }
        let places: HashMap<String, usize> = keys.iter().enumerate().map(|(at, key)| (key.key.clone(), at)).collect();
        if let Some(by) = query.by {
            self.add_periods(by, &wanted, &places, &mut keys)?;
        }
        self.each_refusal("''", &wanted, |key, _, code, requests| {
            *total.refusals.entry(code.clone()).or_default() += requests;
            if let Some(&at) = places.get(&key) {
                keys[at].total.refusals.insert(code, requests);
            }
        })?;
        Ok(Usage {
            since,
            total,
            keys,
            more,
        })
    }

    /// Adds what was counted in each piece of time to the keys at their places.
    fn add_periods(
        &self,
        by: By,
        wanted: &(&String, String, &Option<String>),
        places: &HashMap<String, usize>,
        keys: &mut [KeyUsage],
    ) -> Result<(), Trouble> {
        let piece = match by {
            By::Hour => "hour",
            By::Day => "substr(hour, 1, 10)",
        };
        let mut select = self.0.prepare(&format!(
            "SELECT key_id, {piece}, {SUMS} FROM usage WHERE {WANTED} GROUP BY key_id, {piece} ORDER BY {piece}"
        ))?;
        let mut rows = select.query((wanted.0, &wanted.1, wanted.2))?;
        while let Some(row) = rows.next()? {
            if let Some(&at) = places.get(&row.get::<_, String>(0)?) {
                keys[at].periods.push(Period {
                    begins: row.get(1)?,
                    counts: counts(row, 2)?,
                });
            }
        }
        self.each_refusal(piece, wanted, |key, begins, code, requests| {
            let periods = places.get(&key).map(|&at| &mut keys[at].periods);
            let period = periods.and_then(|periods| periods.iter_mut().find(|period| period.begins == begins));
            if let Some(period) = period {
                period.counts.refusals.insert(code, requests);
            }
        })
    }

    /// Gives refusals by key, piece of time, and code.
    fn each_refusal(
        &self,
        piece: &str,
        wanted: &(&String, String, &Option<String>),
        mut each: impl FnMut(String, String, String, u64),
    ) -> Result<(), Trouble> {
        let mut select = self.0.prepare(&format!(
            "SELECT key_id, {piece}, code, sum(requests) FROM refusals WHERE {WANTED_REFUSALS} GROUP BY key_id, {piece}, code"
        ))?;
        let mut rows = select.query((wanted.0, &wanted.1, wanted.2))?;
        while let Some(row) = rows.next()? {
            each(row.get(0)?, row.get(1)?, row.get(2)?, number(row, 3)?);
        }
        Ok(())
    }

    fn last_use_of(&self, key: &str) -> Result<Option<LastUse>, Trouble> {
        const SELECT: &str = "SELECT used_at, network, route FROM last_use WHERE key_id = ?1";
        Ok(self.0.query_row(SELECT, [key], |row| used(row, 0)).optional()?)
    }

    pub(in crate::ledger) fn last_use(&self) -> Result<HashMap<String, LastUse>, Trouble> {
        let mut select = self.0.prepare("SELECT key_id, used_at, network, route FROM last_use")?;
        let rows = select.query_map((), |row| Ok((row.get(0)?, used(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(in crate::ledger) fn uses(&self) -> Result<Uses, Trouble> {
        let mut permissions: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        let mut select = self
            .0
            .prepare("SELECT key_id, permission, used_at FROM permission_use")?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            permissions
                .entry(row.get(0)?)
                .or_default()
                .insert(row.get(1)?, row.get(2)?);
        }
        let meta = |name: &str| {
            let value = "SELECT value FROM meta WHERE name = ?1";
            self.0.query_row(value, [name], |row| row.get(0)).optional()
        };
        Ok(Uses {
            keys: self.last_use()?,
            permissions,
            counted_since: meta("counted_since")?,
            permissions_counted_since: meta("permissions_counted_since")?,
        })
    }

    pub(in crate::ledger) fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Trouble> {
        let mut select = self.0.prepare(
            "SELECT seq, previous, at, actor, source, action, target, detail, hash FROM audit
             WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2) AND (?3 IS NULL OR seq < ?3)
               AND (?4 IS NULL OR target = ?4 OR instr(detail, ?5) > 0)
               AND (?6 IS NULL OR action = ?6 OR substr(action, 1, length(?6) + 1) = ?6 || '.')
             ORDER BY seq DESC LIMIT ?7",
        )?;
        let quoted = query
            .key
            .as_ref()
            .map(|key| serde_json::Value::from(key.as_str()).to_string());
        let rows = select.query_map(
            (
                query.since.map(write::moment),
                query.until.map(write::moment),
                query.before,
                &query.key,
                quoted,
                &query.action,
                i64::from(query.limit) + 1,
            ),
            |row| Ok(trail::row(row).ok()),
        )?;
        let mut entries: Vec<Row> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let more = entries.len() > query.limit as usize;
        entries.truncate(query.limit as usize);
        let next = entries.last().filter(|_| more).map(|row| row.seq);
        Ok(AuditPage { entries, next })
    }

    pub(in crate::ledger) fn verify(&self, witnesses: &[Link]) -> Result<Verdict, Trouble> {
        trail::verify(&self.0, witnesses)
    }

    pub(in crate::ledger) fn export(&self, after: i64, each: &mut dyn FnMut(&Row) -> bool) -> Result<(), Trouble> {
        trail::walk(&self.0, after, |row| row.map_or(true, |row| each(&row)))
    }
}

/// Counts from this column on; nobody counts below zero.
fn counts(row: &Columns<'_>, first: usize) -> rusqlite::Result<Counts> {
    Ok(Counts {
        requests: number(row, first)?,
        refused: number(row, first + 1)?,
        failed: number(row, first + 2)?,
        bytes_in: number(row, first + 3)?,
        bytes_out: number(row, first + 4)?,
        refusals: BTreeMap::new(),
    })
}

fn number(row: &Columns<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or_default())
}

fn used(row: &Columns<'_>, first: usize) -> rusqlite::Result<LastUse> {
    Ok(LastUse {
        used_at: row.get(first)?,
        network: row.get(first + 1)?,
        route: row.get(first + 2)?,
    })
}

impl LastUse {
    /// [`LastUse::used_at`], in Unix seconds.
    #[must_use]
    pub fn unix(&self) -> i64 {
        let time = self.used_at.parse::<Timestamp>();
        time.map_or(0, Timestamp::as_second)
    }
}
