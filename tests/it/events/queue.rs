//! `delivery = "queued"`: an event is accepted once it is on disk, and then arrives, whatever happens in between.

use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::stage::{Mood, Stage, config, egress, taking, webhook};
use super::storm;
use crate::harness::{Conversation, Gate, Home, Recorded, Setup, Upstream, exchange, rows, wait_until};

/// Two seconds of tries that follow each other closely, and then some more, so that no event is given up while a test is slow.
fn patient() -> String {
    let soon = ", \"50ms\"".repeat(40) + &", \"1s\"".repeat(23);
    format!("schedule = [\"0s\"{soon}]\n")
}

fn queued(id: &str, url: &str, more: &str) -> String {
    webhook(id, url, &format!("delivery = \"queued\"\n{more}"))
}

fn one(receiver: Upstream, more: &str) -> Stage {
    Stage::queueing(receiver, "", |url| queued("wh_one", &format!("{url}/in"), more))
}

/// The service brings an event, which is accepted.
#[track_caller]
fn accept(stage: &Stage, webhook: &str, id: &str) {
    let answer = stage.send(&format!("/webhooks/{webhook}"), &format!("X-Event-Id: {id}\r\n"), "{}");
    assert_eq!(answer.status(), 202, "{id}: {}", answer.text());
}

fn ids(requests: &[Recorded]) -> Vec<String> {
    let ids = requests.iter().map(|request| request.header("webhook-id").unwrap());
    ids.collect()
}

#[track_caller]
fn wait_for_queue(stage: &Stage, expected: &[&str]) {
    let mut seen = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("the queue", || {
            seen = stage.queue();
            (seen == expected).then_some(())
        });
    }));
    assert!(found.is_ok(), "{seen:?} is not {expected:?}");
}

#[test]
fn an_event_is_accepted_once_it_is_on_disk_and_arrives_although_the_process_is_killed_right_then() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", "")]);
    let mut stage = one(receiver, &patient());
    let answer = stage.send(
        "/webhooks/wh_one",
        "X-Event-Id: evt_1\r\nX-Event-Type: message\r\nContent-Type: application/json\r\nX-Customer: 7\r\nX-API-Key: never\r\n",
        "{\"n\":1}",
    );
    stage.gate.kill();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("0"));
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["webhook"], "wh_one");
    assert_eq!(told["event_id"], "evt_1");
    assert_eq!(told["status"], "queued");
    assert_eq!(stage.queue(), ["wh_one|evt_1|waiting"]);

    mood.turns("200 OK");
    stage.gate.start_again();
    wait_for_queue(&stage, &["wh_one|evt_1|delivered"]);
    let event = stage.receiver.last_request();
    assert_eq!(event.head.start_line(), "POST /in HTTP/1.1");
    assert_eq!(event.body, b"{\"n\":1}");
    for (name, value) in [
        ("webhook-id", "evt_1"),
        ("content-type", "application/json"),
        ("x-customer", "7"),
    ] {
        assert_eq!(event.header(name).as_deref(), Some(value));
    }
    assert_eq!(event.header("x-api-key"), None);
    assert!(event.header("webhook-signature").unwrap().starts_with("v1,"));
}

