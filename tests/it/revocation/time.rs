//! What ends in time ends by a timer, without a byte having to move and without anybody writing a file.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use serde_json::json;

use super::stage::{Kind, LATE, Open, Stage, begin_all};
use super::{setup, told};
use crate::harness::{
    ALPHA, BETA, Connection, GAMMA, Gate, Home, Setup, SigningKey, get, key, key_file, key_set, presents, sha256,
    wait_until,
};
use crate::users::{bearer, claims, unix};

/// Long enough to open everything.
const SOON: u64 = 4;

/// A moment that is so many seconds away, for a record; and itself.
fn moment(seconds: u64) -> (String, u64) {
    let at = unix() + seconds;
    let text = jiff::Timestamp::from_second(at.try_into().unwrap()).unwrap();
    (text.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), at)
}

/// It has come, and not long ago.
#[track_caller]
fn has_just_come(moment: u64) {
    let late = unix().checked_sub(moment).expect("not before its time");
    assert!(late <= LATE.as_secs(), "{late} s late");
}

#[test]
fn all_that_is_open_under_a_key_ends_when_it_expires() {
    let stage = Stage::new();
    let (soon, at) = moment(SOON);
    let gate = Gate::start(&Setup {
        records: key_file(&[
            key("key_alpha", ALPHA, &format!("expires_at = {soon}")),
            key("key_beta", BETA, ""),
        ]),
        ..setup(&stage.upstream)
    });
    let mut alpha = begin_all(gate.ingress(), &stage, ALPHA, "alpha");
    let mut beta = begin_all(gate.ingress(), &stage, BETA, "beta");
    for open in &mut alpha {
        open.ends(&stage, 401);
        has_just_come(at);
        told(&gate, open.target(), "credential_invalid", "expired");
    }
    for open in &mut beta {
        open.goes_on(&stage);
    }
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), alpha.len() as f64);
    assert_eq!(gate.metric(&["keygate_generation"]), 1.0);
}

#[test]
fn an_end_that_a_later_generation_sets_is_met_too_and_one_that_it_takes_away_is_not() {
    let stage = Stage::new();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            key("key_alpha", ALPHA, ""),
            key("key_beta", BETA, &format!("expires_at = {}", moment(SOON).0)),
        ]),
        ..setup(&stage.upstream)
    });
    let mut alpha = Open::begin(gate.ingress(), &stage, Kind::WebSocket, ALPHA, "alpha");
    let mut beta = Open::begin(gate.ingress(), &stage, Kind::WebSocket, BETA, "beta");
    let (soon, at) = moment(SOON);
    gate.home.write(
        "keys.toml",
        key_file(&[
            key("key_alpha", ALPHA, &format!("expires_at = {soon}")),
            key("key_beta", BETA, "expires_at = 2999-01-01T00:00:00Z"),
        ]),
    );
    alpha.ends(&stage, 401);
    has_just_come(at);
    told(&gate, alpha.target(), "credential_invalid", "expired");
    beta.goes_on(&stage);
}

#[test]
fn a_revocation_that_is_to_come_comes() {
    let stage = Stage::new();
    let (soon, at) = moment(SOON);
    let tombstone = format!("[[tombstones]]\nkey = \"key_beta\"\nrevoked_at = {soon}\n");
    let gate = Gate::start(&Setup {
        records: super::records(&format!("revoked_at = {soon}")) + &tombstone,
        ..setup(&stage.upstream)
    });
    let keys = [(ALPHA, "alpha"), (BETA, "beta")];
    let mut open = keys.map(|(key, whose)| Open::begin(gate.ingress(), &stage, Kind::Events, key, whose));
    for open in &mut open {
        open.ends(&stage, 401);
        has_just_come(at);
        told(&gate, open.target(), "credential_invalid", "revoked");
    }
}

