//! A client's request, from its head to its answer's: everything that happens to it, in order.

use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::access::AccessLine;
use super::connection::Client;
use super::relay::{Cut, RequestBody, ResponseBody};
use super::screen::BodyFailure;
use super::upgrade;
use super::upstream::{Answer, Switched};
use super::worker::Generation;
use crate::clock::{self, Now};
use crate::config::routes::RouteTimeouts;
use crate::config::upstreams::UpstreamId;
use crate::lifecycle::Stage;
use crate::policy::answer::{self, Facts};
use crate::policy::head::ClientHead;
use crate::policy::header_law::{self, X_REQUEST_ID};
use crate::policy::permit::{Passage, Permit, UpstreamHead};
use crate::policy::refusal::{Failure, Hygiene, Refusal};
use crate::policy::{Answered, Decision, Policy, Refused, Verdict};

/// What a client gets: the line is written when the last byte is out.
pub(super) type ClientResponse = Response<ResponseBody<Option<Box<AccessLine>>>>;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NO_PHRASE: ReasonPhrase = ReasonPhrase::from_static(b"");

/// How a request goes on.
struct Way {
    upstream: UpstreamId,
    timeouts: Option<RouteTimeouts>,
    body_bytes: Option<u64>,
}

/// Why a request is not carried.
pub(super) enum Stop {
    /// We said no.
    Refused(Refusal),
    /// We could not.
    Failed(Failure),
    /// We know the answer ourselves.
    Answered(Box<Answered>),
}

/// One request: decide, strip, inject, forward, relay. Whatever stops it is answered in the caller's form.
pub(super) async fn serve(client: Rc<Client>, request: Request<Incoming>) -> Result<ClientResponse, Infallible> {
    let generation = client.worker.generation();
    let now = clock::now();
    let grpc = answer::speaks_grpc(request.headers());
    let mut line = AccessLine::open(client, &generation, &request, now);
    if grpc {
        line.exchange.speaks_grpc();
    }
    Ok(match carry(&generation, &mut line, request, now).await {
        Ok(answer) => relay(&generation, line, answer, now),
        Err(stop) => answer(&generation, line, stop, grpc, now),
    })
}

async fn carry(
    generation: &Generation,
    line: &mut AccessLine,
    request: Request<Incoming>,
    now: Now,
) -> Result<Answer, Stop> {
    screened(line)?;
    let permit = admit(generation, line, &request, now).await?;
    let (mut head, body) = request.into_parts();
    let way = spend(permit, &generation.policy, &mut head, line);
    still_holds(line).inspect_err(|_| line.trail.give_back(clock::now()))?;
    let body = RequestBody::new(body, &line.exchange, generation.body_rules(way.body_bytes));
    line.ask_upstream();
    let answer = generation.upstreams.send(way.upstream, way.timeouts, head, body).await;
    line.upstream_answered();
    let answer = answer.map_err(|cut| Stop::of(cut, line))?;
    // It may have come in the very moment in which the key died.
    still_holds(line)?;
    Ok(answer)
}

/// What the request rests on has not ended since it was let in.
fn still_holds(line: &AccessLine) -> Result<(), Stop> {
    match line.exchange.withdrawn() {
        Some(_) => Err(line.withdrawn().into()),
        None => Ok(()),
    }
}

/// What the screen refused stands in the stream as a request of its own: this may be it.
fn screened(line: &mut AccessLine) -> Result<(), Stop> {
    let Some(refused) = line.client.screen.take_refusal(line.call) else {
        return Ok(());
    };
    line.correct(refused.method.as_deref(), refused.target);
    Err(Refusal::RequestInvalid(refused.hygiene).into())
}

