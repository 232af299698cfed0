//! `keygate keys verify`
//!
//! Asks the same index that the gate asks, so that what it says is what the gate would do. The key comes on standard input
//! only: an argument would stay in the shell's history and stand in the list of processes.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::store::Store;
use super::{Where, show};
use crate::cli::failure::BadInput;
use crate::cli::output::{print, tell};
use crate::clock;
use crate::config::key_settings::KeySettings;
use crate::config::records::{Dead, Hash, Records, View};
use crate::policy::credential::Prefixes;
use crate::policy::keyring::{Found, Keyring};
use crate::policy::permissions::Sets;
use crate::policy::refusal::Invalid;
use crate::policy::revocations::Revocations;
use crate::secret::generated::checksum_ok;
use crate::secret::{Presented, slow};

pub(super) const EXAMPLES: &str = "\
Examples:
  A key in a shell variable:      printf %s \"$KEY\" | keygate keys verify
  A key in a file:                keygate keys verify < key.txt
  The id of the key's record:     printf %s \"$KEY\" | keygate keys verify --json | jq -r .key.id";

/// More bytes than this are not a key.
const LONGEST: usize = 8 << 10;

/// Arguments of `keygate keys verify`.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: Where,
    /// Print one JSON object: verdict, accepted, key.
    #[arg(long)]
    json: bool,
    // Nothing may stand here: it is taken so that it can be refused without being repeated.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    key: Vec<OsString>,
}

/// What the gate would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Unknown,
    Checksum,
    Malformed,
    NotGood(Invalid),
    Environment,
}

impl Verdict {
    /// Stable, for people and machines alike.
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            // The last two are what is said of users' tokens only.
            Self::Unknown | Self::NotGood(Invalid::Unknown | Invalid::Token(_) | Invalid::NotAUser) => "unknown",
            Self::Checksum | Self::NotGood(Invalid::Checksum) => "checksum_wrong",
            Self::Malformed => "malformed",
            Self::Environment => "environment_denied",
            Self::NotGood(Invalid::Disabled) => "disabled",
            Self::NotGood(Invalid::Revoked) => "revoked",
            Self::NotGood(Invalid::NotYetValid) => "not_yet_valid",
            Self::NotGood(Invalid::Expired) => "expired",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Accepted => "the key is good now",
            Self::Unknown | Self::NotGood(Invalid::Unknown | Invalid::Token(_) | Invalid::NotAUser) => {
                "no record has this key"
            }
            Self::Checksum | Self::NotGood(Invalid::Checksum) => {
                "its last six characters do not fit the rest: mistyped, or cut off?"
            }
            Self::Malformed => "keys are visible ASCII characters without spaces, and not longer than limits.key_bytes",
            Self::Environment => "its prefix names another environment than its record",
            Self::NotGood(Invalid::Disabled) => "the record says active = false",
            Self::NotGood(Invalid::Revoked) => "the record has been revoked",
            Self::NotGood(Invalid::NotYetValid) => "the record's not_before has not come",
            Self::NotGood(Invalid::Expired) => "its end has passed",
        }
    }
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if !self.key.is_empty() {
            // Not quoted back: it is probably a key.
            return Err(BadInput::error(
                "a key is not taken as an argument, since arguments stay in the shell's history and can be read by every \
                 user of the machine; consider this one exposed",
                "pipe it in: printf %s \"$KEY\" | keygate keys verify",
            ));
        }
        let now = clock::unix();
        let mut store = Store::open(&self.place, now)?;
        let mut records = store.records()?;
        let passed_over = if store.settings.is_none() {
            without_peppered(&mut records)
        } else {
            0
        };
        let presented = Presented::decoded(read_key()?);

        let (verdict, index) = judge(&presented, &records, store.settings.as_ref(), now);
        let dead = Dead::of(&records);
        let view = index.map(|index| View::of(&records.keys[index], &records, &store.scope, &dead, now));
        if self.json {
            let accepted = verdict == Verdict::Accepted;
            print(&format!(
                "{}\n",
                json!({ "verdict": verdict.word(), "accepted": accepted, "key": view })
            ))?;
        } else {
            let key = view.as_ref().map_or_else(String::new, show::summary);
            print(&format!(
                "verdict       {}: {}\n{key}",
                verdict.word(),
                verdict.explanation()
            ))?;
        }
        if passed_over > 0 && index.is_none() {
            tell(format_args!(
                "note: {passed_over} hashes in the file were made with a pepper, which only the configuration knows: name it \
                 with --config"
            ));
        }
        Ok(ExitCode::from(u8::from(verdict != Verdict::Accepted)))
    }
}

