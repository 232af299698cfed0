//! The tour: what is tried, and what is promised about the answer. The one list that the printed tour and the check are
//! both made of, so that neither can promise what the other does not.

mod events;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;

use super::call::{Call, Places, quoted};
use super::fact::{Fact, Form};
use super::sandbox::Sandbox;

/// One stop of the tour.
pub struct Step {
    /// A few words.
    pub title: &'static str,
    /// Why it is worth seeing; lines of at most 76 characters.
    pub about: &'static str,
    /// What is done.
    pub action: Action,
    /// What comes of it.
    pub facts: Vec<Fact>,
}

/// What a step does.
pub enum Action {
    /// One call.
    Call(Call),
    /// `first` calls at once, then the same call alone.
    Burst {
        /// How many before the last one.
        first: usize,
        /// The call.
        call: Call,
    },
    /// One call whose answer takes its time.
    Stream(Call),
    /// A WebSocket: what it says first is the answer's body.
    Socket(Call),
    /// A key is turned off or on in the key file; the call is what shows it.
    Switch {
        /// The change.
        switch: Switch,
        /// The call.
        call: Call,
    },
}

/// `active = …` of one key.
#[derive(Debug, Clone, Copy)]
pub struct Switch {
    /// The key's name.
    pub key: &'static str,
    /// Its new state.
    pub active: bool,
}

