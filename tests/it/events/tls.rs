//! Receivers over TLS: they are known for who they are, and may ask who Keygate is.

use super::stage::{Stage, taking, webhook};
use crate::harness::{Authority, Dns, Face, Front, Gate, Home, Reply, Response, Setup, curl};

/// A receiver behind a front that shows this, at `https://hooks.example:PORT/in`, and webhooks with these options.
struct Scene {
    stage: Stage,
    front: Front,
    _dns: Dns,
}

/// The files that a webhook's `tls` may name.
struct Files {
    receivers: Authority,
    clients: Authority,
    strangers: Authority,
}

impl Files {
    fn new() -> Self {
        Self {
            receivers: Authority::new(),
            clients: Authority::new(),
            strangers: Authority::new(),
        }
    }

    /// What the receiver shows.
    fn hooks(&self) -> (String, String) {
        self.receivers.server_for(&["hooks.example"], 2000..2100)
    }

    fn home(&self) -> Home {
        let home = Home::new();
        home.write("ca.crt", self.receivers.pem());
        for (name, authority) in [("own", &self.clients), ("strange", &self.strangers)] {
            let (certificate, key) = authority.client("keygate");
            home.write(&format!("{name}.crt"), certificate);
            home.write(&format!("{name}.key"), key);
        }
        home
    }
}

/// Nothing is tried twice, where what is wrong stays wrong.
const ONCE: &str = "retry = { attempts = 1 }\n";

fn scene(files: &Files, face: &Face, options: &str, webhooks: &[(&str, &str)]) -> Scene {
    let receiver = taking();
    let front = Front::before(receiver.address(), face);
    let dns = Dns::start(|_| Reply::to(["127.0.0.1"]));
    let url = format!("https://hooks.example:{}/in", front.port());
    let home = files.home();
    let records = webhooks
        .iter()
        .map(|(id, more)| webhook(id, &url, &format!("{ONCE}{more}")));
    home.write("webhooks.toml", records.collect::<String>());
    let more = format!(
        "[egress]\nlisten = [\"127.0.0.1:0\"]\n[webhooks]\nfile = \"webhooks.toml\"\nallow_networks = [\"127.0.0.1\"]\n\
         allow_ports = [{}]\nresolvers = [\"{}\"]\n{options}\n",
        front.port(),
        dns.address()
    );
    let setup = Setup {
        more,
        ..Setup::url("http://127.0.0.1:9")
    };
    Scene {
        stage: Stage {
            gate: Gate::start_in(home, &setup),
            receiver,
        },
        front,
        _dns: dns,
    }
}

impl Scene {
    fn send(&self, id: &str) -> Response {
        self.stage.send(&format!("/webhooks/{id}"), "", "{}")
    }

    #[track_caller]
    fn is_untrusted(&self, id: &str, why: &str) {
        let answer = self.send(id);
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (502, "receiver_untrusted"),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains(why), "{} does not say {why:?}", answer.text());
        assert!(self.stage.receiver.requests().is_empty());
    }
}

const CA: &str = "tls = { ca = \"ca.crt\" }";

#[test]
fn a_receiver_with_the_right_name_gets_its_events_over_http_1_1_whatever_else_it_speaks() {
    let files = Files::new();
    for protocols in [vec![], vec!["http/1.1"], vec!["h2", "http/1.1"]] {
        for is_1_3 in [true, false] {
            let protocols = protocols.clone();
            let face = Face {
                protocols,
                is_1_3,
                ..Face::of(files.hooks())
            };
            let scene = scene(&files, &face, "", &[("wh_one", CA)]);
            let answer = scene.send("wh_one");
            assert_eq!(answer.status(), 200, "{}", answer.text());
            let shake = scene.front.shakes().remove(0);
            assert_eq!(shake.name.as_deref(), Some("hooks.example"));
            assert_ne!(shake.protocol.as_deref(), Some("h2"));
            assert!(!shake.has_certificate);
            let event = scene.stage.receiver.only_request();
            assert_eq!(
                event.header("host"),
                Some(format!("hooks.example:{}", scene.front.port()))
            );
            assert_eq!(scene.send("wh_one").status(), 200);
            assert_eq!(scene.front.shakes().len(), 1, "the connection is kept");
        }
    }
}

#[test]
fn a_service_that_only_knows_http_has_its_event_sent_over_tls() {
    let files = Files::new();
    let scene = scene(&files, &Face::of(files.hooks()), "ca = \"ca.crt\"", &[("wh_one", "")]);
    let proxy = format!("http://{}", scene.stage.egress());
    let url = format!("http://hooks.example:{}/in", scene.front.port());
    let answer = curl(&["--noproxy", "", "--proxy", &proxy, "--data", "{}", &url]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(scene.front.shakes().len(), 1);
}

#[test]
fn a_certificate_for_other_names_is_refused() {
    let files = Files::new();
    let other = files.receivers.server_for(&["other.example", "127.0.0.1"], 2000..2100);
    let webhooks = [
        ("wh_one", CA),
        ("wh_other", "tls = { ca = \"ca.crt\", server_name = \"other.example\" }"),
    ];
    let scene = scene(&files, &Face::of(other), "", &webhooks);
    scene.is_untrusted("wh_one", "is not for hooks.example, but for");
    assert_eq!(scene.send("wh_other").status(), 200, "its own `tls` says which name");
    assert_eq!(
        scene.send("wh_one").status(),
        502,
        "the other's connection is not for it"
    );
}

#[test]
fn a_certificate_that_has_expired_or_is_not_valid_yet_is_refused() {
    let files = Files::new();
    for (years, why) in [(2000..2001, "has expired"), (2090..2100, "is not valid yet")] {
        let identity = files.receivers.server_for(&["hooks.example"], years);
        let scene = scene(&files, &Face::of(identity), "", &[("wh_one", CA)]);
        scene.is_untrusted("wh_one", why);
    }
}

#[test]
fn a_certificate_of_an_unknown_issuer_is_refused() {
    let files = Files::new();
    let scene = scene(&files, &Face::of(files.hooks()), "", &[("wh_one", ""), ("wh_ca", CA)]);
    scene.is_untrusted("wh_one", "nobody known here vouches for");
    assert_eq!(scene.send("wh_ca").status(), 200);
    assert_eq!(
        scene.send("wh_one").status(),
        502,
        "the other's connection is not for it"
    );
}

#[test]
fn a_receiver_that_asks_who_keygate_is_gets_its_certificate_and_nobody_elses_events() {
    let files = Files::new();
    for is_1_3 in [true, false] {
        let clients = Some(files.clients.pem());
        let face = Face {
            clients,
            is_1_3,
            ..Face::of(files.hooks())
        };
        let webhooks = [
            (
                "wh_own",
                "tls = { ca = \"ca.crt\", certificate = \"own.crt\", key = \"own.key\" }",
            ),
            ("wh_none", CA),
            (
                "wh_strange",
                "tls = { ca = \"ca.crt\", certificate = \"strange.crt\", key = \"strange.key\" }",
            ),
        ];
        let scene = scene(&files, &face, "", &webhooks);
        scene.is_untrusted("wh_none", "client certificate");
        scene.is_untrusted("wh_strange", "client certificate");
        assert_eq!(scene.send("wh_own").status(), 200);
        assert!(scene.front.shakes().iter().all(|shake| shake.has_certificate));
        // Its connection is kept, and is for nobody else.
        for other in ["wh_none", "wh_strange"] {
            assert_eq!(scene.send(other).status(), 502, "{other}");
        }
        assert_eq!(scene.stage.receiver.requests().len(), 1);
    }
}
