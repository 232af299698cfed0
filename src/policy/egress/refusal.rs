//! What the service is told where its event does not arrive.

use http::StatusCode;

use super::destination::Forbidden;

/// Keygate said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or a wrong one.
    TokenInvalid,
    /// A tunnel: what passes through it could not be signed.
    ConnectUnsupported,
    /// An event is sent with POST, PUT or PATCH.
    MethodUnsupported,
    /// No such path here.
    PathUnknown,
    /// No webhook has this id, or no organization has one.
    WebhookUnknown,
    /// A forward-proxy target that no webhook's URL covers.
    DestinationUnregistered,
    /// A forward-proxy target that several webhooks have in the same way.
    DestinationAmbiguous,
    /// A forward-proxy target that servers read in different ways.
    DestinationInvalid(&'static str),
    /// A destination that events may not go to.
    DestinationForbidden(Forbidden),
    /// `active = false`
    WebhookInactive,
    /// It was paused: by an operator, by a 410, or because it kept failing.
    WebhookPaused,
    /// The event's type is not where it is configured to be, and the webhook does not take all.
    EventMissing,
    /// It was queued, and its webhook does not ask for it any more.
    EventUnsubscribed,
    /// The event's id or type cannot stand in a header.
    EventInvalid,
    /// The body is longer than can be held to be signed, scanned or queued.
    BodyTooLarge,
    /// The body holds a live key; its public id.
    KeyInBody(String),
    /// The event's id or type is, or holds, a key.
    KeyInEvent,
    /// The target holds something that is, or may be, a key.
    KeyInTarget,
    /// The body is encoded, so that nobody can see whether it holds a key.
    BodyEncoded,
    /// `delivery = "queued"` without a state to queue in.
    QueueUnavailable,
    /// As much is queued as may be.
    QueueFull,
}

/// Keygate could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The name has no address, or no name server answers.
    Unresolved(String),
    /// No connection.
    Unreachable(String),
    /// TLS: what is wrong with the other end.
    Untrusted(String),
    /// Not within the time for it.
    Timeout(&'static str),
    /// The connection broke before an answer, or what came is no HTTP.
    Invalid(String),
    /// As many connections as the receiver may have are busy.
    Busy,
    /// The service's own body was cut short, or did not come in time.
    BodyBroken,
}

