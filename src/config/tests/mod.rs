//! Whole configurations, from text to what comes out.

mod example;
mod problems;
mod sections;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::load::load_text;
use super::sources::Sources;
use super::{Config, Loaded};

/// A directory with the files that configurations in tests name.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let (certificate, key) = self_signed(2000, 2100);
        let (expired, expired_key) = self_signed(2000, 2001);
        let (_, other_key) = self_signed(2000, 2100);
        place.put("keys.toml", "");
        place.put("webhooks.toml", "");
        place.put("tls.crt", &certificate);
        place.put("tls.key", &key);
        place.put("expired.crt", &expired);
        place.put("expired.key", &expired_key);
        place.put("other.key", &other_key);
        place.put("clients.pem", &certificate);
        place.put("service-ca.pem", &certificate);
        place.put("empty.pem", "");
        place.put(
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        );
        place.put(
            "not-a-certificate.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        place.put("pepper", "0123456789abcdef0123456789abcdef\n");
        place.put("short-pepper", "0123456789abcdef0123456789abcde\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Loads `text` as `config.toml` in this directory.
    fn load(&self, text: &str) -> Result<Loaded, String> {
        load_text(&self.path("config.toml"), text).map_err(|problems| self.shown(&problems))
    }

    /// What is printed, without the directory's name.
    fn shown(&self, text: &impl ToString) -> String {
        let prefix = format!("{}/", self.directory.path().display());
        text.to_string().replace(&prefix, "")
    }
}

/// A certificate and its key, as PEM.
fn self_signed(from_year: i32, to_year: i32) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["service.example".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(from_year, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(to_year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// `text` with what the smallest configuration needs behind it, where `text` does not say it itself.
fn completed(text: &str) -> String {
    let mut text = format!("{text}\n");
    for (section, rest) in [
        ("[ingress]", "listen = \"127.0.0.1:8080\""),
        ("[upstreams.", "url = \"http://127.0.0.1:3000\""),
        ("[keys]", "file = \"keys.toml\""),
    ] {
        if !text.contains(section) {
            let header = if section == "[upstreams." {
                "[upstreams.default]"
            } else {
                section
            };
            text.push_str(&format!("\n{header}\n{rest}\n"));
        }
    }
    text
}

/// The configuration of a completed text that must be valid.
fn loaded(text: &str) -> Config {
    let place = Place::new();
    match place.load(&completed(text)) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    }
}

const SMALLEST: &str = r#"
[ingress]
listen = ["0.0.0.0:8080"]

[upstreams.default]
url = "http://127.0.0.1:3000"

[keys]
file = "keys.toml"
"#;

#[test]
fn the_smallest_configuration_loads() {
    let place = Place::new();
    let loaded = place.load(SMALLEST).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.credentials.sources, super::credentials::default_sources());
    assert_eq!(config.plans, [super::plans::unlimited()]);
    assert!(config.routes.is_empty());
    assert_eq!(config.upstreams.len(), 1);
}

#[test]
fn a_file_is_read_from_disk() {
    let place = Place::new();
    place.put("config.toml", SMALLEST);
    assert_eq!(
        super::load(&place.path("config.toml"), &mut Sources::default())
            .unwrap()
            .config
            .file,
        place.path("config.toml")
    );
    let problem = super::load(Path::new("no/such/config.toml"), &mut Sources::default()).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "no/such/config.toml: error: does not exist\n  help: name the configuration file with --config FILE"
    );
    std::fs::write(place.path("config.toml"), b"[ingress]\nlisten = \"\xff\"").unwrap();
    let problem = super::load(&place.path("config.toml"), &mut Sources::default()).unwrap_err();
    assert_eq!(
        place.shown(&problem),
        "config.toml: error: is not UTF-8 text (line 2)\n  help: save it as UTF-8"
    );
}

#[test]
fn what_was_read_is_remembered_for_the_watcher() {
    let place = Place::new();
    let text = completed(
        "[ingress]\nlisten = \"unix:gate.sock\"\ntls = { certificate = \"tls.crt\", key = \"tls.key\" }\n\
         [keys]\nfile = \"keys.toml\"\npeppers = [{ id = \"a\", file = \"pepper\" }]",
    );
    place.put("config.toml", &text);
    let mut sources = Sources::default();
    let config = super::load(&place.path("config.toml"), &mut sources).unwrap().config;
    let mut names: Vec<_> = sources
        .paths()
        .map(|path| path.strip_prefix(place.directory.path()).unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["config.toml", "keys.toml", "pepper", "tls.crt", "tls.key"].map(Path::new)
    );
    assert_eq!(
        config.ingress.tls.unwrap().files,
        [place.path("tls.crt"), place.path("tls.key")]
    );
    assert_eq!(
        config.ingress.listen,
        [super::ingress::Listen::Unix(place.path("gate.sock"))]
    );
}

#[test]
fn an_empty_file_lacks_three_things() {
    let place = Place::new();
    assert_eq!(
        place.load("").unwrap_err(),
        "config.toml: error: upstreams: there is no upstream\n  \
         help: add [upstreams.default] with url = \"http://127.0.0.1:3000\"\n\
         config.toml: error: ingress: `listen` is missing\n  help: for example listen = [\"0.0.0.0:8080\"]\n\
         config.toml: error: keys: `file` is missing\n  help: for example file = \"keys.toml\""
    );
}

#[test]
fn problems_of_key_files_come_with_those_of_the_configuration() {
    let place = Place::new();
    place.put("keys.toml", "[[organizations]]\nid = \"42\"\nplan = \"gold\"\n");
    let problems = place
        .load(&completed("[limits]\ntunnels = 0\n[plans.silver]"))
        .unwrap_err();
    let first_lines: Vec<&str> = problems.lines().filter(|line| line.contains(": error: ")).collect();
    assert_eq!(
        first_lines[0],
        "config.toml:2:11: error: limits.tunnels: is out of range"
    );
    assert!(
        first_lines[1].starts_with("keys.toml:3:8: error: organizations[0].plan: "),
        "{problems}"
    );
    assert!(problems.contains("config.toml:3:8: warning: plans.silver: nobody has this plan"));
}

#[test]
fn a_keys_permissions_are_compared_with_what_routes_ask_for() {
    let place = Place::new();
    let hash = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let key = |id: &str, digit, permissions: &str| {
        format!(
            "[[keys]]\nid = {id:?}\nname = \"a\"\norganization = \"42\"\nhash = {:?}\npermissions = {permissions}\n",
            hash(digit)
        )
    };
    let keys = [
        key("k1", "a", "[\"sends\", \"audit\", \"messages:*\", \"admin\"]"),
        key("k2", "b", "[\"sends\", \"bills:*\", \"read\"]"),
    ];
    place.put(
        "keys.toml",
        &format!("[[organizations]]\nid = \"42\"\n{}", keys.concat()),
    );
    let routes = "[[routes]]\npath = \"/a\"\npermission = { any = [\"send\", \"messages:send\"] }\n";
    let told = |more: &str| -> Vec<String> {
        let loaded = place.load(&completed(&format!("{routes}{more}"))).unwrap();
        let warnings = loaded.warnings.iter();
        warnings
            .map(|problem| format!("{:?} {} {}", problem.position.unwrap(), problem.path, problem.help))
            .collect()
    };
    let sets = "[permissions.admin]\nincludes = [\"read\"]\n[permissions.audit]\nincludes = []\n";
    assert_eq!(
        told(sets),
        [
            "(3, 14) routes[0].permission did you mean \"sends\"?",
            "(8, 16) keys[0].permissions[0] did you mean \"send\"?",
            "(14, 25) keys[1].permissions[1] known are `admin`, `audit`, `messages:send`, `read`, `send`; if the service asks \
             for it, declare it: [permissions.\"bills:*\"] includes = []",
        ]
    );
    assert_eq!(told("").len(), 6);
}

#[test]
fn plans_and_limits_of_records_are_checked_against_the_configuration() {
    let place = Place::new();
    let hash = "0".repeat(64);
    place.put(
        "keys.toml",
        &format!(
            "[[organizations]]\nid = \"42\"\nplan = \"gold\"\n[[keys]]\nid = \"k\"\nname = \"k\"\norganization = \"42\"\n\
             hash = \"sha256:{hash}\"\nenvironment = \"test\"\n\
             limits = [{{ name = \"sec\", requests = 5, per = \"1s\" }}]\n"
        ),
    );
    let text = completed("[plans.gold]\n[environments.test]\n[[routes]]\npath = \"/bulk\"\ncost = 5\n");
    assert_eq!(place.load(&text).unwrap().warnings, []);
    assert_eq!(
        place.load(&text.replace("cost = 5", "cost = 6")).unwrap_err(),
        "config.toml:5:8: error: routes[0].cost: costs 6, but limit \"sec\" of key \"k\" never holds more than 5: \
         no such request could be admitted\n  cost = 6\n         ^\n  \
         help: lower `cost`, or raise `requests` and `burst` of the limit"
    );
}

#[test]
fn one_balance_has_one_calendar() {
    let place = Place::new();
    let key = |id: &str, plan: &str, digit: &str| {
        let hash = digit.repeat(64);
        format!("[[keys]]\nid = \"{id}\"\nname = \"k\"\norganization = \"42\"\nhash = \"sha256:{hash}\"\n{plan}\n")
    };
    let records = |organization: &str, keys: [String; 2]| {
        place.put(
            "keys.toml",
            &format!("[[organizations]]\nid = \"42\"\n{organization}\n{}", keys.concat()),
        );
    };
    let other = || key("b", "plan = \"gold\"", "b");
    let text = completed(
        "[state]\npath = \"k.db\"\n[plans.default]\nquota = [{ name = \"q\", requests = 9, per = \"month\" }]\n\
         [plans.gold]\nquota = [{ name = \"q\", requests = 9, per = \"day\" }]\n[environments.test]\nplan = \"gold\"\nquota = false\n",
    );
    records("", [key("a", "", "a"), other()]);
    let told = place.load(&text).unwrap_err();
    assert!(
        told.starts_with(
            "config.toml:5:8: error: plans.gold: quota \"q\" has another `per` or `time_zone` in plan \"default\", and \
             organization \"42\" has keys of both plans, which share one balance\n"
        ),
        "{told}"
    );
    let zones = text.replace("per = \"day\"", "per = \"month\", time_zone = \"Asia/Tokyo\"");
    assert!(place.load(&zones).is_err());
    let same = text.replace("per = \"day\"", "per = \"month\", time_zone = \"UTC\"");
    assert!(place.load(&same).is_ok());
    let own = text.replace("per = \"day\"", "per = \"day\", scope = \"key\"");
    assert!(place.load(&own).is_ok());
    for (organization, keys) in [
        ("", [key("a", "plan = \"gold\"", "a"), other()]),
        ("", [key("a", "", "a"), key("b", "environment = \"test\"", "b")]),
        ("quota = []", [key("a", "", "a"), other()]),
    ] {
        records(organization, keys);
        assert!(place.load(&text).is_ok(), "{organization}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn a_damaged_configuration_is_answered(cuts in proptest::collection::vec((0usize..22_000, 0usize..40, "[\\[\\]{}\"'=#\\n a1.,-]{0,3}"), 1..6)) {
        let mut text = include_str!("../../../config.example.toml").to_owned();
        for (start, length, with) in cuts {
            let start = text.floor_char_boundary(start);
            let end = text.floor_char_boundary(start + length);
            text.replace_range(start..end, &with);
        }
        let place = Place::new();
        match place.load(&text) {
            Ok(_) => {}
            Err(problems) => proptest::prop_assert!(problems.contains("error: "), "{}", problems),
        }
    }
}
