//! A body, searched part by part.
//!
//! It is held only as far as a key may have begun in it: the span that has not ended yet, unescaped. A span that grows to the
//! length of two keys is searched as it is, and its second half kept: every key lies in one of these windows as a whole.

use std::fmt;
use std::ops::ControlFlow;

use zeroize::{Zeroize, Zeroizing};

use super::Leaks;
use super::candidates::{self, PREFIXED_LENGTH_MIN};
use super::search::{Known, LENGTH_MIN, Search, Suspect};
use super::unescape::{Kind, Unescape, kind};

/// How many suspects, and how many dead keys, are told.
const TOLD_MAX: usize = 8;
/// How many bytes of a body one byte of a key takes at most: `\u0041`.
const ESCAPED: usize = 6;

/// The search of one body. Remembers no byte of it longer than a key may still go on.
pub struct Scanner {
    /// Never grows beyond its first capacity: what it held elsewhere would not be wiped.
    span: Zeroizing<Vec<u8>>,
    unescape: Unescape,
    /// The shortest key that stands alone.
    shortest: usize,
    /// The longest key.
    longest: usize,
    /// Bytes of the body since the span began.
    held: usize,
    findings: Findings,
}

/// What was found. Names keys by their public ids.
#[derive(Debug, Default)]
pub struct Findings {
    /// The first live key: it must not leave.
    pub live: Option<Box<str>>,
    /// The first keys that have been revoked, or have expired: each once, at most eight.
    pub dead: Vec<Box<str>>,
    /// The first that may be keys with slow hashes: each once, at most eight.
    pub suspects: Vec<Suspect>,
}

impl Scanner {
    /// Begins a body. All of it is searched for keys that are as long as these `leaks` say, at most.
    #[must_use]
    pub fn new(leaks: &Leaks) -> Self {
        Self::from(leaks, LENGTH_MIN)
    }

    /// Begins a text in which keys that stand alone have at least this many bytes.
    pub(super) fn from(leaks: &Leaks, shortest: usize) -> Self {
        Self {
            span: Zeroizing::default(),
            unescape: Unescape::default(),
            shortest,
            longest: leaks.longest,
            held: 0,
            findings: Findings::default(),
        }
    }

    /// Searches the next part. Breaks once a live key is found: [`Scanner::end`] tells which.
    pub fn feed(&mut self, mut part: &[u8], search: &Search<'_>) -> ControlFlow<()> {
        if search.keyring.is_empty() {
            return ControlFlow::Continue(());
        }
        let space = self.longest * 2 - self.span.len();
        self.span.reserve_exact(space);
        while !part.is_empty() && self.findings.live.is_none() {
            let plain = match self.unescape.is_idle() {
                true => part.iter().position(|&byte| kind(byte) != Kind::Key),
                false => Some(0),
            };
            let (keys, rest) = part.split_at(plain.unwrap_or(part.len()));
            self.held += keys.len();
            self.extend(keys, search);
            part = rest;
            if let Some((&byte, rest)) = rest.split_first() {
                part = rest;
                self.held += 1;
                self.unescape(byte, search);
            }
        }
        match self.findings.live {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// How many of the last bytes that were fed may be the beginning of a key: who sends a body before its end holds these
    /// back. At most twelve times the longest key.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.min(self.span.capacity() * ESCAPED)
    }

    /// The body has ended: what was found in it.
    #[must_use]
    pub fn end(mut self, search: &Search<'_>) -> Findings {
        let mut unescape = std::mem::take(&mut self.unescape);
        unescape.end(&mut |byte| self.add(byte, search));
        self.separate(search);
        self.findings
    }

    fn unescape(&mut self, byte: u8, search: &Search<'_>) {
        let mut unescape = std::mem::take(&mut self.unescape);
        unescape.next(byte, &mut |byte| self.add(byte, search));
        self.unescape = unescape;
    }

    /// A byte that means what it is.
    fn add(&mut self, byte: u8, search: &Search<'_>) {
        match kind(byte) {
            Kind::Key | Kind::Escape => self.extend(&[byte], search),
            Kind::Separator => self.separate(search),
        }
    }

    fn extend(&mut self, mut keys: &[u8], search: &Search<'_>) {
        while !keys.is_empty() {
            let space = self.longest * 2 - self.span.len();
            let (fitting, rest) = keys.split_at(space.min(keys.len()));
            self.span.extend_from_slice(fitting);
            keys = rest;
            if self.span.len() == self.longest * 2 {
                self.judge(search);
                self.span.copy_within(self.longest.., 0);
                self.span[self.longest..].zeroize();
                self.span.truncate(self.longest);
            }
        }
    }

    fn separate(&mut self, search: &Search<'_>) {
        self.held = 0;
        if self.span.is_empty() {
            return;
        }
        self.judge(search);
        // Only what was written: all of the capacity would be wiped for every word.
        self.span.as_mut_slice().zeroize();
        self.span.clear();
    }

    fn judge(&mut self, search: &Search<'_>) {
        if self.findings.live.is_some() || self.span.len() < self.shortest.min(PREFIXED_LENGTH_MIN) {
            return;
        }
        let findings = &mut self.findings;
        let lengths = self.shortest..=self.longest;
        let visited = candidates::visit(&self.span, &search.leaks.prefixes, &lengths, |part| {
            match search.know(part) {
                Some(Known::Live(id)) => return ControlFlow::Break(id),
                Some(Known::Dead(id)) => findings.add_dead(id),
                Some(Known::Suspect(suspect)) => findings.add_suspect(suspect),
                None => {}
            }
            ControlFlow::Continue(())
        });
        if let ControlFlow::Break(id) = visited {
            self.findings.live = Some(id.into());
        }
    }
}

impl Findings {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.live.is_none() && self.dead.is_empty() && self.suspects.is_empty()
    }

    fn add_dead(&mut self, id: &str) {
        if self.dead.len() < TOLD_MAX && self.dead.iter().all(|known| **known != *id) {
            self.dead.push(id.into());
        }
    }

    fn add_suspect(&mut self, suspect: Suspect) {
        if self.suspects.len() < TOLD_MAX && self.suspects.iter().all(|known| known.digest != suspect.digest) {
            self.suspects.push(suspect);
        }
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}
