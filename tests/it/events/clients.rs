//! A service that only knows `HTTP_PROXY` delivers through Keygate without a change in its code.
//!
//! Each of them sends to the http:// form of a URL that is registered with https://, whose name it could not even resolve. `tests/run`
//! installs `requests` and `undici`.

use std::process::{Command, Stdio};

use super::stage::{Stage, taking, webhook};
use crate::docs::project;
use crate::harness::{Authority, Dns, Face, Front, Gate, Home, Reply, Setup, installed, sha256};

const TOKEN: &str = "egress-token-of-a-test";
const BODY: &str = "{\"event\":\"message\",\"text\":\"Grüße\"}";

struct Scene {
    stage: Stage,
    front: Front,
    _dns: Dns,
}

fn scene() -> Scene {
    let authority = Authority::new();
    let receiver = taking();
    let face = Face::of(authority.server_for(&["hooks.example"], 2000..2100));
    let front = Front::before(receiver.address(), &face);
    let dns = Dns::start(|_| Reply::to(["127.0.0.1"]));
    let home = Home::new();
    home.write("ca.crt", authority.pem());
    let url = format!("https://hooks.example:{}/in", front.port());
    home.write("webhooks.toml", webhook("wh_one", &url, ""));
    let more = format!(
        "[egress]\nlisten = [\"127.0.0.1:0\"]\n[[egress.tokens]]\nname = \"service\"\nhash = \"{}\"\n[webhooks]\nfile = \"webhooks.toml\"\n\
         allow_networks = [\"127.0.0.1\"]\nallow_ports = [{}]\nresolvers = [\"{}\"]\nca = \"ca.crt\"\n",
        sha256(TOKEN),
        front.port(),
        dns.address()
    );
    let setup = Setup {
        more,
        ..Setup::url("http://127.0.0.1:9")
    };
    let gate = Gate::start_in(home, &setup);
    Scene {
        stage: Stage { gate, receiver },
        front,
        _dns: dns,
    }
}

impl Scene {
    /// The environment that an operator gives the service, and nothing else.
    fn with_proxy<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let proxy = format!("http://x:{TOKEN}@{}", self.stage.egress());
        for name in [
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
        ] {
            command.env_remove(name);
        }
        // curl minds the lower case only, since a CGI program's HTTP_PROXY is a header of its client's.
        command
            .env("HTTP_PROXY", &proxy)
            .env("http_proxy", &proxy)
            .stdin(Stdio::null())
    }

    fn target(&self) -> String {
        format!("http://hooks.example:{}/in", self.front.port())
    }

    /// The service ran, and its event arrived as it was sent, signed and over TLS.
    #[track_caller]
    fn delivers(&self, command: &mut Command) {
        let output = self.with_proxy(command).output().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told.trim_end(), "taken 200", "{complaints}");
        let event = self.stage.receiver.only_request();
        assert_eq!(event.head.start_line(), "POST /in HTTP/1.1");
        assert_eq!(String::from_utf8_lossy(&event.body), BODY);
        assert_eq!(
            event.header("host"),
            Some(format!("hooks.example:{}", self.front.port()))
        );
        assert_eq!(event.header("content-type").as_deref(), Some("application/json"));
        assert_eq!(event.header("x-customer").as_deref(), Some("7"));
        assert_eq!(event.header("webhook-id").as_deref(), Some("evt_1"));
        assert!(event.header("webhook-signature").unwrap().starts_with("v1,"));
        assert!(!event.head.text().contains(TOKEN) && event.header("proxy-authorization").is_none());
        assert_eq!(self.front.shakes().len(), 1);
    }
}

#[test]
fn curl_delivers_with_nothing_but_its_environment() {
    let scene = scene();
    let mut curl = Command::new("curl");
    curl.args(["-q", "--silent", "--show-error", "--max-time", "20"]);
    // What came last, before the status, as the other two say it.
    curl.args(["--output", "-", "--write-out", " %{http_code}"]);
    curl.args([
        "-H",
        "Content-Type: application/json",
        "-H",
        "X-Event-Id: evt_1",
        "-H",
        "X-Customer: 7",
    ]);
    curl.args(["--data-binary", BODY]).arg(scene.target());
    scene.delivers(&mut curl);
}

#[test]
fn pythons_requests_delivers_with_nothing_but_its_environment() {
    let scene = scene();
    let mut python = Command::new(installed("python/bin/python"));
    python
        .arg(project().join("tests/it/clients/service.py"))
        .arg(scene.target());
    scene.delivers(&mut python);
}

#[test]
fn nodes_fetch_delivers_with_a_proxy_agent_that_is_loaded_before_the_service() {
    let scene = scene();
    let clients = project().join("tests/it/clients");
    let preload = format!("--no-warnings --import={}", clients.join("proxy.mjs").display());
    let mut node = Command::new("node");
    node.arg(clients.join("service.mjs")).arg(scene.target());
    node.env("TEST_PACKAGES", installed("node/node_modules").canonicalize().unwrap());
    scene.with_proxy(&mut node).env("NODE_OPTIONS", preload);
    scene.delivers(&mut node);
}

#[test]
fn a_service_that_asks_for_a_tunnel_is_told_what_to_do_instead() {
    let scene = scene();
    let mut curl = Command::new("curl");
    curl.args([
        "-q",
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--proxytunnel",
        "--include",
        "--data",
        "{}",
    ]);
    let output = scene.with_proxy(curl.arg(scene.target())).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 405"), "{text}");
    assert!(scene.front.shakes().is_empty());
}
