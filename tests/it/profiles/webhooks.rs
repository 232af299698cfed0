//! What a list of events cannot say: receivers that fail or are slow, secrets and headers that are no good, samples and activity.

use serde_json::{Value, json};

use super::stage::{Files, Receiver, Stage};
use crate::docs::read;
use crate::harness::{Conversation, Next, Recorded, Verifier, exchange, post, rows, sha256, wait_until};

/// The rows that are shown here.
pub const ROWS: &[(&str, &[&str])] = &[
    ("connexease", &["webhook: 32 characters", "webhook: test"]),
    ("gosendapi", &["webhook: retries", "webhook: 2xx in time"]),
    ("swellsign", &["webhooks: test", "webhooks: activity"]),
    ("wa-gateway", &["webhook: retries", "webhook: custom headers"]),
];

const WA_GATEWAY: &[&str] = &[
    "0s", "2s", "4s", "8s", "16s", "32s", "1m4s", "2m8s", "4m16s", "8m32s", "17m4s", "34m8s", "1h8m16s", "2h16m32s",
    "4h33m4s",
];
const GOSENDAPI: &[&str] = &["0s", "1m", "5m", "30m", "2h"];
const TOKEN: &str = "kga_a-token-for-tests-only";

/// Answers that do not take an event, each another.
fn refuse(it: &mut Conversation) -> Next {
    it.read_body();
    let all = [
        "500 Internal Server Error",
        "404 Not Found",
        "302 Found",
        "503 Service Unavailable",
        "401 Unauthorized",
    ];
    it.answer(all[(it.number - 1) % all.len()], "Location: /elsewhere\r\n", "")
}

/// Answers the first event never, and takes the others.
fn stall_once(it: &mut Conversation) -> Next {
    it.read_body();
    if it.number == 1 {
        return it.wait_for_end();
    }
    it.answer("200 OK", "", "taken")
}

/// Lets the only schedule of a profile, which is this one, pass in no time.
#[track_caller]
fn hurry(profile: &str, files: &Files, schedule: &[&str]) {
    let text = read(format!("deploy/profiles/{profile}/webhooks.toml"));
    let webhooks: toml::Table = toml::from_str(&text).unwrap();
    let written = webhooks["webhooks"][0]["schedule"].as_array().unwrap();
    let written: Vec<&str> = written.iter().map(|delay| delay.as_str().unwrap()).collect();
    assert_eq!(written, schedule, "{profile}");
    let (_, rest) = text.split_once("\nschedule = ").unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    let mut soon = vec!["10ms"; schedule.len()];
    soon[0] = "0s";
    files.replace("webhooks.toml", &format!("{list}]"), &format!("{soon:?}"));
}

#[track_caller]
fn bring(stage: &Stage, webhook: &str, body: &str) {
    let request = post(
        &format!("/webhooks/{webhook}"),
        "Connection: close\r\nContent-Type: application/json\r\n",
        body,
    );
    assert_eq!(exchange(stage.egress(), request).status(), 202);
}

/// What the state file says, once it is this.
#[track_caller]
fn wait_for(stage: &Stage, query: &str, expected: &[String]) {
    let database = stage.gate.home.path("keygate.db");
    wait_until(query, || (rows(&database, query) == expected).then_some(()));
}

/// A case for those who verify by Python's `hmac`.
fn case(form: &str, receiver: &Receiver, request: &Recorded) -> Value {
    let headers = request.head.headers().into_iter();
    let headers: serde_json::Map<String, Value> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into()))
        .collect();
    let body = String::from_utf8(request.body.clone()).unwrap();
    json!({ "form": form, "secret": receiver.secret, "body": body, "headers": headers })
}

