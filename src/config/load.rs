//! Reading a whole configuration: every section, the files it names, the key records, and what holds between them.
//!
//! A room of its own so that the order in which sections need each other can be read on one screen.

use std::path::Path;
use std::sync::Arc;

use super::document::Source;
use super::environments::Environment;
use super::files::{self, Files};
use super::plans::Plan;
use super::problem::{Problem, Problems, Report, Severity};
use super::reader::{Item, Table};
use super::records::{Catalogue, Known, Scope};
use super::sources::Sources;
use super::state::State;
use super::{
    Config, Loaded, admin, checks, credentials, demands, egress, environments, errors, expiry, identity, ingress, keys,
    legacy, limits, patterns, permissions, plans, quotas, records, routes, state, telemetry, upstreams, user_tokens,
    webhooks, whoami,
};
use crate::clock;

/// Reads the configuration in the file at `path`, and every file that it names. What was read, or tried, goes to `sources`
/// in any case: a broken file is mended by a change of one of these.
///
/// # Errors
/// Every problem of every file, when at least one of them is an error.
pub fn load(path: &Path, sources: &mut Sources) -> Result<Loaded, Problems> {
    load_again(path, sources, None)
}

/// As [`load`], without reading key files again that are as they were when `known` was read.
///
/// # Errors
/// As [`load`].
pub fn load_again(path: &Path, sources: &mut Sources, known: Option<Known<'_>>) -> Result<Loaded, Problems> {
    load_from(path, sources, KeysFrom::File(known))
}

/// As [`load`], with the keys that were last in force in place of those in the key file.
///
/// # Errors
/// As [`load`], and where there are none.
pub(super) fn load_on_last_good(path: &Path, sources: &mut Sources) -> Result<Loaded, Problems> {
    load_from(path, sources, KeysFrom::LastGood)
}

/// Where key records come from.
#[derive(Clone, Copy)]
pub(super) enum KeysFrom<'k> {
    /// `keys.file`, of which something may be known already.
    File(Option<Known<'k>>),
    /// What was last in force ([`State::last_good`]).
    LastGood,
}

fn load_from(path: &Path, sources: &mut Sources, keys: KeysFrom<'_>) -> Result<Loaded, Problems> {
    let whole_file = |what: &str, help: &str| Problems(vec![Problem::of_file(Severity::Error, path, what, help)]);
    let bytes = sources.read(path).map_err(|error| match files::unreadable(&error) {
        (what, _) if error.kind() == std::io::ErrorKind::NotFound => {
            whole_file(&what, "name the configuration file with --config FILE")
        }
        (what, help) => whole_file(&what, &help),
    })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => load_with(path, text, sources, keys),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            Err(whole_file(
                &format!("is not UTF-8 text (line {line})"),
                "save it as UTF-8",
            ))
        }
    }
}

/// As [`load`], with the file's text at hand. The file itself need not exist; the files that it names are sought beside
/// it.
///
/// # Errors
/// As [`load`].
#[cfg(test)]
pub(super) fn load_text(file: &Path, text: &str) -> Result<Loaded, Problems> {
    load_with(file, text, &mut Sources::default(), KeysFrom::File(None))
}

fn load_with(file: &Path, text: &str, sources: &mut Sources, keys: KeysFrom<'_>) -> Result<Loaded, Problems> {
    let report = Report::new();
    let config = read(file, text, sources, keys, &report);
    let refused = report.has_errors();
    let problems = report.into_problems();
    match config {
        Some(config) if !refused => Ok(Loaded {
            config,
            warnings: problems.0,
        }),
        Some(_) | None => Err(problems),
    }
}

