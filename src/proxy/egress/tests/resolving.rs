//! A name server that changes its answers, mixes them, and disguises them.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use url::Host;

use super::dns::{Dns, Reply};
use super::with;
use crate::policy::egress::destination::{Checked, Destinations};
use crate::proxy::egress::connect::connect;
use crate::proxy::egress::resolve::{Resolver, Unresolved};

const PATIENCE: Duration = Duration::from_secs(20);

fn name(text: &str) -> Host<String> {
    Host::Domain(text.to_owned())
}

/// What is said: the addresses, or the code of what forbids them, or why there are none.
async fn resolved(resolver: &Resolver, destinations: &Destinations, host: &Host<String>) -> String {
    match resolver.resolve(destinations, host, 443, PATIENCE).await {
        Ok(checked) => {
            let addresses: Vec<String> = checked
                .iter()
                .map(|checked| checked.socket().ip().to_string())
                .collect();
            addresses.join(" ")
        }
        Err(Unresolved::Forbidden(forbidden)) => forbidden.code().to_owned(),
        Err(unresolved) => unresolved.to_string(),
    }
}

#[tokio::test]
async fn a_name_that_changes_its_answer_gains_nothing() {
    // What stands where the second answer leads.
    let victim = TcpListener::bind("127.0.0.1:0").unwrap();
    victim.set_nonblocking(true).unwrap();
    let port = victim.local_addr().unwrap().port();
    let dns = Dns::start(|question| match question.number {
        0 => Reply::to(["93.184.216.34", "2606:2800:220:1::1"]),
        _ => Reply::to(["127.0.0.1"]),
    });
    let resolver = Resolver::new(&[dns.address()]);
    let destinations = with(&format!("allow_ports = [{port}]"));
    let rebinding = name("rebinding.example");

    let first = resolver
        .resolve(&destinations, &rebinding, port, PATIENCE)
        .await
        .unwrap();
    let first: Vec<String> = first.iter().map(|checked| checked.socket().to_string()).collect();
    assert_eq!(
        first,
        [format!("93.184.216.34:{port}"), format!("[2606:2800:220:1::1]:{port}")]
    );
    // The look-up asked once for each kind of address, and what was checked is all there is to connect to.
    assert_eq!(dns.asked().len(), 2);

    let second = resolver.resolve(&destinations, &rebinding, port, PATIENCE).await;
    let Err(Unresolved::Forbidden(forbidden)) = second else {
        panic!("{second:?}");
    };
    assert_eq!(forbidden.code(), "loopback");
    assert_eq!(victim.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn nothing_is_remembered() {
    let dns = Dns::start(|question| match question.number {
        0 => Reply::NoSuchName,
        1 => Reply::to(["8.8.8.8"]),
        _ => Reply::to(["1.1.1.1"]),
    });
    let resolver = Resolver::new(&[dns.address()]);
    let closed = with("");
    let moving = name("moving.example");
    assert_eq!(resolved(&resolver, &closed, &moving).await, "there is no such name");
    assert_eq!(resolved(&resolver, &closed, &moving).await, "8.8.8.8");
    assert_eq!(resolved(&resolver, &closed, &moving).await, "1.1.1.1");
}

#[tokio::test]
async fn every_answer_is_judged_whole() {
    let dns = Dns::start(|question| match question.name.as_str() {
        "public.example" => Reply::to(["1.1.1.1", "1.1.1.1", "2606:4700::1111"]),
        "mixed.example" => Reply::to(["1.1.1.1", "127.0.0.1"]),
        "mixed-kinds.example" => Reply::to(["1.1.1.1", "fe80::1"]),
        "alias.example" => Reply::alias("metadata.internal", ["169.254.169.254"]),
        "public-alias.example" => Reply::alias("cdn.example", ["1.1.1.1"]),
        "mapped.example" => Reply::to(["::ffff:10.0.0.1"]),
        "mapped-public.example" => Reply::to(["::ffff:1.1.1.1"]),
        "nat64.example" => Reply::to(["64:ff9b::7f00:1"]),
        "own.internal" => Reply::to(["10.0.0.7", "fd12::7"]),
        "own-loopback.internal" => Reply::to(["10.0.0.7", "127.0.0.1"]),
        "own-alias.internal" => Reply::alias("evil.example", ["169.254.169.254"]),
        "empty.example" => Reply::to([]),
        "broken.example" => Reply::Failure,
        "half-broken.example" if question.is_ipv6 => Reply::Failure,
        "half-broken.example" => Reply::to(["1.1.1.1"]),
        _ => Reply::NoSuchName,
    });
    let resolver = Resolver::new(&[dns.address()]);
    let destinations = with("allow_hosts = [\"*.internal\"]");
    let rows = [
        ("public.example", "1.1.1.1 2606:4700::1111"),
        ("mixed.example", "loopback"),
        ("mixed-kinds.example", "link-local"),
        ("alias.example", "metadata"),
        ("public-alias.example", "1.1.1.1"),
        ("mapped.example", "private"),
        ("mapped-public.example", "ipv4-mapped"),
        ("nat64.example", "loopback"),
        ("own.internal", "10.0.0.7 fd12::7"),
        ("own-loopback.internal", "loopback"),
        ("own-alias.internal", "metadata"),
        ("empty.example", "the name has no IPv4 and no IPv6 address"),
        ("half-broken.example", "1.1.1.1"),
        ("nowhere.example", "there is no such name"),
        // Single labels and `localhost` are names like others.
        ("nowhere", "there is no such name"),
        ("localhost", "loopback"),
        ("a.localhost", "loopback"),
    ];
    for (host, said) in rows {
        assert_eq!(resolved(&resolver, &destinations, &name(host)).await, said, "{host}");
    }
    let broken = resolved(&resolver, &destinations, &name("broken.example")).await;
    assert!(broken.starts_with("the name servers gave no answer: "), "{broken}");
}

#[tokio::test]
async fn what_is_forbidden_by_itself_asks_nobody() {
    let dns = Dns::start(|_| Reply::to(["1.1.1.1"]));
    let resolver = Resolver::new(&[dns.address()]);
    let closed = with("");
    assert_eq!(
        resolved(&resolver, &closed, &Host::Ipv4([10, 0, 0, 1].into())).await,
        "private"
    );
    assert_eq!(resolved(&resolver, &closed, &Host::Ipv6(1.into())).await, "loopback");
    assert_eq!(
        resolved(&resolver, &closed, &Host::Ipv4([1, 1, 1, 1].into())).await,
        "1.1.1.1"
    );
    let wrong_port = resolver.resolve(&closed, &name("a.example"), 22, PATIENCE).await;
    assert!(matches!(wrong_port, Err(Unresolved::Forbidden(_))), "{wrong_port:?}");
    assert_eq!(dns.asked(), []);
}

#[tokio::test]
async fn a_silent_name_server_is_given_up_on() {
    let dns = Dns::start(|_| Reply::Silence);
    let resolver = Resolver::new(&[dns.address()]);
    let silent = name("silent.example");
    let patience = Duration::from_millis(100);
    let gone = resolver.resolve(&with(""), &silent, 443, patience).await;
    assert_eq!(gone, Err::<Vec<Checked>, _>(Unresolved::Timeout));
}

#[tokio::test]
async fn only_single_labels_are_searched_for() {
    let dns = Dns::start(|question| match question.name.ends_with(".cluster.local") {
        true => Reply::to(["10.0.0.7"]),
        false => Reply::NoSuchName,
    });
    let resolver = Resolver::searching(dns.address(), "cluster.local.");
    let destinations = with("allow_hosts = [\"hooks\", \"hooks.example\"]");
    assert_eq!(resolved(&resolver, &destinations, &name("hooks")).await, "10.0.0.7");
    assert_eq!(
        resolved(&resolver, &destinations, &name("hooks.example")).await,
        "there is no such name"
    );
}

#[tokio::test]
async fn silence_about_one_kind_of_address_leaves_the_other() {
    let dns = Dns::start(|question| match question.is_ipv6 {
        true => Reply::Silence,
        false => Reply::to(["1.1.1.1"]),
    });
    let resolver = Resolver::new(&[dns.address()]);
    let patience = Duration::from_secs(4);
    let checked = resolver
        .resolve(&with(""), &name("half.example"), 443, patience)
        .await
        .unwrap();
    assert_eq!(checked.len(), 1);
}

#[test]
fn many_look_ups_at_once_are_all_answered_on_a_thread_of_ones_own() {
    let dns = Dns::start(|_| Reply::to(["1.1.1.1"]));
    let address = dns.address();
    let (sender, results) = std::sync::mpsc::channel();
    let thread = crate::runtime::spawn("resolving".to_owned(), move || async move {
        let resolver = std::rc::Rc::new(Resolver::new(&[address]));
        let tasks: Vec<_> = (0..500)
            .map(|number| {
                let resolver = std::rc::Rc::clone(&resolver);
                tokio::task::spawn_local(async move {
                    resolved(&resolver, &with(""), &name(&format!("a{number}.example"))).await
                })
            })
            .collect();
        for task in tasks {
            sender.send(task.await.unwrap()).unwrap();
        }
    });
    thread.unwrap().join().unwrap();
    let results: Vec<String> = results.iter().collect();
    assert_eq!(results, vec!["1.1.1.1"; 500]);
    assert!(dns.asked().len() >= 1000);
}

#[tokio::test]
async fn another_name_server_is_asked_where_one_knows_nothing() {
    let empty = Dns::start(|_| Reply::NoSuchName);
    let internal = Dns::start(|_| Reply::to(["1.1.1.1"]));
    let resolver = Resolver::new(&[empty.address(), internal.address()]);
    assert_eq!(resolved(&resolver, &with(""), &name("a.example")).await, "1.1.1.1");
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_is_dead() {
    let living = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = living.local_addr().unwrap().port();
    let dns = Dns::start(|_| Reply::to(["127.0.0.2", "127.0.0.1"]));
    let resolver = Resolver::new(&[dns.address()]);
    let open = with(&format!("allow_networks = [\"127.0.0.0/8\"]\nallow_ports = [{port}]"));
    let checked = resolver
        .resolve(&open, &name("two.example"), port, PATIENCE)
        .await
        .unwrap();
    let connected = connect(&checked, None, PATIENCE).await.unwrap();
    assert_eq!(connected.address.socket().ip().to_string(), "127.0.0.1");
}
