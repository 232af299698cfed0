//! A row → a key's record. A plaintext key is hashed here, and is nowhere afterwards.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use zeroize::Zeroize as _;

use super::columns::Field;
use super::rows::{Cell, Fault, Row};
use crate::config::environments::Environment;
use crate::control::keyfile::ForeignKey;
use crate::control::mint;
use crate::secret::generated::hint;
use crate::secret::{Digest, slow};

/// What a row does not say.
pub(super) struct Defaults<'a> {
    pub(super) organization: Option<&'a str>,
    pub(super) permissions: &'a [String],
    pub(super) environment: Option<&'a str>,
    pub(super) plan: Option<&'a str>,
    /// What plaintext keys begin with.
    pub(super) prefix: Option<&'a str>,
    pub(super) environments: &'a [Environment],
    pub(super) lead_length: Option<usize>,
    /// Unix seconds.
    pub(super) now: i64,
}

/// Seconds in the year 5138: what is larger counts milliseconds.
const MILLISECONDS: f64 = 1e11;

/// Reads a row. What only the reader of records knows is judged there.
pub(super) fn read(row: Row, defaults: &Defaults<'_>) -> Result<ForeignKey, Vec<Fault>> {
    let mut cells = Cells {
        line: row.line,
        cells: row.cells,
        faults: Vec::new(),
    };
    let secret = cells.secret(defaults);
    let active = cells.switch(Field::Active).unwrap_or(true) && !cells.switch(Field::Disabled).unwrap_or(false);
    let status = cells.status();
    let revoked_at = cells
        .revoked_at(defaults.now)
        .or((status == Status::Revoked).then_some(defaults.now));
    let or_default = |own: Option<String>, default: Option<&str>| own.or_else(|| default.map(str::to_owned));
    let permissions = cells.words(Field::Permissions);
    let organization = or_default(cells.text(Field::Organization), defaults.organization);
    if organization.is_none() {
        cells.fault(
            Field::Organization,
            "is missing",
            "name its column with --map COLUMN=organization, or give all keys one with --organization",
        );
    }
    let key = ForeignKey {
        id: cells.text(Field::Id).unwrap_or_else(|| mint::id(defaults.now)),
        name: cells
            .text(Field::Name)
            .unwrap_or_else(|| format!("imported-{}", row.line)),
        organization: organization.unwrap_or_default(),
        organization_name: cells.text(Field::OrganizationName),
        permissions: if permissions.is_empty() {
            defaults.permissions.to_vec()
        } else {
            permissions
        },
        environment: or_default(cells.text(Field::Environment), defaults.environment),
        subscriptions: cells.words(Field::Subscriptions),
        plan: or_default(cells.text(Field::Plan), defaults.plan),
        created_at: cells.time(Field::CreatedAt),
        not_before: cells.time(Field::NotBefore),
        expires_at: cells.time(Field::ExpiresAt),
        active: active && status != Status::Off,
        revoked_at,
        allowed_sources: cells.words(Field::AllowedSources),
        owner: cells.text(Field::Owner),
        hint: cells.text(Field::Hint).or_else(|| secret.as_ref()?.hint.clone()),
        lead: secret.as_ref().and_then(|secret| secret.lead.clone()),
        hash: secret.map(|secret| secret.hash).unwrap_or_default(),
    };
    if cells.faults.is_empty() {
        Ok(key)
    } else {
        Err(cells.faults)
    }
}

/// What a key is recognised by.
struct SecretText {
    hash: String,
    lead: Option<String>,
    hint: Option<String>,
}

#[derive(PartialEq, Eq)]
enum Status {
    On,
    Off,
    Revoked,
}

struct Cells {
    line: u64,
    cells: Vec<(Field, Cell)>,
    faults: Vec<Fault>,
}

impl Cells {
    fn fault(&mut self, field: Field, what: &str, help: &'static str) {
        self.faults.push(Fault {
            line: self.line,
            field: field.word(),
            what: what.to_owned(),
            help,
        });
    }

    fn take(&mut self, field: Field) -> Option<Cell> {
        let at = self.cells.iter().position(|(own, _)| *own == field)?;
        Some(self.cells.swap_remove(at).1)
    }

    fn text(&mut self, field: Field) -> Option<String> {
        match self.take(field)? {
            Cell::Text(text) | Cell::Number(_, text) => Some(text),
            Cell::Switch(_) | Cell::List(_) => {
                self.fault(field, "is not a text", "");
                None
            }
        }
    }

    /// Separated by spaces, commas or semicolons, or a list.
    fn words(&mut self, field: Field) -> Vec<String> {
        match self.take(field) {
            None => Vec::new(),
            Some(Cell::List(words)) => unique(words.iter().map(String::as_str)),
            Some(Cell::Text(text)) => unique(text.split([' ', ',', ';', '\n', '\t', '|'])),
            Some(Cell::Number(..) | Cell::Switch(_)) => {
                self.fault(
                    field,
                    "is not a list of words",
                    "separated by spaces, commas or semicolons",
                );
                Vec::new()
            }
        }
    }

    fn switch(&mut self, field: Field) -> Option<bool> {
        let cell = self.take(field)?;
        let value = as_switch(&cell);
        if value.is_none() {
            self.fault(field, "is neither true nor false", "");
        }
        value
    }

    fn status(&mut self) -> Status {
        let Some(word) = self.text(Field::Status) else {
            return Status::On;
        };
        match word.to_ascii_lowercase().as_str() {
            "active" | "enabled" | "valid" | "on" => Status::On,
            "inactive" | "disabled" | "suspended" | "paused" | "off" => Status::Off,
            "revoked" | "deleted" => Status::Revoked,
            _ => {
                self.fault(
                    Field::Status,
                    "is no state that Keygate knows",
                    "active, disabled or revoked; --map COLUMN=- passes the column over",
                );
                Status::On
            }
        }
    }

