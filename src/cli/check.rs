//! `keygate check`: what the files say, or everything that is wrong with them.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::output;
use crate::clock;
use crate::config::problem::{Problem, Problems};
use crate::config::routes::{Access, Enforcement, Route, Target};
use crate::config::sources::Sources;
use crate::config::upstreams::{Endpoint, Protocol, Upstream};
use crate::config::{self, Loaded};
use crate::policy::Policy;

pub(super) fn check(file: &Path) -> anyhow::Result<ExitCode> {
    match compile(file) {
        Ok((policy, warnings)) => {
            for warning in &warnings {
                output::tell(warning);
            }
            let summary = summary(&policy, clock::unix());
            output::print(&format!("{summary}{}\n", verdict(warnings.len())))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            let found = count(problems.0.len(), "problem");
            output::tell(&problems);
            output::tell(format_args!("{} not usable: {found} found", file.display()));
            Ok(ExitCode::from(2))
        }
    }
}

/// As far as `run` gets before it listens.
fn compile(file: &Path) -> Result<(Policy, Vec<Problem>), Problems> {
    let Loaded { config, warnings } = config::load(file, &mut Sources::default())?;
    Ok((Policy::first(config)?, warnings))
}

fn verdict(warnings: usize) -> String {
    if warnings == 0 {
        "ok".to_owned()
    } else {
        format!("ok, with {}", count(warnings, "warning"))
    }
}

fn summary(policy: &Policy, now: i64) -> String {
    let config = &policy.config;
    let mut lines = Vec::new();
    let tls = if config.ingress.tls.is_some() { " (TLS)" } else { "" };
    for listen in &config.ingress.listen {
        lines.push(format!("listener   ingress  {listen}{tls}"));
    }
    for listen in config.egress.iter().flat_map(|egress| &egress.listen) {
        lines.push(format!("listener   egress   {listen}"));
    }
    for listen in &config.admin.listen {
        lines.push(format!("listener   admin    {listen}"));
    }
    for upstream in &config.upstreams {
        lines.push(format!("upstream   {}  {}", upstream.name, address(upstream)));
    }
    let has_routes = config.routes.iter().any(|route| route.target == Target::Upstream);
    if !has_routes && config.unmatched.access == Access::Key {
        lines.push("routes     none: every path needs a valid key".to_owned());
    }
    lines.extend(
        config
            .routes
            .iter()
            .map(|route| format!("route      {}", described(route))),
    );
    let is_default = match config.unmatched.access {
        Access::Deny => has_routes,
        Access::Key => !has_routes,
        Access::User | Access::KeyOrUser | Access::Public => false,
    };
    if !is_default {
        lines.push(format!("unmatched  {}", access(config.unmatched.access)));
    }
    for legacy in &config.legacy {
        let state = if legacy.until <= now {
            "ended"
        } else {
            "without a key until"
        };
        lines.push(format!("legacy     {}  {state} {}", legacy.name, moment(legacy.until)));
    }
    if let Some(egress) = &policy.egress {
        let active = egress.webhooks().iter().filter(|webhook| webhook.active).count();
        lines.push(format!("webhooks   {}, {active} active", egress.webhooks().len()));
    }
    let keyring = policy.keyring();
    lines.push(format!(
        "keys       {} of {}",
        count(keyring.len(), "key"),
        count(keyring.organizations().len(), "organization")
    ));
    for (state, number) in keyring.count_by_state(policy.revocations(), now) {
        if number > 0 {
            lines.push(format!("           {number} {}", state.word().replace('_', " ")));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A route on one line: methods, path, who may use it, and what it demands of them.
fn described(route: &Route) -> String {
    let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
    let methods = if methods.is_empty() {
        "*".to_owned()
    } else {
        methods.join(",")
    };
    let mut line = format!("{methods} {}  {}", route.path, access(route.access));
    if let Some(permission) = &route.permission {
        line.push_str(&format!("  permission {permission}"));
    }
    if route.organization.is_some() {
        line.push_str("  own organization");
    }
    match route.enforcement {
        Enforcement::Enforce => {}
        Enforcement::Observe => line.push_str("  observes only"),
        Enforcement::Off => line.push_str("  not enforced"),
    }
    match route.target {
        Target::Upstream => {}
        Target::Whoami => line.push_str("  whoami"),
    }
    line
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Key => "key",
        Access::User => "user",
        Access::KeyOrUser => "key-or-user",
        Access::Public => "public",
        Access::Deny => "deny",
    }
}

fn moment(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |at| at.to_string())
}

fn address(upstream: &Upstream) -> String {
    let scheme = match (upstream.protocol, upstream.tls.is_some()) {
        (Protocol::H2c, _) => "h2c",
        (Protocol::Http1, true) => "https",
        (Protocol::Http1, false) => "http",
    };
    match &upstream.endpoint {
        Endpoint::Tcp { .. } => format!("{scheme}://{}", upstream.authority),
        Endpoint::Unix(path) => format!("{scheme} on unix:{}", path.display()),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