#[test]
fn an_event_that_fails_is_tried_again_on_the_schedule_of_its_webhook_with_a_new_signature() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let theirs = Arc::clone(&times);
    let receiver = Upstream::tcp(move |it: &mut Conversation| {
        it.read_body();
        let mut times = theirs.lock().unwrap();
        times.push(Instant::now());
        let is_enough = times.len() == 3;
        drop(times);
        it.answer(
            if is_enough {
                "200 OK"
            } else {
                "500 Internal Server Error"
            },
            "",
            "",
        )
    });
    let stage = one(receiver, "schedule = [\"0s\", \"600ms\", \"1200ms\", \"1h\"]");
    accept(&stage, "wh_one", "evt_1");
    let events = stage.receiver.wait_for_requests(3);
    let times = times.lock().unwrap();
    // A fifth less at most, by the jitter.
    assert!(times[1] - times[0] >= Duration::from_millis(480));
    assert!(times[2] - times[1] >= Duration::from_millis(960));
    assert_eq!(ids(&events), ["evt_1"; 3]);
    let timestamp = |n: usize| events[n].header("webhook-timestamp").unwrap().parse::<i64>().unwrap();
    assert!(timestamp(2) > timestamp(0));
    assert_ne!(
        events[2].header("webhook-signature"),
        events[0].header("webhook-signature")
    );
    wait_for_queue(&stage, &["wh_one|evt_1|delivered"]);
    let attempts = "SELECT delivery, attempt, is_delivered, status FROM webhook_attempts ORDER BY seq";
    let attempts = rows(&stage.gate.home.path("keygate.db"), attempts);
    assert_eq!(attempts, ["queued|1|0|500", "queued|2|0|500", "queued|3|1|200"]);
}

#[test]
fn a_receiver_that_asks_for_time_gets_it() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let theirs = Arc::clone(&times);
    let receiver = Upstream::tcp(move |it: &mut Conversation| {
        it.read_body();
        let mut times = theirs.lock().unwrap();
        times.push(Instant::now());
        let is_first = times.len() == 1;
        drop(times);
        if is_first {
            it.answer("503 Service Unavailable", "Retry-After: 2\r\n", "")
        } else {
            it.answer("200 OK", "", "")
        }
    });
    let stage = one(receiver, "schedule = [\"0s\", \"10ms\", \"1h\"]");
    accept(&stage, "wh_one", "evt_1");
    let times = wait_until("the second try", || {
        let times = times.lock().unwrap();
        (times.len() == 2).then(|| times.clone())
    });
    assert!(times[1] - times[0] >= Duration::from_secs(2));
}

#[test]
fn an_event_is_given_up_at_the_end_of_the_schedule_and_that_is_announced() {
    let (receiver, _) = Mood::of(&[("500 Internal Server Error", "")]);
    let stage = one(receiver, "schedule = [\"0s\", \"10ms\", \"10ms\"]");
    accept(&stage, "wh_one", "evt_1");
    let line = stage.gate.wait_for_log("the end", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("an event is given up"))
    });
    assert_eq!(
        (line["webhook"].as_str(), line["event_id"].as_str()),
        (Some("wh_one"), Some("evt_1"))
    );
    assert_eq!(
        (line["status"].as_u64(), line["attempt"].as_u64()),
        (Some(500), Some(3))
    );
    wait_for_queue(&stage, &["wh_one|evt_1|dead"]);
    assert_eq!(stage.receiver.requests().len(), 3);
    wait_until("the metric", || {
        let dead = stage.gate.metric(&["keygate_webhook_queue_events", "dead"]);
        ((dead - 1.0).abs() < f64::EPSILON).then_some(())
    });
}

#[test]
fn a_receiver_that_is_gone_pauses_its_webhook_which_is_announced_and_remembered_while_events_wait() {
    let (receiver, mood) = Mood::of(&[("410 Gone", "")]);
    let mut stage = Stage::queueing(receiver, "", |url| {
        queued("wh_one", &format!("{url}/one"), &patient()) + &queued("wh_two", &format!("{url}/two"), &patient())
    });
    accept(&stage, "wh_one", "evt_1");
    let line = stage.gate.wait_for_log("the pause", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("a webhook is paused"))
    });
    assert_eq!(
        (line["webhook"].as_str(), line["reason"].as_str()),
        (Some("wh_one"), Some("gone"))
    );
    wait_for_queue(&stage, &["wh_one|evt_1|dead"]);
    mood.turns("200 OK");
    accept(&stage, "wh_one", "evt_2");
    stage.gate.kill();
    stage.gate.start_again();
    accept(&stage, "wh_one", "evt_3");
    // What came after them has gone: they were passed over.
    accept(&stage, "wh_two", "evt_4");
    wait_for_queue(
        &stage,
        &[
            "wh_one|evt_1|dead",
            "wh_one|evt_2|waiting",
            "wh_one|evt_3|waiting",
            "wh_two|evt_4|delivered",
        ],
    );
    assert_eq!(ids(&stage.receiver.requests()), ["evt_1", "evt_4"]);
}