    /// A time, or whether.
    fn revoked_at(&mut self, now: i64) -> Option<i64> {
        let cell = self.take(Field::RevokedAt)?;
        match as_switch(&cell) {
            Some(is_revoked) => is_revoked.then_some(now),
            None => self.as_time(Field::RevokedAt, &cell),
        }
    }

    fn time(&mut self, field: Field) -> Option<i64> {
        let cell = self.take(field)?;
        self.as_time(field, &cell)
    }

    fn as_time(&mut self, field: Field, cell: &Cell) -> Option<i64> {
        let unix = match cell {
            Cell::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "never" | "null" | "none" | "-") => {
                return None;
            }
            Cell::Text(text) => timestamp(text),
            Cell::Number(number, _) => from_number(*number),
            Cell::Switch(_) | Cell::List(_) => None,
        };
        if unix.is_none() {
            self.fault(
                field,
                "is not a point in time",
                "2027-01-31T12:00:00Z, 2027-01-31 (its beginning, in UTC), or seconds since 1970",
            );
        }
        unix
    }

    fn secret(&mut self, defaults: &Defaults<'_>) -> Option<SecretText> {
        let (key, hash) = (self.text(Field::Key), self.text(Field::Hash));
        let lead = self.text(Field::Lead);
        match (key, hash) {
            (Some(mut key), None) => {
                let secret = self.plaintext(&key, defaults);
                key.zeroize();
                secret
            }
            (None, Some(hash)) => Some(foreign_hash(hash, lead, defaults.lead_length)),
            (Some(mut key), Some(_)) => {
                key.zeroize();
                self.fault(
                    Field::Key,
                    "stands beside a hash",
                    "pass one of the two over with --map COLUMN=-",
                );
                None
            }
            (None, None) => {
                self.fault(
                    Field::Key,
                    "is missing, and there is no hash",
                    "name its column with --map COLUMN=key or --map COLUMN=hash",
                );
                None
            }
        }
    }

    fn plaintext(&mut self, key: &str, defaults: &Defaults<'_>) -> Option<SecretText> {
        if key.starts_with("sha256:") || key.starts_with("$argon2") || slow::is_bcrypt(key) {
            self.fault(
                Field::Key,
                "looks like a hash: as a key, it would open what it protects",
                "name its column with --map COLUMN=hash",
            );
            return None;
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.fault(
                Field::Key,
                "holds characters that no key has",
                "keys are visible ASCII characters without spaces",
            );
            return None;
        }
        let of_environment = || {
            let environment = Environment::of_key(key, defaults.environments)?;
            let prefixes = environment
                .prefixes
                .iter()
                .filter(|prefix| key.starts_with(prefix.as_str()));
            prefixes.max_by_key(|prefix| prefix.len()).map(String::as_str)
        };
        let own = defaults.prefix.filter(|prefix| key.starts_with(prefix));
        let prefix = own.or_else(of_environment).unwrap_or_default();
        Some(SecretText {
            hash: format!("sha256:{}", hex::encode(Digest::of(key.as_bytes()).0)),
            lead: None,
            hint: Some(hint(prefix, key)),
        })
    }
}

/// A hash as records write it.
fn foreign_hash(hash: String, lead: Option<String>, lead_length: Option<usize>) -> SecretText {
    let is_hex = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_slow = hash.starts_with('$');
    SecretText {
        hash: if is_hex { format!("sha256:{hash}") } else { hash },
        lead: lead.filter(|_| is_slow).map(|lead| {
            let shown = lead.trim_end_matches(['.', '…', '*', '•']);
            shown.chars().take(lead_length.unwrap_or(usize::MAX)).collect()
        }),
        hint: None,
    }
}

fn unique<'w>(words: impl Iterator<Item = &'w str>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::new();
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        if !unique.iter().any(|known| known == word) {
            unique.push(word.to_owned());
        }
    }
    unique
}

fn as_switch(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Switch(value) => Some(*value),
        Cell::Text(text) | Cell::Number(_, text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => Some(true),
            "false" | "no" | "n" | "f" | "0" => Some(false),
            _ => None,
        },
        Cell::List(_) => None,
    }
}

fn timestamp(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<f64>() {
        return from_number(number);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_second());
    }
    // A date alone: a time without an offset from UTC would be a guess.
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text)?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Seconds since 1970, or milliseconds.
fn from_number(number: f64) -> Option<i64> {
    let seconds = if number.abs() >= MILLISECONDS {
        number / 1e3
    } else {
        number
    };
    // Beyond the year 9999 there is no date; a float holds all whole numbers before.
    (0.0..253_402_300_800.0).contains(&seconds).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_exports_write_them() {
        let cases = [
            ("2027-01-31T01:00:00+01:00", Some(1_801_353_600)),
            ("2027-01-31 00:00:00Z", Some(1_801_353_600)),
            ("2027-01-31 00:00:00.123+00", Some(1_801_353_600)),
            ("2027-01-31", Some(1_801_353_600)),
            ("1801353600", Some(1_801_353_600)),
            ("1801353600000", Some(1_801_353_600)),
            ("1801353600.5", Some(1_801_353_600)),
            ("2027-01-31 00:00:00", None),
            ("31.01.2027", None),
            ("-5", None),
            ("nan", None),
        ];
        for (text, expected) in cases {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }
}
