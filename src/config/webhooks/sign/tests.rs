//! What each option means when it is right, and what is said when it is not.

use std::fs;

use http::HeaderName;

use super::{Digits, Hmac, Overlap, Scheme, Signing, Unit};
use crate::config::document::Source;
use crate::config::files::Files;
use crate::config::problem::Report;
use crate::config::reader::Table;
use crate::config::sources::Sources;
use crate::config::template::{Escape, Template};
use crate::secret::Secret;
use crate::secret::webhook::{Hash, Key, Kind, generate};

const TEXT: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// What comes of the options of one webhook, and everything that is said about them.
fn read(text: &str) -> (Option<Signing>, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("secret"), format!("{TEXT}\n")).unwrap();
    fs::write(directory.path().join("text.secret"), OTHER).unwrap();
    fs::write(
        directory.path().join("whsec.secret"),
        generate(Kind::Standard).secret.expose(),
    )
    .unwrap();
    fs::write(directory.path().join("spaced"), "0123456789 abcdef 0123456789 abcdef\n").unwrap();
    let path = directory.path().join("webhooks.toml");
    let report = Report::new();
    let source = Source::new(&path, text);
    let document = source.parse_toml(&report);
    let files = Files::beside(&path, Sources::default());
    let root = Table::root(&source, &document, &report);
    let signing = super::read(&root, &files);
    drop(root);
    let prefix = format!("{}/", directory.path().display());
    let told = report.into_problems().to_string().replace(&prefix, "");
    (signing, told)
}

fn right(text: &str) -> Vec<Scheme> {
    let (signing, told) = read(text);
    assert_eq!(told, "", "{text}");
    signing.unwrap().schemes
}

/// The first line and the help of what is said.
fn wrong(text: &str) -> Vec<String> {
    let (signing, told) = read(text);
    assert!(signing.is_none(), "{text}");
    for secret in [TEXT, OTHER] {
        assert!(!told.contains(&secret[..8]), "{told}");
    }
    lines(&told)
}

fn lines(told: &str) -> Vec<String> {
    let of_interest = |line: &&str| line.starts_with("webhooks.toml") || line.starts_with("  help:");
    told.lines().filter(of_interest).map(str::to_owned).collect()
}

fn names(schemes: &[Scheme]) -> Vec<&'static str> {
    let name = |scheme: &Scheme| match scheme {
        Scheme::Authorization(..) => "authorization",
        Scheme::Hmac(..) => "hmac",
        Scheme::Standard(_) => "standard",
    };
    schemes.iter().map(name).collect()
}

#[test]
fn every_place_and_every_encoding_of_a_secret() {
    let whsec = generate(Kind::Standard).secret;
    let pair = generate(Kind::Ed25519);
    for (secret, is_pair) in [
        (format!("\"{TEXT}\""), false),
        (format!("{{ text = \"{TEXT}\" }}"), false),
        (format!("{{ text = \"{TEXT}\", encoding = \"text\" }}"), false),
        ("{ file = \"secret\" }".to_owned(), false),
        (
            format!("{{ text = \"{}\", encoding = \"whsec\" }}", whsec.expose()),
            false,
        ),
        (
            format!("{{ text = \"{}\", encoding = \"text\" }}", whsec.expose()),
            false,
        ),
        (
            format!("{{ text = \"{}\", encoding = \"ed25519\" }}", pair.secret.expose()),
            true,
        ),
    ] {
        let schemes = right(&format!("secret = {secret}"));
        let [Scheme::Standard(keys)] = &*schemes else {
            panic!("{secret}: {schemes:?}");
        };
        assert_eq!(matches!(keys.current, Key::Pair(_)), is_pair, "{secret}");
        assert!(!format!("{schemes:?}").contains(&TEXT[..8]));
    }
}

