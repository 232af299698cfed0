//! The ready-made profiles under `deploy/profiles/` keep the contracts of the gateways that they stand in front of.
//!
//! Each profile is a configuration, its keys, its webhooks and a list of calls and events. [`stage`] starts the real program on it,
//! [`cases`] and [`events`] are the language of the list, [`replay`] makes the calls and compares, [`deliver`] does the same with
//! events. [`rows`] says what each profile has to show; what a list cannot say is in [`life`] and [`webhooks`]. In [`sample`], the
//! sample service stands behind them, as `keygate demo` starts it.

mod cases;
mod deliver;
mod events;
mod exact;
mod life;
mod replay;
mod rows;
mod sample;
mod source;
mod stage;
mod webhooks;

use std::collections::BTreeSet;

use crate::docs::project;
use stage::Stage;

/// The profiles that there are, by the names of their directories.
fn profiles() -> Vec<String> {
    let directory = std::fs::read_dir(project().join("deploy/profiles")).unwrap();
    let mut names: Vec<String> = directory
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Makes every call of one profile, each in front of a program that has just been started.
fn replay(profile: &str) {
    let mut wrong = Vec::new();
    for case in cases::of(profile) {
        let stage = Stage::set(profile);
        wrong.extend(
            replay::one(&stage, &case)
                .into_iter()
                .map(|what| format!("{}: {what}", case.name)),
        );
    }
    assert!(wrong.is_empty(), "{profile}:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_profile_is_replayed_and_shows_every_row() {
    assert_eq!(profiles(), rows::ROWS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (profile, rows) in rows::ROWS {
        let (cases, events) = (cases::of(profile), cases::events_of(profile));
        let calls = cases.iter().map(|case| (&case.name, &case.rows));
        let all = calls.chain(events.iter().map(|event| (&event.name, &event.rows)));
        let (names, shown): (Vec<&String>, Vec<&Vec<String>>) = all.unzip();
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{profile}: two cases have the same name");
        let mut shown: BTreeSet<&str> = shown.into_iter().flatten().map(String::as_str).collect();
        let alive = life::ROWS
            .iter()
            .chain(webhooks::ROWS)
            .filter(|(name, _)| name == profile);
        shown.extend(alive.flat_map(|(_, rows)| rows.iter().copied()));
        let demanded: BTreeSet<&str> = rows.iter().copied().collect();
        assert_eq!(
            shown, demanded,
            "{profile}: what the cases show, and what they have to show"
        );
    }
}

/// Sends every event of one profile, each in front of a program that has just been started; those who verify are asked about all
/// of them together.
fn send(profile: &str) {
    let (mut wrong, mut proofs) = (Vec::new(), Vec::new());
    let events = cases::events_of(profile);
    assert!(!events.is_empty(), "{profile} sends nothing");
    for case in &events {
        let stage = Stage::set(profile);
        let differences = deliver::one(&stage, profile, case, &mut proofs);
        wrong.extend(differences.into_iter().map(|what| format!("{}: {what}", case.name)));
    }
    wrong.extend(deliver::verify(&proofs));
    assert!(wrong.is_empty(), "{profile}:\n  {}", wrong.join("\n  "));
}

#[test]
fn connexease_sends_its_events() {
    send("connexease");
}

#[test]
fn gosendapi_sends_its_events() {
    send("gosendapi");
}

#[test]
fn swellsign_sends_its_events() {
    send("swellsign");
}

#[test]
fn wa_gateway_sends_its_events() {
    send("wa-gateway");
}

#[test]
fn connexease_keeps_its_contract() {
    replay("connexease");
}

#[test]
fn connxio_keeps_its_contract() {
    replay("connxio");
}

#[test]
fn gosendapi_keeps_its_contract() {
    replay("gosendapi");
}

#[test]
fn swellsign_keeps_its_contract() {
    replay("swellsign");
}

#[test]
fn wa_gateway_keeps_its_contract() {
    replay("wa-gateway");
}

#[test]
fn every_profile_is_accepted_and_its_readme_starts_it() {
    for profile in profiles() {
        let home = stage::shipped(&profile);
        let check = home.keygate(&["check"]);
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.success(), "{profile}: {said}");
        // Those that make secrets have been followed already.
        let mut commands = stage::readme_commands(&profile);
        commands.retain(|command| command.into.is_none());
        assert_eq!(commands.len(), 2, "{profile}: a key and a start");
        let new: Vec<&str> = commands[0].arguments.iter().map(String::as_str).collect();
        let made = home.keygate(&new);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{profile}: {new:?}: {said}");
        assert_eq!(commands[1].arguments[0], "run", "{profile}");
    }
}