/// An event that nobody takes is tried as often as the schedule says, each time the same and signed anew, and then given up.
#[track_caller]
fn exhaust(profile: &str, webhook: &str, schedule: &[&str], body: &str) -> Vec<Recorded> {
    let files = Stage::files_with(profile, refuse);
    hurry(profile, &files, schedule);
    let stage = files.start();
    bring(&stage, webhook, body);
    let attempts = schedule.len();
    wait_for(
        &stage,
        "SELECT state, attempts FROM webhook_events",
        &[format!("dead|{attempts}")],
    );
    let receiver = stage.receiver(webhook);
    let requests = receiver.server.requests();
    assert_eq!(requests.len(), attempts);
    let form = profile.replace('-', "_");
    let cases: Vec<Value> = requests.iter().map(|request| case(&form, receiver, request)).collect();
    assert_eq!(Verifier::PythonHmac.ask(&cases), vec![true; attempts]);
    for request in &requests {
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.head.start_line(), requests[0].head.start_line());
    }
    requests
}

/// With its own schedule: how long after each of the first attempts the next one is due, in seconds, but for a fifth.
#[track_caller]
fn delays(profile: &str, webhook: &str, body: &str, seconds: &[f64]) {
    let stage = Stage::files_with(profile, refuse).start();
    bring(&stage, webhook, body);
    let database = stage.gate.home.path("keygate.db");
    for (index, seconds) in seconds.iter().enumerate() {
        let attempt = index + 1;
        let query = format!(
            "SELECT (julianday(due_at) - julianday(at)) * 86400 FROM webhook_events JOIN webhook_attempts USING (event_id) \
             WHERE attempts = {attempt} AND attempt = {attempt}"
        );
        let due = wait_until("an attempt that failed", || rows(&database, &query).pop());
        let due: f64 = due.parse().unwrap();
        // The attempt itself takes time, too.
        let range = seconds * 0.79..seconds * 1.21 + 1.0;
        assert!(range.contains(&due), "{due} s after attempt {attempt}, not {seconds}");
    }
}

#[test]
fn wa_gateway_tries_fifteen_times_with_one_id_and_the_time_of_each_attempt() {
    let requests = exhaust(
        "wa-gateway",
        "wh_shop",
        WA_GATEWAY,
        r#"{"id":"evt_1","event":"message"}"#,
    );
    let mut last = 0;
    for request in requests {
        assert_eq!(request.header("x-webhook-request-id").as_deref(), Some("evt_1"));
        let time: u64 = request.header("x-webhook-timestamp").unwrap().parse().unwrap();
        assert!(time > last, "{time} is after {last}");
        last = time;
    }
}

#[test]
fn wa_gateway_waits_two_seconds_and_then_four() {
    delays(
        "wa-gateway",
        "wh_shop",
        r#"{"id":"evt_1","event":"message"}"#,
        &[2.0, 4.0],
    );
}