#[test]
fn the_forms_of_the_schemes() {
    let schemes = right(&format!(
        "secret = \"{TEXT}\"
        previous_secret = \"{OTHER}\"
        previous_until = 2026-12-31T00:00:00Z
        sign = [
            {{ scheme = \"authorization\", word = \"Bearer\" }},
            {{ scheme = \"authorization\", header = \"X-Secret\" }},
            {{ scheme = \"hmac\", header = \"X-Signature\" }},
            {{ scheme = \"hmac\", header = \"X-Hmac\", algorithm = \"sha512\", encoding = \"base64\", prefix = \"v0=\",
               over = \"v0:{{timestamp}}:{{id}}:{{event}}:{{organization}}:{{body}}\", timestamp = \"milliseconds\", id_header = \"X-Id\",
               timestamp_header = \"X-Time\", algorithm_header = \"X-Algorithm\", verbatim = true, rotation = \"learn\" }},
            {{ scheme = \"hmac\", header = \"X-List\", separator = \" | \" }},
            {{ scheme = \"hmac\", header = \"X-Lines\", rotation = \"lines\" }},
            {{ scheme = \"standard\" }},
        ]"
    ));
    let [
        Scheme::Authorization(bearer, secrets),
        Scheme::Authorization(raw, _),
        Scheme::Hmac(plain, _),
        Scheme::Hmac(full, _),
        Scheme::Hmac(list, _),
        Scheme::Hmac(lines, _),
        Scheme::Standard(keys),
    ] = &*schemes
    else {
        panic!("{schemes:?}");
    };
    assert_eq!(
        (bearer.header.as_str(), bearer.word.as_deref()),
        ("authorization", Some("Bearer"))
    );
    assert_eq!((raw.header.as_str(), raw.word.as_deref()), ("x-secret", None));
    assert_eq!(secrets.current.expose(), TEXT);
    assert_eq!(secrets.previous.as_ref().map(Secret::expose), Some(OTHER));
    assert_eq!(secrets.until, Some(1_798_675_200));
    assert_eq!(keys.until, secrets.until);
    assert_eq!(**plain, Hmac::new(HeaderName::from_static("x-signature")));
    let expected = Hmac {
        hash: Hash::Sha512,
        digits: Digits::Base64,
        prefix: "v0=".to_owned(),
        over: Template::of("v0:{timestamp}:{id}:{event}:{organization}:{body}", Escape::None),
        unit: Unit::Milliseconds,
        id: Some(HeaderName::from_static("x-id")),
        timestamp: Some(HeaderName::from_static("x-time")),
        algorithm: Some(HeaderName::from_static("x-algorithm")),
        verbatim: true,
        overlap: Overlap::Learn,
        ..Hmac::new(HeaderName::from_static("x-hmac"))
    };
    assert_eq!(**full, expected);
    assert_eq!(list.overlap, Overlap::List(" | ".to_owned()));
    assert_eq!(lines.overlap, Overlap::Lines);
    let signing = Signing { schemes };
    let names: Vec<&str> = signing.names().map(HeaderName::as_str).collect();
    assert_eq!(
        names,
        [
            "authorization",
            "x-secret",
            "x-signature",
            "x-hmac",
            "x-id",
            "x-time",
            "x-algorithm",
            "x-list",
            "x-lines",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature"
        ]
    );
}

#[test]
fn receivers_verify_by_what_is_signed_and_by_nothing_beside_it() {
    let proofs = |sign: &str| {
        let schemes = right(&format!("secret = {{ file = \"secret\" }}\nsign = [{sign}]"));
        let names: Vec<String> = Signing { schemes }.proofs().map(ToString::to_string).collect();
        names.join(" ")
    };
    let beside = "id_header = \"X-Id\", timestamp_header = \"X-Time\", algorithm_header = \"X-Algorithm\"";
    let hmac = |more: &str| format!("{{ scheme = \"hmac\", header = \"X-Hmac\", {beside}{more} }}");
    assert_eq!(proofs(&hmac("")), "x-hmac");
    assert_eq!(proofs(&hmac(", over = \"{timestamp}.{body}\"")), "x-hmac x-time");
    assert_eq!(proofs(&hmac(", over = \"{id}.{body}\"")), "x-hmac x-id");
    assert_eq!(proofs("{ scheme = \"authorization\" }"), "authorization");
    assert_eq!(
        proofs("{ scheme = \"standard\" }"),
        "webhook-id webhook-timestamp webhook-signature"
    );
}

#[test]
fn profiles_take_from_what_is_listed() {
    let own = "{ scheme = \"hmac\", header = \"X-Signature\" }";
    let standard = "{ scheme = \"standard\" }";
    for (sign, profile, expected) in [
        (None, None, &["standard"][..]),
        (None, Some("standard"), &["standard"]),
        (Some(own.to_owned()), None, &["hmac"]),
        (Some(own.to_owned()), Some("legacy"), &["hmac"]),
        (Some(own.to_owned()), Some("transitional"), &["hmac", "standard"]),
        (Some(own.to_owned()), Some("standard"), &["standard"]),
        (Some(format!("{standard}, {own}")), None, &["standard", "hmac"]),
        (Some(format!("{standard}, {own}")), Some("legacy"), &["hmac"]),
        (
            Some(format!("{standard}, {own}")),
            Some("transitional"),
            &["hmac", "standard"],
        ),
    ] {
        let sign = sign.map_or_else(String::new, |sign| format!("sign = [{sign}]\n"));
        let profile = profile.map_or_else(String::new, |profile| format!("profile = \"{profile}\"\n"));
        let schemes = right(&format!("secret = \"{TEXT}\"\n{sign}{profile}"));
        assert_eq!(names(&schemes), expected, "{sign}{profile}");
    }
    // A key that the listed scheme could not use is right where the profile has left that scheme behind.
    let secret = format!(
        "{{ text = \"{}\", encoding = \"ed25519\" }}",
        generate(Kind::Ed25519).secret.expose()
    );
    right(&format!("secret = {secret}\nsign = [{own}]\nprofile = \"standard\""));
}

#[test]
fn what_is_wrong_with_secrets_is_said_without_them() {
    let pair = generate(Kind::Ed25519);
    let (private, public) = (pair.secret.expose().to_owned(), pair.public.unwrap());
    let long = "x".repeat(65);
    let text = |text: &str, encoding: &str| format!("secret = {{ text = \"{text}\", encoding = \"{encoding}\" }}");
    let authorization = "sign = [{ scheme = \"authorization\" }]";
    let hmac = "sign = [{ scheme = \"hmac\", header = \"X-S\" }]";
    let table = [
        ("sign = [{ scheme = \"standard\" }]".to_owned(), "`secret` is missing"),
        (authorization.to_owned(), "`secret` is missing"),
        ("secret = 5".to_owned(), "secret: is a whole number, expected a string"),
        ("secret = \"\"".to_owned(), "secret: is empty"),
        (
            "secret = \"0123456789abcdef0123456789abcde\"".to_owned(),
            "secret: the secret is shorter than 32 characters",
        ),
        (
            "secret = {}".to_owned(),
            "secret: says none of `file`, `env` and `text`",
        ),
        (
            "secret = { file = \"secret\", env = \"HOME\" }".to_owned(),
            "secret.env: is another place for the same secret",
        ),
        (
            format!("secret = {{ text = \"{TEXT}\", file = \"secret\" }}"),
            "secret.file: is another place for the same secret",
        ),
        (
            "secret = { file = \"nowhere\" }".to_owned(),
            "secret.file: nowhere does not exist",
        ),
        (
            "secret = { env = \"KEYGATE_NO_SUCH\" }".to_owned(),
            "secret.env: the environment variable KEYGATE_NO_SUCH is not set",
        ),
        (text(TEXT, "base64"), "secret.encoding: \"base64\" is not known here"),
        (
            text(TEXT, "whsec"),
            "secret.text: the secret does not begin with `whsec_`",
        ),
        (
            text("whsec_AAAA", "whsec"),
            "secret.text: the secret does not hold 24 to 64 bytes",
        ),
        (
            text(TEXT, "ed25519"),
            "secret.text: the secret does not begin with `whsk_`",
        ),
        (
            text(&public, "ed25519"),
            "secret.text: the secret is a public key, which signs nothing",
        ),
        (
            format!("{}\n{authorization}", text(&private, "ed25519")),
            "needs one that receivers know too",
        ),
        (
            format!("{}\n{hmac}", text(&private, "ed25519")),
            "needs one that receivers know too",
        ),
        (
            format!(
                "secret = \"{TEXT}\"\nprevious_secret = {{ text = \"{private}\", encoding = \"ed25519\" }}\n{hmac}"
            ),
            "previous_secret.text: the secret is a private key",
        ),
        (
            format!("secret = \"{long}\""),
            "secret: the secret is longer than 64 bytes",
        ),
        (
            format!("secret = {{ file = \"spaced\" }}\n{authorization}"),
            "secret.file: the secret cannot stand in a header",
        ),
        (
            format!("secret = \"{TEXT}\"\nprevious_secret = \"short\""),
            "previous_secret: the secret is shorter than 32 characters",
        ),
        (
            format!("secret = \"{TEXT}\"\nprevious_secret = \"{OTHER}\"\nprevious_until = \"soon\""),
            "previous_until: is not a date and time",
        ),
    ];
    for (toml, expected) in table {
        let told = wrong(&toml);
        assert!(told.len() == 2 && told[0].contains(expected), "{toml}: {told:#?}");
        for secret in [&*private, TEXT, OTHER, &long] {
            assert!(!told.concat().contains(&secret[8..30]), "{told:#?}");
        }
    }
}

#[test]
fn no_line_that_is_shown_shows_a_secret() {
    for text in [
        "secret = \"5hort\"",
        "secret = { text = \"5hort\" }",
        "secret.text = \"5hort\"",
        "[secret]\ntext = \"5hort\"",
        "[secret]\ntext = \"5hort\"\nencoding = \"whsec\"",
        "[secret]\ntxt = \"5hort\"",
        "[previous_secret]\ntext = \"5hort\"",
        "secret = { tezt = \"5hort\" }",
        "secrt = \"5hort\"",
    ] {
        let (signing, told) = read(text);
        assert!(signing.is_none() && told.contains("webhooks.toml:"), "{told}");
        assert!(!told.contains("5hort"), "{told}");
    }
}

#[test]
fn what_is_wrong_besides() {
    let table = [
        ("sign = []", "sign: is empty"),
        ("sign = \"standard\"", "sign: is a string, expected a list"),
        ("sign = [\"standard\"]", "sign[0]: is a string, expected a table"),
        ("sign = [{ word = \"Bearer\" }]", "`scheme` is missing"),
        ("sign = [{ scheme = \"standart\" }]", "\"standart\" is not known here"),
        (
            "sign = [{ scheme = \"standard\" }, { scheme = \"standard\" }]",
            "sign[1]: `webhook-id` is written twice",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"Webhook-Signature\" }, { scheme = \"standard\" }]",
            "sign[1]: `webhook-signature` is written twice",
        ),
        (
            "sign = [{ scheme = \"authorization\" }, { scheme = \"authorization\", word = \"Bearer\" }]",
            "sign[1]: `authorization` is written twice",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", id_header = \"x-s\" }]",
            "sign[0]: `x-s` is written twice",
        ),
        (
            "sign = [{ scheme = \"authorization\", word = \"a b\" }]",
            "sign[0].word: is not one word",
        ),
        (
            "sign = [{ scheme = \"authorization\", header = \"Content-Type\" }]",
            "sign[0].header: `content-type` says what the body is",
        ),
        ("sign = [{ scheme = \"hmac\" }]", "sign[0]: `header` is missing"),
        (
            "sign = [{ scheme = \"hmac\", header = \"Host\" }]",
            "sign[0].header: `Host` belongs to the connection",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", algorithm = \"md5\" }]",
            "sign[0].algorithm: \"md5\" is not known here",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", encoding = \"base32\" }]",
            "sign[0].encoding: \"base32\" is not known here",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", prefix = \"ü\" }]",
            "sign[0].prefix: cannot stand in a header",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", over = \"{timestamp}\" }]",
            "sign[0].over: does not sign the body",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", over = \"{boddy}{body}\" }]",
            "sign[0].over: {boddy} is not a placeholder",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", separator = \"=\" }]",
            "sign[0].separator: cannot separate two signatures",
        ),
        (
            "sign = [{ scheme = \"hmac\", header = \"X-S\", separator = \",\", rotation = \"lines\" }]",
            "sign[0].separator: goes with rotation = \"list\" only",
        ),
        (
            "profile = \"legacy\"",
            "profile: is about a header of the service's own",
        ),
        (
            "profile = \"transitional\"\nsign = [{ scheme = \"standard\" }]",
            "profile: is about a header of the service's own",
        ),
        ("profile = \"modern\"", "profile: \"modern\" is not known here"),
    ];
    for (toml, expected) in table {
        let (_, told) = read(&format!("secret = \"{TEXT}\"\n{toml}"));
        let told = lines(&told);
        assert!(
            told.len() == 2 && told[0].contains(": error: ") && told[0].contains(expected),
            "{toml}: {told:#?}"
        );
    }
    for (toml, expected) in [
        ("previous_until = 2026-12-31", "previous_until: needs `previous_secret`"),
        (
            "previous_secret = { file = \"secret\" }",
            "previous_secret.file: is the same as `secret`",
        ),
    ] {
        let (_, told) = read(&format!("secret = \"{TEXT}\"\n{toml}"));
        let told = lines(&told);
        assert!(told.len() == 2 && told[0].contains(expected), "{toml}: {told:#?}");
    }
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let whsec = generate(Kind::Standard).secret;
    let whsk = generate(Kind::Ed25519).secret;
    let (whsec, whsk) = (whsec.expose(), whsk.expose());
    let authorization = "sign = [{ scheme = \"authorization\" }]";
    let table = [
        (
            format!("secret = \"{whsec}\""),
            Some("secret: the secret begins with `whsec_`, and is used as it is"),
        ),
        (
            format!("secret = {{ text = \"{whsec}\" }}"),
            Some("secret.text: the secret begins with `whsec_`"),
        ),
        (format!("secret = {{ text = \"{whsec}\", encoding = \"text\" }}"), None),
        (format!("secret = \"{whsec}\"\n{authorization}"), None),
        (
            format!("secret = \"{whsec}\"\nsign = [{{ scheme = \"hmac\", header = \"X-S\", verbatim = true }}]"),
            None,
        ),
        (
            format!("secret = \"{whsk}\"\n{authorization}"),
            Some("secret: the secret begins with `whsk_`"),
        ),
        (
            format!("secret = \"{TEXT}\"\nprevious_secret = \"{whsec}\""),
            Some("previous_secret: the secret begins with `whsec_`"),
        ),
        (
            format!(
                "secret = \"{TEXT}\"\nsign = [{{ scheme = \"hmac\", header = \"X-S\", over = \"{{timestamp}}.{{body}}\" }}]"
            ),
            Some("sign[0].over: signs {timestamp}, and no header of this scheme tells it"),
        ),
        (
            format!("secret = \"{TEXT}\"\nsign = [{{ scheme = \"hmac\", header = \"X-S\", timestamp = \"seconds\" }}]"),
            Some("sign[0].timestamp: makes no difference"),
        ),
    ];
    for (toml, expected) in table {
        let (signing, told) = read(&toml);
        assert!(signing.is_some(), "{toml}: {told}");
        assert!(!told.contains(&whsec[8..30]) && !told.contains(&whsk[8..30]), "{told}");
        match expected {
            Some(expected) => assert!(
                told.contains(": warning: ") && told.contains(expected),
                "{toml}: {told}"
            ),
            None => assert_eq!(told, "", "{toml}"),
        }
    }
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let documentation = include_str!("../../../../docs/webhook-signatures.md");
    let examples: Vec<&str> = documentation
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 6);
    for example in examples {
        right(example);
    }
}