#[test]
fn the_same_id_is_delivered_once_however_often_it_is_brought_and_also_after_a_restart() {
    let mut stage = one(taking(), &format!("ordered = true\n{}", patient()));
    for _ in 0..3 {
        accept(&stage, "wh_one", "evt_1");
    }
    accept(&stage, "wh_one", "evt_2");
    wait_for_queue(&stage, &["wh_one|evt_1|delivered", "wh_one|evt_2|delivered"]);
    stage.gate.kill();
    stage.gate.start_again();
    accept(&stage, "wh_one", "evt_1");
    accept(&stage, "wh_one", "evt_3");
    wait_for_queue(
        &stage,
        &[
            "wh_one|evt_1|delivered",
            "wh_one|evt_2|delivered",
            "wh_one|evt_3|delivered",
        ],
    );
    assert_eq!(ids(&stage.receiver.requests()), ["evt_1", "evt_2", "evt_3"]);
}

#[test]
fn order_is_kept_across_failures_and_an_event_that_is_given_up_lets_the_next_one_go() {
    let receiver = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        let id = it.head.header("webhook-id").unwrap();
        // The third is never taken; of the others every first try fails.
        if id == "evt_3" || !it.number.is_multiple_of(2) {
            it.answer("503 Service Unavailable", "", "")
        } else {
            it.answer("200 OK", "", "")
        }
    });
    let stage = one(
        receiver,
        "ordered = true\nschedule = [\"0s\", \"20ms\", \"20ms\", \"20ms\"]",
    );
    for number in 1..=5 {
        accept(&stage, "wh_one", &format!("evt_{number}"));
    }
    let ends = ["delivered", "delivered", "dead", "delivered", "delivered"];
    let ends: Vec<String> = (1..)
        .zip(ends)
        .map(|(number, end)| format!("wh_one|evt_{number}|{end}"))
        .collect();
    wait_for_queue(&stage, &ends.iter().map(String::as_str).collect::<Vec<_>>());
    let ids = ids(&stage.receiver.requests());
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().filter(|id| *id == "evt_3").count(), 4);
}

/// A receiver that answers nobody until it is let go.
fn stuck() -> (Upstream, Arc<(Mutex<bool>, Condvar)>) {
    let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let theirs = Arc::clone(&gate);
    let receiver = Upstream::tcp(move |it: &mut Conversation| {
        it.read_body();
        let is_open = theirs.0.lock().unwrap();
        drop(theirs.1.wait_while(is_open, |is_open| !*is_open).unwrap());
        it.answer("200 OK", "", "")
    });
    (receiver, gate)
}

