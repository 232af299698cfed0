//! The demonstration: its check passes, and its tour works as printed when it is pasted into a shell.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{keygate, wait_until};

const STEPS: [&str; 14] = [
    "Send a message",
    "See what the service sees",
    "Come without a key",
    "Come with a wrong key",
    "Come without the permission",
    "Run into the rate limit",
    "Watch a stream",
    "Open a WebSocket",
    "Take the key away",
    "Give it back",
    "Have an event sent",
    "Send one as the service does",
    "Send one past Keygate",
    "Send one elsewhere",
];

#[test]
fn the_check_takes_every_step_and_every_promise_is_kept() {
    let temporary = TempDir::new().unwrap();
    let output = run(&temporary, &["--check"]);
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{text}{errors}");
    for (number, title) in (1..).zip(STEPS) {
        let step = format!("{number:>2}  {title}\n    ✓ ");
        assert!(text.contains(&step), "{title} is missing in\n{text}");
    }
    assert!(
        text.contains("All 14 steps are as promised.") && !text.contains('✗'),
        "{text}"
    );
    for (event, count) in [("receiver: verified evt_", 2), ("receiver: refused: no webhook-id", 1)] {
        assert_eq!(text.matches(event).count(), count, "{text}");
    }
    assert_eq!(errors, "", "the log is quiet unless asked for");
    assert_eq!(keys_in(&text), 0, "{text}");
    assert_empty(&temporary);
}

#[test]
fn the_log_shows_each_request_when_asked_for_and_never_a_key() {
    let temporary = TempDir::new().unwrap();
    let output = run(&temporary, &["--check", "--log"]);
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{text}{errors}");
    for word in [
        "credential_missing",
        "credential_invalid",
        "permission_denied",
        "rate_limited",
        "/v1/echo",
        "wh_acme",
        "destination_unregistered",
    ] {
        assert!(errors.contains(word), "{word} is missing in\n{errors}");
    }
    assert_eq!(keys_in(&errors), 0, "{errors}");
}

#[test]
fn every_printed_command_does_what_the_tour_promises() {
    let temporary = TempDir::new().unwrap();
    let mut demo = Demo::start(&temporary, &[]);
    let stops = stops(&demo.tour);
    let titles: Vec<_> = stops.iter().map(|stop| stop.title.as_str()).collect();
    assert_eq!(titles, STEPS);
    for stop in &stops {
        stop.paste();
    }
    demo.interrupt("INT");
    let mut told = String::new();
    demo.stdout.read_to_string(&mut told).unwrap();
    for line in [
        "receiver: verified evt_1:",
        "receiver: verified evt_by_hand:",
        "receiver: refused:",
    ] {
        assert!(told.contains(line), "{line} is missing in\n{told}");
    }
    assert_empty(&temporary);
}

#[test]
fn it_goes_without_a_trace_on_every_signal_that_ends_it() {
    for signal in ["INT", "TERM", "HUP"] {
        let temporary = TempDir::new().unwrap();
        let mut demo = Demo::start(&temporary, &[]);
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
        demo.interrupt(signal);
        assert_empty(&temporary);
    }
}

#[test]
fn the_port_can_be_chosen_and_a_taken_one_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let temporary = TempDir::new().unwrap();
    let refused = run(&temporary, &["--port", &port]);
    let (text, errors) = texts(&refused);
    assert!(!refused.status.success());
    assert!(
        text.is_empty() && errors.contains(&format!("127.0.0.1:{port}")),
        "{text}{errors}"
    );
    assert_empty(&temporary);

    drop(taken);
    let mut demo = Demo::start(&temporary, &["--port", &port]);
    let url = format!("http://127.0.0.1:{port}/v1/messages");
    assert!(demo.tour.contains(&url), "{}", demo.tour);
    demo.interrupt("INT");
}

fn demo(temporary: &TempDir, arguments: &[&str]) -> Command {
    let mut command = keygate();
    let temporary = temporary.path();
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null());
    command
}