#[test]
fn wa_gateway_applies_custom_headers_last_and_lets_them_forge_no_signature() {
    let files = Stage::files("wa-gateway");
    files.replace(
        "webhooks.toml",
        "headers = { X-Shop-Region = \"eu\", ",
        "headers = { X-Shop-Region = \"eu\", X-Webhook-Request-Id = \"{event.id}-{organization}\", Content-Type = \"text/json\", ",
    );
    let stage = files.start();
    bring(&stage, "wh_shop", r#"{"id":"evt_1","event":"message"}"#);
    let request = stage.receiver("wh_shop").server.wait_for_requests(1).remove(0);
    assert_eq!(
        request.header("x-webhook-request-id").as_deref(),
        Some("evt_1-org_shop")
    );
    assert_eq!(request.header("content-type").as_deref(), Some("text/json"));
    assert_eq!(request.header("user-agent").as_deref(), Some("wa-gateway-webhooks"));

    let files = Stage::files("wa-gateway");
    files.replace(
        "webhooks.toml",
        "headers = { X-Shop-Region = \"eu\"",
        "headers = { x-webhook-hmac = \"00\"",
    );
    let check = files.keygate(&["check"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(
        !check.status.success() && said.contains("that receivers verify by"),
        "{said}"
    );
}

#[test]
fn gosendapi_tries_five_times_and_then_it_has_failed_for_good() {
    exhaust(
        "gosendapi",
        "wh_acme",
        GOSENDAPI,
        r#"{"id":"evt_1","type":"message.sent"}"#,
    );
}

#[test]
fn gosendapi_waits_a_minute_after_the_first_attempt() {
    delays(
        "gosendapi",
        "wh_acme",
        r#"{"id":"evt_1","type":"message.sent"}"#,
        &[60.0],
    );
}

#[test]
fn gosendapi_takes_an_answer_that_is_late_for_none() {
    let files = Stage::files_with("gosendapi", stall_once);
    hurry("gosendapi", &files, GOSENDAPI);
    files.replace("webhooks.toml", "timeout = \"10s\"", "timeout = \"300ms\"");
    let stage = files.start();
    bring(&stage, "wh_acme", r#"{"id":"evt_1","type":"message.sent"}"#);
    wait_for(
        &stage,
        "SELECT attempt, is_delivered, coalesce(status, error) FROM webhook_attempts ORDER BY seq",
        &["1|0|receiver_timeout".to_owned(), "2|1|200".to_owned()],
    );
    assert_eq!(stage.receiver("wh_acme").server.requests().len(), 2);
}

#[test]
fn connexease_takes_no_secret_of_less_than_32_characters() {
    let files = Stage::files("connexease");
    files.write("retail.secret", &"s".repeat(31));
    let check = files.keygate(&["check"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(
        !check.status.success() && said.contains("is shorter than 32 characters"),
        "{said}"
    );
    files.write("retail.secret", &"s".repeat(32));
    let check = files.keygate(&["check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

/// A profile with an operator's token, which stands in the file `token`.
fn with_operator(profile: &str) -> Stage {
    let files = Stage::files(profile);
    files.append(
        "config.toml",
        &format!(
            "\n[[admin.tokens]]\nname = \"ops\"\nrole = \"operator\"\nhash = \"{}\"\n",
            sha256(TOKEN)
        ),
    );
    files.write("token", TOKEN);
    files.start()
}

/// What a command of an operator says.
#[track_caller]
fn operate(stage: &Stage, arguments: &[&str]) -> Value {
    let address = stage.gate.admin_url("");
    let access = ["--admin", &address, "--token-file", "token", "--json"];
    let output = stage.gate.home.keygate(&[&["webhooks"], arguments, &access].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        stage.receivers.iter().all(|receiver| !text.contains(&receiver.secret)),
        "{text}"
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn connexease_tests_a_webhook_with_a_sample() {
    let stage = with_operator("connexease");
    let sent = operate(&stage, &["test", "wh_retail", "--event", "template"]);
    assert_eq!(sent["outcome"], "delivered", "{sent}");
    let receiver = stage.receiver("wh_retail");
    let sample = receiver.server.only_request();
    assert_eq!(sample.head.start_line(), "POST /whatsapp HTTP/1.1");
    assert!(sample.header("x-webhook-test").is_some(), "it says that it is a test");
    assert_eq!(sample.header("x-tenant").as_deref(), Some("1001"));
    assert_eq!(
        Verifier::PythonHmac.ask(&[case("connexease", receiver, &sample)]),
        [true]
    );
}

#[test]
fn swellsign_tests_a_connection_and_shows_what_went_on() {
    let stage = with_operator("swellsign");
    let sent = operate(&stage, &["test", "wh_archive"]);
    assert_eq!(sent["outcome"], "delivered", "{sent}");
    let receiver = stage.receiver("wh_archive");
    let sample = receiver.server.only_request();
    let cases = [case("standard", receiver, &sample)];
    assert_eq!(Verifier::PythonStandard.ask(&cases), [true]);
    assert_eq!(Verifier::NodeStandard.ask(&cases), [true]);
    assert!(stage.receiver("wh_crm").server.requests().is_empty());

    let event = r#"{"type":"envelope.completed","data":{}}"#;
    let request = post("/webhooks/wh_crm", "Connection: close\r\nwebhook-id: msg_1\r\n", event);
    assert_eq!(exchange(stage.egress(), request).status(), 202);
    let query = "SELECT webhook, event_type, attempt, status FROM webhook_attempts WHERE event_id = 'msg_1'";
    wait_for(&stage, query, &["wh_crm|envelope.completed|1|200".to_owned()]);
    let activity = operate(&stage, &["activity", "wh_crm"]).to_string();
    assert!(
        activity.contains("msg_1") && activity.contains("envelope.completed"),
        "{activity}"
    );
}