/// Asks policy; and, where it says so, the slow checker or the issuer of users' tokens first.
async fn admit(
    generation: &Generation,
    line: &mut AccessLine,
    request: &Request<Incoming>,
    now: Now,
) -> Result<Box<Permit>, Stop> {
    let head = ClientHead {
        method: request.method(),
        uri: request.uri(),
        version: request.version(),
        headers: request.headers(),
        peer: &line.client.peer,
    };
    let policy = &generation.policy;
    let decision = match policy.decide_ingress(&head, None, now) {
        Decision::Verify(check) => {
            let verdict = line.client.worker.shared.verifier.verify(check).await?;
            policy.decide_ingress(&head, Some(verdict), clock::now())
        }
        Decision::AskKeys => {
            line.client.worker.shared.refetch.ask().await;
            policy.decide_ingress(&head, Some(Verdict::KeysAsked), clock::now())
        }
        decision @ (Decision::Forward(_) | Decision::Answer(_) | Decision::Refuse(_) | Decision::Fail(..)) => decision,
    };
    match decision {
        Decision::Forward(permit) => {
            line.comes_from(permit.client().address);
            line.trail = permit.trail().clone();
            if permit.is_upgrade() {
                line.seat = Some(upgrade::reserve(&line.client)?);
            }
            Ok(permit)
        }
        Decision::Answer(mut answered) => {
            line.comes_from(answered.client);
            line.trail = std::mem::take(&mut answered.trail);
            line.slot = answered.slot.take();
            Err(Stop::Answered(answered))
        }
        Decision::Refuse(Refused { refusal, trail }) => {
            line.trail = trail;
            Err(refusal.into())
        }
        Decision::Fail(failure, trail) => {
            line.trail = trail;
            Err(failure.into())
        }
        // A verdict was given, so policy has nothing more to ask.
        Decision::Verify(_) | Decision::AskKeys => Err(Stop::Failed(Failure::VerifierBusy)),
    }
}

/// From the client's head to the upstream's: the permit is spent, and the header law applied.
fn spend(permit: Box<Permit>, policy: &Policy, head: &mut request::Parts, line: &mut AccessLine) -> Way {
    let address = permit.client().address;
    let relied_on = policy.relied_on(&head.headers);
    let UpstreamHead {
        upstream,
        target,
        headers,
        timeouts,
        body_bytes,
        slot,
    } = permit.spend(
        policy,
        &head.uri,
        std::mem::take(&mut head.headers),
        line.request_id.clone(),
        line.traceparent.clone(),
    );
    let bond = policy.bond(&line.trail, address, &head.method, &head.uri, relied_on);
    line.register(policy, bond);
    head.uri = Uri::from(target);
    head.headers = headers;
    head.version = Version::HTTP_11;
    // What hyper left there concerns the client's connection only.
    head.extensions.clear();
    line.slot = slot;
    Way {
        upstream,
        timeouts,
        body_bytes,
    }
}

/// The upstream's answer on its way to the client.
fn relay(generation: &Generation, mut line: Box<AccessLine>, answer: Answer, now: Now) -> ClientResponse {
    let policy = &generation.policy;
    match answer {
        Answer::Response(response) => {
            let (mut head, body) = response.into_parts();
            line.answered(head.status);
            let phrase = head.extensions.remove();
            // A tunnel that was declined is a request like others.
            line.seat = None;
            let headers = told(policy, &line, header_law::response(head.headers, false), now);
            let pace = line.client.pace(&line.exchange);
            let body = ResponseBody::upstream(body, Some(line)).paced(pace);
            respond(head.status, phrase, headers, body)
        }
        Answer::Switched(Switched {
            mut head,
            stream,
            first_bytes,
        }) => {
            line.answered(head.status);
            let headers = told(policy, &line, header_law::response(head.headers, true), now);
            upgrade::begin(line, &headers, stream, first_bytes);
            respond(
                head.status,
                head.extensions.remove(),
                headers,
                ResponseBody::empty(None),
            )
        }
    }
}

