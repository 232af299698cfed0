//! Where events do not go, whatever a URL, a name server or a receiver says.

use std::net::{Ipv4Addr, SocketAddr};

use super::stage::{Stage, webhook};
use crate::harness::{Conversation, Dns, Gate, Home, Reply, Setup, Upstream};

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