impl Refusal {
    /// The status of its answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TokenInvalid => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::ConnectUnsupported | Self::MethodUnsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::PathUnknown | Self::WebhookUnknown => StatusCode::NOT_FOUND,
            Self::DestinationUnregistered | Self::DestinationForbidden(_) => StatusCode::FORBIDDEN,
            Self::DestinationAmbiguous | Self::WebhookInactive | Self::WebhookPaused | Self::EventUnsubscribed => {
                StatusCode::CONFLICT
            }
            Self::DestinationInvalid(_) | Self::EventMissing | Self::EventInvalid => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::KeyInBody(_) | Self::KeyInEvent | Self::KeyInTarget => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyEncoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::QueueUnavailable | Self::QueueFull => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Stable and of few values: for the service, the log and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TokenInvalid => "egress_token_invalid",
            Self::ConnectUnsupported => "connect_unsupported",
            Self::MethodUnsupported => "method_unsupported",
            Self::PathUnknown => "path_unknown",
            Self::WebhookUnknown => "webhook_unknown",
            Self::DestinationUnregistered => "destination_unregistered",
            Self::DestinationAmbiguous => "destination_ambiguous",
            Self::DestinationInvalid(_) => "destination_invalid",
            Self::DestinationForbidden(_) => "destination_forbidden",
            Self::WebhookInactive => "webhook_inactive",
            Self::WebhookPaused => "webhook_paused",
            Self::EventMissing => "event_missing",
            Self::EventUnsubscribed => "event_unsubscribed",
            Self::EventInvalid => "event_invalid",
            Self::BodyTooLarge => "body_too_large",
            Self::KeyInBody(_) => "key_in_body",
            Self::KeyInEvent => "key_in_event",
            Self::KeyInTarget => "key_in_target",
            Self::BodyEncoded => "body_encoded",
            Self::QueueUnavailable => "queue_unavailable",
            Self::QueueFull => "queue_full",
        }
    }

    /// What is wrong, and what helps.
    #[must_use]
    pub fn detail(&self) -> String {
        let text = match self {
            Self::TokenInvalid => {
                "This listener asks for a token: Proxy-Authorization: Bearer TOKEN, or HTTP_PROXY=http://x:TOKEN@HOST:PORT."
            }
            Self::ConnectUnsupported => {
                "What passes through a CONNECT tunnel is encrypted and cannot be signed. Send the event to the http:// form of the \
                 receiver's URL: it leaves over TLS where the webhook is registered with https://."
            }
            Self::MethodUnsupported => "Events are sent with POST, PUT or PATCH.",
            Self::PathUnknown => {
                "Events go to /webhooks/ID, to /organizations/ID/events, or to a registered URL as through a forward proxy."
            }
            Self::WebhookUnknown => "There is no such webhook.",
            Self::DestinationUnregistered => "No webhook is registered for this URL.",
            Self::DestinationAmbiguous => "Several webhooks have this URL: send the event to /webhooks/ID.",
            Self::DestinationInvalid(reason) => return format!("The target {reason}."),
            Self::DestinationForbidden(forbidden) => return forbidden.to_string(),
            Self::WebhookInactive => "The webhook is not active.",
            Self::WebhookPaused => "The webhook is paused: `keygate webhooks resume ID`.",
            Self::EventMissing => {
                "The event's type is not where [webhooks] `event` says, and the webhook is for some types only."
            }
            Self::EventUnsubscribed => "The webhook does not ask for events of this type any more.",
            Self::EventInvalid => "The event's id or type is not one of 1 to 256 visible ASCII characters.",
            Self::BodyTooLarge => "The event is longer than [webhooks] `body_bytes`, and has to be held to be signed.",
            Self::KeyInBody(key) => return format!("The event holds a key that is in force, {key}: it is not sent."),
            Self::KeyInEvent => "The event's id or type holds a key: it is not sent.",
            Self::KeyInTarget => "The target holds a key: it is not sent.",
            Self::BodyEncoded => {
                "Events are searched for keys ([webhooks] `scan_bodies`), and this one has a Content-Encoding: send it without."
            }
            Self::QueueUnavailable => "Events cannot be queued at the moment; try again.",
            Self::QueueFull => "As many events are queued as may be; try again later.",
        };
        text.to_owned()
    }

    /// Seconds for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QueueFull => Some(10),
            Self::QueueUnavailable => Some(1),
            Self::TokenInvalid
            | Self::ConnectUnsupported
            | Self::MethodUnsupported
            | Self::PathUnknown
            | Self::WebhookUnknown
            | Self::DestinationUnregistered
            | Self::DestinationAmbiguous
            | Self::DestinationInvalid(_)
            | Self::DestinationForbidden(_)
            | Self::WebhookInactive
            | Self::WebhookPaused
            | Self::EventMissing
            | Self::EventUnsubscribed
            | Self::EventInvalid
            | Self::BodyTooLarge
            | Self::KeyInBody(_)
            | Self::KeyInEvent
            | Self::KeyInTarget
            | Self::BodyEncoded => None,
        }
    }
}

