//! `keygate explain`: what would become of a request, and why, without sending or spending anything.
//!
//! Offline it reads the same files as `run` and asks the same rules; with `--admin` it asks a running sidecar, with the
//! limits as they are there. The key comes on standard input only, and is in nothing that is printed.

mod render;

use std::io::{self, IsTerminal as _, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Configuration;
use super::admin::client::{Access, Client};
use super::failure::{self, BadInput};
use super::output::{print, tell};
use crate::clock;
use crate::config::sources::Sources;
use crate::config::{self, Loaded};
use crate::control::explain::{HttpVersion, Question, explain};
use crate::policy::Policy;
use crate::secret::Secret;

pub(super) const EXAMPLES: &str = "\
Examples:
  With a key from a variable:   printf %s \"$KEY\" | keygate explain --request \"POST /v1/messages\"
  Without a key, from outside:  keygate explain --request \"GET /v1/me\" --from 203.0.113.9 --tls < /dev/null
  On a running sidecar:         keygate explain --request \"GET /v1/me\" --admin unix:/run/keygate/admin.sock < key.txt

Exit codes: 0 it would pass, 1 it would be refused, 2 it could not be explained.";

/// More bytes than this are not a key.
const LONGEST: usize = 8 << 10;
/// What helps against what is none.
const PIPE: &str = "pipe the key alone into it";
/// Headers that usually hold credentials.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "x-api-key", "proxy-authorization"];

/// Arguments of `keygate explain`.
#[derive(Args)]
pub(super) struct Explain {
    /// Method and target of the request, for example "POST /v1/messages".
    #[arg(long, value_name = "REQUEST")]
    request: String,
    /// A header of it; may be repeated. The key does not belong here: other users can read arguments.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Its Host [default: localhost].
    #[arg(long)]
    host: Option<String>,
    /// The address that it comes from [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// It comes over TLS.
    #[arg(long)]
    tls: bool,
    /// The HTTP version that it is sent in.
    #[arg(long, value_name = "VERSION", default_value = "1.1")]
    http: Http,
    /// Where the key stands: a source's number in the configuration (from 0), its name, or what it is (X-API-Key,
    /// basic, query, cookie, websocket_protocol) [default: the first that counts on the route].
    #[arg(long = "in", value_name = "SOURCE")]
    source: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: Configuration,
    /// Ask the running sidecar at this admin address: http://HOST:PORT, or unix:/PATH.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, ValueEnum)]
enum Http {
    #[value(name = "1.1")]
    One,
    #[value(name = "2")]
    Two,
}

impl Explain {
    /// Does it. Whatever keeps it from an explanation is exit code 2.
    pub(super) fn run(self) -> ExitCode {
        let outcome = self.explain();
        outcome.unwrap_or_else(|error| {
            failure::report(&error);
            ExitCode::from(2)
        })
    }

    fn explain(self) -> anyhow::Result<ExitCode> {
        self.warn();
        let question = Question {
            request: self.request,
            headers: self.headers,
            host: self.host,
            from: self.from,
            tls: self.tls,
            http: match self.http {
                Http::One => HttpVersion::One,
                Http::Two => HttpVersion::Two,
            },
            source: self.source,
            key: read_key()?,
        };
        let text = match &self.admin {
            Some(address) => {
                let client = Client::new(address.parse()?, &self.access)?;
                client.post("/admin/v1/explain", &serde_json::to_value(&question)?)?
            }
            None => offline(&self.configuration.config, &question)?,
        };
        let explanation: Value = serde_json::from_str(&text).context("the answer is not JSON")?;
        if self.json {
            print(&text)?;
        } else {
            print(&render::text(&question.request, &explanation))?;
        }
        Ok(ExitCode::from(u8::from(
            explanation["verdict"] != "forward" && explanation["verdict"] != "answer",
        )))
    }

    /// Arguments can be read by every user of the machine.
    fn warn(&self) {
        let mut names = self.headers.iter().filter_map(|line| line.split(':').next());
        if names.any(|name| CREDENTIALS.contains(&name.trim().to_ascii_lowercase().as_str())) {
            tell(
                "note: other users of this machine can read arguments, and the shell remembers them; a key is better piped \
                 into standard input",
            );
        }
    }
}

/// On the files as they are.
fn offline(file: &Path, question: &Question) -> anyhow::Result<String> {
    let Loaded { config, warnings } = config::load(file, &mut Sources::default())?;
    warnings.iter().for_each(tell);
    let policy = Policy::first(config)?;
    let explanation = explain(&policy, question, clock::now())?;
    Ok(serde_json::to_string_pretty(&explanation)? + "\n")
}

/// The key on standard input, without the line end that `echo` and editors put behind it; `None` when there is none.
fn read_key() -> anyhow::Result<Option<Secret>> {
    if io::stdin().is_terminal() {
        tell("Paste the key and press Enter, then Ctrl-D; Ctrl-D alone for a request without one.");
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
    io::stdin().take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(BadInput::error("standard input holds more than a key", PIPE));
    }
    // What is wrong with it is not quoted.
    let text =
        std::str::from_utf8(&bytes).map_err(|_| BadInput::error("the key on standard input is not UTF-8", PIPE))?;
    let key = text.strip_suffix('\n').unwrap_or(text);
    let key = key.strip_suffix('\r').unwrap_or(key);
    Ok((!key.is_empty()).then(|| Secret::new(key.to_owned())))
}
