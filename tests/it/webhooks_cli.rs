//! `keygate webhooks`: an operator sees what goes on, tries a webhook out, and sends again; and no secret shows anywhere.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::{Value, json};

use crate::admin::tokens;
use crate::events::stage::{Mood, SECRET, Stage, config, taking, webhook};
use crate::harness::{Conversation, Dns, Gate, Home, Next, Reply, Setup, Upstream, keygate, sqlite3, wait_until};

const QUEUED: &str = "delivery = \"queued\"\nschedule = [\"0s\", \"1h\"]";

fn stage(receiver: Upstream, records: impl FnOnce(&str) -> String) -> Stage {
    Stage::queueing(receiver, &tokens(&["operator"]), records)
}

/// Runs a command against the sidecar.
fn run(gate: &Gate, arguments: &[&str]) -> Output {
    let admin = gate.admin_url("");
    let mut command = keygate();
    command.arg("webhooks").args(arguments).args(["--admin", &admin]);
    command.env("KEYGATE_ADMIN_TOKEN", "kga_operator");
    command.current_dir(gate.home.path("")).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{} {}", out(output), err(output)))
}

#[test]
fn a_test_goes_the_way_of_every_event_and_says_that_it_is_one() {
    let stage = stage(taking(), |url| {
        let more = "headers = { \"X-Org\" = \"{organization}\", \"X-Partner-Key\" = \"partner-key-of-acme\" }\n\
                    sign = [{ scheme = \"authorization\", word = \"Bearer\" }, { scheme = \"standard\" }, \
                    { scheme = \"hmac\", header = \"X-Signature\", prefix = \"sha256=\" }]";
        webhook("wh_one", &format!("{url}/in?token=query-secret"), more)
    });
    let output = run(&stage.gate, &["test", "wh_one"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let event = stage.receiver.only_request();
    assert_eq!(event.head.start_line(), "POST /in?token=query-secret HTTP/1.1");
    assert_eq!(event.header("x-webhook-test").as_deref(), Some("true"));
    assert_eq!(event.header("authorization").unwrap(), format!("Bearer {SECRET}"));
    assert_eq!(event.header("x-event-type").as_deref(), Some("keygate.test"));
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["test"]),
        (&json!("keygate.test"), &json!(true))
    );

    let text = out(&output);
    let signature = event.header("webhook-signature").unwrap();
    let own = event.header("x-signature").unwrap();
    for shown in [
        "outcome   delivered 200 after ",
        "authorization: Bearer …\n",
        "x-org: acme\n",
        "x-partner-key: …\n",
        "x-webhook-test: true\n",
        &format!("webhook-signature: {}…\n", &signature[..12]),
        &format!("x-signature: {}…\n", &own[..12]),
        &format!("webhook-id: {}\n", event.header("webhook-id").unwrap()),
    ] {
        assert!(text.contains(shown), "{shown:?} is not in {text}");
    }
    for secret in [SECRET, "query-secret", "partner-key-of", &signature, &own] {
        assert!(!text.contains(secret), "{text}");
    }
    let told = json(&run(&stage.gate, &["test", "wh_one", "--json"]));
    assert_eq!(
        (&told["outcome"], &told["status"], &told["detail"]),
        (&json!("delivered"), &json!(200), &Value::Null)
    );
    assert!(!told.to_string().contains(SECRET));
}

