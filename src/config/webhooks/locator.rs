//! Where a request tells something of its event: a header, or a place in its JSON body.

use http::HeaderName;

use crate::config::names;
use crate::config::reader::Item;

/// A place in an event's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// `{ header = "X-Event-Type" }`
    Header(HeaderName),
    /// `{ pointer = "/type" }`: a JSON pointer (RFC 6901) into the body; what stands there is a text or a number.
    Pointer(String),
}

/// Reads it.
pub(super) fn read(item: &Item<'_>) -> Option<Locator> {
    const HELP: &str = "for example { header = \"X-Event-Type\" } or { pointer = \"/type\" }";
    if !item.is_table() {
        item.error("is not a place in a request", HELP);
        return None;
    }
    let table = item.table()?;
    match (table.get("header"), table.get("pointer")) {
        (Some(header), None) => names::header(&header).map(Locator::Header),
        (None, Some(pointer)) => read_pointer(&pointer),
        (Some(_), Some(pointer)) => {
            pointer
                .key_place()
                .error("stands beside `header`", "keep one of the two");
            None
        }
        (None, None) => {
            table.place().missing("says neither `header` nor `pointer`", HELP);
            None
        }
    }
}

fn read_pointer(item: &Item<'_>) -> Option<Locator> {
    let text = item.text()?;
    let escapes_are_right = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !text.starts_with('/') || !escapes_are_right {
        item.error(
            "is not a JSON pointer",
            "it begins with `/`, and writes `~` as `~0` and `/` as `~1` (RFC 6901): for example \"/event/type\"",
        );
        return None;
    }
    Some(Locator::Pointer(text.to_owned()))
}
