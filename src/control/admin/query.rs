//! The query of a call: known parameters, each once.

use std::fmt::Display;
use std::str::FromStr;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::problem::Problem;
use crate::config::reader::{list, nearest};

/// The parameters that a request names.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads them; each must be one of `known`.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut read: Vec<(String, String)> = Vec::new();
        let pairs = uri.query().unwrap_or_default().split('&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !known.contains(&name.as_str()) {
                let help = match nearest(&name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "this takes none.".to_owned(),
                    None => format!("this takes {}.", list(known)),
                };
                return Err(Problem::invalid(format!("The query has an unknown parameter: {help}")));
            }
            if read.iter().any(|(other, _)| *other == name) {
                return Err(Problem::invalid(format!("The query names {name} twice.")));
            }
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// A parameter, as it reads.
    pub(super) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found
            .map(|(_, value)| value.parse::<T>())
            .transpose()
            .map_err(|error| Problem::invalid(format!("{name}: {error}.")))
    }
}

/// As forms are encoded: `+` is a space, too.
fn decoded(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    match percent_decode_str(&text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Problem::invalid("The query is not UTF-8.")),
    }
}