#[test]
fn a_receiver_that_does_not_answer_delays_no_other() {
    let (slow, gate) = stuck();
    let quick = taking();
    let home = Home::new();
    let ordered = format!("ordered = true\n{}", patient());
    home.write(
        "webhooks.toml",
        queued("wh_slow", &slow.url(), &patient())
            + &queued("wh_slow_in_order", &slow.url(), &ordered)
            + &queued("wh_quick", &quick.url(), &ordered)
            + &webhook("wh_request", &quick.url(), ""),
    );
    let setup = Setup {
        more: config(&[&slow, &quick], "\n[state]\npath = \"keygate.db\"\n", ""),
        ..Setup::url("http://127.0.0.1:9")
    };
    let keygate = Gate::start_in(home, &setup);
    let send = |webhook: &str, id: String| {
        let request = format!(
            "POST /webhooks/{webhook} HTTP/1.1\r\nHost: x\r\nX-Event-Id: {id}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        exchange(egress(&keygate), request).status()
    };
    for number in 0..40 {
        assert_eq!(send("wh_slow", format!("slow_{number}")), 202);
        assert_eq!(send("wh_slow_in_order", format!("slow_{number}")), 202);
    }
    wait_until("the slow receiver to have all that it may", || {
        (slow.requests().len() >= 16).then_some(())
    });
    for number in 0..20 {
        assert_eq!(send("wh_quick", format!("quick_{number}")), 202);
    }
    quick.wait_for_requests(20);
    assert_eq!(send("wh_request", "request".to_owned()), 200);
    assert!(
        slow.connections() <= 17,
        "{} connections to the slow one",
        slow.connections()
    );
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let delivered = "SELECT count(*) FROM webhook_events WHERE state = 'delivered'";
    wait_until("all events", || {
        (rows(&keygate.home.path("keygate.db"), delivered) == ["100"]).then_some(())
    });
}

#[test]
fn waiting_for_a_receiver_that_others_keep_busy_is_no_attempt() {
    let (receiver, gate) = stuck();
    let quick = "timeouts = { connect = \"50ms\", head = \"20s\", total = \"20s\" }\n";
    let home = Home::new();
    // One try alone: where the wait were one, the event would be given up.
    let once = format!("schedule = [\"0s\"]\n{quick}");
    home.write(
        "webhooks.toml",
        queued("wh_first", &receiver.url(), &once) + &queued("wh_second", &receiver.url(), &once),
    );
    let options = "connections_per_receiver = 1\n[state]\npath = \"keygate.db\"\n";
    let setup = Setup {
        more: config(&[&receiver], options, ""),
        ..Setup::url("http://127.0.0.1:9")
    };
    let stage = Stage {
        gate: Gate::start_in(home, &setup),
        receiver,
    };
    accept(&stage, "wh_first", "evt_1");
    stage.receiver.wait_for_requests(1);
    accept(&stage, "wh_second", "evt_2");
    wait_until("the second to find the receiver busy", || {
        (stage.gate.metric(&["keygate_webhook_attempts_total", "receiver_busy"]) >= 1.0).then_some(())
    });
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    wait_for_queue(&stage, &["wh_first|evt_1|delivered", "wh_second|evt_2|delivered"]);
}

#[test]
fn an_event_that_somebody_has_removed_from_the_file_holds_up_no_other() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", "")]);
    let stage = one(receiver, &format!("ordered = true\n{}", patient()));
    accept(&stage, "wh_one", "evt_1");
    stage.receiver.wait_for_requests(1);
    let removed = "DELETE FROM webhook_event_contents; DELETE FROM webhook_events";
    rows(&stage.gate.home.path("keygate.db"), removed);
    mood.turns("200 OK");
    accept(&stage, "wh_one", "evt_2");
    wait_for_queue(&stage, &["wh_one|evt_2|delivered"]);
}

#[test]
fn what_finds_no_room_is_refused_and_what_was_accepted_is_not_lost_for_it() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", "")]);
    let stage = Stage::queueing(receiver, "queue_events = 8\n", |url| {
        queued("wh_one", &format!("{url}/one"), &patient()) + &queued("wh_two", &format!("{url}/two"), &patient())
    });
    let bring = |webhook: &str, number: usize| {
        stage.send(
            &format!("/webhooks/{webhook}"),
            &format!("X-Event-Id: evt_{number}\r\n"),
            "{}",
        )
    };
    let mut accepted = 0;
    let refused = loop {
        let answer = bring("wh_one", accepted);
        if answer.status() != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted <= 8);
    };
    assert_eq!((refused.status(), refused.code().as_str()), (503, "queue_full"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        bring("wh_two", 0).status(),
        202,
        "one webhook does not take all of the room"
    );
    mood.turns("200 OK");
    let all = accepted + 1;
    wait_until("all that was accepted", || {
        (stage.queue().iter().filter(|row| row.ends_with("|delivered")).count() == all).then_some(())
    });
    assert_eq!(bring("wh_one", accepted).status(), 202, "there is room again");
    wait_until("the one that was refused before", || {
        let row = format!("wh_one|evt_{accepted}|delivered");
        stage.queue().contains(&row).then_some(())
    });
}

