//! `tests/cases/*.toml` but `order.toml`: a configuration, keys, and rows of requests with what is said to each.
//!
//! Users' tokens are signed here, unless the table brings keys, and tokens, of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::json;

use super::world::{Call, Said, at, come_before, decide, load, peer};
use crate::policy::Policy;
use crate::policy::user::tests::issuer::{SigningKey, key_set};

static ISSUER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::ed("signing"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    config: String,
    keys: String,
    /// The keys of users' tokens, where they are not signed here.
    jwks: Option<String>,
    rows: Vec<Row>,
}

/// One request. What is not said is as in [`Call::new`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    request: String,
    #[serde(default)]
    headers: Vec<String>,
    /// Claims of a token that comes as `Authorization: Bearer`; `iss`, `aud` and `exp` are good unless they stand here.
    token: Option<toml::Table>,
    /// The token is signed by somebody else, who gives out the issuer's key id.
    #[serde(default)]
    forged: bool,
    from: Option<IpAddr>,
    tls: Option<bool>,
    at: Option<toml::value::Datetime>,
    /// So many requests like it came before.
    #[serde(default)]
    before: usize,
    /// So many of these are still in flight.
    #[serde(default)]
    open: usize,
    /// For so many seconds nobody has seen the key files.
    #[serde(default)]
    stale: i64,
    /// `forward`, `answer` (by Keygate itself), or the code of a refusal.
    says: String,
    status: Option<u16>,
    /// What the operator's log says beyond the code.
    reason: Option<String>,
    /// The pattern of the route.
    route: Option<String>,
    upstream: Option<String>,
    environment: Option<String>,
    /// The key's id; "" where none is known.
    key: Option<String>,
    /// The user's id; "" where none is known.
    user: Option<String>,
    /// What the upstream reads in `X-Auth-Status`.
    told: Option<String>,
}

/// 2026-06-01T12:00:00Z
const USUAL: i64 = 1_780_315_200;

fn tables() -> Vec<(String, Table)> {
    let mut files: Vec<_> = std::fs::read_dir(super::cases())
        .expect("tests/cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file() && !path.ends_with("order.toml"))
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("a table");
        let table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_name().expect("a name").to_string_lossy().into_owned(), table)
    };
    files.iter().map(read).collect()
}

/// Every code that a row shows.
pub(super) fn codes() -> BTreeSet<String> {
    let tables = tables();
    tables
        .iter()
        .flat_map(|(_, table)| &table.rows)
        .map(|row| row.says.clone())
        .collect()
}

#[test]
fn every_row_is_answered_as_it_says() {
    let mut wrong = Vec::new();
    for (file, table) in tables() {
        assert!(!table.rows.is_empty(), "{file} has no rows");
        let signed_here = || key_set(&[&ISSUER]);
        let jwks = table.jwks.clone().unwrap_or_else(signed_here);
        let config = load(&table.config, &[("keys.toml", &table.keys), ("jwks.json", &jwks)]);
        for row in &table.rows {
            let policy = Policy::first(config.clone()).expect("routes that stand beside each other");
            for what in differences(row, &policy) {
                wrong.push(format!("{file}: {}: {what}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

fn differences(row: &Row, policy: &Policy) -> Vec<String> {
    let mut call = Call::new(&row.request);
    row.headers.iter().for_each(|line| call.add(line));
    if let Some(claims) = &row.token {
        call.add(&format!("Authorization: Bearer {}", token(claims, row.forged)));
    }
    let address = row.from.or(call.peer.address).expect("an address");
    call.peer = peer(address, row.tls.unwrap_or(call.peer.tls));
    let moment = row.at.as_ref().map_or(USUAL, |moment| {
        let moment: jiff::Timestamp = moment.to_string().parse().expect("a moment in UTC");
        moment.as_second()
    });
    policy.freshness().saw(moment - row.stale);
    let open = come_before(policy, &call, at(moment), row.before, row.open);
    let said = decide(policy, &call, at(moment));
    drop(open);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, expected: Option<&str>, found: String| {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            wrong.push(format!("{what} is {found:?}, not {expected:?}"));
        }
    };
    compare("it", Some(&row.says), said.code().to_owned());
    let trail = said.trail();
    compare(
        "route",
        row.route.as_deref(),
        trail.route.as_deref().unwrap_or_default().to_owned(),
    );
    let caller = trail.standing.as_ref().map(|standing| &standing.caller);
    compare(
        "key",
        row.key.as_deref(),
        caller.and_then(|caller| caller.key_id()).unwrap_or_default().to_owned(),
    );
    compare(
        "user",
        row.user.as_deref(),
        caller
            .and_then(|caller| caller.user_id())
            .unwrap_or_default()
            .to_owned(),
    );
    let environment = caller.and_then(|caller| caller.environment);
    let environment = environment.map_or("", |id| &policy.config.environments[usize::from(id.0)].name);
    compare("environment", row.environment.as_deref(), environment.to_owned());
    match &said {
        Said::Yes(permit) => {
            let upstream = &policy.config.upstreams[usize::from(permit.upstream.0)].name;
            compare("upstream", row.upstream.as_deref(), upstream.clone());
            compare("told", row.told.as_deref(), trail.passage.status().into_owned());
        }
        Said::Answer(answered) => {
            let status = row.status.map(|status| status.to_string());
            compare("status", status.as_deref(), answered.answer.status.as_str().to_owned());
        }
        Said::No(refusal, _) => {
            let status = row.status.map(|status| status.to_string());
            compare("status", status.as_deref(), refusal.status().as_str().to_owned());
            compare("reason", row.reason.as_deref(), refusal.reason().to_owned());
        }
    }
    wrong
}

fn token(claims: &toml::Table, is_forged: bool) -> String {
    let mut all = json!({ "iss": "https://id.example", "aud": "gateway", "exp": USUAL + 300 });
    for (name, value) in claims {
        all[name] = serde_json::to_value(value).expect("JSON");
    }
    if is_forged {
        SigningKey::ed(&ISSUER.id).token(&all)
    } else {
        ISSUER.token(&all)
    }
}
