//! `secret`, `previous_secret` and `previous_until` of a webhook.
//!
//! A room of its own because secrets come from three places and in three encodings, and because two of them overlap while a
//! receiver changes from one to the other.
//!
//! # Security
//! How a secret is written is said beside it, and never guessed. No problem quotes one.

use crate::config::files::Files;
use crate::config::reader::{Item, Table};
use crate::config::withheld::{self, Sought};
use crate::secret::Secret;
use crate::secret::webhook::{Encoding, Key, WHSEC, WHSK};

/// What is signed with, and what was until not long ago.
#[derive(Debug, Clone)]
pub struct Rotated<T> {
    /// `secret`
    pub current: T,
    /// `previous_secret`, while receivers may still expect it.
    pub previous: Option<T>,
    /// `previous_until`, in Unix seconds: from then on nothing is signed with the previous one; `None`: until it is removed.
    pub until: Option<i64>,
}

/// A secret as it stands in the configuration.
pub(super) struct Written<'d> {
    /// What it means.
    pub(super) key: Key,
    /// Where it stands.
    pub(super) item: Item<'d>,
    /// What it looks like and was not said to be.
    pub(super) looks_like: Option<Encoding>,
    /// Its text.
    text: Secret,
}

const SOUGHT: Sought = Sought {
    what: "the secret",
    example: "`keygate webhooks new-secret` makes one",
};
const FORMS: &str =
    "write secret = { file = \"…\" }, { env = \"…\" } or \"…\"; `keygate webhooks new-secret` makes one";

const ENCODINGS: [(&str, Encoding); 3] = [
    ("text", Encoding::Text),
    ("whsec", Encoding::Whsec),
    ("ed25519", Encoding::Ed25519),
];

impl<T> Rotated<T> {
    /// One that nothing came before.
    #[must_use]
    pub fn only(current: T) -> Self {
        Self {
            current,
            previous: None,
            until: None,
        }
    }

    /// The previous one, where it is still to be used at this time (Unix seconds).
    #[must_use]
    pub fn previous_at(&self, now_unix: i64) -> Option<&T> {
        self.previous
            .as_ref()
            .filter(|_| self.until.is_none_or(|until| now_unix < until))
    }

    /// What is signed with at this time (Unix seconds), the current one first.
    pub fn at(&self, now_unix: i64) -> impl Iterator<Item = &T> {
        std::iter::once(&self.current).chain(self.previous_at(now_unix))
    }

    /// The same of something else; `None` where `change` gives it for one of them. Both are asked.
    pub(super) fn change<U>(&self, mut change: impl FnMut(&T) -> Option<U>) -> Option<Rotated<U>> {
        let (current, previous) = (change(&self.current), self.previous.as_ref().map(change));
        Some(Rotated {
            current: current?,
            previous: match previous {
                Some(previous) => Some(previous?),
                None => None,
            },
            until: self.until,
        })
    }
}

/// Reads the three options of a webhook.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files) -> Option<Rotated<Written<'d>>> {
    let current = table.require("secret", FORMS);
    let (previous, until) = (table.get("previous_secret"), table.get("previous_until"));
    if let (None, Some(until)) = (&previous, &until) {
        until.key_place().error(
            "needs `previous_secret`",
            "name the secret that ends then, or remove it",
        );
    }
    let current = current.and_then(|item| read_one(item, files));
    let end = match &until {
        Some(item) => Some(item.day_or_time()?),
        None => None,
    };
    let previous = match previous {
        Some(item) => Some(read_one(item, files)?),
        None => None,
    };
    let current = current?;
    if let Some(previous) = &previous
        && previous.text == current.text
    {
        let place = previous.item.key_place();
        place.error("is the same as `secret`", "put the new one to `secret`, or remove this");
    }
    Some(Rotated {
        current,
        previous,
        until: end,
    })
}

fn read_one<'d>(item: Item<'d>, files: &Files) -> Option<Written<'d>> {
    let (text, encoding, at) = if item.is_table() {
        read_table(&item.table()?, files)?
    } else {
        (Secret::new(item.text()?.to_owned()), None, item.clone())
    };
    match Key::parse(&text, encoding.unwrap_or(Encoding::Text)) {
        Ok(key) => Some(Written {
            key,
            item: at,
            looks_like: match encoding {
                Some(_) => None,
                None => look(&text),
            },
            text,
        }),
        Err(wrong) => {
            at.error(format!("the secret {wrong}"), help(encoding.unwrap_or(Encoding::Text)));
            None
        }
    }
}

fn read_table<'d>(table: &Table<'d>, files: &Files) -> Option<(Secret, Option<Encoding>, Item<'d>)> {
    let (text, file, variable) = (table.get("text"), table.get("file"), table.get("env"));
    let encoding = table.get("encoding").map(|item| item.word(&ENCODINGS));
    let (secret, at) = match (text, file, variable) {
        (Some(text), None, None) => (text.text().map(|text| Secret::new(text.to_owned())), text),
        (None, Some(file), None) => (withheld::at_file(&file, files, &SOUGHT), file),
        (None, None, Some(variable)) => (withheld::at_variable(&variable), variable),
        (None, None, None) => {
            table.place().missing("says none of `file`, `env` and `text`", FORMS);
            return None;
        }
        (_, _, Some(other)) | (_, Some(other), None) => {
            other
                .key_place()
                .error("is another place for the same secret", "keep one of them");
            return None;
        }
    };
    match encoding {
        Some(encoding) => Some((secret?, Some(encoding?), at)),
        None => Some((secret?, None, at)),
    }
}

/// What a text looks like that nobody has said to be anything.
fn look(text: &Secret) -> Option<Encoding> {
    let begins = |prefix| text.expose().starts_with(prefix);
    if begins(WHSEC) {
        Some(Encoding::Whsec)
    } else if begins(WHSK) {
        Some(Encoding::Ed25519)
    } else {
        None
    }
}

fn help(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Text => "`keygate webhooks new-secret --scheme text` makes one",
        Encoding::Whsec => "`keygate webhooks new-secret` makes one",
        Encoding::Ed25519 => "`keygate webhooks new-secret --scheme ed25519` makes one",
    }
}

impl Written<'_> {
    /// Warns of a text that looks encoded and is taken as it is.
    pub(super) fn warn_of_looks(&self) {
        let (prefix, word) = match self.looks_like {
            None | Some(Encoding::Text) => return,
            Some(Encoding::Whsec) => (WHSEC, "whsec"),
            Some(Encoding::Ed25519) => (WHSK, "ed25519"),
        };
        self.item.warning(
            format!("the secret begins with `{prefix}`, and is used as it is, `{prefix}` included"),
            format!(
                "write encoding = \"{word}\" beside it to have it decoded, or encoding = \"text\" where this is meant"
            ),
        );
    }
}