#[test]
fn events_wait_for_a_webhook_that_is_not_active_or_not_there_and_go_where_it_is_then() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", "")]);
    let mut stage = Stage::queueing(receiver, "", |url| queued("wh_one", &format!("{url}/old"), &patient()));
    let url = stage.receiver.url();
    let other = webhook("wh_other", &format!("{url}/other"), "");
    accept(&stage, "wh_one", "evt_1");
    stage.receiver.wait_for_requests(1);

    stage.change(
        &(queued(
            "wh_one",
            &format!("{url}/old"),
            &format!("active = false\n{}", patient()),
        ) + &other),
    );
    mood.turns("200 OK");
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!((answer.status(), answer.code().as_str()), (409, "webhook_inactive"));
    stage.change(&other);
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").code(), "webhook_unknown");
    stage.gate.kill();
    stage.gate.start_again();
    assert_eq!(stage.send("/webhooks/wh_other", "", "{}").status(), 200);
    assert_eq!(stage.queue(), ["wh_one|evt_1|waiting"]);
    let before = stage.receiver.requests();
    assert!(before.iter().filter(|event| event.target() == "/old").count() < before.len());

    stage.change(&(queued("wh_one", &format!("{url}/new"), &patient()) + &other));
    wait_for_queue(&stage, &["wh_one|evt_1|delivered"]);
    let event = stage.receiver.last_request();
    assert_eq!(
        (event.target(), event.header("webhook-id").as_deref()),
        ("/new".to_owned(), Some("evt_1"))
    );
    assert_eq!(stage.receiver.requests().len(), before.len() + 1);
}

#[test]
fn an_event_for_a_target_below_the_registered_url_goes_there_as_long_as_that_is_covered() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", "")]);
    let any = format!("query = \"any\"\n{}", patient());
    let stage = Stage::queueing(receiver, "", |url| queued("wh_one", &format!("{url}/in"), &any));
    let url = stage.receiver.url();
    let answer = stage.send(&format!("{url}/in/below?a=1"), "X-Event-Id: evt_1\r\n", "{}");
    assert_eq!(answer.status(), 202);
    assert_eq!(stage.receiver.wait_for_requests(1)[0].target(), "/in/below?a=1");
    stage.change(&queued("wh_one", &format!("{url}/in/below"), &any));
    mood.turns("200 OK");
    wait_for_queue(&stage, &["wh_one|evt_1|delivered"]);
    assert_eq!(stage.receiver.last_request().target(), "/in/below?a=1");
    assert!(stage.receiver.last_request().header(":path").is_none());

    mood.turns("503 Service Unavailable");
    let before = stage.receiver.requests().len();
    let answer = stage.send(&format!("{url}/in/below?b=2"), "X-Event-Id: evt_2\r\n", "{}");
    assert_eq!(answer.status(), 202);
    stage.receiver.wait_for_requests(before + 1);
    stage.change(&queued("wh_one", &format!("{url}/elsewhere"), &any));
    mood.turns("200 OK");
    wait_for_queue(&stage, &["wh_one|evt_1|delivered", "wh_one|evt_2|delivered"]);
    assert_eq!(stage.receiver.last_request().target(), "/elsewhere");
}

#[test]
fn what_nobody_asks_for_any_more_is_given_up_and_not_sent() {
    let (receiver, mood) = Mood::of(&[("503 Service Unavailable", "")]);
    let stage = one(receiver, &patient());
    let answer = stage.send(
        "/webhooks/wh_one",
        "X-Event-Id: evt_1\r\nX-Event-Type: message\r\n",
        "{}",
    );
    assert_eq!(answer.status(), 202);
    stage.receiver.wait_for_requests(1);
    let url = format!("{}/in", stage.receiver.url());
    stage.change(&queued(
        "wh_one",
        &url,
        &format!("events = [\"status\"]\n{}", patient()),
    ));
    wait_for_queue(&stage, &["wh_one|evt_1|dead"]);
    mood.turns("200 OK");
    let outcome = "SELECT outcome FROM webhook_events";
    assert_eq!(
        rows(&stage.gate.home.path("keygate.db"), outcome),
        ["event_unsubscribed"]
    );
}

