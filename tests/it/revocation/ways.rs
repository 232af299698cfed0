//! Every way in which a key dies, or loses what it needs, ends all that is open under it; and no other change does.

use super::stage::{Stage, begin_all};
use super::{setup, told};
use crate::harness::{ALPHA, BETA, Connection, GAMMA, Gate, Setup, get, key, key_file, presents, wait_until};

/// Routes of which the last demands this.
fn routes(demand: &str) -> String {
    format!("[[routes]]\npath = \"/{{*rest}}\"\n{demand}\n")
}

/// What alpha's record holds at first.
const HOLDS: &str = "permissions = [\"read\"]\nsubscriptions = [\"events\"]\n";

/// Opens everything for both keys, makes a change, and sees what was alpha's end like this, and beta's go on.
#[track_caller]
fn ends_all(before: &Setup, stage: &Stage, change: impl FnOnce(&Gate), said: (u16, &str, &str)) {
    let gate = Gate::start(before);
    let (status, code, reason) = said;
    let mut alpha = begin_all(gate.ingress(), stage, ALPHA, "alpha");
    let mut beta = begin_all(gate.ingress(), stage, BETA, "beta");
    let mut idle = Connection::open(gate.ingress());
    idle.send(get("/", &presents(ALPHA)));
    assert_eq!(idle.answer().status(), 200);
    change(&gate);
    for open in &mut alpha {
        open.ends(stage, status);
        told(&gate, open.target(), code, reason);
    }
    idle.send(get("/", &presents(ALPHA)));
    let answer = idle.answer();
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (status, code),
        "the next on a connection that waits"
    );
    for open in &mut beta {
        open.goes_on(stage);
    }
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), alpha.len() as f64);
    let told = stage.told();
    assert!(!told.iter().any(|line| line.contains("/beta")), "{told:?}");
}

/// As [`ends_all`], by another key file.
#[track_caller]
fn key_file_ends_all(demand: &str, change: &str, said: (u16, &str, &str)) {
    let stage = Stage::new();
    let beta = key("key_beta", BETA, HOLDS);
    let before = Setup {
        more: routes(demand),
        records: key_file(&[key("key_alpha", ALPHA, HOLDS), beta.clone()]),
        ..setup(&stage.upstream)
    };
    let change = key_file(&[change.to_owned(), beta]);
    ends_all(&before, &stage, |gate| drop(gate.home.write("keys.toml", change)), said);
}

fn invalid(reason: &'static str) -> (u16, &'static str, &'static str) {
    (401, "credential_invalid", reason)
}

#[test]
fn a_key_that_is_revoked() {
    let revoked = format!("{HOLDS}revoked_at = 2020-01-01T00:00:00Z\n");
    key_file_ends_all("", &key("key_alpha", ALPHA, &revoked), invalid("revoked"));
}

#[test]
fn a_key_that_has_a_tombstone() {
    let tombstone = "[[tombstones]]\nkey = \"key_alpha\"\nrevoked_at = 2020-01-01T00:00:00Z\n";
    let change = key("key_alpha", ALPHA, HOLDS) + tombstone;
    key_file_ends_all("", &change, invalid("revoked"));
}

#[test]
fn a_key_that_is_disabled() {
    let disabled = format!("{HOLDS}active = false\n");
    key_file_ends_all("", &key("key_alpha", ALPHA, &disabled), invalid("disabled"));
}

#[test]
fn a_key_that_is_removed() {
    key_file_ends_all("", "", invalid("unknown"));
}

#[test]
fn a_key_whose_secret_was_rotated_away() {
    key_file_ends_all("", &key("key_alpha", GAMMA, HOLDS), invalid("unknown"));
}

#[test]
fn a_key_that_begins_later_now() {
    let later = format!("{HOLDS}not_before = 2999-01-01T00:00:00Z\n");
    key_file_ends_all("", &key("key_alpha", ALPHA, &later), invalid("not_yet_valid"));
}

#[test]
fn a_key_without_the_permission_any_more() {
    let stripped = HOLDS.replace("read", "write");
    let change = key("key_alpha", ALPHA, &stripped);
    key_file_ends_all("permission = \"read\"", &change, (403, "permission_denied", ""));
}

#[test]
fn a_key_without_the_subscription_any_more() {
    let stripped = HOLDS.replace("events", "reports");
    let change = key("key_alpha", ALPHA, &stripped);
    key_file_ends_all("subscription = \"events\"", &change, (403, "subscription_denied", ""));
}

#[test]
fn a_key_that_may_not_be_used_from_there_any_more() {
    let moved = format!("{HOLDS}allowed_sources = [\"203.0.113.0/24\"]\n");
    let change = key("key_alpha", ALPHA, &moved);
    key_file_ends_all("", &change, (403, "source_denied", ""));
}