#[test]
fn a_rotation_that_overlaps_ends_what_rests_on_the_old_secret_at_its_end_and_nothing_else() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    let mut old = Open::begin(gate.ingress(), &stage, Kind::WebSocket, ALPHA, "old");
    let mut download = Open::begin(gate.ingress(), &stage, Kind::Events, ALPHA, "old");
    let (soon, at) = moment(SOON);
    let secrets = format!(
        "[[keys]]\nid = \"key_alpha\"\nname = \"n\"\norganization = \"acme\"\nsecrets = [{{ hash = \"{}\" }}, \
         {{ hash = \"{}\", expires_at = {soon} }}]\n",
        sha256(GAMMA),
        sha256(ALPHA)
    );
    gate.home.write("keys.toml", key_file(&[secrets]));
    wait_until("the new secret", || {
        (crate::harness::exchange(gate.ingress(), get("/", &presents(GAMMA))).status() == 200).then_some(())
    });
    assert!(unix() < at, "a slow machine");
    old.goes_on(&stage);
    download.goes_on(&stage);
    let mut new = Open::begin(gate.ingress(), &stage, Kind::WebSocket, GAMMA, "new");
    old.ends(&stage, 401);
    download.ends(&stage, 401);
    has_just_come(at);
    told(&gate, old.target(), "credential_invalid", "expired");
    new.goes_on(&stage);
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 2.0);
}

#[test]
fn what_rests_on_a_users_token_ends_with_it() {
    let stage = Stage::new();
    let signer = SigningKey::ed("k1");
    let home = Home::new();
    home.write("jwks.json", key_set(&[&signer]));
    let gate = Gate::start_in(
        home,
        &Setup {
            more:
                "[[routes]]\npath = \"/{*rest}\"\naccess = \"user\"\n[user_tokens]\nissuer = \"https://id.example\"\n\
                   audience = \"gateway\"\njwks = { file = \"jwks.json\" }\nleeway = \"0s\"\n"
                    .to_owned(),
            ..setup(&stage.upstream)
        },
    );
    let at = unix() + SOON;
    let token = |exp: u64| {
        let mut claims = claims("user-1");
        claims["exp"] = json!(exp);
        bearer(&signer.token(&claims))
    };
    let mut ends = Open::begin_as(gate.ingress(), &stage, Kind::WebSocket, &token(at), "ends");
    let mut events = Open::begin_as(gate.ingress(), &stage, Kind::Events, &token(at), "ends");
    let mut stays = Open::begin_as(gate.ingress(), &stage, Kind::WebSocket, &token(at + 600), "stays");
    ends.ends(&stage, 401);
    events.ends(&stage, 401);
    has_just_come(at);
    told(&gate, ends.target(), "credential_invalid", "token_expired");
    stays.goes_on(&stage);
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 2.0);
}

/// A slow hash was being computed when the key was revoked: nobody had anything open to be withdrawn.
#[test]
fn a_request_that_was_being_verified_when_its_key_was_revoked_is_not_carried() {
    let stage = Stage::new();
    let hash = argon2id_that_takes(Duration::from_secs(3));
    let slow = |more: &str| {
        format!(
            "[[keys]]\nid = \"key_slow\"\nname = \"n\"\norganization = \"acme\"\nhash = \"{hash}\"\n\
             lead = \"human\"\n{more}\n"
        )
    };
    let gate = Gate::start(&Setup {
        records: key_file(&[slow("")]),
        ..setup(&stage.upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(get("/slow", &presents("human-chosen")));
    wait_until("the verification", || {
        (gate.metric(&["keygate_slow_verifications_total"]) == 1.0).then_some(())
    });
    gate.home.write("keys.toml", key_file(&[slow(super::REVOKED)]));
    wait_until("the revocation", || {
        (gate.metric(&["keygate_generation"]) == 2.0).then_some(())
    });
    assert!(client.is_quiet(), "it was verified before the key was revoked");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_invalid"));
    assert_eq!(stage.upstream.requests().len(), 0, "nothing of it was carried");
    told(&gate, "/slow", "credential_invalid", "revoked");
}

/// A PHC string of `human-chosen` that takes about so long to verify here.
fn argon2id_that_takes(time: Duration) -> String {
    let hasher = |memory, passes| {
        let params = Params::new(memory, passes, 1, None).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    };
    let begun = Instant::now();
    hasher(1024, 4)
        .hash_password_into(b"any", b"some-salt", &mut [0; 32])
        .unwrap();
    let times = time.as_secs_f64() / begun.elapsed().as_secs_f64();
    let memory = (1024.0 * times / 16.0).min(65_536.0) as u32;
    let hashed = hasher(memory, 64).hash_password_with_salt(b"human-chosen", b"some-salt-here");
    hashed.unwrap().to_string()
}