#[test]
fn an_organizations_event_is_queued_for_each_of_its_webhooks() {
    let stage = Stage::queueing(taking(), "", |url| {
        queued("wh_a", &format!("{url}/a"), &patient())
            + &queued("wh_b", &format!("{url}/b"), &patient())
            + &webhook("wh_c", &format!("{url}/c"), "")
    });
    let answer = stage.send("/organizations/acme/events", "X-Event-Id: evt_1\r\n", "{}");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let outcomes: Vec<_> = told["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["queued", "queued", "delivered"]);
    wait_for_queue(&stage, &["wh_a|evt_1|delivered", "wh_b|evt_1|delivered"]);
}

#[test]
fn where_nothing_can_be_queued_the_configuration_says_so() {
    let receiver = taking();
    let home = Home::new();
    home.write("webhooks.toml", queued("wh_one", &receiver.url(), ""));
    let setup = Setup {
        more: config(&[&receiver], "", ""),
        ..Setup::url("http://127.0.0.1:9")
    };
    setup.write(&home);
    let output = home.keygate(&["check", "--config", "config.toml"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("wh_one") && text.contains("[state]"), "{text}");
}

#[test]
fn an_event_that_is_on_its_way_when_the_process_is_to_end_is_finished_and_the_rest_waits() {
    let (receiver, gate) = stuck();
    let mut stage = Stage::queueing(receiver, "\n[timeouts]\ndrain_delay = \"0s\"\n", |url| {
        queued(
            "wh_one",
            &format!("{url}/in"),
            &format!("ordered = true\n{}", patient()),
        )
    });
    accept(&stage, "wh_one", "evt_1");
    accept(&stage, "wh_one", "evt_2");
    stage.receiver.wait_for_requests(1);
    let egress = stage.egress();
    stage.gate.signal("TERM");
    wait_until("the listener to close", || {
        TcpStream::connect(egress).is_err().then_some(())
    });
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert!(stage.gate.wait_for_end().success());
    assert_eq!(stage.queue(), ["wh_one|evt_1|delivered", "wh_one|evt_2|waiting"]);
    stage.gate.start_again();
    wait_for_queue(&stage, &["wh_one|evt_1|delivered", "wh_one|evt_2|delivered"]);
    assert_eq!(ids(&stage.receiver.requests()), ["evt_1", "evt_2"]);
}

#[test]
fn nothing_is_lost_or_out_of_order_when_the_process_is_killed_while_receivers_fail_stall_reset_and_dawdle() {
    let outcome = storm::run(storm::Plan {
        events: 400,
        kills: 3,
        seed: 5,
    });
    assert!(outcome.faults.is_empty(), "{outcome:#?}");
    assert!(
        outcome.accepted >= 400 && outcome.arrivals > outcome.accepted,
        "{outcome:#?}"
    );
    assert!(
        outcome.provoked > 0,
        "some were taken twice, as was to be expected: {outcome:#?}"
    );
}

#[test]
fn the_state_file_is_private_and_holds_no_secret() {
    let stage = one(taking(), &patient());
    accept(&stage, "wh_one", "evt_1");
    wait_for_queue(&stage, &["wh_one|evt_1|delivered"]);
    for name in ["keygate.db", "keygate.db-wal", "keygate.db-shm"] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = stage.gate.home.path(name);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{name}"
        );
        let bytes = std::fs::read(&path).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(super::stage::SECRET), "{name} holds the secret");
        assert!(!holds("v1,"), "{name} holds a signature");
    }
}
