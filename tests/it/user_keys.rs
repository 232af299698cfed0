//! The issuer's keys: from a file or over the network, and what happens while they cannot be had.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::harness::{Authority, Gate, Home, Setup, SigningKey, Upstream, exchange, get, key_set, wait_until};
use crate::users::{ROUTES, bearer, claims, refused, said};

/// An issuer that publishes what is set.
struct Issuer {
    server: Upstream,
    published: Arc<Mutex<(String, String)>>,
}

impl Issuer {
    fn new(keys: &[&SigningKey]) -> Self {
        let published = Arc::new(Mutex::new(("200 OK".to_owned(), key_set(keys))));
        let ours = Arc::clone(&published);
        let server = Upstream::tcp(move |it| {
            let (status, body) = ours.lock().unwrap().clone();
            it.answer(&status, "", body)
        });
        Self { server, published }
    }

    fn publish(&self, keys: &[&SigningKey]) {
        self.say("200 OK", &key_set(keys));
    }

    fn say(&self, status: &str, body: &str) {
        *self.published.lock().unwrap() = (status.to_owned(), body.to_owned());
    }

    fn asked(&self) -> usize {
        self.server.requests().len()
    }
}

fn setup(upstream: &Upstream, url: &str, jwks: &str) -> Setup {
    Setup {
        more: format!(
            "{ROUTES}[user_tokens]\nissuer = \"https://id.example\"\naudience = \"gateway\"\n\
             jwks = {{ url = \"{url}/keys?v=1\", {jwks} }}\n"
        ),
        ..Setup::before(upstream)
    }
}

fn wait_for_keys(gate: &Gate) {
    gate.wait_for_log("the issuer's keys", |line| {
        line["message"] == "keys for users' tokens fetched"
    });
}

fn ask(gate: &Gate, key: &SigningKey) -> (u16, String) {
    let token = key.token(&claims("user-1"));
    said(&exchange(gate.ingress(), get("/user/a", &bearer(&token))))
}

#[test]
fn an_unknown_key_is_asked_for_once_and_then_not_again_for_a_while() {
    let upstream = Upstream::hello();
    let (old, new, never) = (SigningKey::ed("old"), SigningKey::ec("new"), SigningKey::ed("never"));
    let issuer = Issuer::new(&[&old]);
    let gate = Gate::start(&setup(
        &upstream,
        &issuer.server.url(),
        "refresh = \"1h\", refetch = \"1s\"",
    ));
    wait_for_keys(&gate);
    assert_eq!(ask(&gate, &old), refused(200, ""));
    assert_eq!(issuer.asked(), 1);
    assert_eq!(issuer.server.last_request().target(), "/keys?v=1");

    // Rotated: the first token of the new key is let in, and the old key's no longer is.
    issuer.publish(&[&new]);
    wait_until("the time between two looks", || {
        (ask(&gate, &new).0 == 200).then_some(())
    });
    assert_eq!(issuer.asked(), 2);
    assert_eq!(ask(&gate, &old), refused(401, "credential_invalid"));

    // Whoever makes keys up does not make Keygate ask for each of them.
    let before = issuer.asked();
    for _ in 0..20 {
        assert_eq!(ask(&gate, &never), refused(401, "credential_invalid"));
    }
    assert!(issuer.asked() <= before + 2, "{} looks", issuer.asked() - before);
    assert_eq!(gate.access_line("/user/a")["status"], 200);
}

#[test]
fn requests_that_wait_together_make_one_look() {
    let upstream = Upstream::hello();
    let (old, new) = (SigningKey::ed("old"), SigningKey::ed("new"));
    let issuer = Issuer::new(&[&old]);
    let gate = Gate::start(&setup(
        &upstream,
        &issuer.server.url(),
        "refresh = \"1h\", refetch = \"1s\"",
    ));
    wait_for_keys(&gate);
    issuer.publish(&[&old, &new]);
    let pause = std::time::Instant::now() + std::time::Duration::from_secs(1);
    wait_until("the time between two looks", || {
        (std::time::Instant::now() > pause).then_some(())
    });
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&gate, &new))).collect();
        for one in asking {
            assert_eq!(one.join().unwrap(), refused(200, ""));
        }
    });
    assert_eq!(issuer.asked(), 2);
}

#[test]
fn keys_are_refreshed_and_stay_while_the_issuer_is_down_or_talks_nonsense() {
    let upstream = Upstream::hello();
    let (old, new) = (SigningKey::ed("old"), SigningKey::ed("new"));
    let issuer = Issuer::new(&[&old]);
    let gate = Gate::start(&setup(
        &upstream,
        &issuer.server.url(),
        "refresh = \"1s\", refetch = \"1h\"",
    ));
    wait_for_keys(&gate);
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300 << 10));
    for (status, body) in [
        ("503 Service Unavailable", "{}"),
        ("200 OK", "<html>"),
        ("200 OK", "{\"keys\":[]}"),
        ("200 OK", &large),
        ("302 Found", "elsewhere"),
    ] {
        issuer.say(status, body);
        let failed = gate.metric(&["user_key_fetches_total", "failed"]);
        wait_until("a fetch that fails", || {
            (gate.metric(&["user_key_fetches_total", "failed"]) > failed).then_some(())
        });
        assert_eq!(ask(&gate, &old), refused(200, ""), "{status}");
    }
    issuer.publish(&[&new]);
    wait_until("the new keys", || (ask(&gate, &new).0 == 200).then_some(()));
    assert_eq!(ask(&gate, &old).0, 401);
    assert_eq!(gate.metric(&["keygate_user_keys "]), 1.0);
    assert!(gate.metric(&["keygate_user_keys_timestamp_seconds"]) > 1.0e9);
}

