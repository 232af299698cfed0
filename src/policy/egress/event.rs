//! What an event says of itself: its type and its id.

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::Value;

use super::Refusal;
use crate::config::webhooks::{Locator, Settings};

/// How long either may be.
const LONGEST: usize = 256;

/// What an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same at every try: what receivers tell repetitions by.
    pub id: String,
    /// Its type, where it says one.
    pub kind: Option<String>,
}

/// Reads it from a request. `make_id` is asked where the service gives none.
///
/// # Errors
/// [`Refusal::EventInvalid`]
pub(super) fn read(
    settings: &Settings,
    headers: &HeaderMap,
    body: Option<&[u8]>,
    make_id: impl FnOnce() -> String,
) -> Result<Event, Refusal> {
    let reads_body = std::iter::once(&settings.event)
        .chain(&settings.event_id)
        .any(|locator| matches!(locator, Locator::Pointer(_)));
    // Once, and only where somebody looks into it.
    let json: Option<Value> = body
        .filter(|_| reads_body)
        .and_then(|body| serde_json::from_slice(body).ok());
    let find = |locator: &Locator| find(locator, headers, json.as_ref());
    let kind = find(&settings.event)?;
    let mut id = None;
    for locator in &settings.event_id {
        if id.is_none() {
            id = find(locator)?;
        }
    }
    Ok(Event {
        id: id.unwrap_or_else(make_id),
        kind,
    })
}

/// Whether what `settings` asks for can only be read from a body.
pub(super) fn is_in_body(settings: &Settings, needs_kind: bool) -> bool {
    let is_pointer = |locator: &Locator| matches!(locator, Locator::Pointer(_));
    needs_kind && is_pointer(&settings.event) || settings.event_id.iter().any(is_pointer)
}

fn find(locator: &Locator, headers: &HeaderMap, body: Option<&Value>) -> Result<Option<String>, Refusal> {
    let text: Cow<'_, str> = match locator {
        Locator::Header(name) if headers.get_all(name).iter().nth(1).is_some() => return Err(Refusal::EventInvalid),
        Locator::Header(name) => match headers.get(name) {
            None => return Ok(None),
            Some(value) => value.to_str().map_err(|_| Refusal::EventInvalid)?.trim().into(),
        },
        Locator::Pointer(pointer) => match body.and_then(|body| body.pointer(pointer)) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.into(),
            Some(Value::Number(number)) => number.to_string().into(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err(Refusal::EventInvalid),
        },
    };
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::EventInvalid);
    }
    Ok(Some(text.into_owned()))
}