#[test]
fn a_test_has_the_type_and_the_body_that_are_asked_for_and_one_that_is_subscribed_to_otherwise() {
    let stage = stage(taking(), |url| {
        webhook("wh_one", &format!("{url}/in"), "events = [\"message.*\", \"status\"]")
    });
    assert_eq!(
        json(&run(&stage.gate, &["test", "wh_one", "--json"]))["event"],
        "message.test"
    );
    stage.gate.home.write("message.txt", "not JSON: \"ü\"");
    let output = run(
        &stage.gate,
        &["test", "wh_one", "--event", "status", "--body", "message.txt"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let event = stage.receiver.last_request();
    assert_eq!(event.body, "not JSON: \"ü\"".as_bytes());
    assert_eq!(
        event.header("content-type").as_deref(),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(event.header("x-event-type").as_deref(), Some("status"));

    let other = run(&stage.gate, &["test", "wh_one", "--event", "other"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(out(&other).contains("event_unsubscribed"), "{}", out(&other));
    let nobody = run(&stage.gate, &["test", "wh_two"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        err(&nobody).contains("404 not_found: No webhook has this id."),
        "{}",
        err(&nobody)
    );
    assert_eq!(
        run(&stage.gate, &["test", "wh_one", "--body", "nothing.json"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(stage.receiver.requests().len(), 2);
}

/// A server whose certificate vouches for itself, of these years: its address, and the certificate.
fn tls(years: std::ops::Range<i32>) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // It ends when the client has seen the certificate.
            let _ = connection.complete_io(&mut socket);
        }
    });
    (address, certificate.pem())
}

#[test]
fn why_a_test_fails_is_said_in_plain_words() {
    let refusing = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        it.answer("401 Unauthorized", "", "")
    });
    let moved = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        it.answer("302 Found", "Location: http://127.0.0.1/\r\n", "")
    });
    let silent = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        it.wait_for_end();
        Next::Close
    });
    let babbling = TcpListener::bind("127.0.0.1:0").unwrap();
    let clear = babbling.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = babbling.accept() {
            let mut begun = [0; 16];
            let _ = socket.read(&mut begun);
            let _ = std::io::Write::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (unknown, _) = tls(2020..2999);
    let (expired, pem) = tls(2000..2001);
    let dns = Dns::start(|_| Reply::NoSuchName);
    let home = Home::new();
    home.write("ca.pem", pem);
    let cases = [
        (
            "refusing",
            format!("{}/in", refusing.url()),
            "",
            "rejected 401",
            "it does not take the secret or the signature",
        ),
        (
            "moved",
            format!("{}/in", moved.url()),
            "",
            "rejected 302",
            "redirects are not followed",
        ),
        (
            "silent",
            format!("{}/in", silent.url()),
            "timeouts = { head = \"300ms\" }",
            "receiver_timeout",
            "took too long (head)",
        ),
        (
            "closed",
            format!("http://{closed}/in"),
            "",
            "receiver_unreachable",
            "nothing listens there (connection refused)",
        ),
        (
            "nowhere",
            "http://nowhere.example/in".to_owned(),
            "",
            "receiver_unresolved",
            "name has no address",
        ),
        (
            "unknown",
            format!("https://{unknown}/in"),
            "",
            "receiver_untrusted",
            "nobody known here vouches for its certificate",
        ),
        (
            "expired",
            format!("https://{expired}/in"),
            "tls = { ca = \"ca.pem\" }",
            "receiver_untrusted",
            "its certificate has expired",
        ),
        (
            "clear",
            format!("https://{clear}/in"),
            "",
            "receiver_untrusted",
            "it does not speak TLS",
        ),
    ];
    let records: Vec<String> = cases
        .iter()
        .map(|(id, url, more, _, _)| webhook(id, url, more))
        .collect();
    home.write("webhooks.toml", records.concat());
    let ports = [closed, unknown, expired, clear]
        .map(|address| address.port().to_string())
        .join(", ");
    let options = config(
        &[&refusing, &moved, &silent],
        &format!("resolvers = [\"{}\"]\n", dns.address()),
        "",
    );
    let setup = Setup {
        more: options.replace("allow_ports = [", &format!("allow_ports = [{ports}, ")) + &tokens(&["operator"]),
        ..Setup::url("http://127.0.0.1:9")
    };
    let gate = Gate::start_in(home, &setup);
    for (id, _, _, outcome, words) in &cases {
        let output = run(&gate, &["test", id]);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(1), "{id}: {text} {}", err(&output));
        assert!(text.contains(&format!("outcome   {outcome} after")), "{id}: {text}");
        let why = text.lines().find(|line| line.starts_with("why "));
        assert!(why.is_some_and(|why| why.contains(words)), "{id}: {text}");
    }
}

