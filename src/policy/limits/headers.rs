//! Rate-limit headers, in every dialect that a plan names.
//!
//! What never changes (names, the policy, the limits) is compiled once for each plan; a request writes numbers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::account::Report;
use super::seconds_up;
use super::window::Standing;
use crate::config::plans::{Dialect, Limit};
use crate::config::quotas::Quota;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// A plan's rate-limit headers.
#[derive(Debug, Default)]
pub struct RateHeaders {
    structured: Option<Structured>,
    tightest: Option<Box<[Share]>>,
    each: Option<Box<[Named]>>,
}

/// `RateLimit-Policy` and what stands before each number of `RateLimit`.
#[derive(Debug)]
struct Structured {
    policy: HeaderValue,
    /// `"sec";r=`, `, "min";r=`, …
    leads: Box<[String]>,
}

/// What `X-RateLimit-*` needs to know of one window.
#[derive(Debug)]
struct Share {
    limit: HeaderValue,
    burst: u32,
}

/// `X-RateLimit-<window>-*`
#[derive(Debug)]
struct Named {
    limit_name: HeaderName,
    limit: HeaderValue,
    remaining_name: HeaderName,
}

impl RateHeaders {
    /// Compiles the dialects of a plan with these limits, in the order of its reports, and quotas; without either there is
    /// nothing to tell. Quotas are told in the `ratelimit` dialect alone: the others know no calendar.
    #[must_use]
    pub fn compile(dialects: &[Dialect], limits: &[Limit], quotas: &[Arc<Quota>]) -> Self {
        let mut headers = Self::default();
        if limits.is_empty() && quotas.is_empty() {
            return headers;
        }
        for dialect in dialects {
            match dialect {
                Dialect::RateLimit => headers.structured = Structured::compile(limits, quotas),
                Dialect::XRateLimit => headers.tightest = Some(limits.iter().map(Share::of).collect()),
                Dialect::XRateLimitWindow => headers.each = limits.iter().map(Named::of).collect(),
            }
        }
        headers
    }

    /// Writes what `report` says. `RateLimit` and `RateLimit-Policy` are lists, so those of the upstream stay beside ours;
    /// the `X-` names hold one number, so ours replace them. `now_unix` is in seconds.
    pub fn write(&self, headers: &mut HeaderMap, report: &Report, now_unix: i64) {
        if report.windows.is_empty() && report.quotas.is_empty() {
            return;
        }
        if let Some(structured) = &self.structured {
            headers.append(RATELIMIT_POLICY, structured.policy.clone());
            headers.append(RATELIMIT, structured.value(report));
        }
        if let Some(shares) = &self.tightest
            && let Some((share, standing)) = tightest(shares, report)
        {
            let reset = u64::try_from(now_unix)
                .unwrap_or(0)
                .saturating_add(seconds_up(standing.reset));
            headers.insert(X_LIMIT, share.limit.clone());
            headers.insert(X_REMAINING, HeaderValue::from(standing.remaining));
            headers.insert(X_RESET, HeaderValue::from(reset));
        }
        for (named, standing) in self.each.iter().flatten().zip(&report.windows) {
            headers.insert(named.limit_name.clone(), named.limit.clone());
            headers.insert(named.remaining_name.clone(), HeaderValue::from(standing.remaining));
        }
    }
}

impl Structured {
    /// draft-ietf-httpapi-ratelimit-headers-11: `q` is the quota, `w` its window in whole seconds, which days and months of
    /// a calendar do not have. Names are Strings of RFC 9651. `None` if a name cannot be written as one, which no token can
    /// bring about.
    fn compile(limits: &[Limit], quotas: &[Arc<Quota>]) -> Option<Self> {
        let mut policy = String::new();
        let mut leads = Vec::with_capacity(limits.len());
        let windows = limits.iter().map(|limit| {
            let seconds = limit.per.as_nanos().div_ceil(1_000_000_000);
            (&limit.name, format!("{};w={seconds}", limit.requests))
        });
        let quotas = quotas.iter().map(|quota| (&quota.name, quota.requests.to_string()));
        for (name, quota) in windows.chain(quotas) {
            let comma = if policy.is_empty() { "" } else { ", " };
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            policy.push_str(&format!("{comma}\"{name}\";q={quota}"));
            leads.push(format!("{comma}\"{name}\";r="));
        }
        Some(Self {
            policy: HeaderValue::try_from(policy).ok()?,
            leads: leads.into(),
        })
    }

