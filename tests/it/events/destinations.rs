//! Where events do not go, whatever a URL, a name server or a receiver says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::stage::{Stage, webhook};
use crate::docs::project;
use crate::harness::{Conversation, Dns, Gate, Home, Reply, Setup, Upstream, exchange, rows, wait_until};

/// A receiver that takes everything, and closes or keeps the connection.
fn receiver(keeps: bool) -> Upstream {
    Upstream::tcp(move |conversation: &mut Conversation| {
        conversation.read_body();
        let headers = if keeps { "" } else { "Connection: close\r\n" };
        conversation.answer("200 OK", headers, "")
    })
}

/// What no event may reach: on the receiver's port of another loopback address, which no option opens.
fn victim(receiver: &Upstream) -> Upstream {
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), receiver.address().port()));
    Upstream::tcp_on(address, |conversation: &mut Conversation| {
        conversation.read_body();
        conversation.answer("200 OK", "", "reached")
    })
}

/// Options of `[webhooks]` that open the receiver, and have this server asked for names.
fn open(receiver: &Upstream, dns: &Dns) -> String {
    format!(
        "allow_networks = [\"127.0.0.1\"]\nallow_ports = [{}]\nresolvers = [\"{}\"]",
        receiver.address().port(),
        dns.address()
    )
}

fn setup(options: &str) -> Setup {
    Setup {
        more: format!("[egress]\nlisten = [\"127.0.0.1:0\"]\n\n[webhooks]\nfile = \"webhooks.toml\"\n{options}\n"),
        ..Setup::url("http://127.0.0.1:9")
    }
}

fn staged(receiver: Upstream, options: &str, records: &str) -> Stage {
    let home = Home::new();
    home.write("webhooks.toml", records);
    let gate = Gate::start_in(home, &setup(options));
    Stage { gate, receiver }
}

#[test]
fn a_name_that_leads_elsewhere_the_next_time_is_refused() {
    let receiver = receiver(false);
    let victim = victim(&receiver);
    let dns = Dns::start(|question| match question.number {
        0 => Reply::to(["127.0.0.1"]),
        _ => Reply::to(["127.0.0.2"]),
    });
    let url = format!("http://rebinding.example:{}/in", receiver.address().port());
    let options = open(&receiver, &dns);
    let stage = staged(receiver, &options, &webhook("wh_one", &url, ""));

    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 200);
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (403, "destination_forbidden")
    );
    assert!(
        answer.text().contains("127.0.0.2 is a loopback address"),
        "{}",
        answer.text()
    );
    assert_eq!(
        dns.asked().len(),
        4,
        "once for each kind of address, and once for each event"
    );
    assert_eq!(stage.receiver.requests().len(), 1);
    assert_eq!(victim.connections(), 0);
}

#[test]
fn a_name_without_an_address_is_told_from_a_forbidden_one() {
    let receiver = receiver(false);
    let dns = Dns::start(|question| match question.name.as_str() {
        "failing.example" => Reply::Failure,
        "silent.example" => Reply::Silence,
        _ => Reply::NoSuchName,
    });
    let port = receiver.address().port();
    let once = "retry = { attempts = 1 }\ntimeouts = { connect = \"500ms\" }";
    let names = ["nowhere.example", "failing.example", "silent.example"];
    let records = names.map(|name| webhook(&name.replace('.', "_"), &format!("http://{name}:{port}/in"), once));
    let options = open(&receiver, &dns);
    let stage = staged(receiver, &options, &records.concat());
    let told = names.map(|name| {
        let answer = stage.send(&format!("/webhooks/{}", name.replace('.', "_")), "", "{}");
        (answer.status(), answer.code())
    });
    let unresolved = (502, "receiver_unresolved".to_owned());
    assert_eq!(told[..2], [unresolved.clone(), unresolved]);
    assert!([502, 504].contains(&told[2].0), "{told:?}");
    assert!(dns.asked().iter().any(|question| question.name == "silent.example"));
}

