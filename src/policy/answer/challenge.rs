//! `WWW-Authenticate`: how a caller may show its key (RFC 9110 §11.6.1).
//!
//! Every configured source that is an authentication scheme of `Authorization` gives one challenge, in a field line of its
//! own. A configuration of other headers, parameters and cookies has no scheme to name, yet RFC 9110 §15.5.2 demands a
//! challenge: it is `ApiKey realm="keygate"`, a scheme that no client takes for one that it knows.

use http::HeaderValue;
use http::header::AUTHORIZATION;

use crate::config::credentials::Source;
use crate::policy::refusal::Refusal;

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"keygate\", charset=\"UTF-8\"");
const API_KEY: HeaderValue = HeaderValue::from_static("ApiKey realm=\"keygate\"");

/// What was wrong with the credential, as far as a challenge may say (RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// None was sent, or it is not what the answer is about: no `error`.
    None,
    /// `invalid_request`
    Request,
    /// `invalid_token`
    Token,
}

/// The challenges for each complaint.
#[derive(Debug)]
pub(super) struct Challenges {
    none: Vec<HeaderValue>,
    request: Vec<HeaderValue>,
    token: Vec<HeaderValue>,
}

impl Complaint {
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::CredentialMalformed(_) | Refusal::CredentialConflict => Self::Request,
            Refusal::CredentialInvalid(_) => Self::Token,
            Refusal::CredentialMissing
            | Refusal::RequestInvalid(_)
            | Refusal::TlsRequired
            | Refusal::RouteUnknown
            | Refusal::CredentialFailuresExceeded(_)
            | Refusal::SourceDenied
            | Refusal::EnvironmentDenied(_)
            | Refusal::PermissionDenied
            | Refusal::KeysStale
            | Refusal::SubscriptionDenied
            | Refusal::TenantDenied
            | Refusal::HeaderMissing
            | Refusal::ConcurrencyExceeded
            | Refusal::RateLimited(_)
            | Refusal::QuotaExceeded(_)
            | Refusal::BodyTooLarge
            | Refusal::Draining => Self::None,
        }
    }
}

impl Challenges {
    /// For these sources, in their order, each scheme once.
    pub(super) fn compile(sources: &[Source]) -> Self {
        Self {
            none: challenges(sources, ""),
            request: challenges(sources, ", error=\"invalid_request\""),
            token: challenges(sources, ", error=\"invalid_token\""),
        }
    }

    /// At least one.
    pub(super) fn of(&self, complaint: Complaint) -> &[HeaderValue] {
        match complaint {
            Complaint::None => &self.none,
            Complaint::Request => &self.request,
            Complaint::Token => &self.token,
        }
    }
}

/// `error` is what a `Bearer` challenge ends in; other schemes do not know that parameter.
fn challenges(sources: &[Source], error: &str) -> Vec<HeaderValue> {
    let mut values: Vec<HeaderValue> = Vec::new();
    for source in sources {
        let value = match source {
            Source::Scheme { header, scheme } if header == AUTHORIZATION => {
                let error = if scheme.eq_ignore_ascii_case("bearer") {
                    error
                } else {
                    ""
                };
                HeaderValue::try_from(format!("{scheme} realm=\"keygate\"{error}")).ok()
            }
            Source::BasicPassword => Some(BASIC),
            Source::Scheme { .. }
            | Source::Header(_)
            | Source::Query(_)
            | Source::Cookie(_)
            | Source::WebSocketProtocol(_) => None,
        };
        values.extend(value.filter(|value| {
            !values
                .iter()
                .any(|other| other.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
        }));
    }
    if values.is_empty() {
        values.push(API_KEY);
    }
    values
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::config::credentials::default_sources;
    use crate::policy::refusal::Invalid;

    #[test]
    fn challenges_by_source_and_complaint() {
        let scheme = |header, scheme: &str| Source::Scheme {
            header,
            scheme: scheme.to_owned(),
        };
        let several = [
            scheme(AUTHORIZATION, "Token"),
            Source::BasicPassword,
            scheme(AUTHORIZATION, "Bearer"),
            scheme(AUTHORIZATION, "bearer"),
        ];
        let elsewhere = [
            Source::Header(HeaderName::from_static("x-api-key")),
            scheme(HeaderName::from_static("x-auth"), "Bearer"),
        ];
        let token = "Token realm=\"keygate\"";
        let basic = "Basic realm=\"keygate\", charset=\"UTF-8\"";
        let bearer = "Bearer realm=\"keygate\"";
        let invalid_request = "Bearer realm=\"keygate\", error=\"invalid_request\"";
        let invalid_token = "Bearer realm=\"keygate\", error=\"invalid_token\"";
        let api_key = "ApiKey realm=\"keygate\"";

        let defaults = default_sources();
        let missing = Refusal::CredentialMissing;
        let malformed = Refusal::CredentialMalformed("empty");
        let conflict = Refusal::CredentialConflict;
        let invalid = Refusal::CredentialInvalid(Invalid::Unknown);
        let table: [(&[Source], &Refusal, &[&str]); 8] = [
            (&defaults, &missing, &[bearer]),
            (&defaults, &malformed, &[invalid_request]),
            (&defaults, &conflict, &[invalid_request]),
            (&defaults, &invalid, &[invalid_token]),
            (&several, &missing, &[token, basic, bearer]),
            (&several, &invalid, &[token, basic, invalid_token]),
            (&elsewhere, &invalid, &[api_key]),
            (&[], &missing, &[api_key]),
        ];
        for (sources, refusal, expected) in table {
            let challenges = Challenges::compile(sources);
            assert_eq!(
                challenges.of(Complaint::of(refusal)),
                expected,
                "{sources:?} {refusal:?}"
            );
        }
    }
}