    /// The same draft: `r` is what is left, `t` the seconds until it is replenished; after a refusal the same point in time
    /// as `Retry-After`.
    fn value(&self, report: &Report) -> HeaderValue {
        let mut text = BytesMut::with_capacity(self.leads.iter().map(|lead| lead.len() + 24).sum());
        let mut digits = itoa::Buffer::new();
        let windows = report.windows.iter();
        let windows = windows.map(|standing| (u64::from(standing.remaining), seconds_up(standing.reset)));
        let quotas = report.quotas.iter().map(|left| (left.remaining, left.reset));
        for (lead, (remaining, reset)) in self.leads.iter().zip(windows.chain(quotas)) {
            text.extend_from_slice(lead.as_bytes());
            text.extend_from_slice(digits.format(remaining).as_bytes());
            text.extend_from_slice(b";t=");
            text.extend_from_slice(digits.format(reset).as_bytes());
        }
        HeaderValue::from_maybe_shared(Bytes::from(text)).expect("the policy holds the same names, and is a value")
    }
}

impl Share {
    fn of(limit: &Limit) -> Self {
        Self {
            limit: HeaderValue::from(limit.requests),
            burst: limit.burst.max(1),
        }
    }
}

impl Named {
    /// `None` if the window's name is not a token, which the configuration does not let through.
    fn of(limit: &Limit) -> Option<Self> {
        let name = |what| HeaderName::try_from(format!("x-ratelimit-{}-{what}", limit.name)).ok();
        Some(Self {
            limit_name: name("limit")?,
            limit: HeaderValue::from(limit.requests),
            remaining_name: name("remaining")?,
        })
    }
}

