//! Keys against the specification's vectors, and what is no key.

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::prelude::*;

use super::*;

/// The message that the specification's own libraries are tested with.
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: i64 = 1_614_265_330;
const BODY: &[u8] = b"{\"test\": 2432232314}";

fn parse(text: &str, encoding: Encoding) -> Result<Key, NoKey> {
    Key::parse(&Secret::new(text.to_owned()), encoding)
}

fn base64(prefix: &str, bytes: &[u8]) -> String {
    format!("{prefix}{}", STANDARD.encode(bytes))
}

#[test]
fn the_specifications_examples_are_signed_as_its_libraries_sign_them() {
    let table = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            Encoding::Whsec,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
            Encoding::Ed25519,
            "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
        ),
    ];
    for (text, encoding, expected) in table {
        let key = parse(text, encoding).unwrap();
        assert_eq!(key.standard(ID, TIMESTAMP, BODY), expected);
        let shown = format!("{key:?}");
        assert!(!shown.contains(&text[8..16]), "{shown}");
    }
}

#[test]
fn hmac_is_what_openssl_computes() {
    // printf 'what do ya want for nothing?' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    let key = Symmetric::text(&Secret::new("0123456789abcdef0123456789abcdef".to_owned())).unwrap();
    let parts = || [&b"what do ya want "[..], b"for nothing?"];
    assert_eq!(
        hex::encode(key.hmac(Hash::Sha256, parts())),
        "137e6557c3c13a1ca5dc7e52a389a0f86be8cb4db4ae61c62396058b00acacd0"
    );
    assert_eq!(
        hex::encode(key.hmac(Hash::Sha512, parts())),
        "9095e9e4f567ae053262c847158c85c871f1d8693cd739777c64c7725459c9baa375e49c94ec49bdf0434e98cd1ada4e1f2f818fe4824a1723faca840679a470"
    );
}

#[test]
fn what_is_garbled_or_of_the_wrong_length_is_no_key() {
    let of = |count: usize| base64(WHSEC, &vec![7; count]);
    let generated = generate(Kind::Ed25519);
    let seed = STANDARD.decode(&generated.secret.expose()[WHSK.len()..]).unwrap();
    let public = generated.public.unwrap();
    let public_bytes = STANDARD.decode(&public[WHPK.len()..]).unwrap();
    let table = [
        (of(24), Encoding::Whsec, None),
        (of(64), Encoding::Whsec, None),
        (of(24).trim_end_matches('=').to_owned(), Encoding::Whsec, None),
        (of(25).trim_end_matches('=').to_owned(), Encoding::Whsec, None),
        (of(23), Encoding::Whsec, Some(NoKey::Length)),
        (of(65), Encoding::Whsec, Some(NoKey::Length)),
        ("whsec_".to_owned(), Encoding::Whsec, Some(NoKey::Length)),
        (
            format!("whsec_{}", "!".repeat(40)),
            Encoding::Whsec,
            Some(NoKey::Base64(WHSEC)),
        ),
        (
            format!("whsec_{}", "-_".repeat(20)),
            Encoding::Whsec,
            Some(NoKey::Base64(WHSEC)),
        ),
        ("x".repeat(40), Encoding::Whsec, Some(NoKey::Prefix(WHSEC))),
        ("x".repeat(32), Encoding::Text, None),
        ("é".repeat(32), Encoding::Text, None),
        ("x".repeat(31), Encoding::Text, Some(NoKey::Short)),
        ("é".repeat(31), Encoding::Text, Some(NoKey::Short)),
        (String::new(), Encoding::Text, Some(NoKey::Short)),
        // Nothing is guessed: under "text" it is the text.
        (of(24), Encoding::Text, None),
        (base64(WHSK, &seed), Encoding::Ed25519, None),
        (
            base64(WHSK, &[&seed[..], &public_bytes].concat()),
            Encoding::Ed25519,
            None,
        ),
        (
            base64(WHSK, &[&seed[..], &seed].concat()),
            Encoding::Ed25519,
            Some(NoKey::NoPair),
        ),
        (base64(WHSK, &seed[..31]), Encoding::Ed25519, Some(NoKey::SeedLength)),
        (base64(WHSK, &[]), Encoding::Ed25519, Some(NoKey::SeedLength)),
        (base64(WHSEC, &seed), Encoding::Ed25519, Some(NoKey::Prefix(WHSK))),
        (public.clone(), Encoding::Ed25519, Some(NoKey::Public)),
    ];
    for (text, encoding, expected) in table {
        assert_eq!(parse(&text, encoding).err(), expected, "{text} as {encoding:?}");
    }
    let both = Pair::parse(&Secret::new(base64(WHSK, &[&seed[..], &public_bytes].concat()))).unwrap();
    assert_eq!(both.public(), public, "either form is the same pair");
}

#[test]
fn a_prefix_is_only_read_where_that_is_said() {
    let text = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let decoded = Symmetric::whsec(&text).unwrap();
    let verbatim = Symmetric::text(&text).unwrap();
    let sign = |key: &Symmetric| key.standard(ID, TIMESTAMP, BODY);
    assert_ne!(sign(&decoded), sign(&verbatim));
    assert_eq!(sign(&decoded.verbatim()), sign(&verbatim));
    assert_eq!(sign(&Symmetric::by_prefix(&text).unwrap()), sign(&decoded));
    assert_eq!(decoded.as_written().expose(), text.expose());
}

#[test]
fn what_is_made_is_a_key_and_never_twice_the_same() {
    for kind in [Kind::Text, Kind::Standard, Kind::Ed25519] {
        let (one, two) = (generate(kind), generate(kind));
        assert_ne!(one.secret.expose(), two.secret.expose());
        let key = Key::parse(&one.secret, one.encoding).unwrap();
        match key {
            Key::Symmetric(key) => assert!(key.fits_standard() && one.public.is_none()),
            Key::Pair(pair) => assert_eq!(Some(pair.public()), one.public),
        }
        assert!(!format!("{one:?}").contains(&one.secret.expose()[6..20]));
    }
}

proptest! {
    #[test]
    fn any_bytes_of_the_right_length_are_a_key_whichever_way_base64_pads(bytes in prop::collection::vec(any::<u8>(), 24..=64)) {
        let padded = parse(&base64(WHSEC, &bytes), Encoding::Whsec).unwrap();
        let bare = parse(&format!("{WHSEC}{}", STANDARD_NO_PAD.encode(&bytes)), Encoding::Whsec).unwrap();
        prop_assert_eq!(padded.standard(ID, TIMESTAMP, BODY), bare.standard(ID, TIMESTAMP, BODY));
    }

    #[test]
    fn no_text_is_shown_by_what_is_said_about_it(text in "[ -~]{0,80}") {
        prop_assume!(text.len() > 12);
        for encoding in [Encoding::Text, Encoding::Whsec, Encoding::Ed25519] {
            if let Err(wrong) = parse(&text, encoding) {
                let told = format!("{wrong} {wrong:?}");
                prop_assert!(!told.contains(&text));
            }
        }
    }
}