#[test]
fn before_the_first_keys_a_good_user_is_not_told_that_its_token_is_bad() {
    let upstream = Upstream::hello();
    let key = SigningKey::ed("k1");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&setup(&upstream, &format!("http://{address}"), "refresh = \"1s\""));
    let token = key.token(&claims("user-1"));
    let answer = exchange(gate.ingress(), get("/user/a", &bearer(&token)));
    assert_eq!(said(&answer), refused(503, "user_keys_unavailable"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    assert_eq!(gate.access_line("/user/a")["decision"], "user_keys_unavailable");
    // Where a route only observes, not even that keeps anybody out.
    let observed = exchange(gate.ingress(), get("/observed", &bearer(&token)));
    assert_eq!(observed.status(), 200);
    let marked = upstream.last_request().header("x-auth-status");
    assert_eq!(marked.as_deref(), Some("would-refuse; reason=credential_invalid"));

    let body = key_set(&[&key]);
    let _issuer = Upstream::tcp_on(address, move |it| it.answer("200 OK", "", &body));
    wait_until("the issuer's keys", || (ask(&gate, &key).0 == 200).then_some(()));
}

#[test]
fn keys_outlive_a_reload_and_a_new_source_of_keys_is_asked_at_once() {
    let upstream = Upstream::hello();
    let (one, two) = (SigningKey::ed("one"), SigningKey::ed("two"));
    let first = Issuer::new(&[&one]);
    let setup = |issuer: &Issuer| setup(&upstream, &issuer.server.url(), "refresh = \"1h\", refetch = \"1h\"");
    let gate = Gate::start(&setup(&first));
    wait_for_keys(&gate);
    first.say("503 Service Unavailable", "");
    gate.home
        .replace("config.toml", format!("{}\n# changed\n", setup(&first).config()));
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    assert_eq!(ask(&gate, &one), refused(200, ""));
    assert_eq!(first.asked(), 1);

    let second = Issuer::new(&[&two]);
    gate.home.replace("config.toml", setup(&second).config());
    wait_until("the other issuer's keys", || (ask(&gate, &two).0 == 200).then_some(()));
    assert_eq!(ask(&gate, &one).0, 401);
}

#[test]
fn a_file_of_keys_is_watched() {
    let upstream = Upstream::hello();
    let (old, new) = (SigningKey::ed("old"), SigningKey::ed("new"));
    let home = Home::new();
    home.write("jwks.json", key_set(&[&old]));
    let gate = Gate::start_in(
        home,
        &Setup {
            more: format!(
                "{ROUTES}[user_tokens]\nissuer = \"https://id.example\"\naudience = \"gateway\"\njwks = {{ file = \"jwks.json\" }}\n"
            ),
            ..Setup::before(&upstream)
        },
    );
    assert_eq!((ask(&gate, &old).0, ask(&gate, &new).0), (200, 401));
    gate.home.replace("jwks.json", key_set(&[&new]));
    wait_until("the new file", || (ask(&gate, &new).0 == 200).then_some(()));
    assert_eq!(ask(&gate, &old).0, 401);
    gate.home.replace("jwks.json", "{}");
    gate.wait_for_log("the refusal", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("reload refused"))
    });
    assert_eq!(ask(&gate, &new).0, 200);
}

#[test]
fn the_issuers_certificate_is_checked() {
    let upstream = Upstream::hello();
    let key = SigningKey::ed("k1");
    let issuer = Issuer::new(&[&key]);
    let authority = Authority::new();
    let (certificate, private) = authority.server("id");
    let home = Home::new();
    home.write("tls.crt", certificate);
    home.write("tls.key", private);
    // The issuer behind TLS.
    let front = Gate::start_in(
        home,
        &Setup {
            ingress: "tls = { certificate = \"tls.crt\", key = \"tls.key\" }".to_owned(),
            more: "[[routes]]\npath = \"/keys\"\naccess = \"public\"\n".to_owned(),
            ..Setup::before(&issuer.server)
        },
    );
    let url = format!("https://{}", front.ingress());
    let stranger = Gate::start(&setup(&upstream, &url, "refresh = \"1h\""));
    stranger.wait_for_log("the refusal", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("keys for users' tokens cannot be fetched"))
    });
    assert_eq!(ask(&stranger, &key), refused(503, "user_keys_unavailable"));

    let home = Home::new();
    home.write("ca.pem", authority.pem());
    let gate = Gate::start_in(home, &setup(&upstream, &url, "refresh = \"1h\", ca = \"ca.pem\""));
    wait_for_keys(&gate);
    assert_eq!(ask(&gate, &key), refused(200, ""));
}
