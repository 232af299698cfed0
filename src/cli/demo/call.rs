//! One request of the tour, told in both of its languages: as a `curl` command for people and as bytes for the check.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Method, Request, Uri};

/// A command's first line is at most this wide, in columns, where it can be.
const WIDTH: usize = 72;

/// Where the tour's requests go.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// Keygate, for callers.
    pub gateway: SocketAddr,
    /// Keygate, for the service and its events.
    pub egress: SocketAddr,
    /// The customer's server.
    pub receiver: SocketAddr,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// [`Places::gateway`]
    Gateway,
    /// [`Places::egress`]
    Egress,
    /// [`Places::egress`], as a forward proxy: the target is a whole URL.
    Proxy,
    /// [`Places::receiver`]
    Receiver,
}

/// A request of the tour.
#[derive(Clone)]
pub struct Call {
    /// Where it goes.
    pub door: Door,
    /// The method.
    pub method: Method,
    /// The target, query included.
    pub target: String,
    /// Headers in order; the values may hold the demonstration's own keys.
    pub headers: Vec<(&'static str, String)>,
    /// A body, where there is one.
    pub body: Option<String>,
}

impl Places {
    /// One that is all of them.
    #[cfg(test)]
    pub fn only(place: SocketAddr) -> Self {
        Self {
            gateway: place,
            egress: place,
            receiver: place,
        }
    }
}

impl Call {
    /// A `GET` of `target`.
    #[must_use]
    pub fn to(target: &str) -> Self {
        Self {
            door: Door::Gateway,
            method: Method::GET,
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same call at another door.
    #[must_use]
    pub fn at(mut self, door: Door) -> Self {
        self.door = door;
        self
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

    /// The command line that sends this call, one header a line.
    #[must_use]
    pub fn curl(&self, options: &str, places: &Places) -> String {
        let place = self.place(places);
        let (options, url) = match self.door {
            Door::Gateway | Door::Egress | Door::Receiver => {
                (options.to_owned(), format!("http://{place}{}", self.target))
            }
            // Whatever NO_PROXY says.
            Door::Proxy => (format!("{options} --noproxy '' -x http://{place}"), self.target.clone()),
        };
        let url = quoted(&url);
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

    /// Whom it is sent to.
    #[must_use]
    pub fn place(&self, places: &Places) -> SocketAddr {
        match self.door {
            Door::Gateway => places.gateway,
            Door::Egress | Door::Proxy => places.egress,
            Door::Receiver => places.receiver,
        }
    }

    /// The request that the check sends.
    ///
    /// # Errors
    /// When the target or a header is not valid HTTP.
    pub fn request(&self, places: &Places) -> hyper::http::Result<Request<Full<Bytes>>> {
        let target: Uri = self.target.parse()?;
        let authority = match target.authority() {
            Some(authority) => authority.to_string(),
            None => self.place(places).to_string(),
        };
        let mut request = Request::builder()
            .method(&self.method)
            .uri(target)
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
    pub fn handshake(&self, places: &Places) -> hyper::http::Result<Request<()>> {
        let mut request = self.request(places)?.map(|_| ());
        *request.uri_mut() = format!("ws://{}{}", self.place(places), self.target).parse()?;
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
        let places = Places::only(([127, 0, 0, 1], 1).into());
        let expected = r#"curl -i 'http://127.0.0.1:1/v1/messages?n=1' \
  -H 'Content-Type: application/json' \
  -H 'X-API-Key: k' \
  -d '{"text": "it'\''s"}'"#;
        assert_eq!(call.curl("-i", &places), expected);
        let request = call.request(&places).expect("a valid request");
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&Method::POST, "/v1/messages?n=1".to_owned())
        );
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.headers()["x-api-key"], "k");
        assert_eq!(request.headers()["host"], "127.0.0.1:1");
    }

    #[test]
    fn a_proxy_gets_the_whole_url() {
        let places = Places::only(([127, 0, 0, 1], 1).into());
        let call = Call::to("http://customer.example/in").at(Door::Proxy).posting("{}");
        let curl = call.curl("-i", &places);
        let first = "curl -i --noproxy '' -x http://127.0.0.1:1 http://customer.example/in \\\n";
        assert!(curl.starts_with(first), "{curl}");
        let request = call.request(&places).expect("a valid request");
        assert_eq!(request.uri().to_string(), "http://customer.example/in");
        assert_eq!(request.headers()["host"], "customer.example");
    }
}
