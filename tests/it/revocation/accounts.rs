//! What is left behind by what was cut: it was refused in the end, and was a use of its key all the same.

use super::stage::{Kind, Open, Stage};
use super::{records, revoke, setup};
use crate::harness::{ALPHA, Gate, Setup, exchange, get, presents, rows, wait_until};

#[test]
fn what_was_carried_until_its_key_died_counts_with_its_bytes_as_refused_and_as_the_last_use() {
    let stage = Stage::new();
    let gate = Gate::start(&Setup {
        more: "[state]\npath = \"keygate.db\"\nflush = \"100ms\"\n\
               [[routes]]\npath = \"/events/{*rest}\"\npermission = \"read\"\n\
               [[routes]]\npath = \"/{*rest}\"\n"
            .to_owned(),
        records: records("permissions = [\"read\"]\n"),
        ..setup(&stage.upstream)
    });
    let mut open = Open::begin(gate.ingress(), &stage, Kind::Events, ALPHA, "alpha");
    revoke(&gate);
    open.ends(&stage, 401);
    // This one was never carried.
    let refused = exchange(gate.ingress(), get("/never", &presents(ALPHA)));
    assert_eq!(refused.status(), 401);
    let file = gate.home.path("keygate.db");
    let seen = |query: &str| rows(&file, query);
    wait_until("both requests", || {
        (seen("SELECT sum(requests) FROM usage") == ["2"]).then_some(())
    });
    assert_eq!(seen("SELECT sum(refused), sum(bytes_out) > 0 FROM usage"), ["2|1"]);
    assert_eq!(
        seen("SELECT code, sum(requests) FROM refusals"),
        ["credential_invalid|2"]
    );
    assert_eq!(
        seen("SELECT key_id, route FROM last_use"),
        ["key_alpha|/events/{*rest}"]
    );
    assert_eq!(seen("SELECT permission FROM permission_use"), ["read"]);
}