#[test]
fn a_key_whose_route_demands_more_now() {
    let stage = Stage::new();
    let before = Setup {
        records: key_file(&[
            key("key_alpha", ALPHA, HOLDS),
            key("key_beta", BETA, "permissions = [\"admin\"]"),
        ]),
        ..setup(&stage.upstream)
    };
    let after = Setup {
        more: routes("permission = \"admin\""),
        ..setup(&stage.upstream)
    };
    let change = |gate: &Gate| drop(gate.home.write("config.toml", after.config()));
    ends_all(&before, &stage, change, (403, "permission_denied", ""));
}

#[test]
fn a_set_of_permissions_that_holds_less_now() {
    let stage = Stage::new();
    let set =
        |includes: &str| routes("permission = \"read\"") + "[permissions.usual]\nincludes = [\"" + includes + "\"]\n";
    let before = Setup {
        more: set("read"),
        records: key_file(&[
            key("key_alpha", ALPHA, "permissions = [\"usual\"]"),
            key("key_beta", BETA, "permissions = [\"read\"]"),
        ]),
        ..setup(&stage.upstream)
    };
    let after = Setup {
        more: set("write"),
        ..setup(&stage.upstream)
    };
    let change = |gate: &Gate| drop(gate.home.write("config.toml", after.config()));
    ends_all(&before, &stage, change, (403, "permission_denied", ""));
}

/// A key that is revoked for good stays so when its record is put back, and what is refused is not carried.
#[test]
fn a_record_that_is_put_back_opens_nothing() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    super::revoke(&gate);
    let status = |presented: &str| crate::harness::exchange(gate.ingress(), get("/", &presents(presented))).status();
    wait_until("the revocation", || (status(ALPHA) == 401).then_some(()));
    let back = key_file(&[
        key("key_alpha", ALPHA, ""),
        key("key_beta", BETA, ""),
        key("key_gamma", GAMMA, ""),
    ]);
    gate.home.write("keys.toml", back);
    wait_until("the next generation", || (status(GAMMA) == 200).then_some(()));
    assert_eq!(status(ALPHA), 401);
}

#[test]
fn other_changes_end_nothing() {
    let stage = Stage::new();
    let plans = "[plans.large]\nlimits = [{ name = \"hour\", requests = 1000, per = \"1h\" }]\n";
    let before = Setup {
        more: format!("{}{plans}", routes("permission = \"read\"")),
        records: key_file(&[key("key_alpha", ALPHA, HOLDS), key("key_beta", BETA, HOLDS)]),
        ..setup(&stage.upstream)
    };
    let gate = Gate::start(&before);
    let mut open = begin_all(gate.ingress(), &stage, ALPHA, "alpha");
    let alpha = |more: &str| key("key_alpha", ALPHA, &format!("{HOLDS}{more}"));
    let beta = |more: &str| key("key_beta", BETA, &format!("{HOLDS}{more}"));
    let changes = [
        // Its name, its plan, what it holds besides, an end that is far away, from where it comes, and other secrets.
        key_file(&[alpha("").replace("key_alpha-name", "new name"), beta("")]),
        key_file(&[alpha("plan = \"large\""), beta("")]),
        key_file(&[
            key("key_alpha", ALPHA, &HOLDS.replace("read", "other\", \"read")),
            beta(""),
        ]),
        key_file(&[alpha("expires_at = 2999-01-01T00:00:00Z"), beta("")]),
        key_file(&[alpha("allowed_sources = [\"127.0.0.0/8\"]"), beta("")]),
        key_file(&[
            alpha("").replace(
                &format!("hash = \"{}\"", crate::harness::sha256(ALPHA)),
                &format!(
                    "secrets = [{{ hash = \"{}\" }}, {{ hash = \"{}\", expires_at = 2999-01-01T00:00:00Z }}]",
                    crate::harness::sha256(GAMMA),
                    crate::harness::sha256(ALPHA)
                ),
            ),
            beta(""),
        ]),
        // What becomes of others, and the order of records.
        key_file(&[beta("active = false"), alpha("")]),
        key_file(&[alpha("")]),
    ];
    for (change, generation) in changes.iter().zip(2_u64..) {
        gate.home.write("keys.toml", change);
        wait_until(&format!("generation {generation} in force"), || {
            (gate.metric(&["keygate_generation"]) >= generation as f64).then_some(())
        });
        for open in &mut open {
            open.goes_on(&stage);
        }
    }
    // The same files once more.
    let reloads = gate.metric(&["keygate_reloads_total", "applied"]);
    gate.signal("HUP");
    wait_until("the reload", || {
        (gate.metric(&["keygate_reloads_total", "applied"]) > reloads).then_some(())
    });
    for open in &mut open {
        open.goes_on(&stage);
    }
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 0.0);
    assert_eq!(stage.told(), [""; 0]);
    // Nothing of what was written was left out.
    assert_eq!(gate.metric(&["keygate_reload_failed"]), 0.0);
}
