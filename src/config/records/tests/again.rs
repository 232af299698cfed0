//! Reading a directory again, of which most files are as they were.

use std::fs;
use std::path::Path;

use super::*;
use crate::config::sources::Sources;

const ORGANIZATION: &str = "{\"id\":\"42\"}\n";

fn line(id: &str, more: &str) -> String {
    let hash = digits(id);
    format!("{{\"id\":\"{id}\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"sha256:{hash}\"{more}}}\n")
}

/// A directory of key files, and what was read from it.
struct Place {
    home: tempfile::TempDir,
    sources: Sources,
    records: Records,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(home.path().join(name), text).unwrap();
        }
        let (sources, records, said) = read(home.path(), &mut scope(), None);
        assert!(!said.contains("error"), "{said}");
        Self {
            sources: sources.long_ago(),
            records,
            home,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.home.path().join(name), text).unwrap();
    }

    fn again(&self, scope: &mut Scope) -> (Records, String) {
        let known = Known {
            sources: &self.sources,
            records: &self.records,
        };
        let (_, records, said) = read(self.home.path(), scope, Some(known));
        (records, said)
    }

    fn is_read_anew(&self, records: &Records, id: &str) -> bool {
        let of = |records: &Records| Arc::clone(records.keys.iter().find(|key| key.id == id).unwrap());
        !Arc::ptr_eq(&of(&self.records), &of(records))
    }
}

fn read(root: &Path, scope: &mut Scope, known: Option<Known<'_>>) -> (Sources, Records, String) {
    let (report, mut sources) = (Report::new(), Sources::default());
    let records = load_again(root, scope, &mut sources, known, &report);
    (sources, records, report.into_problems().to_string())
}

fn ids(records: &Records) -> Vec<&str> {
    records.keys.iter().map(|key| key.id.as_str()).collect()
}

#[test]
fn only_what_changed_is_read_anew() {
    let place = Place::new(&[
        ("a.jsonl", ORGANIZATION),
        ("b.jsonl", &line("b", "")),
        ("c.jsonl", &line("c", "")),
    ]);
    place.write("c.jsonl", &(line("c", "") + &line("d", "")));
    let (records, _) = place.again(&mut scope());
    assert_eq!(ids(&records), ["b", "c", "d"]);
    assert!(!place.is_read_anew(&records, "b"));
    assert!(place.is_read_anew(&records, "c"));
    assert_eq!(records.files[1], place.records.files[1]);
    assert_ne!(records.files[2].digest, place.records.files[2].digest);

    // What comes of it is the same as when everything is read.
    let (_, whole, _) = read(place.home.path(), &mut scope(), None);
    assert_eq!(
        (&records.keys, &records.organizations, &records.files),
        (&whole.keys, &whole.organizations, &whole.files)
    );
}

#[test]
fn a_key_keeps_its_organization_when_others_come_before_it() {
    let place = Place::new(&[
        ("a.jsonl", "{\"id\":\"1\"}\n"),
        ("b.jsonl", &(ORGANIZATION.to_owned() + &line("b", ""))),
    ]);
    place.write("a.jsonl", "{\"id\":\"0\"}\n{\"id\":\"1\"}\n");
    let (records, said) = place.again(&mut scope());
    assert_eq!(
        records.organizations[records.keys[0].organization as usize].id, "42",
        "{said}"
    );
}

#[test]
fn what_an_unchanged_file_clashes_with_is_told_with_both_places() {
    let place = Place::new(&[
        ("a.jsonl", ORGANIZATION),
        ("b.jsonl", &line("b", "")),
        ("d.jsonl", &("\n\n".to_owned() + &line("d", ""))),
    ]);
    let at = |name: &str| place.home.path().join(name).display().to_string();
    // The unchanged one is the first of the two in one case, the second in the other.
    place.write("c.jsonl", &(line("b", "") + &line("d", "")));
    let (_, said) = place.again(&mut scope());
    for (one, other) in [("c.jsonl:1", "b.jsonl:1:7"), ("d.jsonl:3", "c.jsonl:2:7")] {
        let (one, other) = (at(one), at(other));
        let told = format!("the first is at {other}");
        assert!(said.contains(&format!("{one}:")) && said.contains(&told), "{said}");
    }
    assert!(
        said.contains("is the id of two keys") && said.contains("stands in two places"),
        "{said}"
    );

    // An organization that is gone is missed by a key that has not changed.
    let place = Place::new(&[("a.jsonl", ORGANIZATION), ("b.jsonl", &line("b", ""))]);
    place.write("a.jsonl", "{\"id\":\"43\"}\n");
    let (_, said) = place.again(&mut scope());
    assert!(
        said.contains("b.jsonl:1:") && said.contains("names an organization that does not exist"),
        "{said}"
    );
}

#[test]
fn what_records_may_refer_to_makes_all_of_them_read_anew() {
    let place = Place::new(&[(
        "a.jsonl",
        &(ORGANIZATION.to_owned() + &line("a", ",\"plan\":\"standard\"")),
    )]);
    let later = &mut Scope {
        now_unix: NOW + 1,
        ..scope()
    };
    let (records, _) = place.again(later);
    assert!(!place.is_read_anew(&records, "a"), "time alone changes nothing");
    let moved = &mut Scope {
        plans: Names::closed(["standard", "default"]),
        ..scope()
    };
    let (records, _) = place.again(moved);
    assert!(place.is_read_anew(&records, "a"));
    assert_eq!(records.keys[0].plan, Some(PlanId(0)));
    assert!(
        Changes::between(&place.records, &records).is_empty(),
        "it is the same plan"
    );
    let limit = &mut Scope {
        key_limit: 0,
        ..scope()
    };
    assert!(place.again(limit).1.contains("more than 0 keys"));
}
