//! `keygate keys new`

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ipnet::IpNet;

use super::arguments::{self, Expiry};
use super::store::Store;
use super::{Where, date_time, trail};
use crate::cli::failure::BadInput;
use crate::cli::output::{deliver, tell};
use crate::cli::progress::{EDITING, patiently};
use crate::clock;
use crate::config::credentials::Source;
use crate::config::environments::Environment;
use crate::config::key_settings::KeySettings;
use crate::config::reader::{nearest, quoted};
use crate::control::keyfile::{self, Added};
use crate::control::mint::{NewKey, Prefixes};
use crate::ledger::audit::Action;
use crate::secret::Secret;

pub(super) const EXAMPLES: &str = "\
Examples:
  A key that may send, in a shell variable:
    KEY=$(keygate keys new --name backend-prod --organization 42 --permission send)
  One that ends after 90 days and is only good from one network:
    keygate keys new --name ci --organization 42 --expires 90d --allowed-source 203.0.113.0/24
  Into a file, without any configuration; the file is made with mode 0600:
    keygate keys new --file keys.toml --name first --organization acme";

/// Arguments of `keygate keys new`.
#[derive(Debug, Args)]
pub struct New {
    #[command(flatten)]
    place: Where,
    /// What the key is for, for people.
    #[arg(long, value_parser = arguments::label)]
    name: String,
    /// The id of the organization that the key belongs to. It gets a record where it has none.
    #[arg(long, value_name = "ID", value_parser = arguments::word)]
    organization: String,
    /// The organization's name for people, where it gets a record.
    #[arg(long, value_name = "NAME", value_parser = arguments::label)]
    organization_name: Option<String>,
    /// What the key may do; several times, or separated by commas. Without any, it may use the routes that ask for none.
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = arguments::word)]
    permissions: Vec<String>,
    /// The environment that the key belongs to; its first prefix is what the key begins with.
    #[arg(long)]
    environment: Option<String>,
    /// When the key ends: after a time (90d, 12h), at the beginning of a day in UTC (2027-01-31), at a moment
    /// (2027-01-31T12:00:00Z), or never. Keys that end are safer; never is the default because a forgotten end stops a
    /// service.
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = arguments::expiry)]
    expires: Expiry,
    /// A network or address from which the key is good; several times. Without any, from everywhere.
    #[arg(long = "allowed-source", value_name = "CIDR", value_delimiter = ',', value_parser = arguments::network)]
    allowed_sources: Vec<IpNet>,
    /// The plan that limits the key, before that of its environment and organization.
    #[arg(long)]
    plan: Option<String>,
    /// Who answers for the key, for people.
    #[arg(long, value_parser = arguments::label)]
    owner: Option<String>,
    /// A subscription that the service is told about; several times, or separated by commas.
    #[arg(long = "subscription", value_name = "SUBSCRIPTION", value_delimiter = ',', value_parser = arguments::word)]
    subscriptions: Vec<String>,
    /// What the key begins with [default: the environment's first prefix, or prefix under `keys`, or kg_].
    #[arg(long, value_parser = arguments::prefix)]
    prefix: Option<String>,
    /// Print one JSON object instead of the secret alone: id, secret, hint, organization, file, expires_at.
    #[arg(long)]
    json: bool,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.place, now)?;
        let expires_at = self.expires.at(now);
        if expires_at.is_some_and(|end| end <= now) {
            return Err(BadInput::error(
                "--expires is in the past",
                "choose a later time, or a duration such as 90d",
            ));
        }
        let prefix = self.choose_prefix(store.settings.as_ref())?;
        let (key, secret) = NewKey::mint(&prefix, &self.name, &self.organization, now);
        let key = NewKey {
            permissions: without_repetitions(self.permissions),
            environment: self.environment,
            subscriptions: without_repetitions(self.subscriptions),
            plan: self.plan,
            expires_at,
            allowed_sources: self.allowed_sources,
            owner: self.owner,
            ..key
        };
        let organization_name = self.organization_name.as_deref();
        let added = patiently(EDITING, || {
            keyfile::add(&store.place(), &key, organization_name, &mut store.scope.clone())
        })?;
        trail::append(
            &store,
            Action::KeyCreate,
            Some(key.id.clone()),
            serde_json::json!({ "after": added.view }),
            now,
        );
        describe(&key, &added, organization_name, store.settings.as_ref());
        let text = if self.json {
            json(&key, &secret, &added)
        } else {
            format!("{}\n", secret.expose())
        };
        let text = zeroize::Zeroizing::new(text);
        // Not as `list` prints: a reader that has gone would mean a key whose secret nobody has.
        deliver(&text).with_context(|| {
            format!(
                "the key {} was made, but its secret could not be printed and is lost: remove its record from {}",
                key.id,
                added.file.display()
            )
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the key begins with. Also refuses names that the configuration does not have.
    fn choose_prefix(&self, settings: Option<&KeySettings>) -> anyhow::Result<String> {
        let own = self.prefix.clone();
        let Some(settings) = settings else {
            return Ok(own.unwrap_or_else(|| Prefixes::DEFAULT.to_owned()));
        };
        if let Some(plan) = &self.plan {
            let names: Vec<&str> = settings.plans.iter().map(|plan| plan.name.as_str()).collect();
            find("plan", plan, &names)?;
        }
        let environments = &settings.environments;
        let names: Vec<&str> = environments
            .iter()
            .map(|environment| environment.name.as_str())
            .collect();
        let environment = match &self.environment {
            Some(name) => Some(&environments[find("environment", name, &names)?]),
            None => None,
        };
        let of_environment = environment.and_then(|environment| environment.prefixes.first().cloned());
        let prefix = own.or(of_environment).unwrap_or_else(|| settings.keys.prefix.clone());
        if let (Some(environment), Some(named)) = (environment, Environment::of_key(&prefix, environments))
            && environment.name != named.name
        {
            return Err(BadInput::error(
                format!(
                    "a key that begins with {prefix} belongs to the environment {}, not {}",
                    named.name, environment.name
                ),
                "leave out --prefix, or choose the other environment",
            ));
        }
        Ok(prefix)
    }
}

fn find(kind: &str, name: &str, names: &[&str]) -> anyhow::Result<usize> {
    names.iter().position(|known| *known == name).ok_or_else(|| {
        let help = match nearest(name, names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.is_empty() => format!("declare it in the configuration: [{kind}s.{name}]"),
            None => format!("the configuration has {}", quoted(names)),
        };
        BadInput::error(format!("there is no {kind} named \"{name}\""), help)
    })
}

fn without_repetitions(words: Vec<String>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        if !unique.contains(&word) {
            unique.push(word);
        }
    }
    unique
}

