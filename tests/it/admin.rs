//! The admin listener: probes and metrics.

use crate::harness::{ALPHA, Connection, Gate, Setup, Upstream, curl, exchange, get, presents, wait_until};

#[test]
fn the_probes_say_that_it_lives_has_started_and_is_ready() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for probe in ["/livez", "/readyz", "/startupz"] {
        let answer = curl(&[gate.admin_url(probe)]);
        assert_eq!(answer.status, 200, "{probe}");
    }
    assert_eq!(curl(&[gate.admin_url("/nothing")]).status, 404);
}

#[test]
fn probes_do_not_depend_on_the_upstream() {
    let gate = Gate::start(&Setup::url("http://127.0.0.1:1"));
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 502);
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(curl(&[gate.admin_url(probe)]).status, 200, "{probe}");
    }
}

#[test]
fn the_ingress_has_no_probes_and_the_admin_listener_no_way_to_the_upstream() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for probe in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(
            exchange(gate.ingress(), get(probe, "")).status(),
            401,
            "{probe} is a path like any other"
        );
    }
    assert_eq!(exchange(gate.admin(), get("/", &presents(ALPHA))).status(), 404);
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn only_get_and_head_are_answered() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    assert_eq!(curl(&["-X", "POST", &gate.admin_url("/livez")]).status, 405);
    assert_eq!(curl(&["--head", &gate.admin_url("/livez")]).status, 200);
}

#[test]
fn metrics_count_decisions_connections_and_keys() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for _ in 0..3 {
        exchange(gate.ingress(), get("/", &presents(ALPHA)));
    }
    for _ in 0..2 {
        exchange(gate.ingress(), get("/", ""));
    }
    let requests = |decision: &str| gate.metric(&["keygate_requests_total", &format!("decision=\"{decision}\"")]);
    wait_until("the counters", || {
        (requests("forward") == 3.0 && requests("credential_missing") == 2.0).then_some(())
    });
    assert_eq!(gate.metric(&["keygate_keys", "state=\"active\""]), 1.0);
    let _open = Connection::open(gate.ingress());
    wait_until("the open connection", || {
        (gate.metric(&["keygate_client_connections "]) >= 1.0).then_some(())
    });
}

#[test]
fn no_metric_grows_with_keys_or_paths() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    exchange(gate.ingress(), get("/warm", &presents(ALPHA)));
    exchange(gate.ingress(), get("/warm", &presents("kg_nobody")));
    let names = |text: &str| {
        let mut names: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
            .collect();
        names.sort();
        names
    };
    let before = names(&gate.metrics());
    for n in 0..20 {
        exchange(gate.ingress(), get(&format!("/path/{n}"), &presents(ALPHA)));
        exchange(gate.ingress(), get("/", &presents(&format!("kg_nobody_{n}"))));
    }
    let metrics = gate.metrics();
    assert_eq!(names(&metrics), before);
    assert!(!metrics.contains("key_alpha"));
}

#[test]
fn the_admin_listener_is_on_loopback_by_default_and_can_be_off() {
    let upstream = Upstream::hello();
    let setup = Setup::before(&upstream);
    let home = crate::harness::Home::new();
    setup.write(&home);
    let config = setup
        .config()
        .replace("[admin]\nlisten = [\"127.0.0.1:0\"]", "[admin]\nlisten = []");
    home.write("config.toml", config);
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    assert_eq!(gate.listeners("admin"), [""; 0]);
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
}

#[test]
fn connections_that_are_held_open_for_nothing_keep_no_probe_out() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let _held: Vec<_> = (0..100).map(|_| Connection::open(gate.admin())).collect();
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(curl(&[gate.admin_url(probe)]).status, 200, "{probe}");
    }
}