/// The window that refused; else the one with the lowest share of its burst left, the first of several.
fn tightest<'a>(shares: &'a [Share], report: &'a Report) -> Option<(&'a Share, &'a Standing)> {
    let mut windows = shares.iter().zip(&report.windows);
    match report.refused_by {
        Some(index) => windows.nth(index),
        None => windows.min_by(|(share, standing), (other, its)| {
            // remaining / burst, compared by cross-multiplication
            let left = u64::from(standing.remaining) * u64::from(other.burst);
            left.cmp(&(u64::from(its.remaining) * u64::from(share.burst)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smallvec::smallvec;

    use super::*;
    use crate::config::plans::Scope;

    const ALL: [Dialect; 3] = [Dialect::RateLimit, Dialect::XRateLimit, Dialect::XRateLimitWindow];

    fn limit(name: &str, requests: u32, per: Duration) -> Limit {
        Limit {
            name: name.to_owned(),
            requests,
            per,
            burst: requests,
            strict: false,
            scope: Scope::Key,
        }
    }

    fn written(dialects: &[Dialect], limits: &[Limit], report: &Report) -> Vec<String> {
        let mut headers = HeaderMap::new();
        RateHeaders::compile(dialects, limits, &[]).write(&mut headers, report, 1_700_000_000);
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    fn limits() -> [Limit; 2] {
        [
            limit("sec", 80, Duration::from_secs(1)),
            limit("min", 4_800, Duration::from_secs(60)),
        ]
    }

    #[test]
    fn every_dialect_after_an_admission() {
        let report = Report {
            windows: smallvec![
                Standing {
                    remaining: 62,
                    reset: 225_000_000
                },
                Standing {
                    remaining: 4_700,
                    reset: 1_250_000_001
                }
            ],
            refused_by: None,
            ..Report::default()
        };
        assert_eq!(
            written(&ALL, &limits(), &report),
            [
                "ratelimit-policy: \"sec\";q=80;w=1, \"min\";q=4800;w=60",
                "ratelimit: \"sec\";r=62;t=1, \"min\";r=4700;t=2",
                "x-ratelimit-limit: 80",
                "x-ratelimit-min-limit: 4800",
                "x-ratelimit-min-remaining: 4700",
                "x-ratelimit-remaining: 62",
                "x-ratelimit-reset: 1700000001",
                "x-ratelimit-sec-limit: 80",
                "x-ratelimit-sec-remaining: 62",
            ]
        );
    }

    #[test]
    fn the_single_window_dialect_tells_of_the_one_that_refused() {
        let report = Report {
            windows: smallvec![
                Standing { remaining: 0, reset: 1 },
                Standing {
                    remaining: 3,
                    reset: 30_000_000_000
                }
            ],
            refused_by: Some(1),
            ..Report::default()
        };
        assert_eq!(
            written(&[Dialect::XRateLimit], &limits(), &report),
            [
                "x-ratelimit-limit: 4800",
                "x-ratelimit-remaining: 3",
                "x-ratelimit-reset: 1700000030",
            ]
        );
    }

    #[test]
    fn the_single_window_dialect_tells_of_the_one_with_the_lowest_share_left() {
        // With a burst of 10 in the minute, 9 of 10 are a higher share than 62 of 80, and 7 are a lower one.
        let [sec, min] = limits();
        let limits = [sec, Limit { burst: 10, ..min }];
        for (left, told) in [
            (9, "x-ratelimit-limit: 80"),
            (7, "x-ratelimit-limit: 4800"),
            (0, "x-ratelimit-limit: 4800"),
        ] {
            let report = Report {
                windows: smallvec![
                    Standing {
                        remaining: 62,
                        reset: 1
                    },
                    Standing {
                        remaining: left,
                        reset: 1
                    }
                ],
                refused_by: None,
                ..Report::default()
            };
            assert_eq!(written(&[Dialect::XRateLimit], &limits, &report)[0], told, "{left}");
        }
        let level = Report {
            windows: smallvec![
                Standing {
                    remaining: 40,
                    reset: 1
                },
                Standing { remaining: 5, reset: 1 }
            ],
            refused_by: None,
            ..Report::default()
        };
        assert_eq!(
            written(&[Dialect::XRateLimit], &limits, &level)[0],
            "x-ratelimit-limit: 80"
        );
    }

    #[test]
    fn a_window_below_a_second_and_a_name_of_any_token() {
        let odd = [limit("a!#b", 5, Duration::from_millis(250))];
        let report = Report {
            windows: smallvec![Standing { remaining: 5, reset: 0 }],
            refused_by: None,
            ..Report::default()
        };
        assert_eq!(
            written(&[Dialect::RateLimit, Dialect::XRateLimitWindow], &odd, &report),
            [
                "ratelimit-policy: \"a!#b\";q=5;w=1",
                "ratelimit: \"a!#b\";r=5;t=0",
                "x-ratelimit-a!#b-limit: 5",
                "x-ratelimit-a!#b-remaining: 5",
            ]
        );
    }

    #[test]
    fn nothing_to_tell_writes_nothing() {
        assert!(written(&ALL, &[], &Report::default()).is_empty());
        assert!(written(&[], &limits(), &Report::default()).is_empty());
    }

    #[test]
    fn lists_of_the_upstream_stay_and_its_numbers_go() {
        let mut headers = HeaderMap::new();
        headers.insert(RATELIMIT, HeaderValue::from_static("\"own\";r=1;t=1"));
        headers.insert(X_REMAINING, HeaderValue::from_static("9999"));
        let report = Report {
            windows: smallvec![Standing { remaining: 7, reset: 0 }],
            refused_by: None,
            ..Report::default()
        };
        RateHeaders::compile(&ALL, &limits()[..1], &[]).write(&mut headers, &report, 0);
        assert_eq!(headers.get_all(RATELIMIT).iter().count(), 2);
        let remaining: Vec<_> = headers.get_all(X_REMAINING).iter().collect();
        assert_eq!(remaining, ["7"]);
    }
}
