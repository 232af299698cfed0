//! What each section means when it is right.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};

use super::{Place, completed, loaded};
use crate::config::credentials::Source;
use crate::config::errors::{Errors, Field};
use crate::config::identity;
use crate::config::ingress::{ForwardedStyle, Listen, RequireTls};
use crate::config::key_settings::KeySettings;
use crate::config::limits::CredentialFailures;
use crate::config::plans::{Dialect, Limit};
use crate::config::routes::{Access, Permission};
use crate::config::telemetry::{AccessLog, LogFormat, LogLevel};
use crate::config::template::{Escape, Template};
use crate::config::upstreams::{Endpoint, Protocol, UpstreamId, UpstreamTimeouts};
use crate::secret::Presented;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn ingress() {
    let config = loaded(
        "[ingress]
        listen = [\"[::]:8443\", \"unix:/run/keygate.sock\", \"unix:///run/two.sock\"]
        workers = 3
        require_tls = \"except-loopback\"
        trusted_proxies = [\"10.1.2.3/8\", \"::1\", \"unix\"]
        forwarded_headers = \"forwarded\"
        [ingress.tls]
        certificate = \"tls.crt\"
        key = \"tls.key\"
        client_ca = \"clients.pem\"
        client_certificates = \"optional\"
        min_version = \"1.3\"
        [admin]
        listen = []",
    );
    let ingress = config.ingress;
    assert_eq!(
        ingress.listen,
        [
            Listen::Tcp("[::]:8443".parse().unwrap()),
            Listen::Unix("/run/keygate.sock".into()),
            Listen::Unix("/run/two.sock".into())
        ]
    );
    assert_eq!(ingress.workers, Some(3));
    assert_eq!(ingress.require_tls, RequireTls::ExceptLoopback);
    assert_eq!(ingress.forwarded, ForwardedStyle::Forwarded);
    let trusted = ingress.trusted_proxies;
    assert!(trusted.trusts(None));
    assert!(trusted.trusts(Some("10.200.0.1".parse().unwrap())));
    assert!(trusted.trusts(Some("::1".parse().unwrap())));
    assert!(!trusted.trusts(Some("::2".parse().unwrap())));
    assert_eq!(config.admin.listen, []);
}

/// One handshake in memory between a client that trusts `service.example` and the server that a configuration makes.
fn handshake(tls: &str) -> Result<(), rustls::Error> {
    let config = loaded(&format!(
        "[ingress]\nlisten = \"127.0.0.1:8443\"\n[ingress.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n{tls}\n\
         [upstreams.default]\nurl = \"https://service.example\"\n"
    ));
    let server = config.ingress.tls.unwrap().server;
    assert_eq!(server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(server.ticketer.enabled());
    let mut server = rustls::ServerConnection::new(server).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let client = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(client.into(), "service.example".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    server.read_tls(&mut hello.as_slice()).unwrap();
    server.process_new_packets().map(|_| ())
}

#[test]
fn the_lowest_tls_version_holds() {
    assert!(handshake("").is_ok());
    assert!(handshake("min_version = \"1.2\"").is_ok());
    assert!(matches!(
        handshake("min_version = \"1.3\""),
        Err(rustls::Error::PeerIncompatible(_))
    ));
}

#[test]
fn upstreams() {
    let config = loaded(
        "[timeouts.upstream]
        connect = \"1s\"
        total = \"2s\"
        [upstreams.a]
        url = \"http://service.internal\"
        [upstreams.b]
        url = \"https://[::1]:8443\"
        preserve_host = false
        paths = { allow_empty_segments = true }
        timeouts = { head = \"1s\", total = false }
        tls = { ca = \"service-ca.pem\", server_name = \"service.example\" }
        [upstreams.default]
        url = \"h2c://127.0.0.1:50051\"
        [upstreams.d]
        url = \"unix:/run/service.sock\"
        pool = { max_idle = 0, idle = \"0s\" }
        [upstreams.e]
        url = \"h2c+unix:/run/grpc.sock\"",
    );
    assert_eq!(config.default_upstream, UpstreamId(2));
    let told: Vec<_> = config
        .upstreams
        .iter()
        .map(|upstream| {
            (
                &*upstream.name,
                upstream.protocol,
                &*upstream.authority,
                upstream.tls.is_some(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", Protocol::Http1, "service.internal", false),
            ("b", Protocol::Http1, "[::1]:8443", true),
            ("default", Protocol::H2c, "127.0.0.1:50051", false),
            ("d", Protocol::Http1, "localhost", false),
            ("e", Protocol::H2c, "localhost", false),
        ]
    );
    let [a, b, _, d, e] = config.upstreams.as_slice() else {
        panic!()
    };
    assert_eq!(
        a.endpoint,
        Endpoint::Tcp {
            host: "service.internal".to_owned(),
            port: 80
        }
    );
    assert_eq!(
        b.endpoint,
        Endpoint::Tcp {
            host: "::1".to_owned(),
            port: 8443
        }
    );
    assert_eq!(d.endpoint, Endpoint::Unix("/run/service.sock".into()));
    assert_eq!(e.endpoint, Endpoint::Unix("/run/grpc.sock".into()));
    assert_eq!(
        b.tls.as_ref().unwrap().server_name,
        "service.example".try_into().unwrap()
    );
    assert!(a.preserve_host && !b.preserve_host);
    assert!(b.paths.allow_empty_segments && !b.paths.allow_dot_segments);
    assert_eq!(
        a.timeouts,
        UpstreamTimeouts {
            connect: SECOND,
            total: Some(2 * SECOND),
            ..UpstreamTimeouts::default()
        }
    );
    assert_eq!(
        b.timeouts,
        UpstreamTimeouts {
            connect: SECOND,
            head: SECOND,
            ..UpstreamTimeouts::default()
        }
    );
    assert_eq!((d.pool.max_idle, d.pool.idle), (0, Duration::ZERO));
}

#[test]
fn the_only_upstream_is_the_default() {
    let config = loaded("[upstreams.messaging]\nurl = \"http://127.0.0.1:3000\"");
    assert_eq!(config.default_upstream, UpstreamId(0));
    assert_eq!(config.upstreams[0].name, "messaging");
}

#[test]
fn keys_and_peppers() {
    let keys = loaded(
        "[keys]
        file = \"keys.toml\"
        refresh = \"500ms\"
        prefix = \"\"
        allow_plaintext_keys = true
        argon2_concurrency = 4
        advise = { subscriptions = 2 }
        peppers = [{ id = \"old\", file = \"pepper\" }, { id = \"new\", env = \"CARGO_PKG_DESCRIPTION\" }]",
    )
    .keys;
    assert_eq!(keys.refresh, Duration::from_millis(500));
    assert_eq!(keys.prefix, "");
    assert!(keys.allow_plaintext);
    assert_eq!(keys.argon2_concurrency, 4);
    assert_eq!((keys.advise.permissions, keys.advise.subscriptions), (None, Some(2)));
    assert_eq!(keys.peppers.len(), 2);
    assert_eq!(keys.peppers[0].secret.expose(), "0123456789abcdef0123456789abcdef");
    assert_eq!(keys.peppers[1].secret.expose(), env!("CARGO_PKG_DESCRIPTION"));
    assert!(!format!("{keys:?}").contains("0123456789abcdef"));
}

#[test]
fn ends_of_keys() {
    let read = |text: &str| loaded(&format!("[keys]\nfile = \"keys.toml\"\nexpiry = {{ {text} }}")).expiry;
    let shown = |text: &str| -> Vec<String> { read(text).alerts.iter().map(ToString::to_string).collect() };
    assert_eq!(shown(""), ["1d", "7d", "14d"]);
    assert_eq!(shown("alerts = [\"2s\", \"24h\", \"1h30m\"]"), ["2s", "1h30m", "1d"]);
    assert!(shown("alerts = []").is_empty());
    assert_eq!(read("").header, None);
    let header = |text: &str| {
        read(text)
            .header
            .map(|header| (header.name.to_string(), header.within.seconds()))
    };
    let expected = |within| Some(("keygate-key-expires".to_owned(), within));
    let named = "header = \"Keygate-Key-Expires\"";
    assert_eq!(header(named), expected(86_400));
    assert_eq!(header(&format!("alerts = [\"3m\", \"1m\"], {named}")), expected(60));
    assert_eq!(
        header(&format!("{named}, header_within = \"2d\", alerts = []")),
        expected(172_800)
    );
    let webhook = "webhook = { url = \"https://ops.example/h?token=private\", secret = { file = \"pepper\" } }";
    let webhook = read(webhook).webhook.unwrap();
    assert_eq!(webhook.endpoint.authority, "ops.example");
    assert_eq!(webhook.endpoint.target, "/h?token=private");
    let shown = format!("{webhook:?}");
    assert!(
        !shown.contains("private") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}

#[test]
fn commands_on_keys_do_not_need_the_secret_of_a_webhook() {
    let place = Place::new();
    let secret = "{ env = \"KEYGATE_TEST_THAT_IS_NOT_SET\" }";
    let text = completed(&format!(
        "[keys]\nfile = \"keys.toml\"\n[keys.expiry.webhook]\nurl = \"https://ops.example\"\nsecret = {secret}"
    ));
    place.put("config.toml", &text);
    KeySettings::load(&place.path("config.toml")).unwrap();
    assert!(place.load(&text).unwrap_err().contains("is not set"));
}

#[test]
fn credentials() {
    let config = loaded(
        "credentials = [
            { header = \"Authorization\", scheme = \"x-api-key\" },
            { header = \"X-Acme-Key\" },
            { basic = \"password\" },
            { query = \"api_key\", prefix = [\"kg_\", \"acme_\"] },
            { cookie = \"api_key\" },
            { websocket_protocol = \"keygate.key.\" },
        ]",
    );
    assert_eq!(
        config.credentials.sources,
        [
            Source::Scheme {
                header: header::AUTHORIZATION,
                scheme: "x-api-key".to_owned()
            },
            Source::Header(HeaderName::from_static("x-acme-key")),
            Source::BasicPassword,
            Source::Query("api_key".to_owned()),
            Source::Cookie("api_key".to_owned()),
            Source::WebSocketProtocol("keygate.key.".to_owned()),
        ]
    );
    assert_eq!(config.credentials.prefixes[2], [""; 0]);
    assert_eq!(config.credentials.prefixes[3], ["kg_", "acme_"]);
    for (source, value, may) in [(2, "x", true), (3, "acme_x", true), (3, "x", false)] {
        let value = Presented::borrowed(value.as_bytes());
        assert_eq!(config.credentials.may_be_key(source, &value), may);
    }
}

#[test]
fn plans_and_environments() {
    let config = loaded(
        "[upstreams.default]
        url = \"http://127.0.0.1:3000\"
        [upstreams.sandbox]
        url = \"http://127.0.0.1:3001\"
        [plans.gold]
        concurrency = 5
        rate_limit_headers = [\"x-ratelimit\", \"x-ratelimit-window\"]
        limits = [
            { name = \"sec\", requests = 80, per = \"1s\" },
            { name = \"min\", requests = 4800, per = \"1m\", burst = 100, strict = true },
        ]
        [plans.quiet]
        concurrency = false
        rate_limit_headers = []
        [environments.live]
        prefixes = [\"kg_live_\", \"kg_l_\"]
        checksum = true
        [environments.test]
        prefixes = \"kg_\"
        upstream = \"sandbox\"
        plan = \"quiet\"",
    );
    let names: Vec<_> = config.plans.iter().map(|plan| &*plan.name).collect();
    assert_eq!(names, ["gold", "quiet", "default"]);
    let gold = &config.plans[0];
    assert_eq!(gold.concurrency, Some(5));
    assert_eq!(gold.headers, [Dialect::XRateLimit, Dialect::XRateLimitWindow]);
    let limit = |name: &str, requests, per, burst, strict| Limit {
        name: name.to_owned(),
        requests,
        per,
        burst,
        strict,
        scope: crate::config::plans::Scope::Key,
    };
    assert_eq!(
        gold.limits,
        [
            limit("sec", 80, SECOND, 80, false),
            limit("min", 4800, 60 * SECOND, 100, true)
        ]
    );
    assert_eq!((config.plans[1].concurrency, config.plans[1].headers.len()), (None, 0));
    let [live, test] = config.environments.as_slice() else {
        panic!()
    };
    assert_eq!(
        (live.prefixes.len(), live.checksum, live.upstream, live.plan),
        (2, true, None, None)
    );
    assert_eq!(test.prefixes, ["kg_"]);
    assert_eq!(
        (test.upstream.map(|id| id.0), test.plan.map(|id| id.0)),
        (Some(1), Some(1))
    );
}

#[test]
fn routes() {
    let config = loaded(
        "[[routes]]
        path = \"/v1/orgs/{org}/messages/{*rest}\"
        methods = [\"GET\", \"PURGE\"]
        permission = { any = [\"read\", \"manage\"] }
        cost = 0
        upstream = \"default\"
        [[routes]]
        path = \"/v1/send\"
        methods = \"POST\"
        permission = \"send\"
        [[routes]]
        path = \"/health\"
        access = \"public\"
        [[routes]]
        path = \"/internal/{*rest}\"
        access = \"deny\"",
    );
    let [messages, send, health, internal] = config.routes.as_slice() else {
        panic!()
    };
    assert_eq!(messages.methods, [Method::GET, Method::from_bytes(b"PURGE").unwrap()]);
    assert_eq!(
        messages.permission,
        Some(Permission::Any(vec!["read".to_owned(), "manage".to_owned()]))
    );
    assert_eq!(
        (messages.cost, messages.upstream, messages.access),
        (0, Some(UpstreamId(0)), Access::Key)
    );
    assert_eq!(send.permission, Some(Permission::All(vec!["send".to_owned()])));
    assert_eq!((send.cost, send.upstream), (1, None));
    assert_eq!((health.access, internal.access), (Access::Public, Access::Deny));
    assert!(health.methods.is_empty());
}

#[test]
fn identity() {
    let names = |identity: &identity::Identity| -> Vec<String> {
        identity.headers.iter().map(|(name, _)| name.to_string()).collect()
    };
    let default = loaded("").identity;
    assert_eq!(default.headers.len(), 9);
    assert_eq!(default.reserved.len(), 11);

    let changed = loaded(
        "[identity]
        aliases = [\"kong\", \"apisix\"]
        headers = { X-Tenant = \"org/{organization}\", X-Consumer-ID = \"{key.name}\" }",
    )
    .identity;
    assert_eq!(
        names(&changed),
        [
            "x-tenant",
            "x-consumer-id",
            "x-consumer-custom-id",
            "x-consumer-username",
            "x-credential-identifier"
        ]
    );
    assert_eq!(
        changed.headers[0].1,
        Template::of("org/{organization.id}", Escape::Header)
    );
    assert_eq!(
        changed.headers[1].1,
        Template::field(identity::Field::KeyName, Escape::Header)
    );
    for name in names(&default).iter().chain(&names(&changed)) {
        assert!(
            changed.reserved.iter().any(|reserved| reserved.as_str() == *name),
            "{name}"
        );
    }
    for name in ["x-admin-key", "x-auth-signature", "x-anonymous-consumer"] {
        assert!(
            changed.reserved.iter().any(|reserved| reserved.as_str() == name),
            "{name}"
        );
    }

    assert_eq!(names(&loaded("[identity.headers]").identity), [""; 0]);
}

#[test]
fn error_templates() {
    let Errors { templates } = loaded(
        r#"
        [errors.templates.credential_invalid]
        status = 403
        headers = { X-Code = "{code}" }
        body = '{"errors":{"code":"AUTH_001","params":{}}}'
        [errors.templates.rate_limited]
        body = '{"after":{retry_after},"limit_type":"{window}"}'
        [errors.templates.draining]
        headers = { content-type = "text/html; charset=utf-8" }
        body = "<p>{detail}</p>"
        [errors.templates.route_unknown]
        status = 410"#,
    )
    .errors;
    let [(_, invalid), (_, limited), (_, draining), (_, unknown)] = templates.as_slice() else {
        panic!()
    };
    let header = |text: &str| Template::<Field>::of(text, Escape::Header);
    let json = |text: &str| Some(Template::of(text, Escape::Json));
    assert_eq!(invalid.status, Some(StatusCode::FORBIDDEN));
    assert_eq!(
        invalid.headers,
        [
            (HeaderName::from_static("x-code"), header("{code}")),
            (header::CONTENT_TYPE, header("application/json")),
        ]
    );
    assert_eq!(invalid.body, json(r#"{"errors":{"code":"AUTH_001","params":{}}}"#));
    assert_eq!(limited.body, json(r#"{"after":{retry_after},"limit_type":"{window}"}"#));
    assert!(limited.tells(Field::RetryAfter) && !limited.tells(Field::Path));
    assert_eq!(
        draining.headers,
        [(header::CONTENT_TYPE, header("text/html; charset=utf-8"))]
    );
    assert_eq!(draining.body, Some(Template::of("<p>{detail}</p>", Escape::Markup)));
    assert_eq!((unknown.status, &unknown.body), (Some(StatusCode::GONE), &None));
    assert!(unknown.headers.is_empty());
}

#[test]
fn content_types_decide_the_escape() {
    for (content_type, escape) in [
        ("application/json", Escape::Json),
        ("Application/Problem+JSON; charset=utf-8", Escape::Json),
        ("APPLICATION/JSON;charset=\"utf-8\"", Escape::Json),
        (" text/json ", Escape::Json),
        ("text/html", Escape::Markup),
        ("application/xhtml+xml", Escape::Markup),
        ("text/plain", Escape::None),
        ("application/jsonl", Escape::None),
    ] {
        assert_eq!(Escape::for_content_type(content_type), escape, "{content_type}");
    }
}

#[test]
fn limits_timeouts_and_telemetry() {
    let config = loaded(
        "[limits]
        head_bytes = 16384
        body_bytes = \"10MiB\"
        credential_failures = { requests = 5, per = \"10s\" }
        [timeouts]
        drain_delay = \"0s\"
        tunnel_total = \"1h\"
        [telemetry]
        log_format = \"text\"
        log_level = \"debug\"
        access_log = { sample = 0.25 }",
    );
    assert_eq!(
        (config.limits.head_bytes, config.limits.body_bytes),
        (16 << 10, Some(10 << 20))
    );
    assert_eq!(
        config.limits.credential_failures,
        Some(CredentialFailures {
            requests: 5,
            per: 10 * SECOND
        })
    );
    assert_eq!(config.timeouts.drain_delay, Duration::ZERO);
    assert_eq!(config.timeouts.tunnel_total, Some(3600 * SECOND));
    assert_eq!(
        (
            config.telemetry.format,
            config.telemetry.level,
            config.telemetry.access_log
        ),
        (LogFormat::Text, LogLevel::Debug, AccessLog::Sample(0.25))
    );
    let off = loaded("[limits]\ncredential_failures = false\nbody_bytes = false\n[telemetry]\naccess_log = \"off\"");
    assert_eq!((off.limits.credential_failures, off.limits.body_bytes), (None, None));
    assert_eq!(off.telemetry.access_log, AccessLog::Off);
}
