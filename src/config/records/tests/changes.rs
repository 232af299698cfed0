//! What is told about the difference between two sets of records.

use super::*;

fn key(id: &str, more: &str) -> String {
    format!(
        "[[keys]]\nid = \"{id}\"\nname = \"n\"\norganization = \"42\"\nhash = \"sha256:{}\"\n{more}\n",
        digits(id)
    )
}

fn set(records: &[String]) -> Records {
    good(&[(
        "k.toml",
        &format!("[[organizations]]\nid = \"42\"\n{}", records.concat()),
    )])
}

#[test]
fn what_came_what_went_and_which_fields_changed() {
    let before = set(&[key("a", ""), key("b", ""), key("c", "permissions = [\"read\"]")]);
    let after = good(&[(
        "k.toml",
        &format!(
            "[[organizations]]\nid = \"41\"\n[[organizations]]\nid = \"42\"\nname = \"n\"\n{}{}{}\
             [[tombstones]]\nkey = \"a\"\nrevoked_at = 2026-01-01T00:00:00Z\n",
            key("c", "permissions = [\"send\"]\nactive = false"),
            key("b", ""),
            key("d", ""),
        ),
    )]);
    let changes = Changes::between(&before, &after);
    assert_eq!(changes.keys.added_ids, ["d"]);
    assert_eq!(changes.keys.removed_ids, ["a"]);
    let changed = [Changed {
        id: "c".to_owned(),
        fields: vec!["permissions", "active"],
    }];
    assert_eq!(changes.keys.changed_ids, changed);
    assert_eq!(
        (changes.keys.added, changes.keys.removed, changes.keys.changed),
        (1, 1, 1)
    );
    assert_eq!(changes.organizations.added_ids, ["41"]);
    assert_eq!(changes.organizations.changed_ids[0].fields, ["name"]);
    assert_eq!((changes.tombstones_added, changes.tombstones_removed), (1, 0));
    assert!(Changes::between(&after, &after).is_empty());
}

#[test]
fn lists_are_bounded_and_counts_are_not() {
    let many: Vec<String> = (0..120).map(|number| key(&format!("k{number:03}"), "")).collect();
    let changes = Changes::between(&set(&many), &set(&[]));
    assert_eq!(changes.keys.removed, 120);
    assert_eq!(changes.keys.removed_ids.len(), LISTED_MAX);
    assert_eq!(changes.keys.removed_ids[0], "k000");
}
