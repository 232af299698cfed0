//! What would become of a request, and why: what `keygate explain` prints, and `POST /admin/v1/explain` answers.
//!
//! A room of its own because both give the same answer, made by the very walk that decides on live traffic
//! ([`Policy::explain`]). It asks; it never decides, and it spends nothing.
//!
//! # Security
//! The key comes in as a [`Secret`](crate::secret::Secret), goes into the head of an imagined request, and into nothing else: an explanation is
//! made of records, rules and numbers. Slow hashes are computed here and now, so this is nothing for a thread that others
//! wait for.

mod question;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use serde::Serialize;

pub use question::{HttpVersion, Question, Unanswerable};

use crate::clock::Now;
use crate::policy::answer::{self, Facts};
use crate::policy::caller::IdentityHeaders;
use crate::policy::head::ClientHead;
use crate::policy::permit::{Passage, Trail};
use crate::policy::refusal::{Hygiene, Refusal};
use crate::policy::spending::{self, Share};
use crate::policy::standing::Standing;
use crate::policy::trace::{Outcome, Rule, Step, Trace};
use crate::policy::{Outlook, Policy, Refused, Verdict};
use crate::secret::slow;

/// What stands where a live answer names its request.
const REQUEST_ID: &str = "explain";

/// What would become of a request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Of the configuration and keys that were asked; 1 where they were read for this.
    pub generation: u64,
    /// `forward`, `answer` (by Keygate itself), `refuse`, or `fail` where it could not be decided.
    pub verdict: &'static str,
    /// Of the refusal; of one that the route only observes, too.
    pub code: Option<&'static str>,
    /// The route's pattern; absent where none matched.
    pub route: Option<Arc<str>>,
    /// Where the key stood; absent where there was none.
    pub source: Option<Arc<str>>,
    /// Whose key it is, where it is a known one.
    pub key: Option<Known>,
    /// The rules that were asked, in order.
    pub steps: Vec<Told>,
    /// What the request spends, or would have to.
    pub limits: Vec<Share>,
    /// Where it would go, if it would.
    pub forward: Option<Forward>,
    /// What the caller would get from Keygate itself.
    pub answer: Option<Answer>,
}

/// A key's record.
#[derive(Debug, Serialize)]
pub struct Known {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Whose it is.
    pub organization: Arc<str>,
    /// The environment that counts for it.
    pub environment: Option<String>,
    /// The plan that counts for it.
    pub plan: Arc<str>,
    /// Whether it is good now.
    pub active: bool,
}

/// One rule that was asked.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Which.
    pub rule: &'static str,
    /// `passed`, `refused`, or `would_refuse` where the route only observes.
    pub outcome: &'static str,
    /// Of a no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Of a no, for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What was found, for people.
    pub found: String,
}

/// Where a request goes.
#[derive(Debug, Serialize)]
pub struct Forward {
    /// The upstream's name.
    pub upstream: String,
    /// Its authority.
    pub authority: String,
    /// As what the request passes: `X-Auth-Status`.
    pub status: String,
    /// The identity headers.
    pub identity: Vec<(String, String)>,
    /// What the answer would carry because of how it passed.
    pub answer_headers: BTreeMap<String, Vec<String>>,
}

/// Keygate's own answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Its body; bytes that are no text are replaced.
    pub body: String,
}

