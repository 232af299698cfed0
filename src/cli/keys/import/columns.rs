//! Which column of an export holds what: by its name, or as `--map` says.

use std::collections::HashMap;

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Field {
    Key,
    Hash,
    Lead,
    Id,
    Name,
    Organization,
    OrganizationName,
    Permissions,
    Environment,
    Subscriptions,
    Plan,
    CreatedAt,
    NotBefore,
    ExpiresAt,
    RevokedAt,
    Active,
    Disabled,
    Status,
    AllowedSources,
    Owner,
    Hint,
}

/// Each field with the names of columns that mean it, the surest first. The first is what `--map` calls it.
const NAMES: &[(Field, &[&str])] = &[
    (
        Field::Key,
        &[
            "key",
            "api_key",
            "apikey",
            "secret",
            "token",
            "key_value",
            "plaintext",
            "credential",
        ],
    ),
    (
        Field::Hash,
        &[
            "hash",
            "key_hash",
            "hashed_key",
            "secret_hash",
            "token_hash",
            "hashed_secret",
            "key_digest",
            "digest",
            "sha256",
            "bcrypt",
            "argon2id",
        ],
    ),
    (Field::Lead, &["lead", "key_prefix", "prefix", "start"]),
    (Field::Id, &["id", "kid", "key_id", "api_key_id", "uuid"]),
    (
        Field::Name,
        &[
            "name",
            "key_name",
            "label",
            "title",
            "username",
            "consumer",
            "client",
            "app",
            "description",
        ],
    ),
    (
        Field::Organization,
        &[
            "organization",
            "organization_id",
            "org",
            "org_id",
            "tenant",
            "tenant_id",
            "project",
            "project_id",
            "customer",
            "customer_id",
            "account",
            "account_id",
            "workspace",
            "workspace_id",
            "team",
            "team_id",
        ],
    ),
    (
        Field::OrganizationName,
        &[
            "organization_name",
            "org_name",
            "tenant_name",
            "project_name",
            "customer_name",
            "account_name",
            "workspace_name",
            "team_name",
        ],
    ),
    (
        Field::Permissions,
        &["permissions", "permission", "scopes", "scope", "roles", "grants"],
    ),
    (Field::Environment, &["environment", "env"]),
    (Field::Subscriptions, &["subscriptions", "subscription"]),
    (Field::Plan, &["plan", "rate_plan", "tier"]),
    (
        Field::CreatedAt,
        &["created_at", "created", "created_on", "creation_time", "creation_date"],
    ),
    (Field::NotBefore, &["not_before", "valid_from", "starts_at"]),
    (
        Field::ExpiresAt,
        &[
            "expires_at",
            "expires",
            "expiry",
            "expiration",
            "expires_on",
            "expiration_date",
            "expiry_date",
            "valid_until",
        ],
    ),
    (Field::RevokedAt, &["revoked_at", "revoked", "is_revoked"]),
    (Field::Active, &["active", "enabled", "is_active", "is_enabled"]),
    (Field::Disabled, &["disabled", "is_disabled"]),
    (Field::Status, &["status", "state"]),
    (
        Field::AllowedSources,
        &[
            "allowed_sources",
            "allowed_ips",
            "ip_allowlist",
            "allowlist",
            "ip_whitelist",
            "allowed_cidrs",
            "cidrs",
            "ip_addresses",
        ],
    ),
    (
        Field::Owner,
        &[
            "owner",
            "owner_name",
            "owner_email",
            "email",
            "contact",
            "created_by",
            "user",
        ],
    ),
    (Field::Hint, &["hint", "masked", "masked_key", "redacted"]),
];

/// What columns hold.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// As `--map` says; `None` is nothing.
    mapped: HashMap<String, Option<Field>>,
}

/// `--map column=field`
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    column: String,
    field: Option<Field>,
}

impl Field {
    /// What it is called.
    pub(super) fn word(self) -> &'static str {
        NAMES
            .iter()
            .find(|(field, _)| *field == self)
            .and_then(|(_, names)| names.first())
            .copied()
            .unwrap_or_default()
    }
}

/// Reads `column=field`; the field `-` passes the column over.
pub(super) fn mapping(text: &str) -> Result<Mapping, String> {
    let (column, field) = text
        .rsplit_once('=')
        .filter(|(column, _)| !column.is_empty())
        .ok_or_else(|| "write column=field, for example consumer_ref=organization".to_owned())?;
    let field = match NAMES.iter().find(|(_, names)| names.first() == Some(&field)) {
        Some((field, _)) => Some(*field),
        None if field == "-" => None,
        None => {
            let known: Vec<&str> = NAMES.iter().filter_map(|(_, names)| names.first().copied()).collect();
            return Err(format!(
                "there is no field {field}; there are {}, and - for none",
                known.join(", ")
            ));
        }
    };
    Ok(Mapping {
        column: column.to_owned(),
        field,
    })
}

impl Columns {
    pub(super) fn new(mappings: &[Mapping]) -> Self {
        let mapped = mappings.iter().map(|one| (one.column.clone(), one.field)).collect();
        Self { mapped }
    }

    /// What a column may hold, and how sure that is: less is surer.
    pub(super) fn of(&self, column: &str) -> Option<(Field, usize)> {
        if let Some(field) = self.mapped.get(column) {
            return field.map(|field| (field, 0));
        }
        let folded = folded(column);
        NAMES.iter().find_map(|(field, names)| {
            let rank = names.iter().position(|name| *name == folded)?;
            Some((*field, rank + 1))
        })
    }

    /// Columns that were named and are not among these.
    pub(super) fn unknown<'a>(&'a self, columns: &[String]) -> Vec<&'a str> {
        let mut unknown: Vec<&str> = self
            .mapped
            .keys()
            .filter(|column| !columns.contains(column))
            .map(String::as_str)
            .collect();
        unknown.sort_unstable();
        unknown
    }
}

/// `API Key`, `apiKey`, `api-key` → `api_key`.
fn folded(column: &str) -> String {
    let mut folded = String::with_capacity(column.len() + 4);
    let mut was_lower = false;
    for c in column.trim().trim_start_matches('\u{feff}').chars() {
        if matches!(c, ' ' | '-' | '.' | '/' | '_') {
            if !folded.ends_with('_') {
                folded.push('_');
            }
            was_lower = false;
            continue;
        }
        if c.is_uppercase() && was_lower {
            folded.push('_');
        }
        was_lower = c.is_lowercase() || c.is_ascii_digit();
        folded.extend(c.to_lowercase());
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_what_they_are_called_elsewhere() {
        let columns = Columns::new(&[mapping("ref no=organization").unwrap(), mapping("secret=-").unwrap()]);
        let cases = [
            ("key", Some(Field::Key)),
            ("API Key", Some(Field::Key)),
            ("apiKey", Some(Field::Key)),
            ("\u{feff}api-key", Some(Field::Key)),
            ("keyHash", Some(Field::Hash)),
            ("SHA256", Some(Field::Hash)),
            ("tenantId", Some(Field::Organization)),
            ("Expiration Date", Some(Field::ExpiresAt)),
            ("ref no", Some(Field::Organization)),
            ("secret", None),
            ("weight", None),
        ];
        for (column, expected) in cases {
            assert_eq!(columns.of(column).map(|(field, _)| field), expected, "{column}");
        }
        assert_eq!(columns.unknown(&["secret".to_owned()]), ["ref no"]);
        for wrong in ["a", "=key", "a=", "a=kee"] {
            assert!(mapping(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_name_means_two_things() {
        let mut all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|name| folded(name) == *name));
    }
}
