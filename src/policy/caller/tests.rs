use super::*;
use crate::config::template::{Escape, Template};
use crate::policy::permissions::Sets;

fn identity(templates: &[(&'static str, &str)]) -> Identity {
    let headers = templates
        .iter()
        .map(|(name, text)| (HeaderName::from_static(name), Template::of(text, Escape::Header)));
    Identity {
        headers: headers.collect(),
        reserved: vec![],
    }
}

fn rendered(headers: &IdentityHeaders) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

#[test]
fn templates_are_rendered_encoded_and_left_out_when_empty() {
    let identity = identity(&[
        ("x-id", "{key.id}"),
        ("x-name", "{key.name}"),
        ("x-org", "org/{organization.id}"),
        ("x-org-name", "named {organization.name}"),
        ("x-may", "{permissions}"),
        ("x-env", "{environment}"),
        ("x-sub", "{subscriptions}"),
        ("x-plan", "{plan}"),
        ("x-status", "{status}"),
        ("x-by", "keygate 100%"),
    ]);
    let permissions = Sets::default().expand(&["send", "read all"]);
    let facts = Facts {
        key_id: Some("key_1"),
        user_id: None,
        key_name: Some(" Größe 100%\r\nX: y "),
        organization_id: Some("42"),
        organization_name: None,
        permissions: Some(&permissions),
        environment: None,
        subscriptions: &["s1".into(), "s2".into()],
        plan: Some("standard"),
        status: "key",
    };
    assert_eq!(
        rendered(&facts.headers(&identity)),
        [
            ("x-id", "key_1"),
            ("x-name", "%20Gr%C3%B6%C3%9Fe 100%25%0D%0AX: y%20"),
            ("x-org", "org/42"),
            ("x-may", "read%20all send"),
            ("x-sub", "s1 s2"),
            ("x-plan", "standard"),
            ("x-status", "key"),
            ("x-by", "keygate 100%"),
        ]
    );
    assert_eq!(
        rendered(&anonymous_headers("public", &identity)),
        [("x-status", "public"), ("x-by", "keygate 100%")]
    );
}

#[test]
fn the_nearest_plan_counts() {
    let organization = |plan| Organization {
        id: "42".into(),
        name: None,
        plan,
        quota: None,
        created_at: None,
        metadata: serde_json::Map::new(),
    };
    let environment = |plan| Environment {
        name: "live".to_owned(),
        prefixes: vec![],
        checksum: false,
        upstream: None,
        plan,
        quota: true,
    };
    let (own, live, acme) = (Some(PlanId(1)), Some(PlanId(2)), Some(PlanId(3)));
    for (key, named, holder, expected) in [
        (own, Some(live), acme, own),
        (None, Some(live), acme, live),
        (None, Some(None), acme, acme),
        (None, None, acme, acme),
        (None, Some(live), None, live),
        (None, None, None, None),
    ] {
        let named = named.map(environment);
        assert_eq!(chosen_plan(key, named.as_ref(), &organization(holder)), expected);
    }
}