/// Everything but the secret, on standard error.
fn describe(key: &NewKey, added: &Added, organization_name: Option<&str>, settings: Option<&KeySettings>) {
    let made = if added.is_new {
        " (made, readable by its owner only)"
    } else {
        ""
    };
    let organization = if added.organization_added { " (added)" } else { "" };
    let expires = key.expires_at.map_or_else(
        || "never; give the next one an end with --expires 90d".to_owned(),
        date_time,
    );
    tell(format_args!("key           {}  {}", key.id, key.name));
    tell(format_args!("organization  {}{organization}", key.organization));
    tell(format_args!("file          {}{made}", added.file.display()));
    tell(format_args!("hint          {}", key.hint));
    if !key.permissions.is_empty() {
        tell(format_args!("permissions   {}", key.permissions.join(", ")));
    }
    tell(format_args!("expires       {expires}"));
    if added.namesakes > 0 {
        tell(
            "note: the organization has another key of this name; commands that are told the name will refuse to choose, so \
             use the id",
        );
    }
    if organization_name.is_some() && !added.organization_added {
        tell("note: the organization has a record already; its name stays as it is");
    }
    tell(format_args!("try it:       {}", try_it(settings)));
    tell("The secret is on standard output, this once. It is stored nowhere.");
}

/// A call that uses the key, without it.
fn try_it(settings: Option<&KeySettings>) -> String {
    let url = "http://localhost:8080/";
    let first = settings.and_then(|settings| settings.credentials.first());
    match first {
        None => format!("curl -H \"Authorization: Bearer $KEY\" {url}"),
        Some(Source::Scheme { header, scheme }) => format!("curl -H \"{header}: {scheme} $KEY\" {url}"),
        Some(Source::Header(header)) => format!("curl -H \"{header}: $KEY\" {url}"),
        Some(Source::BasicPassword) => format!("curl -u \"key:$KEY\" {url}"),
        Some(Source::Query(name)) => format!("curl \"{url}?{name}=$KEY\""),
        Some(Source::Cookie(name)) => format!("curl -b \"{name}=$KEY\" {url}"),
        Some(Source::WebSocketProtocol(prefix)) => {
            format!("a WebSocket with the protocol \"{prefix}$KEY\" to ws://localhost:8080/")
        }
    }
}

fn json(key: &NewKey, secret: &Secret, added: &Added) -> String {
    let object = serde_json::json!({
        "id": key.id,
        "secret": secret.expose(),
        "hint": key.hint,
        "organization": key.organization,
        "file": added.file.display().to_string(),
        "expires_at": key.expires_at.map(date_time),
    });
    format!("{object}\n")
}
