//! Which webhook an event is for: by its id, by its organization, or as a forward proxy's target.

use super::stage::{Stage, taking, webhook};
use crate::harness::{curl, exchange};

#[test]
fn by_id_an_event_arrives_signed_at_the_registered_url_and_the_service_gets_the_receivers_answer() {
    let stage = Stage::simple();
    let answer = stage.send(
        "/webhooks/wh_one",
        "Content-Type: application/json\r\nX-Event-Type: message\r\nX-Event-Id: evt_1\r\n",
        "{\"a\":1}",
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "taken"));
    assert_eq!(answer.header("x-receiver").as_deref(), Some("yes"));
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("1"));
    let event = stage.receiver.only_request();
    assert_eq!(event.head.start_line(), "POST /in HTTP/1.1");
    assert_eq!(event.body, b"{\"a\":1}");
    assert_eq!(event.header("webhook-id").as_deref(), Some("evt_1"));
    assert!(event.header("webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(event.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(event.header("host"), Some(stage.receiver.address().to_string()));
    let line = stage.line();
    assert_eq!(line["webhook"], "wh_one");
    assert_eq!(line["outcome"], "delivered");
}

#[test]
fn as_a_forward_proxy_the_longest_registered_url_counts() {
    let stage = Stage::with(taking(), "", |url| {
        webhook("wh_short", url, "headers = { X-Which = \"short\" }")
            + &webhook(
                "wh_long",
                &format!("{url}/hooks/acme"),
                "headers = { X-Which = \"long\" }",
            )
    });
    let proxy = format!("http://{}", stage.egress());
    for (path, which) in [
        ("/hooks/acme", "long"),
        ("/hooks/acme/below", "long"),
        ("/hooks/acmes", "short"),
        ("/", "short"),
        ("/%68ooks/acme", "long"),
    ] {
        let url = format!("{}{path}", stage.receiver.url());
        let answer = curl(&["--noproxy", "", "--proxy", &proxy, "--data", "{}", &url]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let event = stage.receiver.last_request();
        assert_eq!(event.header("x-which").as_deref(), Some(which), "{path}");
    }
}

#[test]
fn a_url_that_nobody_registered_gets_nothing() {
    let stage = Stage::with(taking(), "", |url| webhook("wh_one", &format!("{url}/in"), ""));
    let (egress, url) = (stage.egress(), stage.receiver.url());
    let proxy = format!("http://{egress}");
    for target in [
        format!("{url}/other"),
        format!("{url}/inn"),
        format!("{url}/in?query=1"),
        "http://127.0.0.1:1/in".to_owned(),
        "http://other.example/in".to_owned(),
    ] {
        let answer = curl(&["--noproxy", "", "--proxy", &proxy, "--data", "{}", &target]);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "destination_unregistered"),
            "{target}"
        );
    }
    for ambiguous in ["/x/../in", "/x%2F..%2Fin", "/in/%2e%2e/in"] {
        let request =
            format!("POST {url}{ambiguous} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = exchange(egress, request);
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (400, "destination_invalid"),
            "{ambiguous}"
        );
    }
    assert!(stage.receiver.requests().is_empty());
}

#[test]
fn a_query_may_vary_only_where_the_registration_says_so() {
    let stage = Stage::with(taking(), "", |url| {
        webhook("wh_any", &format!("{url}/any"), "query = \"any\"")
            + &webhook("wh_exact", &format!("{url}/exact?a=1"), "")
    });
    let proxy = format!("http://{}", stage.egress());
    for (target, status) in [
        ("/any?b=2", 200),
        ("/any", 200),
        ("/exact?a=1", 200),
        ("/exact?a=2", 403),
        ("/exact", 403),
    ] {
        let url = format!("{}{target}", stage.receiver.url());
        let answer = curl(&["--noproxy", "", "--proxy", &proxy, "--data", "{}", &url]);
        assert_eq!(answer.status, status, "{target}");
        if status == 200 {
            assert_eq!(stage.receiver.last_request().target(), target);
        }
    }
}

