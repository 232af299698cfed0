//! Why a call was not done: a value until it is written as an answer (RFC 9457).

use std::borrow::Cow;

use http::StatusCode;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use super::guard::Denied;
use crate::config::problem::Problems;

/// How many problems of files an answer tells; the log tells more.
const PROBLEMS_MAX: usize = 100;

/// Why a call was not done.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// Stable, for programs.
    pub(super) code: &'static str,
    /// For people. Quotes nothing that could be a secret.
    pub(super) detail: Cow<'static, str>,
    /// What is wrong in files, each with its place.
    pub(super) problems: Vec<FileProblem>,
    /// A header field of the answer.
    pub(super) header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// What is wrong in a file, without the line itself, which may hold a secret.
#[derive(Debug, Serialize)]
pub(super) struct FileProblem {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    option: Option<String>,
    what: String,
    help: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            problems: Vec::new(),
            header: None,
        }
    }

    /// 400: the request is not what this takes.
    pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request_invalid", detail)
    }

    /// 409: well-formed, and not possible as things are.
    pub(super) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 404
    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 500: a task that ended by a bug, which was logged.
    pub(super) fn bug() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "This ended by a bug; the log says where.",
        )
    }

    /// 503: nothing new is begun.
    pub(super) fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "The process ends.")
    }

    /// 409: files do not load.
    pub(super) fn files(code: &'static str, detail: &'static str, problems: &Problems) -> Self {
        let mut problem = Self::conflict(code, detail);
        let errors = problems.errors();
        problem.problems = errors.take(PROBLEMS_MAX).map(FileProblem::of).collect();
        problem
    }

    /// 405
    pub(super) fn not_allowed(allow: &str) -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("This path takes {allow}."),
        );
        problem.header = HeaderValue::from_str(allow).ok().map(|value| Box::new((ALLOW, value)));
        problem
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"keygate admin\"");
        let (status, header) = match denied {
            Denied::NotConfigured | Denied::Missing | Denied::Invalid => {
                (StatusCode::UNAUTHORIZED, Some((WWW_AUTHENTICATE, challenge)))
            }
            Denied::Exhausted(wait) => (
                StatusCode::TOO_MANY_REQUESTS,
                Some((RETRY_AFTER, HeaderValue::from(wait))),
            ),
            Denied::Role { .. } => (StatusCode::FORBIDDEN, None),
        };
        Self {
            header: header.map(Box::new),
            ..Self::new(status, denied.code(), denied.detail())
        }
    }
}

impl FileProblem {
    fn of(problem: &crate::config::problem::Problem) -> Self {
        let (line, column) = problem.position.unzip();
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            file: problem.file.display().to_string(),
            line,
            column,
            option: said(&problem.path),
            what: problem.what.clone(),
            help: said(&problem.help),
        }
    }
}
