//! What a receiver's answer to a sample means for whoever looks after the webhook.

use http::StatusCode;

/// Why the receiver did not take it; `None` where it did.
pub(super) fn of(status: StatusCode) -> Option<String> {
    let meaning = match status.as_u16() {
        200..=299 => return None,
        300..=399 => "it points elsewhere, and redirects are not followed: register the URL to which it points",
        401 | 403 => {
            "it does not take the secret or the signature: see that both sides have the same secret, and that `sign` is what it verifies"
        }
        404 => "it knows no such path: see whether the URL is right",
        405 => "it takes no POST there: see whether the URL is right",
        408 => "the event did not reach it in time",
        410 => "it wants no more events: a queued event that is answered so pauses the webhook",
        413 => "the event is too long for it",
        415 => "it does not take this Content-Type",
        429 => "it gets too much: try again later",
        400..=499 => "it does not take the event as it is",
        500..=599 => "it failed by itself; its own log says why",
        _ => "that is no answer to an event",
    };
    Some(format!("The receiver answered {}: {meaning}.", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_needs_no_words_and_everything_else_has_some() {
        for number in 100..=999 {
            let status = StatusCode::from_u16(number).unwrap();
            let said = of(status);
            assert_eq!(said.is_none(), status.is_success(), "{number}");
            assert!(said.is_none_or(|said| said.contains(&number.to_string())));
        }
    }
}