#[test]
fn a_tunnel_is_refused_with_an_explanation() {
    let stage = Stage::simple();
    let answer = exchange(
        stage.egress(),
        "CONNECT hooks.example:443 HTTP/1.1\r\nHost: hooks.example:443\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((answer.status(), answer.code().as_str()), (405, "connect_unsupported"));
    assert!(answer.text().contains("cannot be signed"), "{}", answer.text());
    assert_eq!(answer.header("allow").as_deref(), Some("POST, PUT, PATCH"));
}

#[test]
fn what_is_not_there_or_not_active_is_said() {
    let stage = Stage::with(taking(), "", |url| {
        webhook("wh_off", &format!("{url}/off"), "active = false")
            + &webhook("wh_a", &format!("{url}/twice"), "")
            + &webhook("wh_b", &format!("{url}/twice"), "")
    });
    let twice = format!("{}/twice", stage.receiver.url());
    let off = format!("{}/off", stage.receiver.url());
    for (target, status, code) in [
        ("/webhooks/wh_off", 409, "webhook_inactive"),
        (&*off, 409, "webhook_inactive"),
        ("/webhooks/unknown", 404, "webhook_unknown"),
        ("/organizations/nobody/events", 404, "webhook_unknown"),
        ("/", 404, "path_unknown"),
        ("/webhooks/", 404, "webhook_unknown"),
        (&*twice, 409, "destination_ambiguous"),
    ] {
        let answer = stage.send(target, "", "{}");
        assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{target}");
        assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("0"), "{target}");
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some("application/problem+json")
        );
    }
    let get = "GET /webhooks/wh_a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(stage.egress(), get).code(), "method_unsupported");
    assert!(stage.receiver.requests().is_empty());
}

#[test]
fn an_organizations_event_goes_to_all_that_subscribe_and_each_outcome_is_told() {
    let stage = Stage::with(taking(), "", |url| {
        webhook("wh_all", &format!("{url}/all"), "")
            + &webhook("wh_status", &format!("{url}/status"), "events = [\"status.*\"]")
            + &webhook("wh_message", &format!("{url}/message"), "events = [\"message\"]")
            + &webhook("wh_dead", "http://127.0.0.1:80/", "retry = { attempts = 1 }")
    });
    let answer = stage.send(
        "/organizations/acme/events",
        "X-Event-Type: message\r\nX-Event-Id: evt_9\r\n",
        "{}",
    );
    assert_eq!(answer.status(), 207);
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("3"));
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (told["organization"].as_str(), told["event_id"].as_str()),
        (Some("acme"), Some("evt_9"))
    );
    let outcome = |id: &str| {
        let results = told["results"].as_array().unwrap();
        results.iter().find(|result| result["webhook"] == id).unwrap()["outcome"].clone()
    };
    assert_eq!(outcome("wh_all"), "delivered");
    assert_eq!(outcome("wh_status"), "not_subscribed");
    assert_eq!(outcome("wh_message"), "delivered");
    assert_eq!(outcome("wh_dead"), "receiver_unreachable");
    let mut targets: Vec<String> = stage.receiver.requests().iter().map(|event| event.target()).collect();
    targets.sort();
    assert_eq!(targets, ["/all", "/message"]);
}

#[test]
fn an_event_that_is_not_subscribed_is_answered_204_and_counted() {
    let stage = Stage::with(taking(), "event = { pointer = \"/type\" }", |url| {
        webhook("wh_one", &format!("{url}/in"), "events = [\"status.*\", \"message\"]")
    });
    for (body, status) in [
        ("{\"type\":\"template\"}", 204),
        ("{\"type\":\"messages\"}", 204),
        ("{\"type\":\"status.read\"}", 200),
        ("{\"type\":\"message\"}", 200),
    ] {
        assert_eq!(stage.send("/webhooks/wh_one", "", body).status(), status, "{body}");
    }
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").code(), "event_missing");
    assert_eq!(stage.receiver.requests().len(), 2);
    let counted = stage.gate.metric(&["keygate_webhook_events_total", "not_subscribed"]);
    assert!((counted - 2.0).abs() < f64::EPSILON);
}
