//! `[user_tokens]`: callers that are people, who show a token of their identity provider's instead of a key.
//!
//! A room of its own because what is wrong here lets strangers in: every option that a token is held against is required,
//! and nothing falls back to a weaker check.

pub mod jwks;
mod remote;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::credentials::{self, Credentials, Source};
use super::endpoint;
use super::files::Files;
use super::plans::PlanId;
use super::reader::{Item, Table};
use super::routes::read_permission_name;
use jwks::KeySet;

pub use remote::Remote;

/// Users' tokens, and what is left to the upstream to judge.
#[derive(Debug, Clone)]
pub struct UserTokens {
    /// Tokens that Keygate verifies itself; `None`: delegation only.
    pub verified: Option<Verified>,
    /// `[[user_tokens.delegate]]`
    pub delegate: Delegate,
    /// `source`: where a token stands, default `Authorization: Bearer`.
    pub source: Source,
    /// `forward`: a verified token goes on to the upstream.
    pub forward: bool,
    /// `permissions`: what every user may do besides what the token says.
    pub permissions: Vec<String>,
    /// `plan`: for users whose organization has no plan here.
    pub plan: Option<PlanId>,
    /// `token_bytes`: longer tokens are not looked at.
    pub token_bytes: usize,
}

/// What a token is held against.
#[derive(Debug, Clone)]
pub struct Verified {
    /// `issuer`: what `iss` must be.
    pub issuer: Arc<str>,
    /// `audience`: `aud` must name one of these.
    pub audiences: Vec<String>,
    /// `jwks`
    pub keys: Keys,
    /// `algorithms`
    pub algorithms: Vec<Algorithm>,
    /// `leeway`, in seconds: how far clocks may differ.
    pub leeway: i64,
    /// `max_age`, in seconds: how old a token may be by its `iat`.
    pub max_age: Option<i64>,
    /// `claims`
    pub claims: Claims,
}

/// Where the issuer's keys are.
#[derive(Debug, Clone)]
pub enum Keys {
    /// `jwks = { file = … }`, already read.
    File(KeySet),
    /// `jwks = { url = … }`
    Remote(Arc<Remote>),
}

/// Which claims say what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it is; default `sub`.
    pub user: Claim,
    /// The organization's id.
    pub organization: Option<Claim>,
    /// What the user may do: a list, or one text with spaces.
    pub permissions: Option<Claim>,
}

/// A claim's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A name at the top.
    Name(String),
    /// A JSON pointer (RFC 6901): `/realm_access/roles`.
    Pointer(String),
}

/// Credentials that are passed on untouched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delegate {
    /// Cookies by name.
    pub cookies: Vec<String>,
    /// Query parameters by name.
    pub parameters: Vec<String>,
    /// A bearer that is not a key.
    pub bearer: bool,
}

/// The algorithms that there are.
const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];
const JWKS_HELP: &str = "for example jwks = { url = \"https://id.example/jwks.json\" } or { file = \"jwks.json\" }";

/// Reads `[user_tokens]`. `credentials` are the sources of keys.
pub(super) fn read(root: &Table<'_>, files: &Files, plans: &[String], credentials: &Credentials) -> Option<UserTokens> {
    let item = root.get("user_tokens")?;
    let table = item.table()?;
    let delegate_item = table.get("delegate");
    let source = table.get("source").map_or_else(bearer, |item| read_source(&item));
    let verified = read_verified(&table, files, delegate_item.is_some());
    let delegate = delegate_item.as_ref().map(|item| read_delegate(item, credentials));
    if let (Some(item), Some(delegate), Some(source)) = (&delegate_item, &delegate, &source) {
        check_delegate(item, delegate, source);
    }
    if let (Some(item), Some(None), Some(delegate)) = (&delegate_item, &verified, &delegate)
        && *delegate == Delegate::default()
        && item
            .tables()
            .is_some_and(|tables| tables.iter().all(|table| table.get("bearer").is_some()))
    {
        item.error("delegates nothing, and without `jwks` nothing is verified", JWKS_HELP);
    }
    let forward = table.get("forward").and_then(|item| item.boolean()).unwrap_or(false);
    let permissions = table.get("permissions").and_then(|item| item.list());
    let permissions = permissions.unwrap_or_default();
    let plan = table.get("plan").and_then(|item| item.reference("plan", plans));
    let token_bytes = table.get("token_bytes").and_then(|item| item.size(256..=64 << 10));
    Some(UserTokens {
        verified: verified?,
        delegate: delegate.unwrap_or_default(),
        source: source?,
        forward,
        permissions: permissions.iter().filter_map(read_permission_name).collect(),
        plan: plan.map(PlanId),
        token_bytes: token_bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(8 << 10),
    })
}

