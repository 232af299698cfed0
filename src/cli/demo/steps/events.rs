//! The return path: how an event of the service reaches a customer's server, and what keeps others from doing the same.

use hyper::StatusCode;

use super::super::call::{Call, Door};
use super::super::fact::{Fact, Form};
use super::super::sandbox::{Sandbox, WEBHOOK};
use super::{Action, Step};

/// What a service that runs in a cloud should never be talked into asking.
const METADATA: &str = "http://169.254.169.254/latest/meta-data/";

/// The last stops.
pub(super) fn steps(sandbox: &Sandbox) -> Vec<Step> {
    let bearer = |key: &str| format!("Bearer {key}");
    let (sender, reader) = (sandbox.sender.expose(), sandbox.reader.expose());
    let event = |target: &str, door| {
        Call::to(target)
            .at(door)
            .posting(r#"{"type": "message.delivered", "data": {"message": "msg_1"}}"#)
            .with("X-Event-Type", "message.delivered")
    };
    vec![
        Step {
            title: "Have an event sent",
            about: "The other direction. The service tells its customer of a message, and knows\n\
                    only a proxy and the customer's URL. Keygate knows the secret and signs; the\n\
                    customer's server verifies, and shows what it got.",
            action: Action::Call(
                Call::to("/v1/notify")
                    .posting("{}")
                    .with("Authorization", &bearer(sender)),
            ),
            facts: vec![
                Fact::Status(StatusCode::OK),
                Fact::Holds(r#""verified": true"#.to_owned()),
                Fact::ReceiverSaw("webhook-id", Form::Begins("evt_")),
                Fact::ReceiverSaw("webhook-timestamp", Form::Seconds),
                Fact::ReceiverSaw("webhook-signature", Form::Begins("v1,")),
            ],
        },
        Step {
            title: "Send one as the service does",
            about: "By the webhook's id this time. A key that the service passes on by mistake\n\
                    does not leave.",
            action: Action::Call(
                event(&format!("/webhooks/{WEBHOOK}"), Door::Egress)
                    .with("X-Event-Id", "evt_by_hand")
                    .with("X-API-Key", reader),
            ),
            facts: vec![
                Fact::Status(StatusCode::OK),
                Fact::Header("X-Webhook-Attempts", Form::Exactly("1")),
                Fact::Holds(r#""verified": true"#.to_owned()),
                Fact::ReceiverSaw("webhook-id", Form::Exactly("evt_by_hand")),
                Fact::ReceiverSaw("webhook-signature", Form::Begins("v1,")),
                Fact::ReceiverDidNotSee("X-API-Key", reader.to_owned()),
            ],
        },
        Step {
            title: "Send one past Keygate",
            about: "Whoever does not have the secret can write to the customer's server all the\n\
                    same. It says no.",
            action: Action::Call(event(super::super::receiver::PATH, Door::Receiver)),
            facts: vec![
                Fact::Status(StatusCode::UNAUTHORIZED),
                Fact::Holds(r#""verified": false"#.to_owned()),
            ],
        },
        Step {
            title: "Send one elsewhere",
            about: "Events go where a webhook is registered, and nowhere else: here, a cloud\n\
                    keeps the credentials of its machines.",
            action: Action::Call(event(METADATA, Door::Proxy)),
            facts: vec![
                Fact::Status(StatusCode::FORBIDDEN),
                Fact::Header("X-Webhook-Attempts", Form::Exactly("0")),
                Fact::Problem("destination_unregistered"),
            ],
        },
    ]
}