impl Failure {
    /// The status of its answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unresolved(_) | Self::Unreachable(_) | Self::Untrusted(_) | Self::Invalid(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyBroken => StatusCode::BAD_REQUEST,
        }
    }

    /// Stable and of few values: for the service, the log and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "receiver_unresolved",
            Self::Unreachable(_) => "receiver_unreachable",
            Self::Untrusted(_) => "receiver_untrusted",
            Self::Timeout(_) => "receiver_timeout",
            Self::Invalid(_) => "receiver_invalid",
            Self::Busy => "receiver_busy",
            Self::BodyBroken => "body_invalid",
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Unresolved(why) => format!("The receiver's name has no address: {why}."),
            Self::Unreachable(why) => format!("The receiver cannot be reached: {why}."),
            Self::Untrusted(why) => format!("The receiver's TLS is not in order: {why}."),
            Self::Timeout(phase) => format!("The receiver took too long ({phase})."),
            Self::Invalid(why) => format!("The receiver gave no valid answer: {why}."),
            Self::Busy => "As many connections to the receiver as may be are busy.".to_owned(),
            Self::BodyBroken => "The event's body is cut short, badly framed, or did not arrive in time.".to_owned(),
        }
    }

    /// Whether nothing has reached the receiver, so that another try cannot be a second delivery.
    #[must_use]
    pub fn is_before_connection(&self) -> bool {
        match self {
            Self::Unresolved(_) | Self::Unreachable(_) | Self::Untrusted(_) | Self::Busy => true,
            Self::Timeout(phase) => *phase == CONNECT,
            Self::Invalid(_) | Self::BodyBroken => false,
        }
    }
}

/// The phase of a [`Failure::Timeout`] in which nothing has been sent yet.
pub const CONNECT: &str = "connect";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_answer_is_documented_with_its_status() {
        let refusals = [
            Refusal::TokenInvalid,
            Refusal::ConnectUnsupported,
            Refusal::MethodUnsupported,
            Refusal::PathUnknown,
            Refusal::WebhookUnknown,
            Refusal::DestinationUnregistered,
            Refusal::DestinationAmbiguous,
            Refusal::DestinationInvalid(""),
            Refusal::DestinationForbidden(Forbidden::Port(25)),
            Refusal::WebhookInactive,
            Refusal::WebhookPaused,
            Refusal::EventMissing,
            Refusal::EventUnsubscribed,
            Refusal::EventInvalid,
            Refusal::BodyTooLarge,
            Refusal::KeyInBody(String::new()),
            Refusal::KeyInEvent,
            Refusal::KeyInTarget,
            Refusal::BodyEncoded,
            Refusal::QueueUnavailable,
            Refusal::QueueFull,
        ];
        let failures = [
            Failure::Unresolved(String::new()),
            Failure::Unreachable(String::new()),
            Failure::Untrusted(String::new()),
            Failure::Timeout(""),
            Failure::Invalid(String::new()),
            Failure::Busy,
            Failure::BodyBroken,
        ];
        let refusals = refusals.iter().map(|refusal| (refusal.status(), refusal.code()));
        let failures = failures.iter().map(|failure| (failure.status(), failure.code()));
        let answers: BTreeSet<(u16, &str)> = refusals.chain(failures).map(|(s, code)| (s.as_u16(), code)).collect();

        // Every code that stands above is one of these: the list has no gap.
        let source = include_str!("refusal.rs");
        let (code, _) = source.split_once("#[cfg(test)]").expect("this module");
        let arms = code.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next());
        let arms: BTreeSet<&str> = arms.filter(|text| !text.contains(' ')).collect();
        assert_eq!(arms, answers.iter().map(|(_, code)| *code).collect());

        let document = include_str!("../../../docs/webhooks.md");
        let (_, table) = document.split_once("## Answers of Keygate's own").expect("the table");
        let (table, _) = table.split_once("\n## ").expect("its end");
        let mut documented = BTreeSet::new();
        for row in table.lines().filter_map(|line| line.strip_prefix("| ")) {
            let mut cells = row.split(" | ");
            let Some(status) = cells.next().and_then(|status| status.parse().ok()) else {
                continue;
            };
            let codes = cells.next().unwrap_or_default().split('`').skip(1).step_by(2);
            documented.extend(codes.map(|code| (status, code)));
        }
        assert_eq!(documented, answers);
    }
}