/// `Authorization: Bearer`.
#[allow(clippy::unnecessary_wraps)] // the default of an option that may be wrong
fn bearer() -> Option<Source> {
    credentials::default_sources().into_iter().next()
}

fn read_source(item: &Item<'_>) -> Option<Source> {
    const HELP: &str =
        "for example { header = \"Authorization\", scheme = \"Bearer\" } or { cookie = \"access_token\" }";
    let table = item.table()?;
    let (header, scheme, cookie) = (table.get("header"), table.get("scheme"), table.get("cookie"));
    match (header, cookie) {
        (Some(header), None) => credentials::read_header(&header, scheme.as_ref()),
        (None, Some(cookie)) => {
            if let Some(scheme) = scheme {
                scheme.error("goes with `header` only", "remove it");
            }
            credentials::read_cookie(&cookie).map(Source::Cookie)
        }
        (Some(_), Some(cookie)) => {
            cookie.key_place().error("stands beside `header`", HELP);
            None
        }
        (None, None) => {
            item.error("says neither `header` nor `cookie`", HELP);
            None
        }
    }
}

/// `Some(None)`: nothing is verified, since nothing says how; that is enough where delegation says the rest.
fn read_verified(table: &Table<'_>, files: &Files, delegates: bool) -> Option<Option<Verified>> {
    let issuer = table.get("issuer");
    let audience = table.get("audience");
    let jwks = table.get("jwks");
    let algorithms = table.get("algorithms");
    let leeway = table.get("leeway");
    let max_age = table.get("max_age");
    let claims = table.section("claims");
    let claims = Claims {
        user: read_claim(&claims, "user").unwrap_or_else(|| Claim::Name("sub".to_owned())),
        organization: read_claim(&claims, "organization"),
        permissions: read_claim(&claims, "permissions"),
    };
    let Some(jwks) = jwks else {
        let named = [&issuer, &audience].into_iter().flatten().next();
        match named {
            Some(item) => item.key_place().error("needs `jwks`, the issuer's keys", JWKS_HELP),
            None if delegates => return Some(None),
            None => table.place().missing("`jwks` is missing", JWKS_HELP),
        }
        return None;
    };
    let missing = |key: &str, help: &str| table.place().missing(format!("`{key}` is missing"), help);
    if issuer.is_none() {
        missing(
            "issuer",
            "what `iss` of every token is, for example \"https://id.example\"",
        );
    }
    if audience.is_none() {
        missing(
            "audience",
            "what `aud` of tokens for this service is, for example \"gateway\"",
        );
    }
    let algorithms = algorithms.map_or_else(|| ALGORITHMS.map(|(_, it)| it).to_vec(), |item| read_algorithms(&item));
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let leeway = leeway.and_then(|item| item.duration_within(Duration::ZERO..=Duration::from_mins(5)));
    let max_age = max_age.and_then(|item| item.or_off(Item::duration));
    let keys = read_keys(&jwks, &algorithms, files);
    let audience = audience?;
    let audiences = audience.list_or_one()?;
    if audiences.is_empty() {
        audience.error("names no audience", "one, or several of which `aud` has to name one");
        return None;
    }
    Some(Some(Verified {
        issuer: issuer?.text()?.into(),
        audiences: audiences.iter().filter_map(Item::text).map(str::to_owned).collect(),
        keys: keys?,
        algorithms,
        leeway: seconds(leeway.unwrap_or(Duration::from_secs(30))),
        max_age: max_age.map(seconds),
        claims,
    }))
}

fn read_algorithms(item: &Item<'_>) -> Vec<Algorithm> {
    let items = item.list_or_one().unwrap_or_default();
    if items.is_empty() {
        item.error("names no algorithm", "RS256, ES256, EdDSA, or several of them");
    }
    items.iter().filter_map(|item| item.word(&ALGORITHMS)).collect()
}

