//! What docs/webhooks.md says is so: its records are valid and have every option, its receiver verifies, its metrics exist.

use std::process::{Command, Stdio};

use crate::docs::read;
use crate::harness::{Authority, Home, key_file};

const DOCUMENT: &str = "docs/webhooks.md";

/// Blocks of code in this language, in order.
fn blocks(language: &str) -> Vec<String> {
    let document = read(DOCUMENT);
    let fence = format!("```{language}\n");
    let blocks = document.split(fence.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_documented_webhooks_are_valid_and_have_every_option() {
    let [section, records] = &blocks("toml")[..] else {
        panic!("the sections, and the records");
    };
    let home = Home::new();
    let more = "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:9\"\n\
                [keys]\nfile = \"keys.toml\"\n[state]\npath = \"keygate.db\"\n";
    home.write("config.toml", format!("{more}{section}"));
    home.write("keys.toml", key_file(&[]));
    home.write("webhooks.toml", records);
    for (name, character) in [("acme.secret", "A"), ("acme-old.secret", "E")] {
        home.write(name, format!("whsec_{}", character.repeat(43)));
    }
    let authority = Authority::new();
    let (certificate, key) = authority.client("keygate");
    home.write("acme-ca.pem", authority.pem());
    home.write("client.pem", certificate);
    home.write("client.key", key);
    let output = home.keygate(&["check"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{errors}");

    for option in options() {
        assert!(records.contains(&format!("{option} = ")), "nobody documents {option}");
    }
}

/// The names that the readers of a record ask for.
fn options() -> Vec<String> {
    let mut options = Vec::new();
    for file in ["record", "secret", "sign/mod", "sign/hmac", "sign/authorization"] {
        let source = read(format!("src/config/webhooks/{file}.rs"));
        for asks in [".get(\"", ".require(\"", " read(\"", "\", \"", "[\""] {
            let names = source.split(asks).skip(1).filter_map(|rest| rest.split('"').next());
            let is_asked = asks.contains('(');
            options.extend(
                names
                    .filter(|name| is_asked || name.ends_with("_header"))
                    .map(str::to_owned),
            );
        }
    }
    options.sort();
    options.dedup();
    assert!(options.len() >= 40, "{options:?}");
    options
}

#[test]
fn the_documented_receiver_verifies() {
    let [program] = &blocks("python")[..] else {
        panic!("one receiver");
    };
    assert!(program.trim().lines().count() <= 15, "{program}");
    // Now, by the clock of the receiver; another key, another body and another time are not right.
    let cases = r#"
import sys
key, body, now = b"0123456789abcdef0123456789abcdef", b'{"a": 1}', int(time.time())
def message(key=key, body=body, at=now, before=""):
    tag = hmac.digest(key, f"evt_1.{at}.".encode() + body, "sha256")
    signature = before + "v1," + base64.b64encode(tag).decode()
    return {"webhook-id": "evt_1", "webhook-timestamp": str(at), "webhook-signature": signature}
secret = "whsec_" + base64.b64encode(key).decode()
right = [message(), message(before="v1,AAAA ")]
wrong = [message(key=b"another"), message(body=b"{}"), message(at=now - 301), {**message(), "webhook-id": "evt_2"}]
sys.exit(not all(verify(secret, it, body) for it in right) or any(verify(secret, it, body) for it in wrong))
"#;
    let status = Command::new("python3")
        .args(["-c", &format!("{program}{cases}")])
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn every_metric_of_the_return_path_is_documented() {
    let document = read(DOCUMENT);
    let mut seen = 0;
    for file in ["webhooks", "metrics"] {
        let source = read(format!("src/telemetry/{file}.rs"));
        let names = source.split('"').filter(|text| text.starts_with("webhook_"));
        for name in names {
            seen += 1;
            assert!(
                document.contains(&format!("`keygate_{name}")),
                "nobody documents {name}"
            );
        }
    }
    assert!(seen >= 9, "{seen}");
}
