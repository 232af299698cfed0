//! `/admin/v1/webhooks`: what operators see of the return path, what they may do about it, and what they never see.

use serde_json::{Value, json};

use crate::admin::tokens;
use crate::events::stage::{Mood, Stage, config, taking, webhook};
use crate::harness::{Gate, Home, Setup, Upstream, curl, rows, wait_until};

/// Events that fail are tried again soon, and for long.
const PATIENT: &str =
    "delivery = \"queued\"\nschedule = [\"0s\", \"50ms\", \"50ms\", \"50ms\", \"50ms\", \"1h\", \"1h\"]";
/// One attempt, and it is dead.
const ONCE: &str = "delivery = \"queued\"\nschedule = [\"0s\"]";

fn stage(receiver: Upstream, records: impl FnOnce(&str) -> String) -> Stage {
    Stage::queueing(receiver, &tokens(&["viewer", "operator"]), records)
}

/// Calls in a role; the status and the body.
#[track_caller]
fn call(gate: &Gate, role: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (url, key) = (gate.admin_url(path), format!("X-Admin-Key: kga_{role}"));
    let body = body.map(Value::to_string);
    let mut arguments = vec!["-H", &key, "-X", method, &url];
    if let Some(body) = &body {
        arguments.extend(["--json", body]);
    }
    let answer = curl(&arguments);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[track_caller]
fn look(gate: &Gate, path: &str) -> Value {
    let (status, body) = call(gate, "viewer", "GET", &format!("/admin/v1/webhooks{path}"), None);
    assert_eq!(status, 200, "{body}");
    body
}

#[track_caller]
fn done(gate: &Gate, path: &str, wish: &Value) -> Value {
    let (status, body) = call(
        gate,
        "operator",
        "POST",
        &format!("/admin/v1/webhooks/{path}"),
        Some(wish),
    );
    assert_eq!(status, 200, "{body}");
    body
}

#[track_caller]
fn accept(stage: &Stage, webhook: &str, id: &str) {
    let answer = stage.send(&format!("/webhooks/{webhook}"), &format!("X-Event-Id: {id}\r\n"), "{}");
    assert_eq!(answer.status(), 202, "{}", answer.text());
}

fn wait_for_queue(stage: &Stage, expected: &[&str]) {
    wait_until(&format!("{expected:?}"), || (stage.queue() == expected).then_some(()));
}

/// What the audit trail says of webhooks: `action|target|actor|detail`.
fn trail(gate: &Gate) -> Vec<String> {
    let query = "SELECT action, target, actor, detail FROM audit WHERE action LIKE 'webhook.%' ORDER BY seq";
    rows(&gate.home.path("keygate.db"), query)
}

#[test]
fn a_webhook_is_shown_with_what_it_is_and_how_it_stands_and_without_what_may_be_secret() {
    let (receiver, mood) = Mood::of(&[("500 Internal Server Error", "")]);
    let stage = stage(receiver, |url| {
        let more = format!(
            "events = [\"message.*\", \"status\"]\nheaders = {{ \"X-Partner-Key\" = \"partner-key-of-acme\" }}\n\
             sign = [{{ scheme = \"authorization\", word = \"Bearer\" }}, {{ scheme = \"standard\" }}]\n\
             previous_secret = \"the-secret-before-it-of-32-characters\"\nprevious_until = 2999-01-01T00:00:00Z\n{ONCE}\nordered = true"
        );
        webhook("wh_one", &format!("{url}/in/path-secret?token=query-secret"), &more)
            + &webhook("wh_two", &format!("{url}/"), "active = false")
    });
    let id = stage.send(
        "/webhooks/wh_one",
        "X-Event-Id: evt_1\r\nX-Event-Type: status\r\n",
        "{}",
    );
    assert_eq!(id.status(), 202);
    wait_for_queue(&stage, &["wh_one|evt_1|dead"]);

    let list = look(&stage.gate, "");
    let one = &list["webhooks"][0];
    assert_eq!(*one, look(&stage.gate, "/wh_one"));
    let origin = stage.receiver.url();
    assert_eq!(
        (
            &one["id"],
            &one["organization"],
            &one["url"],
            &one["events"],
            &one["active"]
        ),
        (
            &json!("wh_one"),
            &json!("acme"),
            &json!(format!("{origin}/…")),
            &json!(["message.*", "status"]),
            &json!(true)
        )
    );
    assert_eq!(
        (
            &one["delivery"],
            &one["ordered"],
            &one["sign"],
            &one["waiting"],
            &one["dead"],
            &one["failures"]
        ),
        (
            &json!("queued"),
            &json!(true),
            &json!(["authorization", "standard"]),
            &json!(0),
            &json!(1),
            &json!(1)
        )
    );
    assert_eq!(
        (
            &one["last"]["event_id"],
            &one["last"]["status"],
            &one["last"]["delivered"]
        ),
        (&json!("evt_1"), &json!(500), &json!(false))
    );
    assert_eq!(
        one["rotation"],
        json!({ "until": "2999-01-01T00:00:00Z", "sends": "one", "moved": null })
    );
    let two = &list["webhooks"][1];
    assert_eq!(
        (&two["url"], &two["active"]),
        (&json!(format!("{origin}/")), &json!(false))
    );
    assert_eq!(
        (&two["delivery"], &two["rotation"], &two["last"]),
        (&json!("request"), &Value::Null, &Value::Null)
    );
    let text = list.to_string();
    for secret in ["path-secret", "query-secret", "partner-key", "characters"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }

    mood.turns("200 OK");
    done(&stage.gate, "wh_one/test", &json!({ "event": "status" }));
    assert_eq!(look(&stage.gate, "/wh_one")["rotation"]["moved"], true);

    let (status, problem) = call(&stage.gate, "viewer", "GET", "/admin/v1/webhooks/nothing", None);
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    assert_eq!(look(&stage.gate, "?organization=other")["webhooks"], json!([]));
}

#[test]
fn lists_come_in_pages_and_a_webhook_may_be_called_as_a_list_is() {
    let stage = stage(taking(), |url| {
        let ids = ["c", "a", "events", "b", "activity"];
        ids.map(|id| webhook(id, &format!("{url}/{id}"), "")).concat()
    });
    let (mut path, mut seen) = ("?limit=2".to_owned(), Vec::new());
    loop {
        let page = look(&stage.gate, &path);
        let webhooks = page["webhooks"].as_array().unwrap();
        seen.extend(
            webhooks
                .iter()
                .map(|webhook| webhook["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "activity", "b", "c", "events"]);
    assert_eq!(look(&stage.gate, "/%61ctivity")["id"], "activity");
    assert!(look(&stage.gate, "/activity")["attempts"].is_array());
}

#[test]
fn what_is_paused_waits_until_it_is_resumed_and_both_go_on_record() {
    let stage = stage(taking(), |url| {
        webhook("wh_queued", &format!("{url}/q"), PATIENT) + &webhook("wh_now", &format!("{url}/n"), "")
    });
    let paused = done(&stage.gate, "wh_queued/pause", &json!({ "reason": "moves house" }));
    assert_eq!(
        (&paused["changed"], &paused["paused"]["reason"], &paused["paused"]["by"]),
        (&json!(true), &json!("operator"), &json!("token:operator"))
    );
    assert_eq!(paused["paused"]["note"], "moves house");
    assert_eq!(done(&stage.gate, "wh_queued/pause", &json!({}))["changed"], false);
    done(&stage.gate, "wh_now/pause", &json!({}));

    accept(&stage, "wh_queued", "evt_1");
    accept(&stage, "wh_queued", "evt_2");
    let refused = stage.send("/webhooks/wh_now", "", "{}");
    assert_eq!((refused.status(), refused.code().as_str()), (409, "webhook_paused"));
    let shown = look(&stage.gate, "/wh_queued");
    assert_eq!((&shown["waiting"], &shown["paused"]), (&json!(2), &paused["paused"]));
    let waiting = look(&stage.gate, "/events?state=waiting&webhook=wh_queued");
    assert_eq!(waiting["events"].as_array().unwrap().len(), 2);
    assert_eq!(stage.receiver.requests().len(), 0);
    let (_, status) = call(&stage.gate, "viewer", "GET", "/admin/v1/status", None);
    wait_until("the count", || {
        let (_, status) = call(&stage.gate, "viewer", "GET", "/admin/v1/status", None);
        (status["webhooks"]["waiting"] == 2).then_some(())
    });
    assert_eq!(
        (&status["webhooks"]["registered"], &status["webhooks"]["paused"]),
        (&json!(2), &json!(2))
    );

    assert_eq!(stage.gate.metric(&["keygate_webhooks_paused"]), 2.0);

    let resumed = done(&stage.gate, "wh_queued/resume", &json!({}));
    assert_eq!((&resumed["changed"], &resumed["paused"]), (&json!(true), &Value::Null));
    wait_for_queue(&stage, &["wh_queued|evt_1|delivered", "wh_queued|evt_2|delivered"]);
    assert_eq!(stage.receiver.requests().len(), 2);
    assert_eq!(done(&stage.gate, "wh_queued/resume", &json!({}))["changed"], false);
    done(&stage.gate, "wh_now/resume", &json!({}));
    assert_eq!(stage.send("/webhooks/wh_now", "", "{}").status(), 200);

    let trail = trail(&stage.gate);
    assert_eq!(
        trail[0],
        "webhook.pause|wh_queued|token:operator|{\"reason\":\"moves house\"}"
    );
    assert_eq!(trail[1], "webhook.pause|wh_now|token:operator|{\"reason\":null}");
    assert!(trail[2].starts_with("webhook.resume|wh_queued|token:operator|{\"before\":{\"by\":\"token:operator\","));
    assert_eq!(trail.len(), 4);
}

#[test]
fn an_event_is_sent_again_with_the_same_id_whatever_it_is() {
    let id = "a/b?c=%41&d#e;\"~";
    let (receiver, mood) = Mood::of(&[("500 Internal Server Error", "")]);
    let stage = stage(receiver, |url| webhook("wh_one", &format!("{url}/in"), ONCE));
    accept(&stage, "wh_one", id);
    wait_until("its death", || stage.queue()[0].ends_with("|dead").then_some(()));
    let dead = look(&stage.gate, "/events?state=dead");
    let event = &dead["events"][0];
    assert_eq!(
        (&event["event_id"], &event["attempts"], &event["replayable"]),
        (&json!(id), &json!(1), &json!(true))
    );

    mood.turns("200 OK");
    let path = "wh_one/events/a%2Fb%3Fc%3D%2541%26d%23e%3B%22~/replay";
    let replayed = done(&stage.gate, path, &json!({}));
    assert_eq!(
        (&replayed["event_id"], &replayed["changed"]),
        (&json!(id), &json!(true))
    );
    wait_until("the second attempt", || {
        stage.queue()[0].ends_with("|delivered").then_some(())
    });
    // And once more, though it has arrived.
    done(&stage.gate, path, &json!({}));
    let requests = stage.receiver.wait_for_requests(3);
    let ids: Vec<_> = requests
        .iter()
        .map(|request| request.header("webhook-id").unwrap())
        .collect();
    assert_eq!(ids, [id; 3]);

    let (status, problem) = call(
        &stage.gate,
        "operator",
        "POST",
        "/admin/v1/webhooks/wh_one/events/other/replay",
        None,
    );
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    let trail = trail(&stage.gate);
    assert_eq!(trail.len(), 2);
    assert!(
        trail[0].starts_with("webhook.replay|wh_one|token:operator|"),
        "{trail:?}"
    );
}

#[test]
fn an_event_that_waits_anyway_is_not_sent_twice_for_a_replay() {
    let stage = stage(taking(), |url| webhook("wh_one", &format!("{url}/in"), PATIENT));
    done(&stage.gate, "wh_one/pause", &json!({}));
    accept(&stage, "wh_one", "evt_1");
    let replayed = done(&stage.gate, "wh_one/events/evt_1/replay", &json!({}));
    assert_eq!(
        (&replayed["changed"], &replayed["paused"]["reason"]),
        (&json!(false), &json!("operator"))
    );
    done(&stage.gate, "wh_one/resume", &json!({}));
    wait_for_queue(&stage, &["wh_one|evt_1|delivered"]);
    assert_eq!(stage.receiver.requests().len(), 1);
}

#[test]
fn activity_tells_every_attempt_of_either_delivery() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", ""), ("200 OK", "")]);
    let stage = stage(receiver, |url| {
        let retry = "retry = { attempts = 2, delays = [\"10ms\"] }";
        webhook("wh_one", &format!("{url}/in"), retry) + &webhook("wh_two", &format!("{url}/two"), ONCE)
    });
    let answer = stage.send(
        "/webhooks/wh_one",
        "X-Event-Id: evt_1\r\nX-Event-Type: status\r\n",
        "{}",
    );
    assert_eq!(answer.status(), 200);
    mood.turns("400 Bad Request");
    accept(&stage, "wh_two", "evt_2");
    let all = wait_until("three attempts", || {
        let page = look(&stage.gate, "/activity");
        let attempts = page["attempts"].as_array().unwrap().clone();
        (attempts.len() == 3).then_some(attempts)
    });
    let mut told: Vec<_> = all
        .iter()
        .map(|one| {
            (
                one["webhook"].as_str().unwrap(),
                one["attempt"].as_u64().unwrap(),
                one["status"].as_u64().unwrap(),
            )
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("wh_one", 1, 503), ("wh_one", 2, 200), ("wh_two", 1, 400)]);
    let failed = look(&stage.gate, "/activity?failed=true&webhook=wh_one&since=1h");
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(failed["attempts"][0]["error"], "rejected");
    assert_eq!(failed["attempts"][0]["event_type"], "status");
    let page = look(&stage.gate, "/activity?limit=2");
    let rest = look(&stage.gate, &format!("/activity?limit=2&before={}", page["next"]));
    assert_eq!(
        (rest["attempts"].as_array().unwrap().len(), &rest["next"]),
        (1, &Value::Null)
    );
    assert_eq!(
        look(&stage.gate, "/activity?event=evt_2")["attempts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_viewer_looks_and_changes_nothing() {
    let stage = stage(taking(), |url| webhook("wh_one", &format!("{url}/in"), PATIENT));
    for path in ["test", "pause", "resume", "events/evt_1/replay"] {
        let path = format!("/admin/v1/webhooks/wh_one/{path}");
        let (status, problem) = call(&stage.gate, "viewer", "POST", &path, Some(&json!({})));
        assert_eq!((status, &problem["code"]), (403, &json!("admin_role_denied")), "{path}");
    }
    for path in ["", "/wh_one", "/activity", "/events", "/wh_one/test"] {
        assert_eq!(
            curl(&[stage.gate.admin_url(&format!("/admin/v1/webhooks{path}"))]).status,
            401
        );
    }
    assert_eq!(look(&stage.gate, "/wh_one")["paused"], Value::Null);
    assert_eq!((stage.receiver.connections(), trail(&stage.gate).len()), (0, 0));
}

#[test]
fn without_a_state_there_is_a_list_and_a_test_and_nothing_to_steer() {
    let receiver = taking();
    let home = Home::new();
    home.write(
        "webhooks.toml",
        webhook("wh_one", &format!("{}/in", receiver.url()), ""),
    );
    let setup = Setup {
        more: config(&[&receiver], "", "") + &tokens(&["viewer", "operator"]),
        ..Setup::url("http://127.0.0.1:9")
    };
    let gate = Gate::start_in(home, &setup);
    assert_eq!(look(&gate, "")["webhooks"][0]["waiting"], 0);
    assert_eq!(done(&gate, "wh_one/test", &json!({}))["outcome"], "delivered");
    for (method, path) in [
        ("POST", "wh_one/pause"),
        ("POST", "wh_one/resume"),
        ("GET", "activity"),
        ("GET", "events"),
    ] {
        let (status, problem) = call(&gate, "operator", method, &format!("/admin/v1/webhooks/{path}"), None);
        assert_eq!((status, &problem["code"]), (409, &json!("no_state")), "{path}");
    }
}
