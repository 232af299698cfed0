//! The language of `cases.toml`. What it does not know is an error, and so is a case that expects nothing.

use std::net::IpAddr;

use serde::Deserialize;

use super::events::{self, EventCase};
use crate::docs::read;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
    #[serde(default)]
    events: Vec<EventCase>,
}

/// One call and what has to come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in words.
    pub name: String,
    /// The gateway's behaviours that it shows, by the names in [`super::rows`].
    pub rows: Vec<String>,
    /// `METHOD /target`
    pub request: String,
    /// Header lines; `Host` and `Content-Length` are written besides.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The request's body.
    #[serde(default)]
    pub body: String,
    /// Ask for a WebSocket; where it opens, a text is sent there and back.
    #[serde(default)]
    pub websocket: bool,
    /// The address of this host that it comes from.
    pub from: Option<IpAddr>,
    /// Make the call again and again; all answers before the expected one are successes.
    pub calls: Option<Calls>,
    /// What the caller gets.
    pub answer: Answer,
    /// What comes of it behind the gateway.
    pub upstream: Behind,
}

/// Which of several equal calls is the first with the expected status.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Not one before this.
    pub at_least: usize,
    /// Not one after this.
    pub at_most: usize,
}

/// What the caller gets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Name: value`, all lines of each name; `Name` alone where only its presence counts.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Names of headers that are not there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// The `code` of a problem document.
    pub code: Option<String>,
    /// The exact body.
    pub body: Option<String>,
    /// A body that is this JSON document, however it is spaced.
    pub json: Option<String>,
}

/// What comes of a call behind the gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behind {
    /// The name of the upstream that got it, or `nothing`.
    pub reached: String,
    /// `METHOD /target`, as it arrived.
    pub request: Option<String>,
    /// As [`Answer::headers`].
    #[serde(default)]
    pub headers: Vec<String>,
    /// As [`Answer::absent`].
    #[serde(default)]
    pub absent: Vec<String>,
    /// The body as it arrived.
    pub body: Option<String>,
}

/// A profile's calls, of which there is at least one.
pub fn of(profile: &str) -> Vec<Case> {
    let cases = file(profile).cases;
    assert!(!cases.is_empty(), "{profile} has no cases");
    cases
}

/// What a profile's service sends the other way.
pub fn events_of(profile: &str) -> Vec<EventCase> {
    file(profile).events
}

fn file(profile: &str) -> File {
    let file = parse(&read(format!("deploy/profiles/{profile}/cases.toml")));
    file.unwrap_or_else(|error| panic!("{profile}/cases.toml: {error}"))
}

fn parse(text: &str) -> Result<File, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    for case in &file.cases {
        let nowhere = case.upstream.reached == "nothing";
        let seen = &case.upstream;
        if nowhere
            && (seen.request.is_some() || seen.body.is_some() || !seen.headers.is_empty() || !seen.absent.is_empty())
        {
            return Err(format!(
                "{}: expects something of an upstream that gets nothing",
                case.name
            ));
        }
        if case.rows.is_empty() {
            return Err(format!("{}: shows no row", case.name));
        }
    }
    file.events.iter().try_for_each(events::check)?;
    Ok(file)
}

#[test]
fn what_a_case_does_not_say_or_says_wrongly_is_an_error() {
    let whole = "[[cases]]\nname = \"n\"\nrows = [\"r\"]\nrequest = \"GET /\"\nanswer = { status = 200 }\n\
                 upstream = { reached = \"default\" }\n";
    assert!(parse(whole).is_ok());
    for (from, to) in [
        ("answer = { status = 200 }\n", ""),
        ("upstream = { reached = \"default\" }\n", ""),
        ("status = 200", "state = 200"),
        ("status = 200", "status = 200, heads = []"),
        ("rows = [\"r\"]", "rows = []"),
        ("rows = [\"r\"]", "row = \"r\""),
        ("reached = \"default\"", "reached = \"nothing\", headers = [\"X-A\"]"),
        ("name = \"n\"", "name = \"n\"\nheader = \"x\""),
    ] {
        let changed = whole.replace(from, to);
        assert_ne!(changed, whole);
        assert!(parse(&changed).is_err(), "{changed}");
    }
    let event = "[[events]]\nname = \"n\"\nrows = [\"r\"]\nrequest = \"POST /\"\nanswer = { status = 200 }\n\
                 [[events.receivers]]\nwebhook = \"w\"\nrequest = \"POST /\"\nheaders = [\"a: b\"]\n";
    assert!(parse(&format!("{whole}{event}")).is_ok());
    for (from, to) in [
        ("answer = { status = 200 }\n", ""),
        ("rows = [\"r\"]", "rows = []"),
        ("headers = [\"a: b\"]", "headers = []"),
        ("headers = [\"a: b\"]", "headers = [\"a: b\"]\nabsent = []"),
        ("headers = [\"a: b\"]", "headers = [\"a: {hex}\"]"),
        ("headers = [\"a: b\"]", "headers = [\"a: {hex:64\"]"),
        ("headers = [\"a: b\"]", "headers = [\"a: {hex:64}\"]"),
    ] {
        let changed = event.replace(from, to);
        assert_ne!(changed, event);
        assert!(parse(&format!("{whole}{changed}")).is_err(), "{changed}");
    }
}
