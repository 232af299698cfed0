//! Every destination of the table, every address of every range, and every word that is said.

mod properties;
mod table;

use super::Destinations;
use crate::config::webhooks::destinations;

fn with(options: &str) -> Destinations {
    Destinations::new(&destinations::of_text(options))
}

#[test]
fn what_is_said_says_where_why_and_what_would_help() {
    let closed = with("");
    let rows = [
        (
            "10.1.2.3",
            "10.1.2.3 is a private address (10.0.0.0/8, RFC 1918). For a receiver of your own, name its host in `allow_hosts` or its \
             network in `allow_networks` of [webhooks].",
        ),
        (
            "127.0.0.1",
            "127.0.0.1 is a loopback address, this machine itself (127.0.0.0/8, RFC 1122 §3.2.1.3). Only `allow_networks` of \
             [webhooks] could allow it, with a network that holds it.",
        ),
        (
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe stands for 169.254.169.254, which is the instance metadata of AWS, Azure, Google Cloud, OpenStack and \
             others (169.254.169.254/32, the cloud's documentation). Only `allow_networks` of [webhooks] could allow it, with \
             exactly \"169.254.169.254/32\".",
        ),
        (
            "ff02::1",
            "ff02::1 is a multicast address (ff00::/8, RFC 4291 §2.7). No server can be there, and no option allows it.",
        ),
    ];
    for (address, said) in rows {
        let address = address.parse().expect("an address");
        let forbidden = closed.address("a.example", 443, address).expect_err("forbidden");
        assert_eq!(forbidden.to_string(), said);
    }
    let port = closed
        .address("a.example", 22, [1, 1, 1, 1].into())
        .expect_err("forbidden");
    assert_eq!(port.code(), "port");
    assert_eq!(
        port.to_string(),
        "Events do not go to port 22; `allow_ports` of [webhooks] says which ports they may go to."
    );
}
