//! What is queued: an event as the service sent it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// What a header, or an event, takes besides what it says.
const ROW: usize = 64;

/// An event for one webhook.
#[derive(Clone)]
pub struct Event {
    /// The webhook's id.
    pub webhook: Arc<str>,
    /// The event's id: one event of this webhook, however often it is offered.
    pub event_id: Arc<str>,
    /// Whose webhook it is.
    pub organization: Arc<str>,
    /// The event's type; may be empty.
    pub event_type: String,
    /// When it was accepted; Unix milliseconds.
    pub accepted_at: i64,
    /// The service's own headers, as they are to be sent: names and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is to be sent.
    pub body: Bytes,
}

/// What is needed to send an event that was claimed.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Whose webhook it was.
    pub organization: String,
    /// The event's type.
    pub event_type: String,
    /// When it was accepted; Unix milliseconds.
    pub accepted_at: i64,
    /// The service's own headers.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
}

impl Event {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len() + ROW).sum();
        self.body.len() + headers + size_of::<Self>() + ROW
    }

    /// The headers as they are in the file: a line each.
    pub(in crate::ledger) fn header_lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for (name, value) in &self.headers {
            lines.extend_from_slice(name);
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.push(b'\n');
        }
        lines
    }
}

/// Headers of lines, as [`Event::header_lines`] makes them: neither names nor values have line ends.
pub(in crate::ledger) fn headers_of(lines: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.windows(2).position(|pair| pair == b": ")?;
            Some((line[..colon].to_vec(), line[colon + 2..].to_vec()))
        })
        .collect()
}

/// Without headers and body.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("webhook", &self.webhook)
            .field("event_id", &self.event_id)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Without headers and body.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("event_type", &self.event_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_come_back_as_they_were() {
        let headers: Vec<(Vec<u8>, Vec<u8>)> = [
            (&b"content-type"[..], &b"application/json"[..]),
            (b"x-empty", b""),
            (b"x-colon", b"a: b: c"),
            (b"x-latin", b"caf\xe9 \t"),
        ]
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .to_vec();
        let event = Event {
            webhook: "wh".into(),
            event_id: "e".into(),
            organization: "o".into(),
            event_type: "t".to_owned(),
            accepted_at: 0,
            headers: headers.clone(),
            body: Bytes::from_static(b"a secret of a customer"),
        };
        let lines = event.header_lines();
        assert!(lines.starts_with(b"content-type: application/json\nx-empty: \n"));
        assert_eq!(headers_of(&lines), headers);
        assert!(!format!("{event:?}").contains("secret"));
    }
}