/// Asks this generation about an imagined request. May compute slow hashes.
///
/// # Errors
/// When the question makes no request.
pub fn explain(policy: &Policy, question: &Question, now: Now) -> Result<Explanation, Unanswerable> {
    let request = question.imagine(policy)?;
    let head = request.head();
    let mut trace = Trace::default();
    if request.length() > policy.config.limits.head_bytes {
        return Ok(too_large(policy, &head, now));
    }
    let mut outlook = policy.explain(&head, None, now, &mut trace);
    if let Outlook::Verify(check) = outlook {
        outlook = if let Some(wait) = check.exhausted {
            exhausted(wait, &mut trace)
        } else {
            let verdict = check.run(slow::matches);
            trace = Trace::default();
            policy.explain(&head, Some(verdict), now, &mut trace)
        };
    }
    if let Outlook::AskKeys = outlook {
        // Nobody is asked for the sake of an explanation: what is there now counts.
        trace = Trace::default();
        outlook = policy.explain(&head, Some(Verdict::KeysAsked), now, &mut trace);
    }
    let steps = trace.0;
    match outlook {
        Outlook::Forward {
            upstream,
            identity,
            trail,
        } => {
            let target = &policy.config.upstreams[usize::from(upstream.0)];
            let forward = Forward {
                upstream: target.name.clone(),
                authority: target.authority.clone(),
                status: trail.passage.status().into_owned(),
                identity: listed(&identity),
                answer_headers: promised(policy, &trail, now),
            };
            Ok(Explanation {
                forward: Some(forward),
                ..tell(policy, trail, steps)
            })
        }
        Outlook::Answer { mut answer, trail } => {
            policy.tell_end(&mut answer.headers, &trail, now.unix);
            Ok(Explanation {
                verdict: "answer",
                answer: Some(Answer::of(&answer)),
                ..tell(policy, trail, steps)
            })
        }
        Outlook::Refuse(Refused { refusal, trail }) => {
            let answer = refuse(policy, &refusal, &trail, &head, now);
            Ok(Explanation {
                verdict: "refuse",
                answer: Some(answer),
                ..tell(policy, trail, steps)
            })
        }
        Outlook::Fail(failure) => {
            let trail = Trail::default();
            let answer = policy.answers.failure(failure, &facts(policy, &trail, &head, now));
            Ok(Explanation {
                verdict: "fail",
                code: Some(failure.code()),
                answer: Some(Answer::of(&answer)),
                ..tell(policy, trail, steps)
            })
        }
        // A verdict was given, so policy has nothing more to ask.
        Outlook::Verify(_) | Outlook::AskKeys => Err(Unanswerable::new(
            "policy asked for a slow hash twice",
            "this is a bug; please report it",
        )),
    }
}

/// The length of a head is known where it is read from a connection, before policy is asked.
fn too_large(policy: &Policy, head: &ClientHead<'_>, now: Now) -> Explanation {
    let refusal = Refusal::RequestInvalid(Hygiene::HeadTooLarge);
    let trail = Trail::default();
    let answer = refuse(policy, &refusal, &trail, head, now);
    let step = Step {
        rule: Rule::Size,
        outcome: Outcome::Refused(refusal),
        found: format!("longer than limits.head_bytes, {}", policy.config.limits.head_bytes),
    };
    Explanation {
        verdict: "refuse",
        answer: Some(answer),
        ..tell(policy, trail, vec![step])
    }
}

/// A source that has presented too many bad keys has none computed for it.
fn exhausted(wait: u64, trace: &mut Trace) -> Outlook {
    let refusal = Refusal::CredentialFailuresExceeded(wait);
    if let Some(last) = trace.0.last_mut() {
        last.outcome = Outcome::Refused(refusal.clone());
    }
    Outlook::Refuse(Refused {
        refusal,
        trail: Trail::default(),
    })
}