/// All stops in order. Each can be tried again, and the last one leaves everything as it was.
#[must_use]
pub fn steps(sandbox: &Sandbox) -> Vec<Step> {
    let bearer = |key: &str| format!("Bearer {key}");
    let (sender, reader) = (sandbox.sender.expose(), sandbox.reader.expose());
    let list = || Call::to("/v1/messages");
    let send = || list().posting(r#"{"to": "+15550100", "text": "Hello"}"#);
    let mut steps = vec![
        Step {
            title: "Send a message",
            about: "The key is valid and may send, so the call goes through. What is left of\n\
                    the key's rate limit is told on every answer.",
            action: Action::Call(send().with("Authorization", &bearer(sender))),
            facts: vec![
                Fact::Status(StatusCode::ACCEPTED),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Header("RateLimit-Policy", Form::Exactly(r#""minute";q=600;w=60"#)),
                Fact::Header("RateLimit", Form::Begins(r#""minute";r="#)),
                Fact::Holds(r#""id": "msg_"#.to_owned()),
            ],
        },
        Step {
            title: "See what the service sees",
            about: "The service never sees the key. It is told who is calling instead, and a\n\
                    caller cannot lie about that.",
            action: Action::Call(
                Call::to("/v1/echo")
                    .with("X-API-Key", sender)
                    .with("X-Auth-Organization", "somebody-else"),
            ),
            facts: vec![
                Fact::Status(StatusCode::OK),
                Fact::ServiceDidNotSee("X-API-Key", sender.to_owned()),
                Fact::ServiceSaw("X-Auth-Key-Id", "key_demo_sender".to_owned()),
                Fact::ServiceSaw("X-Auth-Key-Name", "sender".to_owned()),
                Fact::ServiceSaw("X-Auth-Organization", "acme".to_owned()),
                Fact::ServiceSaw("X-Auth-Permissions", "read send".to_owned()),
            ],
        },
        Step {
            title: "Come without a key",
            about: "Nothing reaches the service without one.",
            action: Action::Call(send()),
            facts: vec![
                Fact::Status(StatusCode::UNAUTHORIZED),
                Fact::Header("WWW-Authenticate", Form::Begins("Bearer")),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Problem("credential_missing"),
            ],
        },
        Step {
            title: "Come with a wrong key",
            about: "Unknown, expired and revoked keys look alike from outside.",
            action: Action::Call(send().with("Authorization", &bearer("demo_not-a-key"))),
            facts: vec![
                Fact::Status(StatusCode::UNAUTHORIZED),
                Fact::Header("WWW-Authenticate", Form::Begins("Bearer")),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Problem("credential_invalid"),
            ],
        },
        Step {
            title: "Come without the permission",
            about: "This key is valid too, but it may only read.",
            action: Action::Call(send().with("Authorization", &bearer(reader))),
            facts: vec![
                Fact::Status(StatusCode::FORBIDDEN),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Problem("permission_denied"),
            ],
        },
        Step {
            title: "Run into the rate limit",
            about: "The same key may read 5 times a minute. The refusal says when to come back.",
            action: Action::Burst {
                first: 7,
                call: list().with("Authorization", &bearer(reader)),
            },
            facts: vec![
                Fact::Before([[StatusCode::OK; 5].as_slice(), &[StatusCode::TOO_MANY_REQUESTS; 2]].concat()),
                Fact::Status(StatusCode::TOO_MANY_REQUESTS),
                Fact::Header("Retry-After", Form::Seconds),
                Fact::Header("RateLimit-Policy", Form::Exactly(r#""minute";q=5;w=60"#)),
                Fact::Header("RateLimit", Form::Begins(r#""minute";r=0"#)),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Problem("rate_limited"),
            ],
        },
        Step {
            title: "Watch a stream",
            about: "Server-sent events come as the service sends them, 300 ms apart.",
            action: Action::Stream(Call::to("/v1/stream").with("Authorization", &bearer(sender))),
            facts: vec![
                Fact::Status(StatusCode::OK),
                Fact::Header("Content-Type", Form::Exactly("text/event-stream")),
                // 1.2 s when nothing holds them up; what came at once would have been held back.
                Fact::OneByOne(5, Duration::from_millis(600)),
            ],
        },
        Step {
            title: "Open a WebSocket",
            about: "The first frame is the message that you sent above; curl shows it behind its\n\
                    two bytes of framing, and waits 3 s for more. A WebSocket client such as\n\
                    websocat, with the same URL and Authorization, stays and talks.",
            action: Action::Socket(
                Call::to("/v1/events?replay=1")
                    .with("Authorization", &bearer(sender))
                    .with("Connection", "Upgrade")
                    .with("Upgrade", "websocket")
                    .with("Sec-WebSocket-Version", "13")
                    .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ),
            facts: vec![
                Fact::Status(StatusCode::SWITCHING_PROTOCOLS),
                Fact::Header("Sec-WebSocket-Accept", Form::Exactly("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Holds(r#""event":"message.accepted""#.to_owned()),
            ],
        },
        Step {
            title: "Take the key away",
            about: "A changed key file counts within 2 s: no restart, no lost connection.",
            action: Action::Switch {
                switch: Switch {
                    key: "sender",
                    active: false,
                },
                call: list().with("Authorization", &bearer(sender)),
            },
            facts: vec![
                Fact::Status(StatusCode::UNAUTHORIZED),
                Fact::Header("WWW-Authenticate", Form::Begins("Bearer")),
                Fact::Problem("credential_invalid"),
            ],
        },
        Step {
            title: "Give it back",
            about: "And the other way round, as soon.",
            action: Action::Switch {
                switch: Switch {
                    key: "sender",
                    active: true,
                },
                call: list().with("Authorization", &bearer(sender)),
            },
            facts: vec![
                Fact::Status(StatusCode::OK),
                Fact::Header("X-Request-Id", Form::Something),
                Fact::Holds(r#""messages":"#.to_owned()),
            ],
        },
    ];
    steps.extend(events::steps(sandbox));
    steps
}

impl Action {
    /// What to paste into a terminal.
    #[must_use]
    pub fn commands(&self, places: &Places, key_file: &Path) -> Vec<String> {
        match self {
            Self::Call(call) => vec![call.curl("-i", places)],
            Self::Burst { first, call } => {
                let burst = numbered(call, &format!("[1-{first}]"));
                let codes = format!("-s -o /dev/null -w {}", quoted("%{http_code}\\n"));
                vec![burst.curl(&codes, places), call.curl("-i", places)]
            }
            Self::Stream(call) => vec![call.curl("-iN", places)],
            Self::Socket(call) => vec![call.curl("-isN --max-time 3 -o -", places)],
            Self::Switch { switch, call } => {
                vec![switch.command(key_file), "sleep 2".to_owned(), call.curl("-i", places)]
            }
        }
    }
}

/// The `number`th call of a burst; the service does not mind the number.
#[must_use]
pub fn numbered(call: &Call, number: &str) -> Call {
    Call {
        target: format!("{}?n={number}", call.target),
        ..call.clone()
    }
}

impl Switch {
    /// The change as a command; `-i.bak` is what both kinds of `sed` understand.
    #[must_use]
    pub fn command(self, key_file: &Path) -> String {
        let (old, new) = self.words();
        let file = quoted(&key_file.to_string_lossy());
        format!(
            "sed -i.bak '/^name = \"{}\"/,/^active/ s/{old}/{new}/' \\\n  {file}",
            self.key
        )
    }

    /// The change as the check makes it: the same line, in a new file that takes the old one's place.
    ///
    /// # Errors
    /// When the key file cannot be read or replaced, or has no such key in the other state.
    pub fn apply(self, key_file: &Path) -> io::Result<()> {
        let (old, new) = self.words();
        let text = fs::read_to_string(key_file)?;
        let from = text.find(&format!("\nname = \"{}\"\n", self.key));
        let at = from.and_then(|from| {
            text[from..]
                .find("\nactive = ")
                .map(|at| from + at + "\nactive = ".len())
        });
        let rest = at.and_then(|at| text[at..].strip_prefix(old));
        let (Some(at), Some(rest)) = (at, rest) else {
            return Err(io::Error::other(format!(
                "{} has no key {} with active = {old}",
                key_file.display(),
                self.key
            )));
        };
        let draft = key_file.with_extension("toml.new");
        fs::write(&draft, format!("{}{new}{rest}", &text[..at]))?;
        fs::set_permissions(&draft, fs::metadata(key_file)?.permissions())?;
        fs::rename(draft, key_file)
    }

    fn words(self) -> (&'static str, &'static str) {
        if self.active {
            ("false", "true")
        } else {
            ("true", "false")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::sandbox::Setup;
    use super::*;

    fn sandbox() -> Sandbox {
        let [service, receiver] = [3000, 4000].map(|port| ([127, 0, 0, 1], port).into());
        Sandbox::new(Setup {
            service,
            receiver,
            port: 0,
            log: false,
        })
        .expect("a sandbox")
    }

    #[test]
    fn the_command_and_the_check_make_the_same_change() {
        let (by_hand, by_check) = (sandbox().key_file(), sandbox());
        let directory = tempfile::tempdir().expect("a directory");
        drop(by_hand);
        let original = fs::read_to_string(by_check.key_file()).expect("readable");
        let by_hand = directory.path().join("it's keys.toml");
        fs::write(&by_hand, &original).expect("writable");
        for active in [false, true] {
            let switch = Switch { key: "sender", active };
            let command = switch.command(&by_hand);
            let status = Command::new("sh")
                .arg("-c")
                .arg(&command)
                .status()
                .expect("there is a shell");
            assert!(status.success(), "{command}");
            switch.apply(&by_check.key_file()).expect("applied");
            let text = fs::read_to_string(by_check.key_file()).expect("readable");
            assert_eq!(fs::read_to_string(&by_hand).expect("readable"), text);
            assert_eq!(text == original, active);
            assert_eq!(text.matches("active = false").count(), usize::from(!active));
        }
    }

    #[test]
    fn a_switch_that_changes_nothing_is_an_error() {
        let sandbox = sandbox();
        let on = Switch {
            key: "sender",
            active: true,
        };
        let nobody = Switch {
            key: "nobody",
            active: false,
        };
        assert!(on.apply(&sandbox.key_file()).is_err());
        assert!(nobody.apply(&sandbox.key_file()).is_err());
    }

    #[test]
    fn every_step_promises_a_status_and_has_a_name_of_its_own() {
        let sandbox = sandbox();
        let steps = steps(&sandbox);
        for step in &steps {
            assert!(
                step.facts.iter().any(|fact| matches!(fact, Fact::Status(_))),
                "{}",
                step.title
            );
            assert_eq!(
                steps.iter().filter(|other| other.title == step.title).count(),
                1,
                "{}",
                step.title
            );
        }
    }
}