#[test]
fn every_retry_is_checked_anew() {
    let receiver = Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        conversation.answer("503 Service Unavailable", "Connection: close\r\n", "")
    });
    let victim = victim(&receiver);
    let dns = Dns::start(|question| match question.number {
        0 => Reply::to(["127.0.0.1"]),
        _ => Reply::to(["127.0.0.2"]),
    });
    let url = format!("http://rebinding.example:{}/in", receiver.address().port());
    let options = open(&receiver, &dns);
    let retry = "retry = { attempts = 3, delays = [\"10ms\"] }";
    let stage = staged(receiver, &options, &webhook("wh_one", &url, retry));

    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (403, "destination_forbidden")
    );
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("2"));
    assert_eq!(stage.receiver.requests().len(), 1);
    assert_eq!(victim.connections(), 0);
}

#[test]
fn answers_that_mix_alias_or_disguise_addresses_are_refused() {
    let receiver = receiver(false);
    let victim = victim(&receiver);
    let dns = Dns::start(|question| match question.name.as_str() {
        "good.example" => Reply::to(["127.0.0.1"]),
        "mixed.example" => Reply::to(["127.0.0.1", "127.0.0.2"]),
        "kinds.example" => Reply::to(["127.0.0.1", "::1"]),
        "alias.example" => Reply::alias("victim.internal", ["127.0.0.2"]),
        "mapped.example" => Reply::to(["::ffff:127.0.0.1"]),
        "nat64.example" => Reply::to(["64:ff9b::7f00:1"]),
        "metadata.example" => Reply::to(["169.254.169.254"]),
        "zero.example" => Reply::to(["0.0.0.0"]),
        "own.internal" => Reply::to(["127.0.0.2"]),
        _ => Reply::NoSuchName,
    });
    let port = receiver.address().port();
    let names = [
        ("mixed", "mixed.example"),
        ("kinds", "kinds.example"),
        ("alias", "alias.example"),
        ("mapped", "mapped.example"),
        ("nat64", "nat64.example"),
        ("metadata", "metadata.example"),
        ("zero", "zero.example"),
        ("own", "own.internal"),
        ("localhost", "a.localhost"),
    ];
    let mut records = webhook("good", &format!("http://good.example:{port}/in"), "");
    for (id, name) in names {
        records += &webhook(id, &format!("http://{name}:{port}/in"), "");
    }
    let options = format!("{}\nallow_hosts = [\"*.internal\"]", open(&receiver, &dns));
    let stage = staged(receiver, &options, &records);

    assert_eq!(stage.send("/webhooks/good", "", "{}").status(), 200);
    for (id, name) in names {
        let answer = stage.send(&format!("/webhooks/{id}"), "", "{}");
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (403, "destination_forbidden"),
            "{name}"
        );
    }
    assert_eq!(stage.receiver.requests().len(), 1);
    assert_eq!(victim.connections(), 0);
}

#[test]
fn addresses_are_refused_however_they_are_spelt() {
    let receiver = receiver(false);
    let victim = victim(&receiver);
    let port = receiver.address().port();
    let hosts = [
        "127.0.0.2",
        "2130706434",
        "0x7f000002",
        "0x7f.2",
        "0177.0.0.2",
        "127.2",
        "127.0.0.2.",
        "%31%32%37.0.0.2",
        "１２７.０.０.２",
        "127。0。0。2",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "[::127.0.0.2]",
        "[64:ff9b::127.0.0.2]",
        "[2002:7f00:2::]",
        "[::1]",
        "[::]",
        "0",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
    ];
    let mut records = String::new();
    for (number, host) in hosts.iter().enumerate() {
        records += &webhook(&format!("wh_{number}"), &format!("http://{host}:{port}/in"), "");
    }
    let options = format!("allow_networks = [\"127.0.0.1\"]\nallow_ports = [{port}]");
    let stage = staged(receiver, &options, &records);
    for (number, host) in hosts.iter().enumerate() {
        let answer = stage.send(&format!("/webhooks/wh_{number}"), "", "{}");
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (403, "destination_forbidden"),
            "{host}"
        );
    }
    assert_eq!(victim.connections(), 0);
    assert_eq!(stage.receiver.connections(), 0);
}

