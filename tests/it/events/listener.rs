//! The listener for events: who may connect, over what, and how it ends.

use super::stage::{Stage, config, egress, taking, webhook};
use crate::harness::{Gate, H2Client, Home, Setup, block_on, curl, sha256};

fn home(url: &str) -> Home {
    let home = Home::new();
    home.write("webhooks.toml", webhook("wh_one", &format!("{url}/in"), ""));
    home
}

#[test]
fn it_speaks_http_2_both_by_id_and_as_a_proxy() {
    let stage = Stage::simple();
    let url = format!("{}/in", stage.receiver.url());
    block_on(async {
        let mut client = H2Client::open(stage.egress()).await;
        for target in [format!("http://{}/webhooks/wh_one", stage.egress()), url] {
            let request = http::Request::post(&target).version(http::Version::HTTP_2);
            let answer = client.exchange(request.body(()).unwrap(), b"{}", None).await.unwrap();
            assert_eq!(answer.status(), 200, "{target}");
        }
    });
    assert_eq!(stage.receiver.requests().len(), 2);
}

#[test]
fn it_listens_on_a_unix_socket() {
    let receiver = taking();
    let home = home(&receiver.url());
    let socket = home.text("egress.sock");
    let more = config(&[&receiver], "", "").replace("127.0.0.1:0", &format!("unix:{socket}"));
    let gate = Gate::start_in(
        home,
        &Setup {
            more,
            ..Setup::url("http://127.0.0.1:9")
        },
    );
    let answer = curl(&[
        "--unix-socket",
        &socket,
        "--data",
        "{}",
        "http://localhost/webhooks/wh_one",
    ]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(gate);
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn another_address_needs_a_decision_and_a_token() {
    let receiver = taking();
    let home = home(&receiver.url());
    let write = |egress: &str| {
        let more = config(&[&receiver], "", egress).replace("127.0.0.1:0", "0.0.0.0:0");
        let setup = Setup {
            more,
            ..Setup::url("http://127.0.0.1:9")
        };
        setup.write(&home);
        let output = home.keygate(&["check", "--config", "config.toml"]);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(write("").contains("allow_remote = true"));
    assert!(write("allow_remote = true").contains("asks for no token"));
    let token = format!(
        "allow_remote = true\n[[egress.tokens]]\nname = \"service\"\nhash = \"{}\"",
        sha256("egress-token-of-a-test")
    );
    assert!(!write(&token).contains("error"));
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let receiver = taking();
    let home = home(&receiver.url());
    let token = "egress-token-of-a-test";
    let tokens = format!("[[egress.tokens]]\nname = \"service\"\nhash = \"{}\"", sha256(token));
    let gate = Gate::start_in(
        home,
        &Setup {
            more: config(&[&receiver], "", &tokens),
            ..Setup::url("http://127.0.0.1:9")
        },
    );
    let address = egress(&gate);
    let url = format!("http://{address}/webhooks/wh_one");
    let target = format!("{}/in", receiver.url());
    let without = curl(&["--data", "{}", &url]);
    assert_eq!((without.status, without.code().as_str()), (407, "egress_token_invalid"));
    let wrong = curl(&["--data", "{}", "-H", "X-Egress-Token: wrong", &url]);
    assert_eq!(wrong.status, 407);
    // It would be the service's own, for the receiver.
    let elsewhere = curl(&["--data", "{}", "-H", &format!("Authorization: Bearer {token}"), &url]);
    assert_eq!(elsewhere.status, 407);
    for arguments in [
        vec![
            "-H".to_owned(),
            format!("Proxy-Authorization: Bearer {token}"),
            url.clone(),
        ],
        vec!["-H".to_owned(), format!("X-Egress-Token: {token}"), url],
        vec![
            "--noproxy".to_owned(),
            String::new(),
            "--proxy".to_owned(),
            format!("http://x:{token}@{address}"),
            target,
        ],
    ] {
        let arguments: Vec<String> = ["--data".to_owned(), "{}".to_owned()]
            .into_iter()
            .chain(arguments)
            .collect();
        let answer = curl(&arguments);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let event = receiver.last_request();
        for name in ["authorization", "proxy-authorization", "x-egress-token"] {
            assert_eq!(event.header(name), None, "{name}");
        }
    }
}

#[test]
fn an_event_in_flight_is_delivered_before_the_process_ends() {
    let receiver = taking();
    let mut stage = Stage::with(receiver, "", |url| webhook("wh_one", &format!("{url}/in"), ""));
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 200);
    assert!(stage.gate.terminate().success());
}

#[test]
fn a_head_is_as_long_as_the_limits_allow() {
    let stage = Stage::simple();
    let long = format!("X-Long: {}\r\n", "x".repeat(40_000));
    assert_eq!(stage.send("/webhooks/wh_one", &long, "{}").status(), 431);
    let fits = format!("X-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(stage.send("/webhooks/wh_one", &fits, "{}").status(), 200);
    assert_eq!(stage.receiver.requests().len(), 1);
}
