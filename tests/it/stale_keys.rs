//! Key files that have not been readable and valid for too long: what closes, and what opens it again.

use crate::harness::{ALPHA, Gate, Setup, Upstream, exchange, get, presents, wait_until};

#[test]
fn permissions_close_when_the_key_file_has_not_been_valid_for_their_time_and_open_when_it_is() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        keys: "refresh = \"100ms\"\nmax_stale = { send = \"1s\", \"*\" = \"1h\" }".to_owned(),
        more:
            "[[routes]]\npath = \"/send\"\npermission = \"send\"\n[[routes]]\npath = \"/read\"\npermission = \"read\"\n"
                .to_owned(),
        ..Setup::before(&upstream)
    });
    let asked = |path: &str| exchange(gate.ingress(), get(path, &presents(ALPHA)));
    let good = std::fs::read(gate.home.path("keys.toml")).unwrap();
    assert_eq!(asked("/send").status(), 200);
    gate.home.write("keys.toml", "broken [");
    let stale = wait_until("the permission to close", || {
        let answer = asked("/send");
        (answer.status() == 503).then_some(answer)
    });
    assert!(stale.text().contains("keys_stale"), "{}", stale.text());
    assert!(stale.header("retry-after").is_some());
    assert_eq!(asked("/read").status(), 200, "it has more time");
    assert!(gate.metric(&["keygate_keys_age_seconds "]) > 1.0);
    gate.wait_for_log("the alarm", |line| line.to_string().contains("permissions close"));
    gate.home.write("keys.toml", good);
    wait_until("it to open", || (asked("/send").status() == 200).then_some(()));
    wait_until("the age to be small", || {
        (gate.metric(&["keygate_keys_age_seconds "]) <= 1.0).then_some(())
    });
}
