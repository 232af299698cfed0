//! `[errors]`: what refusals and failures look like to the caller.

use http::{HeaderName, StatusCode};

/// The shape of error answers.
#[derive(Debug, Clone, Default)]
pub struct Errors {
    /// `[errors.templates.<code>]`, by code.
    pub templates: Vec<(String, ErrorTemplate)>,
}

/// What replaces one code's answer.
#[derive(Debug, Clone)]
pub struct ErrorTemplate {
    /// `status`; `None` keeps the code's own.
    pub status: Option<StatusCode>,
    /// `headers`, their values with placeholders. `Content-Type` decides how the body is escaped.
    pub headers: Vec<(HeaderName, String)>,
    /// `body`, with placeholders; `None` keeps the problem document.
    pub body: Option<String>,
}