/// The key on standard input, without the line end that `echo` and editors put behind it.
fn read_key() -> anyhow::Result<Vec<u8>> {
    if io::stdin().is_terminal() {
        tell("Paste the key and press Enter, then Ctrl-D.");
    }
    let mut key = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
    io::stdin().take(LONGEST as u64 + 1).read_to_end(&mut key)?;
    let mut length = key.len();
    if length > LONGEST {
        return Err(BadInput::error(
            "standard input holds more than a key",
            "pipe the key alone into it",
        ));
    }
    if key.ends_with(b"\n") {
        length -= if key.ends_with(b"\r\n") { 2 } else { 1 };
    }
    if length == 0 {
        return Err(BadInput::error(
            "there is no key on standard input",
            "pipe it in: printf %s \"$KEY\" | keygate keys verify",
        ));
    }
    Ok(key[..length].to_vec())
}

/// Takes out the hashes that nobody can compute without the configuration's peppers, and counts them.
fn without_peppered(records: &mut Records) -> usize {
    let mut count = 0;
    for key in &mut records.keys {
        let key = Arc::make_mut(key);
        let before = key.secrets.len();
        key.secrets
            .retain(|secret| !matches!(secret.hash, Hash::HmacSha256 { .. }));
        count += before - key.secrets.len();
    }
    count
}

/// What the gate would say, and which record it is.
fn judge(
    presented: &Presented<'_>,
    records: &Records,
    settings: Option<&KeySettings>,
    now_unix: i64,
) -> (Verdict, Option<usize>) {
    let longest = settings.map_or(usize::MAX, |settings| settings.key_bytes);
    let key = presented.expose();
    if key.len() > longest || !key.iter().all(u8::is_ascii_graphic) {
        return (Verdict::Malformed, None);
    }
    let (environments, peppers) = settings.map_or((&[][..], &[][..]), |settings| {
        (settings.environments.as_slice(), settings.keys.peppers.as_slice())
    });
    let by_prefix = Prefixes::compile(environments).environment_of(presented);
    if by_prefix.is_some_and(|id| environments[usize::from(id.0)].checksum) && !checksum_ok(key) {
        return (Verdict::Checksum, None);
    }
    let keyring = Keyring::compile(records, peppers, &Sets::default());
    let Some(found) = keyring.find(presented).or_else(|| find_slow(&keyring, presented)) else {
        return (Verdict::Unknown, None);
    };
    let record = Some(found.key.0 as usize);
    let verdict = match (
        keyring.admits(
            found,
            &keyring.names(found, presented),
            &Revocations::of(records),
            now_unix,
        ),
        keyring.key(found.key).environment(),
        by_prefix,
    ) {
        (Err(invalid), _, _) => Verdict::NotGood(invalid),
        (Ok(()), Some(recorded), Some(named)) if recorded != named => Verdict::Environment,
        (Ok(()), _, _) => Verdict::Accepted,
    };
    (verdict, record)
}

fn find_slow(keyring: &Keyring, presented: &Presented<'_>) -> Option<Found> {
    keyring
        .slow_candidates(presented)
        .iter()
        .find(|candidate| slow::matches(candidate.phc, presented.expose()))
        .map(|candidate| candidate.found)
}
