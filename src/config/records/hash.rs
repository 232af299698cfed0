//! A key at rest: reading the text forms of hashes.
//!
//! A room of its own because here the price of a lookup is decided: a slow hash from a file is a program that an
//! unknown caller may run, so its memory and time are bounded before it is ever computed. No text in here quotes any
//! part of a hash.

use std::ops::RangeInclusive;

use argon2::password_hash::phc::PasswordHash;

use super::scope::Names;
use super::{Digest, Hash};
use crate::config::reader::{Item, list, nearest};
use crate::secret::slow;

/// What may be written, for error texts.
pub(super) const FORMS: &str = "write \"sha256:<64 hex digits>\", \"hmac-sha256:<pepper id>:<64 hex digits>\", \
                                \"$argon2id$v=19$…\" or \"$2b$12$…\"; `printf %s \"$KEY\" | sha256sum` makes the digits of the first";

/// Most memory of one argon2id verification, in KiB: 1 GiB.
const ARGON2_MEMORY_MAX: u32 = 1 << 20;
/// Most passes of one argon2id verification.
const ARGON2_PASSES_MAX: u32 = 64;
/// Most lanes of one argon2id verification.
const ARGON2_LANES_MAX: u32 = 64;
/// Most work of one argon2id verification, in KiB times passes: some seconds of one core.
const ARGON2_WORK_MAX: u64 = 4 << 20;
/// How long a lead may be, in characters.
const LEAD: RangeInclusive<usize> = 4..=32;
/// Costs of bcrypt that are computed: up to some seconds of one core.
const BCRYPT_COST: RangeInclusive<u32> = 4..=15;

/// Reads a `hash` with the `lead` that stands beside it. Reports what is wrong with either.
pub(super) fn read<'d>(hash: &Item<'d>, lead: Option<&Item<'d>>, peppers: &mut Names) -> Option<Hash> {
    let text = hash.text()?;
    if text.starts_with('$') {
        let valid = if slow::is_bcrypt(text) {
            bcrypt(text)
        } else {
            argon2id(text)
        };
        let valid = valid.map_err(|(what, help)| hash.error(what, help)).is_ok();
        let lead = read_lead(hash, lead)?;
        return valid.then(|| Hash::Slow {
            lead,
            phc: text.to_owned(),
        });
    }
    if let Some(lead) = lead {
        lead.error("is only for slow hashes", "remove it");
    }
    if let Some(digits) = text.strip_prefix("sha256:") {
        return hex_digest(hash, digits, FORMS).map(Hash::Sha256);
    }
    if let Some(rest) = text.strip_prefix("hmac-sha256:") {
        let Some((id, digits)) = rest.split_once(':') else {
            hash.error("names no pepper", FORMS);
            return None;
        };
        let digest = hex_digest(hash, digits, FORMS);
        let pepper = find_pepper(hash, id, peppers);
        return Some(Hash::HmacSha256 {
            pepper: pepper?,
            digest: digest?,
        });
    }
    let (what, help) = explain(text);
    hash.error(what, help);
    None
}

/// Reads a hash that a tombstone names: `sha256:…`, `hmac-sha256:…`, or, for a slow one, `fingerprint:` and the SHA-256 of
/// its text.
pub(super) fn read_dead(item: &Item<'_>, peppers: &mut Names) -> Option<Digest> {
    const HELP: &str = "write \"sha256:<64 hex digits>\", \"hmac-sha256:<pepper id>:<64 hex digits>\" or \"fingerprint:<64 hex \
                        digits>\", as `keygate keys revoke` does";
    let text = item.text()?;
    if let Some(digits) = text.strip_prefix("fingerprint:") {
        return hex_digest(item, digits, HELP);
    }
    if text.starts_with("sha256:") || text.starts_with("hmac-sha256:") {
        return read(item, None, peppers).map(|hash| hash.fingerprint());
    }
    item.error("is not a hash that a tombstone can name", HELP);
    None
}

/// Reads a hash of the one form that an admin token has, `sha256:…`.
pub(in crate::config) fn read_sha256(item: &Item<'_>, help: &str) -> Option<Digest> {
    let Some(digits) = item.text()?.strip_prefix("sha256:") else {
        item.error("is not a hash of the form \"sha256:<64 hex digits>\"", help);
        return None;
    };
    hex_digest(item, digits, help)
}

fn hex_digest(item: &Item<'_>, digits: &str, help: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    if hex::decode_to_slice(digits, &mut bytes).is_ok() {
        return Some(Digest(bytes));
    }
    let length = digits.chars().count();
    let what = if length == 64 {
        "is malformed: its last part holds characters that are not hexadecimal digits".to_owned()
    } else {
        format!("is malformed: its last part has {length} characters, expected 64 hexadecimal digits")
    };
    item.error(what, help);
    None
}

