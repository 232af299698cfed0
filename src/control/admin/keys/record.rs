//! A key's record as the API shows it: everything but what could help to forge it.

use jiff::Timestamp;
use serde::Serialize;

use super::shelf::Listing;
use crate::config::records::{Key, KeyState};

/// A key, as it is shown. Hashes are not part of it.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    organization: &'a str,
    organization_name: Option<&'a str>,
    environment: Option<&'a str>,
    plan: Option<&'a str>,
    permissions: &'a [String],
    subscriptions: &'a [String],
    allowed_sources: Vec<String>,
    owner: Option<&'a str>,
    hint: Option<&'a str>,
    state: &'static str,
    created_at: Option<String>,
    rotated_at: Option<String>,
    not_before: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    revoked_reason: Option<&'a str>,
    /// How many secrets are accepted now: two while a rotation overlaps.
    secrets: usize,
}

impl<'a> Shown<'a> {
    pub(super) fn new(key: &'a Key, listing: &'a Listing, now_unix: i64) -> Self {
        let organization = &listing.records.organizations[key.organization as usize];
        let state = key.state(now_unix);
        let living = |end: Option<i64>| end.is_none_or(|end| end > now_unix);
        Self {
            id: &key.id,
            name: &key.name,
            organization: &organization.id,
            organization_name: organization.name.as_deref(),
            environment: key.environment.map(|id| listing.scope.environments.name(id.0)),
            plan: key.plan.map(|id| listing.scope.plans.name(id.0)),
            permissions: &key.permissions,
            subscriptions: &key.subscriptions,
            allowed_sources: key.allowed_sources.iter().map(ToString::to_string).collect(),
            owner: key.owner.as_deref(),
            hint: key.hint.as_deref(),
            state: state.word(),
            created_at: key.created_at.map(date_time),
            rotated_at: key.rotated_at.map(date_time),
            not_before: key.not_before.map(date_time),
            expires_at: key.end().map(date_time),
            revoked_at: key.revoked_at.map(date_time),
            revoked_reason: key.revoked_reason.as_deref(),
            secrets: match state {
                KeyState::Active => key.secrets.iter().filter(|secret| living(secret.expires_at)).count(),
                KeyState::NotYetValid | KeyState::Expired | KeyState::Disabled | KeyState::Revoked => 0,
            },
        }
    }
}

/// RFC 3339, in UTC.
pub(super) fn date_time(unix: i64) -> String {
    Timestamp::from_second(unix).unwrap_or(Timestamp::MAX).to_string()
}
