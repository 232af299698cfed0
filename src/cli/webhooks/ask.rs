//! How these commands ask: a running sidecar, or, where none answers, the files.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode_byte, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::Configuration;
use crate::cli::admin::client::{Client, Sidecar, Unreachable};
use crate::cli::failure::BadInput;
use crate::cli::output::tell;
use crate::config::state;

/// A sample may take long; the sidecar itself waits less.
const PATIENCE: Duration = Duration::from_secs(58);
/// How many entries one answer has at most.
const PAGE: usize = 1_000;

/// Whom to ask.
#[derive(Args)]
pub(super) struct Place {
    #[command(flatten)]
    sidecar: Sidecar,
    #[command(flatten)]
    pub(super) configuration: Configuration,
}

impl Place {
    /// The running sidecar.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(self.sidecar.client(&self.configuration.config)?.patient(PATIENCE))
    }

    /// What `ask` brings from a sidecar, or, where none answers, `read` from the files. A sidecar that was named is the only one
    /// that is meant.
    pub(super) fn ask_or_read<T>(
        &self,
        ask: impl FnOnce(&Client) -> anyhow::Result<T>,
        read: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if self.sidecar.is_named() {
            return ask(&self.client()?);
        }
        let Some(client) = self.sidecar.find(Some(&self.configuration.config))? else {
            return read();
        };
        match ask(&client) {
            Err(error) if error.is::<Unreachable>() => {
                tell("note: no sidecar answers; this is what the files say");
                read()
            }
            outcome => outcome,
        }
    }

    /// The state file, where the configuration names one.
    pub(super) fn state(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(state::load(&self.configuration.config)?.map(|state| state.path))
    }

    /// The state file, which has to be there.
    pub(super) fn state_file(&self) -> anyhow::Result<PathBuf> {
        self.state()?.ok_or_else(|| {
            BadInput::error(
                format!(
                    "{} has no [state]: nothing is remembered",
                    self.configuration.config.display()
                ),
                "add [state] with path = \"keygate.db\"",
            )
        })
    }
}

/// Asks for a document.
pub(super) fn get<T: DeserializeOwned>(client: &Client, path: &str) -> anyhow::Result<T> {
    parse(&client.get(path)?)
}

/// Has something done.
pub(super) fn post<T: DeserializeOwned>(client: &Client, path: &str, body: &Value) -> anyhow::Result<T> {
    parse(&client.post(path, body)?)
}

fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).context("the sidecar is of another version")
}

/// `name=value&…`, of those that are there.
pub(super) fn query(parameters: &[(&str, Option<String>)]) -> String {
    let there = parameters.iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(value.as_deref()?, NON_ALPHANUMERIC);
        Some(format!("{name}={value}"))
    });
    there.collect::<Vec<_>>().join("&")
}

/// The path of a webhook. Its first character is encoded in any case, so that it is not taken for one of the lists beside it.
pub(super) fn webhook(id: &str, rest: &str) -> String {
    format!("/admin/v1/webhooks/{}{rest}", segment(id))
}

/// An id as a path's segment.
pub(super) fn segment(id: &str) -> String {
    let (first, rest) = id.split_at(id.ceil_char_boundary(1));
    let first: String = first.bytes().map(percent_encode_byte).collect();
    format!("{first}{}", utf8_percent_encode(rest, NON_ALPHANUMERIC))
}

/// Goes through pages until there are `limit` entries, or no more. `page` gives one of at most so many, behind a place, and the
/// next place.
pub(super) fn pages<T, P>(
    limit: usize,
    mut page: impl FnMut(usize, Option<&P>) -> anyhow::Result<(Vec<T>, Option<P>)>,
) -> anyhow::Result<(Vec<T>, Option<P>)> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let (more, following) = page(PAGE.min(limit - all.len()), next.as_ref())?;
        all.extend(more);
        next = following;
        if next.is_none() || all.len() >= limit {
            return Ok((all, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_stands_in_a_path() {
        assert_eq!(segment("activity"), "%61ctivity");
        assert_eq!(segment("a/b c"), "%61%2Fb%20c");
        assert_eq!(segment("é1"), "%C3%A91");
        assert_eq!(segment(""), "");
        let query = query(&[("a", Some("1&2".to_owned())), ("b", None), ("c", Some("x".to_owned()))]);
        assert_eq!(query, "a=1%262&c=x");
    }
}
