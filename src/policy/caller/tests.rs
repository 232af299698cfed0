use super::*;

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

fn identity(templates: Vec<(&'static str, Vec<Piece>)>) -> Identity {
    let headers = templates
        .into_iter()
        .map(|(name, pieces)| (HeaderName::from_static(name), Template(pieces)));
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
    let identity = identity(vec![
        ("x-id", vec![Piece::Field(Field::KeyId)]),
        ("x-name", vec![Piece::Field(Field::KeyName)]),
        ("x-org", vec![text("org/"), Piece::Field(Field::OrganizationId)]),
        (
            "x-org-name",
            vec![text("named "), Piece::Field(Field::OrganizationName)],
        ),
        ("x-may", vec![Piece::Field(Field::Permissions)]),
        ("x-env", vec![Piece::Field(Field::Environment)]),
        ("x-sub", vec![Piece::Field(Field::Subscriptions)]),
        ("x-plan", vec![Piece::Field(Field::Plan)]),
        ("x-status", vec![Piece::Field(Field::Status)]),
        ("x-by", vec![text("keygate 100%")]),
    ]);
    let facts = Facts {
        key_id: "key_1",
        user_id: "",
        key_name: " Größe 100%\r\nX: y ",
        organization_id: "42",
        organization_name: "",
        permissions: list(["send", "read all"].into_iter()),
        environment: "",
        subscriptions: list(["s1", "s2"].into_iter()),
        plan: "standard",
        status: "key",
    };
    assert_eq!(
        rendered(&facts.headers(&identity)),
        [
            ("x-id", "key_1"),
            ("x-name", "Gr%C3%B6%C3%9Fe 100%25%0D%0AX: y"),
            ("x-org", "org/42"),
            ("x-may", "send read%20all"),
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
fn encoding_is_undone_by_percent_decoding() {
    for name in ["plain", "a%41b", "日本", "tab\there", "~!@#$^&*()'\"\\<>"] {
        let mut encoded = String::new();
        encode(name, is_entry, &mut encoded);
        assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
        let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
        assert_eq!(decoded, name);
    }
}

#[test]
fn the_nearest_plan_counts() {
    let organization = |plan| Organization {
        id: "42".into(),
        name: None,
        plan,
        quota: None,
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
