//! The admin API is what its description says: schemathesis, a tool that reads such descriptions, finds no disagreement between
//! it and a running sidecar, and no input that makes an answer of 5xx.
//!
//! `tests/run` installs the tool into target/schemathesis.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::docs::project;
use crate::events::stage::{post, webhook};
use crate::harness::{Gate, Home, Setup, curl, sha256};

const TOKEN: &str = "kga_a-token-for-tests-only";
/// Calls per operation and phase.
const EXAMPLES: &str = "20";

fn gate() -> Gate {
    let home = Home::new();
    // The example of the description names it. Its receiver refuses connections, so that what is queued for it waits.
    let options = "delivery = \"queued\"";
    home.write("webhooks.toml", webhook("wh_acme", "http://127.0.0.1:9/in", options));
    let setup = Setup {
        more: format!(
            "[egress]\nlisten = [\"127.0.0.1:0\"]\n[webhooks]\nfile = \"webhooks.toml\"\nallow_networks = [\"127.0.0.0/8\"]\n\
             allow_ports = [9]\n[state]\npath = \"keygate.db\"\n[environments.test]\nprefixes = [\"kg_test_\"]\n\
             [environments.live]\nprefixes = [\"kg_live_\"]\n\
             [[admin.tokens]]\nname = \"ops\"\nrole = \"admin\"\nhash = \"{}\"\n",
            sha256(TOKEN)
        ),
        // It presents bad tokens to every operation, and is to be told each time.
        admin: "token_failures = false".to_owned(),
        ..Setup::url("http://127.0.0.1:9")
    };
    let gate = Gate::start_in(home, &setup);
    // The description's example of an event that is sent again.
    let event = post(&gate, "/webhooks/wh_acme", "webhook-id: msg_1\r\n", "{}");
    assert_eq!(event.status(), 202);
    gate
}

/// The tool that `tests/run` installed, or one on the path.
fn schemathesis() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from);
    let own = target.join("schemathesis/bin/st");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::iter::once(own).chain(std::env::split_paths(&path).map(|directory| directory.join("st")));
    candidates
        .find(|candidate| candidate.is_file())
        .expect("schemathesis is not installed: tests/run does it (python3 -m venv target/schemathesis, and pip)")
}

#[test]
fn schemathesis_finds_no_disagreement_and_no_5xx() {
    let tool = schemathesis();
    let gate = gate();
    let all = operations(&gate);
    let output = Command::new(tool)
        .current_dir(gate.home.path(""))
        .args(["run", &gate.admin_url("/admin/v1/openapi.json")])
        .args(["--url", &gate.admin_url("")])
        .args(["--header", &format!("X-Admin-Key: {TOKEN}")])
        // All of them: by itself it leaves out the one that serves the description.
        .args(["--include-path-regex", "^/admin/"])
        .args(["--max-examples", EXAMPLES, "--generation-deterministic"])
        .args(["--continue-on-failure", "--no-color"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("No issues found") && told.contains(&format!("Selected: {all}/{all}")),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let log = gate.log();
    assert!(log.iter().all(|line| line["message"] != "a task ended by a bug"));
    assert!(!gate.log_lines().join("\n").contains(TOKEN));
}

/// How many calls the description describes.
fn operations(gate: &Gate) -> usize {
    let token = format!("X-Admin-Key: {TOKEN}");
    let answer = curl(&["-H", &token, &gate.admin_url("/admin/v1/openapi.json")]);
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let methods = paths.flat_map(|methods| methods.as_object().unwrap().keys());
    methods.filter(|name| *name != "parameters").count()
}

#[test]
fn it_is_served_to_every_role_and_names_itself() {
    let gate = gate();
    let answer = curl(&[
        "-H",
        &format!("Authorization: Bearer {TOKEN}"),
        &gate.admin_url("/admin/v1/openapi.json"),
    ]);
    assert_eq!(answer.status, 200);
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(curl(&[gate.admin_url("/admin/v1/openapi.json")]).status, 401);
}