/// What there is to tell whatever the verdict; it says `forward`.
fn tell(policy: &Policy, trail: Trail, steps: Vec<Step>) -> Explanation {
    let no = |step: &Step| match &step.outcome {
        Outcome::Passed => None,
        Outcome::Refused(refusal) | Outcome::WouldRefuse(refusal) => Some(refusal.code()),
    };
    let spends = steps.iter().any(|step| step.rule == Rule::Limits);
    let cost = trail.door.map_or(policy.config.unmatched.cost, |door| {
        policy.config.routes[usize::from(door.0)].cost
    });
    let limits = match (&trail.standing, &trail.report) {
        (Some(standing), Some(report)) if spends => spending::shares(&standing.terms, report, cost),
        (Some(_) | None, _) => Vec::new(),
    };
    let known = |standing: &Arc<Standing>, active| Known::of(policy, standing, active);
    Explanation {
        generation: policy.generation,
        verdict: "forward",
        code: steps.iter().find_map(no),
        route: trail.route,
        source: trail.source,
        key: trail
            .standing
            .map(|standing| known(&standing, true))
            .or_else(|| trail.dead.map(|standing| known(&standing, false))),
        steps: steps.into_iter().map(Told::from).collect(),
        limits,
        forward: None,
        answer: None,
    }
}

/// As the data path answers.
fn refuse(policy: &Policy, refusal: &Refusal, trail: &Trail, head: &ClientHead<'_>, now: Now) -> Answer {
    let facts = facts(policy, trail, head, now);
    let mut answer = policy.answers.refusal(refusal, &facts);
    if let (Some(standing), Some(report)) = (&trail.standing, &trail.report) {
        standing.terms.headers.write(&mut answer.headers, report, now.unix);
    }
    policy.tell_end(&mut answer.headers, trail, now.unix);
    Answer::of(&answer)
}

fn facts<'a>(policy: &'a Policy, trail: &'a Trail, head: &ClientHead<'a>, now: Now) -> Facts<'a> {
    let caller = trail.standing.as_ref().map(|standing| &standing.caller);
    Facts {
        request_id: REQUEST_ID,
        caller: caller.map(|caller| caller.facts(&policy.config)).unwrap_or_default(),
        method: Some(head.method.as_str()),
        path: Some(head.uri.path()),
        route: trail.door,
        pattern: trail.route.as_deref(),
        time_unix: now.unix,
        grpc: answer::speaks_grpc(head.headers),
    }
}

/// What an answer carries because of how its request passed, and with which key. What it says of limits is in
/// [`Explanation::limits`].
fn promised(policy: &Policy, trail: &Trail, now: Now) -> BTreeMap<String, Vec<String>> {
    let mut headers = match &trail.passage {
        Passage::Legacy(exempt) => exempt.headers.iter().cloned().collect(),
        Passage::Key | Passage::User | Passage::Delegated | Passage::Public | Passage::WouldRefuse(_) => {
            HeaderMap::new()
        }
    };
    policy.tell_end(&mut headers, trail, now.unix);
    fields(&headers)
}

fn listed(identity: &IdentityHeaders) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = identity.iter();
    all.map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn fields(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        all.entry(name.to_string()).or_default().push(text);
    }
    all
}

impl Answer {
    fn of(answer: &answer::Answer) -> Self {
        Self {
            status: answer.status.as_u16(),
            headers: fields(&answer.headers),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        }
    }
}

impl Known {
    fn of(policy: &Policy, standing: &Standing, active: bool) -> Self {
        let caller = &standing.caller;
        let name =
            |id: crate::config::environments::EnvironmentId| policy.config.environments[usize::from(id.0)].name.clone();
        Self {
            id: Arc::clone(&caller.id),
            name: Arc::clone(&caller.name),
            organization: Arc::clone(&caller.organization),
            environment: caller.environment.map(name),
            plan: Arc::clone(&standing.terms.plan),
            active,
        }
    }
}

impl From<Step> for Told {
    fn from(step: Step) -> Self {
        let (outcome, no) = match step.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Refused(refusal) => ("refused", Some(refusal)),
            Outcome::WouldRefuse(refusal) => ("would_refuse", Some(refusal)),
        };
        Self {
            rule: step.rule.word(),
            outcome,
            code: no.as_ref().map(Refusal::code),
            reason: no.as_ref().map(Refusal::reason).filter(|reason| !reason.is_empty()),
            found: match step.found.is_empty() {
                true => step.rule.means().to_owned(),
                false => step.found,
            },
        }
    }
}
