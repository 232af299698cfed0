//! A little colour, where a terminal is there to show it.

use std::fmt;
use std::io::{self, IsTerminal};

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// Never colours.
    pub const PLAIN: Self = Self(false);

    /// Colours when standard output is a terminal that can, and `NO_COLOR` (no-color.org) is unset or empty.
    #[must_use]
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self(io::stdout().is_terminal() && !refused && !dumb)
    }

    /// A heading.
    pub fn bold<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.with("1", text)
    }

    /// What may be skipped.
    pub fn dim<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.with("2", text)
    }

    /// As it should be.
    pub fn green<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.with("32", text)
    }

    /// Not as it should be.
    pub fn red<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.with("31", text)
    }

    /// To be copied.
    pub fn cyan<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.with("36", text)
    }

    fn with<T: fmt::Display>(self, code: &'static str, text: T) -> impl fmt::Display {
        fmt::from_fn(move |f| match self {
            Self(true) => write!(f, "\x1b[{code}m{text}\x1b[0m"),
            Self(false) => write!(f, "{text}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_plain_and_colour_ends_where_it_began() {
        assert_eq!(Paint::PLAIN.red("no").to_string(), "no");
        assert_eq!(Paint(true).red("no").to_string(), "\x1b[31mno\x1b[0m");
    }
}
