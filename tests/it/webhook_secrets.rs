//! `keygate webhooks new-secret`: a secret is printed once, and is one.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::keygate;

/// Standard output and standard error.
fn new_secret(arguments: &[&str]) -> (String, String) {
    let output = keygate()
        .args(["webhooks", "new-secret"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let err = text(output.stderr);
    assert!(output.status.success(), "{err}");
    (text(output.stdout), err)
}

fn bytes_behind(prefix: &str, text: &str) -> usize {
    STANDARD.decode(text.strip_prefix(prefix).unwrap()).unwrap().len()
}

#[test]
fn the_secret_is_alone_on_standard_output_and_the_record_names_its_encoding() {
    let mut seen = HashSet::new();
    for (scheme, encoding) in [
        (None, "whsec"),
        (Some("standard"), "whsec"),
        (Some("text"), "text"),
        (Some("ed25519"), "ed25519"),
    ] {
        let arguments: Vec<&str> = scheme.map_or_else(Vec::new, |scheme| vec!["--scheme", scheme]);
        let (out, err) = new_secret(&arguments);
        let secret = out.strip_suffix('\n').unwrap();
        match encoding {
            "whsec" => assert_eq!(bytes_behind("whsec_", secret), 32),
            "ed25519" => assert_eq!(bytes_behind("whsk_", secret), 32),
            _ => assert!(
                secret.len() == 43 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{secret}"
            ),
        }
        assert!(err.contains(&format!("encoding = \"{encoding}\"")), "{err}");
        assert!(!err.contains(&secret[6..30]), "{err}");
        assert_eq!(err.contains("whpk_"), encoding == "ed25519", "{err}");
        assert!(seen.insert(secret.to_owned()));
    }
}

#[test]
fn as_json_it_tells_the_public_key_too() {
    let (out, _) = new_secret(&["--scheme", "ed25519", "--json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&object["scheme"], &object["encoding"]),
        (&"ed25519".into(), &"ed25519".into())
    );
    assert_eq!(bytes_behind("whsk_", object["secret"].as_str().unwrap()), 32);
    assert_eq!(bytes_behind("whpk_", object["public"].as_str().unwrap()), 32);
    let (out, _) = new_secret(&["--json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["scheme"], "standard");
    assert!(object.get("public").is_none());
}