fn read_keys(item: &Item<'_>, algorithms: &[Algorithm], files: &Files) -> Option<Keys> {
    let table = item.table()?;
    let file = table.get("file");
    let url = table.get("url");
    match (file, url) {
        (Some(file), None) => {
            for key in remote::OPTIONS.into_iter().chain(endpoint::OPTIONS) {
                if let Some(item) = table.get(key) {
                    item.key_place().error("goes with `url` only", "remove it");
                }
            }
            let (path, bytes) = files.read(&file)?;
            match KeySet::parse(&bytes, algorithms) {
                Ok(set) => Some(Keys::File(set)),
                Err(unusable) => {
                    file.error(format!("{} {unusable}", path.display()), unusable.help());
                    None
                }
            }
        }
        (None, Some(url)) => Some(Keys::Remote(Arc::new(remote::read(&table, &url, files)?))),
        (Some(_), Some(url)) => {
            table.ignore_rest();
            url.key_place().error("stands beside `file`", JWKS_HELP);
            None
        }
        (None, None) => {
            item.error("says neither `url` nor `file`", JWKS_HELP);
            None
        }
    }
}

fn read_claim<'d>(table: &Table<'d>, key: &'d str) -> Option<Claim> {
    let item = table.get(key)?;
    let text = item.text()?;
    let escapes = || text.split('~').skip(1);
    Some(if text.starts_with('/') {
        if !escapes().all(|escape| escape.starts_with(['0', '1'])) {
            item.error("is not a JSON pointer", "`~0` stands for `~` in it, and `~1` for `/`");
        }
        Claim::Pointer(text.to_owned())
    } else {
        Claim::Name(text.to_owned())
    })
}

fn read_delegate(item: &Item<'_>, credentials: &Credentials) -> Delegate {
    let mut delegate = Delegate::default();
    for table in item.tables().unwrap_or_default() {
        let (cookie, query, bearer) = (table.get("cookie"), table.get("query"), table.get("bearer"));
        let mut kinds = [&cookie, &query, &bearer].into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (None, _) => table.place().missing(
                "names no credential",
                "write cookie = \"NAME\", query = \"NAME\" or bearer = true in each [[user_tokens.delegate]]",
            ),
            (Some(_), Some(second)) => second.key_place().error(
                "is a second credential in one entry",
                "begin another [[user_tokens.delegate]]",
            ),
            (Some(_), None) => {
                let name = cookie.as_ref().and_then(credentials::read_cookie).map(Source::Cookie);
                if let (Some(item), Some(source)) = (&cookie, name) {
                    delegate.cookies.extend(unless_keys(item, &source, credentials));
                }
                let name = query.as_ref().and_then(credentials::read_query).map(Source::Query);
                if let (Some(item), Some(source)) = (&query, name) {
                    delegate.parameters.extend(unless_keys(item, &source, credentials));
                }
                if let Some(item) = &bearer
                    && item.boolean().unwrap_or(false)
                {
                    delegate.bearer = true;
                    check_bearer(item, credentials);
                }
            }
        }
    }
    delegate
}

/// The name of what is delegated: not of a place where keys stand.
fn unless_keys(item: &Item<'_>, source: &Source, credentials: &Credentials) -> Option<String> {
    if credentials.sources.contains(source) {
        item.error("is where keys stand, by [[credentials]]", "name another one");
        return None;
    }
    item.text().map(str::to_owned)
}

/// A bearer can only be known not to be a key where keys are known by what they begin with.
fn check_bearer(item: &Item<'_>, credentials: &Credentials) {
    let mut sources = credentials.sources.iter().zip(&credentials.prefixes);
    let unknown = sources.any(|(source, prefixes)| is_bearer(source) && prefixes.is_empty());
    if unknown {
        item.error(
            "needs keys that can be told from other bearers",
            "write prefix = \"kg_\" (what your keys begin with) in the [[credentials]] of `Authorization: Bearer`",
        );
    }
}

/// What the token's own source is cannot be delegated as well.
fn check_delegate(item: &Item<'_>, delegate: &Delegate, source: &Source) {
    if let Source::Cookie(name) = source
        && delegate.cookies.contains(name)
    {
        item.error(
            format!("delegates the cookie {name:?}, in which `source` expects a token"),
            "a token is verified or delegated, not both",
        );
    }
}

/// Whether a source is `Authorization: Bearer`.
#[must_use]
pub fn is_bearer(source: &Source) -> bool {
    matches!(source, Source::Scheme { header, scheme }
        if header == http::header::AUTHORIZATION && scheme.eq_ignore_ascii_case("bearer"))
}