fn run(temporary: &TempDir, arguments: &[&str]) -> Output {
    demo(temporary, arguments).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn assert_empty(temporary: &TempDir) {
    let entries = std::fs::read_dir(temporary.path()).unwrap();
    let left: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// How many of the demonstration's own keys stand in `text`.
fn keys_in(text: &str) -> usize {
    let letters = |rest: &&str| rest.chars().take_while(char::is_ascii_alphanumeric).count();
    text.split("demo_").skip(1).filter(|rest| letters(rest) == 38).count()
}

/// A running demonstration.
pub struct Demo {
    child: Child,
    tour: String,
    stdout: BufReader<ChildStdout>,
}

impl Demo {
    /// Starts it and reads its tour.
    pub fn start(temporary: &TempDir, arguments: &[&str]) -> Self {
        let mut child = demo(temporary, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut tour = String::new();
        while !tour.ends_with("Press Ctrl-C to stop.\n") {
            let read = stdout.read_line(&mut tour).unwrap();
            assert_ne!(read, 0, "it ended after\n{tour}");
        }
        Self { child, tour, stdout }
    }

    /// Where its sample service is, `http://ADDRESS`, as the tour says.
    #[track_caller]
    pub fn service(&self) -> &str {
        let (_, rest) = self.tour.split_once("service ").expect("the tour names the service");
        rest.split_whitespace().next().expect("an address")
    }

    #[track_caller]
    fn interrupt(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s $0 $1", signal, &pid]).status();
        assert!(sent.unwrap().success());
        let status = wait_until("the demonstration to end", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One stop of the printed tour: commands are indented by six columns, promises begin with an arrow.
#[derive(Default)]
struct Stop {
    title: String,
    script: String,
    promises: Vec<String>,
}

fn stops(tour: &str) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    for line in tour.lines() {
        let heading = line.trim_start().split_once("  ");
        if let Some((_, title)) = heading.filter(|(number, _)| number.parse::<u8>().is_ok()) {
            let title = title.to_owned();
            stops.push(Stop {
                title,
                ..Stop::default()
            });
        }
        let Some(stop) = stops.last_mut() else { continue };
        if let Some(command) = line.strip_prefix("      ") {
            stop.script += &format!("{command}\n");
        } else if let Some(promise) = line.strip_prefix("    → ") {
            stop.promises.push(promise.to_owned());
        }
    }
    stops
}

impl Stop {
    /// Pastes the commands and compares what the terminal shows with every promise.
    #[track_caller]
    fn paste(&self) {
        assert!(!self.promises.is_empty(), "{}", self.title);
        let mut terminal = Terminal::run(&self.script);
        if self.script.contains("sleep") {
            // How soon a change counts is another test's business; that it counts is this one's.
            wait_until(&self.title, || {
                let kept = self.broken(&terminal).is_none();
                if !kept {
                    terminal = Terminal::run(&self.script);
                }
                kept.then_some(())
            });
        }
        if let Some((promise, came)) = self.broken(&terminal) {
            let (title, script, text) = (&self.title, &self.script, terminal.text());
            panic!("{title}: {promise}\ncame: {came}\n{script}\n{text}");
        }
    }

    /// The first promise that is not kept, and what came.
    fn broken(&self, terminal: &Terminal) -> Option<(&str, String)> {
        let outcome = |promise| terminal.keeps(promise, &self.script).err();
        self.promises
            .iter()
            .find_map(|promise| Some((promise.as_str(), outcome(promise)?)))
    }
}

/// What a terminal showed.
struct Terminal {
    output: Vec<u8>,
    /// When more of it came.
    growth: Vec<Instant>,
}

impl Terminal {
    fn run(script: &str) -> Self {
        // Nothing that a person's own settings could add to a curl command.
        let home = TempDir::new().unwrap();
        let mut command = Command::new("sh");
        for name in ["http_proxy", "all_proxy", "ALL_PROXY", "CURL_HOME", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        let mut child = command
            .arg("-c")
            .arg(script)
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut output, mut growth) = (Vec::new(), Vec::new());
        let mut buffer = [0; 4096];
        loop {
            let read = stdout.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            output.extend_from_slice(&buffer[..read]);
            growth.push(Instant::now());
        }
        let status = child.wait().unwrap();
        // What curl says when its --max-time is over.
        let cut_short = script.contains("--max-time").then_some(28);
        assert!(status.success() || status.code() == cut_short, "{status}\n{script}");
        Self { output, growth }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The lines before the first head, that head's lines, and the body behind it.
    fn parts(&self) -> (Vec<String>, Vec<String>, String) {
        let text = self.text();
        let start = text.find("HTTP/").unwrap_or(text.len());
        let (head, body) = text[start..].split_once("\r\n\r\n").unwrap_or_default();
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        (lines(&text[..start]), lines(head), body.to_owned())
    }

    /// Whether the terminal showed what one line of the tour promises; else what it showed.
    fn keeps(&self, promise: &str, script: &str) -> Result<(), String> {
        let (before, head, body) = self.parts();
        if let Some(status) = promise.strip_prefix("status ") {
            let line = head.first().cloned().unwrap_or_default();
            same(line.strip_prefix("HTTP/1.1 ").unwrap_or(&line), status)
        } else if let Some(codes) = promise.strip_prefix("first ") {
            same(&before.join(" "), codes)
        } else if let Some(header) = promise.strip_prefix("header ") {
            keeps_header(&head, header)
        } else if let Some(code) = promise.strip_prefix("problem code ") {
            let problem: Value = serde_json::from_str(&body).map_err(|_| body)?;
            let request_id = values(&head, "x-request-id").join(" and ");
            same(problem["code"].as_str().unwrap_or_default(), code)?;
            same(problem["request_id"].as_str().unwrap_or_default(), &request_id)
        } else if let Some(text) = promise.strip_prefix("body holds ") {
            body.contains(text).then_some(()).ok_or(body)
        } else if let Some((name, value)) = promise
            .strip_prefix("service saw ")
            .and_then(|saw| saw.split_once(": "))
        {
            same(&values(&echoed(&body), name).join(" and "), value)
        } else if let Some(header) = promise.strip_prefix("receiver saw ") {
            keeps_header(&echoed(&body), header)
        } else if let Some(unseen) = promise
            .strip_prefix("service did not see ")
            .or_else(|| promise.strip_prefix("receiver did not see "))
        {
            let name = unseen.strip_suffix(", nor the key").ok_or("another wording")?;
            let sent = script.split(&format!("{name}: ")).nth(1);
            let key = sent.and_then(|rest| rest.split('\'').next());
            let key = key.filter(|key| keys_in(key) == 1).ok_or("no key in the command")?;
            let echoed = echoed(&body);
            let clean = !echoed.is_empty() && values(&echoed, name).is_empty() && !body.contains(key);
            clean.then_some(()).ok_or(body)
        } else if let Some(count) = promise.strip_suffix(" events, one by one") {
            same(&body.matches("event: ").count().to_string(), count)?;
            self.grew_slowly()
        } else {
            Err(format!("no test for {promise:?}"))
        }
    }

    /// The output grew over at least half of the time that five events take, 300 ms apart.
    fn grew_slowly(&self) -> Result<(), String> {
        let (Some(first), Some(last)) = (self.growth.first(), self.growth.last()) else {
            return Err("nothing".to_owned());
        };
        let span = *last - *first;
        let slowly = span >= Duration::from_millis(600);
        slowly.then_some(()).ok_or_else(|| format!("all of it within {span:?}"))
    }
}

fn same(came: &str, expected: &str) -> Result<(), String> {
    (came == expected).then_some(()).ok_or_else(|| came.to_owned())
}

fn keeps_header(head: &[String], promise: &str) -> Result<(), String> {
    let (name, form) = promise.split_once(": ").unwrap_or((promise, ""));
    let values = values(head, name);
    let [value] = &values[..] else {
        return Err(format!("{name}, {} times", values.len()));
    };
    let kept = match (form, form.strip_suffix('…')) {
        ("", _) => !value.is_empty(),
        ("whole seconds", _) => value.parse::<u32>().is_ok_and(|seconds| seconds >= 1),
        (_, Some(beginning)) => value.starts_with(beginning),
        (exact, None) => value == exact,
    };
    kept.then_some(()).ok_or_else(|| value.clone())
}

/// The values of a header among `name: value` lines.
fn values(lines: &[String], name: &str) -> Vec<String> {
    let pairs = lines.iter().filter_map(|line| line.split_once(": "));
    let named = pairs.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.to_owned()).collect()
}

/// The header lines in an echo.
fn echoed(body: &str) -> Vec<String> {
    let echo: Value = serde_json::from_str(body).unwrap_or_default();
    serde_json::from_value(echo["headers"].clone()).unwrap_or_default()
}