#[test]
fn a_connection_that_was_kept_is_not_used_after_its_address_was_closed() {
    let receiver = receiver(true);
    let url = format!("{}/in", receiver.url());
    let port = receiver.address().port();
    let opened = format!("allow_networks = [\"127.0.0.1\"]\nallow_ports = [{port}]");
    let stage = staged(receiver, &opened, &webhook("wh_one", &url, ""));
    for _ in 0..2 {
        assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 200);
    }
    assert_eq!(stage.receiver.connections(), 1, "it is kept");

    let closed = setup(&format!("allow_ports = [{port}]")).config();
    stage.gate.home.replace("config.toml", closed);
    stage.gate.wait_for_log("the reload", |line| line["generation"] == 2);
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (403, "destination_forbidden")
    );
    assert_eq!(stage.receiver.requests().len(), 2);
}

#[test]
fn a_redirect_to_a_forbidden_place_is_not_followed() {
    let receiver = Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        let host = conversation.head.header("host").unwrap();
        let location = format!("Location: http://{}/\r\n", host.replace("127.0.0.1", "127.0.0.2"));
        conversation.answer("307 Temporary Redirect", &location, "")
    });
    let victim = victim(&receiver);
    let url = format!("{}/in", receiver.url());
    let options = format!(
        "allow_networks = [\"127.0.0.1\"]\nallow_ports = [{}]",
        receiver.address().port()
    );
    let stage = staged(receiver, &options, &webhook("wh_one", &url, ""));
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 307);
    assert_eq!(stage.receiver.requests().len(), 1);
    assert_eq!(victim.connections(), 0);
}

/// As `tests/cases/egress/destinations.toml` has them.
#[derive(Deserialize)]
struct Group {
    name: String,
    #[serde(default)]
    options: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    url: String,
    #[serde(default)]
    to: Vec<IpAddr>,
    says: String,
}

#[derive(Deserialize)]
struct Table {
    groups: Vec<Group>,
}

fn table() -> Vec<Group> {
    let text = std::fs::read_to_string(project().join("tests/cases/egress/destinations.toml")).unwrap();
    toml::from_str::<Table>(&text).unwrap().groups
}

#[test]
fn everything_that_the_table_forbids_is_refused_by_the_listener() {
    let mut count = 0;
    for group in table() {
        let addresses: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
        let told = Arc::clone(&addresses);
        let dns = Dns::start(move |_| Reply::Addresses(told.lock().unwrap().clone()));
        let is_forbidden = |row: &&Row| !["allowed", "url", "port"].contains(&row.says.as_str());
        let forbidden: Vec<&Row> = group.rows.iter().filter(is_forbidden).collect();
        let records = forbidden.iter().enumerate();
        let records = records.map(|(number, row)| webhook(&format!("wh_{number}"), &row.url, ""));
        let options = format!("{}\nresolvers = [\"{}\"]", group.options, dns.address());
        let receiver = receiver(false);
        let stage = staged(receiver, &options, &records.collect::<String>());
        for (number, row) in forbidden.into_iter().enumerate() {
            addresses.lock().unwrap().clone_from(&row.to);
            let answer = stage.send(&format!("/webhooks/wh_{number}"), "", "{}");
            let told = (answer.status(), answer.code());
            assert_eq!(
                told,
                (403, "destination_forbidden".to_owned()),
                "{}: {} {:?}",
                group.name,
                row.url,
                row.to
            );
            assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("1"), "{}", row.url);
            count += 1;
        }
    }
    assert!(count >= 150, "{count}");
}