fn find_pepper(item: &Item<'_>, id: &str, peppers: &mut Names) -> Option<u16> {
    let found = peppers.find(id);
    if found.is_none() {
        let known = peppers.all();
        let help = match nearest(id, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "declare it in the configuration as [[keys.peppers]]".to_owned(),
            None => format!(
                "declare it in the configuration as [[keys.peppers]]; known are {}",
                list(&known)
            ),
        };
        item.error("names a pepper that is not declared", help);
    }
    found
}

fn read_lead<'d>(hash: &Item<'d>, lead: Option<&Item<'d>>) -> Option<String> {
    const HELP: &str =
        "`lead` holds the key's first 4 to 32 characters, which are public: for example lead = \"acme_live\"";
    let Some(lead) = lead else {
        hash.error("needs a `lead` beside it, since a slow hash cannot be looked up", HELP);
        return None;
    };
    let text = lead.text()?;
    if LEAD.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(text.to_owned());
    }
    lead.error("is not 4 to 32 visible ASCII characters", HELP);
    None
}

/// Whether a PHC string is an argon2id hash that may be computed on behalf of strangers.
fn argon2id(text: &str) -> Result<(), (String, String)> {
    let refused = |what: &str, help: &str| Err((what.to_owned(), help.to_owned()));
    let Ok(hash) = PasswordHash::new(text) else {
        return refused(
            "is not a valid PHC string",
            "it has the form $argon2id$v=19$m=…,t=…,p=…$<salt>$<hash>, with unpadded base64",
        );
    };
    if hash.algorithm != argon2::ARGON2ID_IDENT {
        return refused("is a slow hash of a kind that Keygate does not know", FORMS);
    }
    if !matches!(hash.version, Some(0x10 | 0x13)) {
        return refused(
            "does not say which version of argon2id it is",
            "write v=19 behind $argon2id$",
        );
    }
    if hash
        .params
        .iter()
        .any(|(name, _)| !matches!(name.as_str(), "m" | "t" | "p"))
    {
        return refused(
            "has parameters besides m, t and p",
            "make it without a secret and without associated data",
        );
    }
    let parameter = |name| hash.params.get_decimal(name);
    let (Some(memory), Some(passes), Some(lanes)) = (parameter("m"), parameter("t"), parameter("p")) else {
        return refused("lacks one of the parameters m, t and p", "for example m=19456,t=2,p=1");
    };
    let allowed = format!(
        "allowed are m up to {ARGON2_MEMORY_MAX} (KiB), t up to {ARGON2_PASSES_MAX}, p up to {ARGON2_LANES_MAX}, m × t up \
         to {ARGON2_WORK_MAX}; recommended is m=19456,t=2,p=1"
    );
    let work = u64::from(memory) * u64::from(passes);
    if memory > ARGON2_MEMORY_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX || work > ARGON2_WORK_MAX {
        return Err(("is too expensive to verify".to_owned(), allowed));
    }
    if passes < 1 || lanes < 1 || memory < 8 * lanes {
        return Err(("has parameters that argon2id does not allow".to_owned(), allowed));
    }
    let (Some(_), Some(output)) = (hash.salt, hash.hash) else {
        return refused("lacks its salt or its hash", "copy the whole PHC string");
    };
    if !(16..=64).contains(&output.len()) {
        return refused("is shorter than 16 or longer than 64 bytes", "32 bytes are usual");
    }
    Ok(())
}

/// Whether a text is a bcrypt hash that may be computed on behalf of strangers.
fn bcrypt(text: &str) -> Result<(), (String, String)> {
    let cost = text
        .get(4..6)
        .filter(|cost| cost.bytes().all(|byte| byte.is_ascii_digit()));
    let (Some(_), Ok(hash)) = (cost, text.parse::<bcrypt::HashParts>()) else {
        return Err((
            "is not a valid bcrypt hash".to_owned(),
            "it has 60 characters: $2b$<cost>$, 22 of the salt and 31 of the hash".to_owned(),
        ));
    };
    if !BCRYPT_COST.contains(&hash.get_cost()) {
        return Err((
            "has a cost that is not computed".to_owned(),
            format!("allowed are {} to {}", BCRYPT_COST.start(), BCRYPT_COST.end()),
        ));
    }
    Ok(())
}

/// What a text that is no hash probably is.
fn explain(text: &str) -> (&'static str, &'static str) {
    const UNKNOWN: &str = "is not a hash in a form that Keygate knows";
    let is_hex = |length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex(64) {
        (
            "does not say which hash it is",
            "put sha256: in front, when it is the SHA-256 of the whole key",
        )
    } else if is_hex(40) || is_hex(32) || is_hex(128) {
        ("is not the length of a SHA-256", FORMS)
    } else {
        (UNKNOWN, FORMS)
    }
}
