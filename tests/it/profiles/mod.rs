//! The ready-made profiles under `deploy/profiles/` keep the contracts of the gateways that they stand in front of.
//!
//! Each profile is a configuration, its keys and a list of calls. [`stage`] starts the real program on it, [`cases`] is the
//! language of the list, [`replay`] makes the calls and compares. [`rows`] says what each profile has to show; what
//! a list of calls cannot say is in [`life`]. In [`sample`], the sample service stands behind them, as `keygate demo` starts it.

mod cases;
mod life;
mod replay;
mod rows;
mod sample;
mod source;
mod stage;

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
        let cases = cases::of(profile);
        let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len(), "{profile}: two cases have the same name");
        let mut shown: BTreeSet<&str> = cases.iter().flat_map(|case| &case.rows).map(String::as_str).collect();
        let alive = life::ROWS.iter().filter(|(name, _)| name == profile);
        shown.extend(alive.flat_map(|(_, rows)| rows.iter().copied()));
        let demanded: BTreeSet<&str> = rows.iter().copied().collect();
        assert_eq!(
            shown, demanded,
            "{profile}: what the cases show, and what they have to show"
        );
    }
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
        let stage = Stage::files(&profile);
        let check = stage.keygate(&["check"]);
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.success(), "{profile}: {said}");
        let commands = stage::readme_commands(&profile);
        assert_eq!(commands.len(), 2, "{profile}: a key and a start, {commands:?}");
        let new: Vec<&str> = commands[0].iter().map(String::as_str).collect();
        let made = stage.keygate(&new);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{profile}: {new:?}: {said}");
        assert_eq!(commands[1][0], "run", "{profile}");
    }
}