/// Keygate's own answer.
fn answer(generation: &Generation, mut line: Box<AccessLine>, stop: Stop, grpc: bool, now: Now) -> ClientResponse {
    let ends_connection = stop.ends_connection();
    let config = &generation.policy.config;
    let caller = line.trail.standing.as_ref().map(|standing| &standing.caller);
    let facts = Facts {
        request_id: line.request_id.to_str().unwrap_or_default(),
        caller: caller.map(|caller| caller.facts(config)).unwrap_or_default(),
        method: Some(line.method().as_str()),
        path: line.path(),
        route: line.trail.door,
        pattern: line.trail.route.as_deref(),
        time_unix: now.unix,
        grpc,
    };
    let answers = &generation.policy.answers;
    let answer = match stop {
        Stop::Refused(refusal) => {
            let answer = answers.refusal(&refusal, &facts);
            line.refused(&refusal);
            answer
        }
        Stop::Failed(failure) => {
            let answer = answers.failure(failure, &facts);
            line.failed(failure);
            answer
        }
        Stop::Answered(answered) => {
            line.answered_here();
            answered.answer
        }
    };
    line.answered(answer.status);
    let mut headers = told(&generation.policy, &line, answer.headers, now);
    // An origin's answers carry their date (RFC 9110 §6.6.1), and here Keygate is the origin.
    headers.extend(answer::http_date(now.unix).map(|date| (DATE, date)));
    if ends_connection && line.is_http1() {
        headers.insert(CONNECTION, CLOSE);
    }
    let mut body = answer.body;
    if line.method() == Method::HEAD {
        // The length that GET would tell (RFC 9110 §9.3.2).
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        body = Bytes::new();
    }
    line.exchange.add_response_bytes(body.len());
    let pace = line.client.pace(&line.exchange);
    let body = ResponseBody::full(body, Some(line)).paced(pace);
    respond(answer.status, None, headers, body)
}

/// What every answer tells: the request's name, where the key stands and when it ends, and whether Keygate is about to leave.
fn told(policy: &Policy, line: &AccessLine, mut headers: HeaderMap, now: Now) -> HeaderMap {
    headers.insert(X_REQUEST_ID, line.request_id.clone());
    if line.client.worker.stage() >= Stage::Leaving && line.is_http1() && !headers.contains_key(CONNECTION) {
        headers.insert(CONNECTION, CLOSE);
    }
    if let (Some(standing), Some(report)) = (&line.trail.standing, &line.trail.report) {
        standing.terms.headers.write(&mut headers, report, now.unix);
    }
    if let Passage::Legacy(exempt) = &line.trail.passage {
        headers.extend(exempt.headers.iter().cloned());
    }
    policy.tell_end(&mut headers, &line.trail, now.unix);
    headers
}

/// `phrase` is what the upstream says besides its status, where that is not what everybody says (RFC 9112 §4).
fn respond(
    status: StatusCode,
    phrase: Option<ReasonPhrase>,
    headers: HeaderMap,
    body: ResponseBody<Option<Box<AccessLine>>>,
) -> ClientResponse {
    let mut response = Response::new(body);
    // hyper would make one up for a status that it does not know.
    let none = || status.canonical_reason().is_none().then_some(NO_PHRASE);
    if let Some(phrase) = phrase.or_else(none) {
        response.extensions_mut().insert(phrase);
    }
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

impl Stop {
    /// Why an exchange was cut before there was an answer. What broke the client's own framing is the client's mistake.
    fn of(cut: Cut, line: &AccessLine) -> Self {
        match (cut, line.client.screen.body_failure(line.call)) {
            (Cut::BodyTooLarge, _) => Self::Refused(Refusal::BodyTooLarge),
            (Cut::Withdrawn, _) => Self::Refused(line.withdrawn()),
            (Cut::Failed(Failure::ClientBodyInvalid), Some(BodyFailure::Broken)) => {
                Self::Refused(Refusal::RequestInvalid(Hygiene::Chunked))
            }
            (Cut::Failed(failure), _) => Self::Failed(failure),
        }
    }

    fn ends_connection(&self) -> bool {
        match self {
            Self::Refused(Refusal::RequestInvalid(hygiene)) => hygiene.ends_connection(),
            Self::Refused(_) | Self::Failed(_) | Self::Answered(_) => false,
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
