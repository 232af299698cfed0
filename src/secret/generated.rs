//! Keys that Keygate makes: `<prefix><32 random characters><6 checksum characters>`.
//!
//! A room of its own so that "which keys are ours?" has one answer, given before any lookup. The alphabet is base62 in
//! the order `0-9A-Za-z`: no character that a shell, a URL, a header or a double click treats specially. 32 characters
//! carry 190 random bits, so a plain SHA-256 is enough at rest. The checksum is the CRC-32 (ISO-HDLC, as in gzip) of
//! everything before it, as a number in base62, most significant character first, padded to six characters with `0`:
//! any single changed character is noticed.

use super::Secret;

/// The digits of base62, in order.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random characters in a generated key.
const RANDOM_CHARACTERS: usize = 32;
/// Checksum characters in a generated key: 62⁶ is more than 2³².
const CHECKSUM_CHARACTERS: usize = 6;
/// Characters of a generated key behind its prefix.
pub const BEHIND_PREFIX: usize = RANDOM_CHARACTERS + CHECKSUM_CHARACTERS;
/// What a hint shows of the key's end.
const HINT_CHARACTERS: usize = 4;
/// A hint shows the key's end only when at least this many characters stay hidden.
const HIDDEN_CHARACTERS: usize = 16;

/// Makes a key with `prefix` in front.
///
/// # Panics
///
/// When the system has no randomness to give: no key is better than a guessable one.
#[must_use]
pub fn generate(prefix: &str) -> Secret {
    let mut text = String::with_capacity(prefix.len() + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS);
    text.push_str(prefix);
    push_random(&mut text, ALPHABET, RANDOM_CHARACTERS);
    for character in checksum(text.as_bytes()) {
        text.push(char::from(character));
    }
    Secret::new(text)
}

/// Whether the key is long enough to be one of ours and its last six characters are the checksum of the rest.
#[must_use]
pub fn checksum_ok(key: &[u8]) -> bool {
    key.len() >= RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
        && key
            .split_last_chunk::<CHECKSUM_CHARACTERS>()
            .is_some_and(|(body, end)| checksum(body) == *end)
}

/// Whether a key or an admin token that Keygate has made stands somewhere in a text: what people write goes into files and logs.
#[must_use]
pub fn is_in(text: &str) -> bool {
    let is_of_key = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let mut words = text.split(|character| !is_of_key(character));
    words.any(|word| checksum_ok(word.as_bytes()))
}

/// What people recognise a key by: its prefix, `…`, and its last four characters, as in `kg_…x7Qd`.
///
/// Never more than that, and without the last four when fewer than sixteen characters would stay hidden, or when `key`
/// does not begin with `prefix`.
#[must_use]
pub fn hint(prefix: &str, key: &str) -> String {
    let Some(rest) = key.strip_prefix(prefix) else {
        return "…".to_owned();
    };
    let hidden = rest.chars().count().saturating_sub(HINT_CHARACTERS);
    let end = if hidden < HIDDEN_CHARACTERS {
        ""
    } else {
        rest.char_indices().nth(hidden).map_or("", |(at, _)| &rest[at..])
    };
    format!("{prefix}…{end}")
}

/// Appends `count` characters, each one drawn from `alphabet` with equal chance.
pub(crate) fn push_random(text: &mut String, alphabet: &[u8], count: usize) {
    debug_assert!((1..=256).contains(&alphabet.len()));
    // Bytes beyond the largest multiple of the alphabet's length are thrown away: taking them modulo the length would
    // favour the alphabet's first characters.
    let fair = 256 - 256 % alphabet.len();
    let mut left = count;
    while left > 0 {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 64]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system gives randomness");
        for byte in bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < fair)
            .take(left)
        {
            text.push(char::from(alphabet[byte % alphabet.len()]));
            left -= 1;
        }
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_CHARACTERS] {
    let mut rest = crc32fast::hash(body);
    let mut characters = [ALPHABET[0]; CHECKSUM_CHARACTERS];
    for character in characters.iter_mut().rev() {
        *character = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_documented_one() {
        // CRC-32 of "123456789" is the published check value 0xCBF43926 = 3421780262 = "3jZRME" in this base62.
        assert_eq!(checksum(b"123456789"), *b"3jZRME");
        assert_eq!(checksum(b""), *b"000000");
        assert!(checksum_ok(b"kg_0123456789ABCDEFGHIJKLMNOPQRSTUV3E6O7i"));
    }

    #[test]
    fn short_texts_are_never_ours() {
        assert!(!checksum_ok(b""));
        assert!(!checksum_ok(b"000000"));
        assert!(!checksum_ok(b"1234567893jZRME"));
    }

    #[test]
    fn every_character_of_the_alphabet_is_drawn_about_equally_often() {
        let mut text = String::new();
        push_random(&mut text, ALPHABET, 62_000);
        for digit in ALPHABET {
            let count = text.bytes().filter(|byte| byte == digit).count();
            assert!(
                (750..1250).contains(&count),
                "{} came {count} times in 62000",
                char::from(*digit)
            );
        }
    }

    #[test]
    fn hints_show_the_prefix_and_four_characters_at_most() {
        let cases = [
            ("kg_", "kg_0123456789ABCDEFGHIJKLMNOPQRSTUVzzx7Qd", "kg_…x7Qd"),
            ("", "0123456789ABCDEFGHIJ", "…GHIJ"),
            ("", "0123456789ABCDEFGHI", "…"),
            ("kg_", "kg_short", "kg_…"),
            ("kg_", "other_0123456789ABCDEFGHIJ", "…"),
            ("", "ééééééééééééééééabcd", "…abcd"),
        ];
        for (prefix, key, expected) in cases {
            assert_eq!(hint(prefix, key), expected);
        }
    }

    proptest! {
        #[test]
        fn generated_keys_check_and_any_changed_character_does_not(
            prefix in "[a-z_]{0,12}", at in any::<prop::sample::Index>(), with in 0x21_u8..0x7f,
        ) {
            let key = generate(&prefix);
            let mut bytes = key.expose().as_bytes().to_vec();
            prop_assert_eq!(bytes.len(), prefix.len() + 38);
            prop_assert!(bytes.starts_with(prefix.as_bytes()));
            prop_assert!(bytes[prefix.len()..].iter().all(u8::is_ascii_alphanumeric));
            prop_assert!(checksum_ok(&bytes));
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != with);
            bytes[at] = with;
            prop_assert!(!checksum_ok(&bytes));
        }
    }
}
