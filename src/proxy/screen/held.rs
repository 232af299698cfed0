//! Bytes that were read and do not lie in the caller's buffer: a head that is not complete, a head that was completed and
//! waits for room, a sentinel, what came after an upgrade.

use bytes::Bytes;
use tokio::io::ReadBuf;

/// A buffer larger than this is given back as soon as it is empty.
const KEPT_BYTES: usize = 4096;

/// A queue of bytes: first the good ones, which may be delivered, then those that are not judged.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    delivered: usize,
    good: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.delivered == self.bytes.len()
    }

    /// What is not judged.
    pub(super) fn unjudged(&self) -> &[u8] {
        &self.bytes[self.good..]
    }

    /// Adds bytes that are not judged.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The first of the bytes that are not judged are good.
    pub(super) fn judge(&mut self, good: usize) {
        self.good += good;
    }

    /// All bytes are good.
    pub(super) fn judge_all(&mut self) {
        self.good = self.bytes.len();
    }

    /// Drops what is not judged and puts good bytes in its place.
    pub(super) fn replace_unjudged(&mut self, good: &[u8]) {
        self.bytes.truncate(self.good);
        self.bytes.extend_from_slice(good);
        self.good = self.bytes.len();
    }

    /// Delivers good bytes as far as there is room; false when there are none.
    pub(super) fn deliver(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = (self.good - self.delivered).min(buf.remaining());
        if count == 0 {
            return false;
        }
        buf.put_slice(&self.bytes[self.delivered..self.delivered + count]);
        self.delivered += count;
        if self.delivered == self.good {
            self.bytes.drain(..self.good);
            self.delivered = 0;
            self.good = 0;
            if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
        true
    }

    pub(super) fn into_bytes(mut self) -> Bytes {
        self.bytes.drain(..self.delivered);
        self.bytes.into()
    }
}
