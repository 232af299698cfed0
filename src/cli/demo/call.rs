//! One request of the tour, told in both of its languages: as a `curl` command for people and as bytes for the check.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Method, Request};

/// A command's first line is at most this wide, in columns, where it can be.
const WIDTH: usize = 72;

/// A request to the gateway.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The target, query included.
    pub target: String,
    /// Headers in order; the values may hold the demonstration's own keys.
    pub headers: Vec<(&'static str, String)>,
    /// A body, where there is one.
    pub body: Option<String>,
}

impl Call {
    /// A `GET` of `target`.
    #[must_use]
    pub fn to(target: &str) -> Self {
        Self {
            method: Method::GET,
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same call as a `POST` of a JSON document.
    #[must_use]
    pub fn posting(mut self, document: &str) -> Self {
        self.method = Method::POST;
        self.body = Some(document.to_owned());
        self.with("Content-Type", "application/json")
    }

    /// The same call with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The command line that sends this call to `origin` (`http://127.0.0.1:8080`), one header a line.
    #[must_use]
    pub fn curl(&self, options: &str, origin: &str) -> String {
        let url = quoted(&format!("{origin}{}", self.target));
        let mut lines = vec![format!("curl {options} {url}")];
        if lines[0].len() > WIDTH {
            lines = vec![format!("curl {options}"), url];
        }
        // `curl` makes a POST of what has a body.
        if self.method != Method::GET && self.body.is_none() {
            lines.push(format!("-X {}", self.method));
        }
        lines.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("-H {}", quoted(&format!("{name}: {value}")))),
        );
        lines.extend(self.body.iter().map(|body| format!("-d {}", quoted(body))));
        lines.join(" \\\n  ")
    }

    /// The request that the check sends to `authority` (`127.0.0.1:8080`).
    ///
    /// # Errors
    /// When the target or a header is not valid HTTP.
    pub fn request(&self, authority: &str) -> hyper::http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.target)
            .header(HOST, authority);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Full::from(self.body.clone().unwrap_or_default()))
    }

    /// The same request as a WebSocket library wants it.
    ///
    /// # Errors
    /// When the target or a header is not valid HTTP.
    pub fn handshake(&self, authority: &str) -> hyper::http::Result<Request<()>> {
        let mut request = self.request(authority)?.map(|_| ());
        *request.uri_mut() = format!("ws://{authority}{}", self.target).parse()?;
        Ok(request)
    }
}

/// `text` as one word of a POSIX shell; bare where it needs no quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in [
            "",
            "plain/path-1.2",
            "two words",
            "it's",
            "$HOME `id` \"x\" \\",
            "a\nb",
            "?n=[1-7]&x=*",
        ] {
            let output = Command::new("sh")
                .arg("-c")
                .arg(format!("printf %s {}", quoted(text)))
                .output();
            let output = output.expect("there is a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }

    #[test]
    fn the_command_and_the_request_say_the_same() {
        let call = Call::to("/v1/messages?n=1")
            .posting(r#"{"text": "it's"}"#)
            .with("X-API-Key", "k");
        let expected = r#"curl -i 'http://localhost:1/v1/messages?n=1' \
  -H 'Content-Type: application/json' \
  -H 'X-API-Key: k' \
  -d '{"text": "it'\''s"}'"#;
        assert_eq!(call.curl("-i", "http://localhost:1"), expected);
        let request = call.request("localhost:1").expect("a valid request");
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&Method::POST, "/v1/messages?n=1".to_owned())
        );
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.headers()["x-api-key"], "k");
        assert_eq!(request.headers()["host"], "localhost:1");
    }
}