/// Reads everything. What comes back is a valid configuration only if `report` has no errors.
pub(super) fn read(
    file: &Path,
    text: &str,
    sources: &mut Sources,
    keys_from: KeysFrom<'_>,
    report: &Report,
) -> Option<Config> {
    let source = Source::new(file, text);
    let document = source.parse_toml(report);
    let root = Table::root(&source, &document, report);
    let files = Files::beside(file, std::mem::take(sources));

    let limits = limits::read(&root.section("limits"));
    let timeouts = limits::read_timeouts(&root.section("timeouts"));
    let upstreams = upstreams::read(&root, &files, timeouts.upstream);
    let plans = plans::read(&root);
    let plan_names: Vec<String> = plans.iter().map(|(plan, _)| plan.name.clone()).collect();
    let environments = environments::read(&root, &upstreams.names, &plan_names);
    let credentials = credentials::read(&root);
    let environment_names: Vec<String> = environments
        .iter()
        .map(|(environment, _)| environment.name.clone())
        .collect();
    let mut routes = routes::read(
        &root,
        routes::Known {
            upstreams: &upstreams.names,
            environments: &environment_names,
            credentials: &credentials.names,
        },
    );
    let otherwise = if routes.is_empty() {
        routes::Access::Key
    } else {
        routes::Access::Deny
    };
    let (whoami, door) = whoami::read(&root).unzip();
    routes.extend(door);
    patterns::check(&routes, &upstreams.upstreams);
    let permissions = permissions::read(&root);
    let legacy = legacy::read(&root);
    let ingress_table = root.section("ingress");
    let (ingress, ingress_places) = ingress::read(&ingress_table, &files);
    let (admin, admin_places) = admin::read(&root.section("admin"), &files);
    let egress_item = root.get("egress");
    let (egress, egress_places) = egress_item
        .as_ref()
        .and_then(|item| item.table())
        .map(|table| egress::read(&table, &files))
        .unzip();
    let webhooks_item = root.get("webhooks");
    let webhooks = webhooks_item
        .as_ref()
        .and_then(|item| webhooks::read(item, &files, report));
    let keys_table = root.section("keys");
    let expiry = expiry::read(&keys_table.section("expiry"), &files);
    let keys = keys::read(&keys_table, &files);
    let identity = identity::read(&root.section("identity"));
    let user_tokens = user_tokens::read(&root, &files, &plan_names, &credentials);
    let unmatched = ingress_table.get("unmatched");
    let unmatched = unmatched.filter(|_| ingress.unmatched.is_some_and(routes::Access::takes_users));
    checks::users(&routes, unmatched.as_ref(), root.get("user_tokens").as_ref());
    checks::required_headers(&routes, &credentials, &identity);
    let errors = errors::read(&root.section("errors"));
    let telemetry = telemetry::read(&root.section("telemetry"));
    let state_item = root.get("state");
    let state = state::read(
        state_item.as_ref(),
        &files,
        keys.as_ref().map(|keys| keys.file.as_path()),
    );

    checks::legacy(&legacy, clock::unix());
    let egress_places = egress_places.unwrap_or_default();
    let egress_listen = egress.as_ref().map_or(&[][..], |egress| &egress.listen);
    checks::listeners(&[
        (&ingress.listen, &ingress_places),
        (egress_listen, &egress_places),
        (&admin.listen, &admin_places),
    ]);
    checks::events(egress_item.as_ref(), webhooks_item.as_ref());
    checks::queue(webhooks_item.as_ref().zip(webhooks.as_ref()), state_item.as_ref());
    checks::loops(&upstreams.upstreams, &upstreams.places, &ingress.listen);

    let plan_values: Vec<Plan> = plans.iter().map(|(plan, _)| plan.clone()).collect();
    let environment_values: Vec<Environment> = environments
        .iter()
        .map(|(environment, _)| environment.clone())
        .collect();
    let (key_file, known) = match keys_from {
        KeysFrom::File(known) => (keys.as_ref().map(|keys| keys.file.clone()), known),
        KeysFrom::LastGood => (state.as_ref().map(State::last_good), None),
    };
    let records = match (&keys, keys_table.get("file"), key_file) {
        (Some(keys), Some(item), Some(key_file))
            if !source.has_syntax_errors() && is_there(&key_file, &item, &files) =>
        {
            let mut scope = Scope::new(&plan_values, &environment_values, keys, limits.keys, clock::unix());
            scope.permissions = Some(Catalogue::new(demands::catalogue(&routes, &permissions)));
            let records = records::load_again(&key_file, &mut scope, &mut files.sources(), known, report);
            checks::plans(&plans, &environments, &records);
            checks::environments(&environments, &records);
            checks::key_prefixes(&environments, &credentials);
            checks::costs(&routes, &plans, &records);
            demands::check(&routes, &permissions, &records);
            quotas::check_costs(&routes, &plans, &records);
            quotas::check_calendars(&plans, &environment_values, &records);
            quotas::check_state(&plans, &records, state_item.is_some(), &item.key_place());
            Some(records)
        }
        (_, _, _) => None,
    };
    drop((ingress_table, root));
    *sources = files.into_sources();

    Some(Config {
        file: file.to_owned(),
        admin,
        egress,
        webhooks,
        upstreams: upstreams.upstreams,
        default_upstream: upstreams.default,
        keys: keys?,
        expiry,
        credentials,
        user_tokens,
        environments: environment_values,
        plans: plan_values,
        permissions: permissions.into_iter().map(|(set, _)| set).collect(),
        unmatched: routes::Route::unmatched(ingress.unmatched.unwrap_or(otherwise)),
        routes: routes.into_iter().map(|placed| placed.route).collect(),
        whoami,
        legacy: legacy.into_iter().map(|(entry, _)| entry).collect(),
        identity,
        errors,
        limits,
        timeouts,
        telemetry,
        state,
        records: Arc::new(records?),
        ingress,
    })
}

/// Whether the key file or directory exists; reports at the option that names it when not.
fn is_there(path: &Path, item: &Item<'_>, files: &Files) -> bool {
    let looked = files.sources().look(path);
    match looked {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            item.error(
                format!("{} does not exist", path.display()),
                "make the first key with `keygate keys new`, or correct the path",
            );
            false
        }
        Err(error) => {
            let (what, help) = files::unreadable(&error);
            item.error(format!("{} {what}", path.display()), help);
            false
        }
    }
}