#[test]
fn a_url_or_a_port_that_the_table_refuses_is_refused_when_it_is_registered() {
    for group in table() {
        for row in group
            .rows
            .iter()
            .filter(|row| ["url", "port"].contains(&row.says.as_str()))
        {
            let home = Home::new();
            setup(&group.options).write(&home);
            let url = row.url.replace('\\', "\\\\").replace('\t', "\\t");
            home.write("webhooks.toml", webhook("wh_one", &url, ""));
            let output = home.keygate(&["check", "--config", "config.toml"]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            assert!(!output.status.success(), "{}", row.url);
            assert!(said.contains("webhooks[0].url"), "{}: {said}", row.url);
        }
    }
}

#[test]
fn targets_of_a_forward_proxy_reach_what_is_registered_and_nothing_else_however_they_are_spelt() {
    let receiver = receiver(false);
    let victim = victim(&receiver);
    let port = receiver.address().port();
    let options = format!("allow_networks = [\"127.0.0.1\"]\nallow_ports = [{port}]");
    let stage = staged(
        receiver,
        &options,
        &webhook("wh_one", &format!("http://127.0.0.1:{port}/in"), ""),
    );
    let send = |target: &str| {
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
        exchange(stage.egress(), request).status()
    };
    let same = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "127.0.0.1.",
    ];
    for host in same {
        assert_eq!(send(&format!("http://{host}:{port}/in")), 200, "{host}");
    }
    for target in [
        format!("http://127.0.0.2:{port}/in"),
        format!("http://2130706434:{port}/in"),
        format!("http://0x7f.2:{port}/in"),
        format!("http://127.2:{port}/in"),
        format!("http://[::ffff:127.0.0.1]:{port}/in"),
        format!("http://[::1]:{port}/in"),
        format!("http://localhost:{port}/in"),
        format!("http://127.0.0.1@127.0.0.2:{port}/in"),
        format!("http://127.0.0.1:{port}@127.0.0.2:{port}/in"),
        format!("http://127.0.0.2:{port}#@127.0.0.1:{port}/in"),
        format!("http://127.0.0.2:{port}\\@127.0.0.1:{port}/in"),
        format!("http://127.0.0.2:{port}/in?@127.0.0.1:{port}/in"),
        format!("ftp://127.0.0.1:{port}/in"),
        format!("https://127.0.0.1:{port}/in"),
        "http://127.0.0.1/in".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let status = send(&target);
        assert!((400..500).contains(&status), "{target}: {status}");
    }
    assert_eq!(stage.receiver.requests().len(), same.len());
    assert_eq!(victim.connections(), 0);
}

#[test]
fn what_the_host_header_says_changes_nothing() {
    let receiver = receiver(false);
    let victim = victim(&receiver);
    let port = receiver.address().port();
    let options = format!("allow_networks = [\"127.0.0.1\"]\nallow_ports = [{port}]");
    let stage = staged(
        receiver,
        &options,
        &webhook("wh_one", &format!("http://127.0.0.1:{port}/in"), ""),
    );
    for target in ["/webhooks/wh_one".to_owned(), format!("http://127.0.0.1:{port}/in")] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: 127.0.0.2:{port}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        assert_eq!(exchange(stage.egress(), request).status(), 200);
        let event = stage.receiver.last_request();
        assert_eq!(event.header("host"), Some(format!("127.0.0.1:{port}")));
    }
    assert_eq!(victim.connections(), 0);
}

#[test]
fn every_try_of_a_queued_event_is_checked_anew() {
    let receiver = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        let status = if it.number == 1 {
            "503 Service Unavailable"
        } else {
            "200 OK"
        };
        it.answer(status, "Connection: close\r\n", "")
    });
    let victim = victim(&receiver);
    let is_over = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&is_over);
    let dns = Dns::start(move |question| {
        if question.number == 0 || theirs.load(Ordering::SeqCst) {
            Reply::to(["127.0.0.1"])
        } else {
            Reply::to(["127.0.0.2"])
        }
    });
    let url = format!("http://rebinding.example:{}/in", receiver.address().port());
    let options = format!("{}\n[state]\npath = \"keygate.db\"", open(&receiver, &dns));
    let schedule = ", \"20ms\"".repeat(20) + &", \"1s\"".repeat(20);
    let queued = format!("delivery = \"queued\"\nschedule = [\"0s\"{schedule}]");
    let stage = staged(receiver, &options, &webhook("wh_one", &url, &queued));
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 202);
    let outcomes = || {
        let query = "SELECT coalesce(error, status) FROM webhook_attempts ORDER BY seq";
        rows(&stage.gate.home.path("keygate.db"), query)
    };
    wait_until("tries that are refused", || (outcomes().len() >= 4).then_some(()));
    assert_eq!(stage.receiver.requests().len(), 1);
    is_over.store(true, Ordering::SeqCst);
    stage.receiver.wait_for_requests(2);
    wait_until("the delivery", || (outcomes().last()? == "200").then_some(()));
    let all = outcomes();
    assert_eq!(all[0], "rejected");
    assert!(
        all[1..all.len() - 1]
            .iter()
            .all(|outcome| outcome == "destination_forbidden"),
        "{all:?}"
    );
    assert_eq!(victim.connections(), 0);
}