#[test]
fn a_forbidden_destination_is_named_with_what_would_allow_it() {
    let receiver = taking();
    let dns = Dns::start(|_| Reply::to(["127.0.0.1"]));
    let home = Home::new();
    let port = receiver.address().port();
    home.write(
        "webhooks.toml",
        webhook("wh_one", &format!("http://inside.example:{port}/in"), ""),
    );
    let setup = Setup {
        more: format!(
            "[egress]\nlisten = [\"127.0.0.1:0\"]\n[webhooks]\nfile = \"webhooks.toml\"\nallow_ports = [{port}]\nresolvers = [\"{}\"]\n{}",
            dns.address(),
            tokens(&["operator"])
        ),
        ..Setup::url("http://127.0.0.1:9")
    };
    let gate = Gate::start_in(home, &setup);
    let output = run(&gate, &["test", "wh_one"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("outcome   destination_forbidden after "), "{text}");
    assert!(
        text.contains("127.0.0.1 is a loopback address") && text.contains("`allow_networks`"),
        "{text}"
    );
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_webhook_is_paused_resumed_listed_and_shown() {
    let stage = stage(taking(), |url| {
        webhook("wh_one", &format!("{url}/in"), QUEUED) + &webhook("wh_two", &format!("{url}/two"), "")
    });
    let paused = run(&stage.gate, &["pause", "wh_one", "--reason", "moves house"]);
    assert_eq!(out(&paused), "wh_one  paused\n", "{}", err(&paused));
    assert_eq!(out(&run(&stage.gate, &["pause", "wh_one"])), "wh_one  already paused\n");
    let accepted = stage.send("/webhooks/wh_one", "X-Event-Id: evt_1\r\n", "{}");
    assert_eq!(accepted.status(), 202);

    let list = out(&run(&stage.gate, &["list"]));
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    let url = format!("{}/…", stage.receiver.url());
    assert_eq!(
        lines[0],
        [
            "wh_one",
            "acme",
            &url,
            "*",
            "standard",
            "queued",
            "paused (operator)",
            "1",
            "0",
            "-"
        ]
    );
    assert_eq!(
        lines[1],
        [
            "wh_two", "acme", &url, "*", "standard", "request", "active", "0", "0", "-"
        ]
    );
    let shown = out(&run(&stage.gate, &["show", "wh_one"]));
    assert!(
        shown.contains("by token:operator: operator (moves house)\n") && shown.contains("waiting       1\n"),
        "{shown}"
    );
    wait_until("the status to tell of it", || {
        let mut status = keygate();
        status.args(["status", "--admin", &stage.gate.admin_url("")]);
        status.env("KEYGATE_ADMIN_TOKEN", "kga_operator");
        let status = status.current_dir(stage.gate.home.path("")).output().unwrap();
        out(&status)
            .contains("webhooks     2, 1 paused, 1 waiting event\n")
            .then_some(())
    });

    assert_eq!(out(&run(&stage.gate, &["resume", "wh_one"])), "wh_one  resumed\n");
    stage.receiver.wait_for_requests(1);
    assert_eq!(
        json(&run(&stage.gate, &["resume", "wh_one", "--json"]))["changed"],
        false
    );
    assert_eq!(run(&stage.gate, &["pause", "nothing"]).status.code(), Some(1));
    assert_eq!(run(&stage.gate, &["pause"]).status.code(), Some(2));
}

#[test]
fn an_event_of_several_webhooks_is_sent_again_to_the_one_that_is_named() {
    let (receiver, mood) = Mood::of(&[("500 Internal Server Error", "")]);
    let once = "delivery = \"queued\"\nschedule = [\"0s\"]";
    let stage = stage(receiver, |url| {
        ["wh_one", "wh_two"]
            .map(|id| webhook(id, &format!("{url}/{id}"), once))
            .concat()
    });
    let answer = stage.send("/organizations/acme/events", "X-Event-Id: evt_1\r\n", "{}");
    assert_eq!(answer.status(), 200);
    let alone = stage.send("/webhooks/wh_two", "X-Event-Id: evt_2\r\n", "{}");
    assert_eq!(alone.status(), 202);
    wait_until("their death", || {
        stage.queue().iter().all(|row| row.ends_with("|dead")).then_some(())
    });
    mood.turns("200 OK");

    let ambiguous = run(&stage.gate, &["replay", "evt_1"]);
    assert_eq!(ambiguous.status.code(), Some(2));
    let said = err(&ambiguous);
    assert!(
        said.contains("wh_one (dead)") && said.contains("wh_two (dead)") && said.contains("--webhook"),
        "{said}"
    );
    assert_eq!(stage.receiver.requests().len(), 3);

    let named = run(&stage.gate, &["replay", "evt_1", "--webhook", "wh_two"]);
    assert_eq!(out(&named), "wh_two  evt_1  due\n", "{}", err(&named));
    let requests = stage.receiver.wait_for_requests(4);
    assert_eq!(requests[3].target(), "/wh_two");
    assert_eq!(requests[3].header("webhook-id").as_deref(), Some("evt_1"));
    assert_eq!(out(&run(&stage.gate, &["replay", "evt_2"])), "wh_two  evt_2  due\n");
    let nothing = run(&stage.gate, &["replay", "evt_3"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(err(&nothing).contains("there is no event evt_3"), "{}", err(&nothing));
    let dead = json(&run(&stage.gate, &["events", "wh_one", "--state", "dead", "--json"]));
    assert_eq!(dead["events"][0]["event_id"], "evt_1");
}

#[test]
fn list_and_activity_are_read_from_the_files_where_no_sidecar_answers() {
    let mut stage = stage(taking(), |url| webhook("wh_one", &format!("{url}/in"), QUEUED));
    assert_eq!(
        stage.send("/webhooks/wh_one", "X-Event-Id: evt_1\r\n", "{}").status(),
        202
    );
    wait_until("its arrival", || {
        (stage.queue() == ["wh_one|evt_1|delivered"]).then_some(())
    });
    run(&stage.gate, &["pause", "wh_one"]);
    let live = json(&run(&stage.gate, &["list", "--json"]));
    assert!(stage.gate.terminate().success());

    // The configuration names an admin listener where nobody is.
    let read = |arguments: &[&str]| stage.gate.home.keygate(&[&["webhooks"], arguments].concat());
    let output = read(&["list", "--json"]);
    assert_eq!(json(&output), live);
    assert!(err(&output).contains("no sidecar answers"), "{}", err(&output));
    let activity = read(&["activity", "wh_one", "--since", "1d"]);
    let line = out(&activity);
    let columns: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!(
        columns[1..7],
        ["wh_one", "evt_1", "-", "1", "queued", "delivered 200"],
        "{}",
        err(&activity)
    );
    assert_eq!(json(&read(&["activity", "--failed", "--json"]))["attempts"], json!([]));
    assert_eq!(json(&read(&["events", "--json"]))["events"][0]["state"], "delivered");
    assert_eq!(read(&["show", "wh_two"]).status.code(), Some(2));
    // One that was named is the only one that is meant; and changes need one.
    let named = read(&["list", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(named.status.code(), Some(1));
    assert_eq!(read(&["resume", "wh_one"]).status.code(), Some(1));
}

#[test]
fn no_secret_is_anywhere_but_in_the_files_of_the_operator_and_on_the_wire() {
    const FROM_FILE: &str = "a-secret-in-a-file-with-32-characters";
    const FROM_ENV: &str = "a-secret-in-the-environment-of-32-chars";
    const PREVIOUS: &str = "the-secret-before-it-with-32-characters";
    const STATIC: &str = "a-token-in-a-static-header";
    const QUERY: &str = "a-token-in-the-query-of-a-url";
    const CONTENT: &str = "the-customers-own-content";
    let (receiver, mood) = Mood::of(&[("401 Unauthorized", "")]);
    let home = Home::new();
    home.write("secret", FROM_FILE);
    let all = "sign = [{ scheme = \"authorization\", word = \"Bearer\" }, { scheme = \"standard\" }]";
    let record = |id: &str, secret: &str| {
        let schedule = "delivery = \"queued\"\nschedule = [\"0s\", \"20ms\", \"20ms\"]";
        format!(
            "[[webhooks]]\nid = \"{id}\"\norganization = \"acme\"\nurl = \"{}/in?t={QUERY}\"\nsecret = {secret}\n\
             previous_secret = \"{PREVIOUS}\"\n{all}\nheaders = {{ \"X-Token\" = \"{STATIC}\" }}\n{schedule}\n",
            receiver.url()
        )
    };
    let records = [
        record("inline", &format!("\"{SECRET}\"")),
        record("file", "{ file = \"secret\" }"),
        record("env", "{ env = \"KEYGATE_TEST_SECRET\" }"),
    ];
    home.write("webhooks.toml", records.concat());
    let setup = Setup {
        more: config(
            &[&receiver],
            &format!(
                "[state]\npath = \"keygate.db\"\n[telemetry]\nlog_level = \"trace\"\n{}",
                tokens(&["operator"])
            ),
            "",
        ),
        ..Setup::url("http://127.0.0.1:9")
    };
    setup.write(&home);
    let mut gate = Gate::spawn(home, |command| {
        command.env("KEYGATE_TEST_SECRET", FROM_ENV);
    });
    gate.wait_ready();
    let stage = Stage { gate, receiver };
    let body = format!("{{\"text\":\"{CONTENT}\"}}");
    assert_eq!(
        stage
            .send("/organizations/acme/events", "X-Event-Id: evt_1\r\n", &body)
            .status(),
        200
    );
    wait_until("their death", || {
        let queue = stage.queue();
        (queue.len() == 3 && queue.iter().all(|row| row.ends_with("|dead"))).then_some(())
    });
    mood.turns("200 OK");
    let mut told = Vec::new();
    for arguments in [
        &["list", "--json"][..],
        &["show", "file", "--json"],
        &["test", "env", "--json"],
        &["test", "inline"],
        &["activity", "--json"],
        &["events", "--json"],
        &["pause", "inline", "--json"],
        &["resume", "inline", "--json"],
        &["replay", "evt_1", "--webhook", "file", "--json"],
    ] {
        let output = run(&stage.gate, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {}", err(&output));
        told.extend(output.stdout);
        told.extend(output.stderr);
    }
    wait_until("the replay", || {
        stage
            .queue()
            .iter()
            .any(|row| row == "file|evt_1|delivered")
            .then_some(())
    });
    let path = stage.gate.home.path("keygate.db");
    let mut files = std::fs::read_dir(stage.gate.home.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    assert!(files.all(|file| {
        let is_state = file.file_name().unwrap().to_string_lossy().starts_with("keygate.db");
        !is_state || file.metadata().unwrap().permissions().mode() & 0o777 == 0o600
    }));
    // All of the database, but for the one table that is for content.
    let dumped = sqlite3(&path).arg(".dump").output().unwrap().stdout;
    let (contents, others): (Vec<&str>, Vec<&str>) = std::str::from_utf8(&dumped)
        .unwrap()
        .lines()
        .partition(|line| line.starts_with("INSERT INTO webhook_event_contents"));
    let whole: Vec<u8> = ["keygate.db", "keygate.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(stage.gate.home.path(name)).unwrap_or_default())
        .collect();
    let (contents, others, log) = (
        contents.join("\n"),
        others.join("\n"),
        stage.gate.log_lines().join("\n"),
    );
    let has = |text: &[u8], what: &str| text.windows(what.len()).any(|window| window == what.as_bytes());
    let wire = stage.receiver.requests();
    for secret in [SECRET, FROM_FILE, FROM_ENV, PREVIOUS, STATIC, QUERY] {
        assert!(
            wire.iter().any(|request| has(&request.head.bytes, secret)),
            "{secret} was sent"
        );
        assert!(!has(&told, secret), "{secret} is printed");
        assert!(!log.contains(secret), "{secret} is logged");
        assert!(!has(&whole, secret), "{secret} is in the state file");
        assert!(!contents.contains(secret));
    }
    let hexadecimal: String = CONTENT.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        contents.contains(&hexadecimal),
        "what is queued is in the one table for it"
    );
    assert!(!others.contains(&hexadecimal) && !others.contains(CONTENT) && !log.contains(CONTENT));
    assert!(!has(&told, CONTENT));
}
