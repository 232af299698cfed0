//! A second try, when the first met a connection that the upstream had just closed.
//!
//! Only for a connection that came out of the pool, only once, only on a fresh one, and only when the upstream cannot have
//! acted on the request: either the codec gave it back unsent, body and all, or there is no body and the method is
//! idempotent (RFC 9110 §9.2.2). A `POST` that may have been seen is never sent twice.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body::Body;

use crate::proxy::relay::{Exchange, RequestBody};

/// A request's head, kept while a pooled connection tries its luck. The list is the connection's, so that keeping it
/// costs reference counts and no allocation.
pub(super) struct Replay {
    method: Method,
    target: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Replay {
    /// Keeps what is needed to send `request` again, if that is safe. `spare` is the list to use.
    pub(super) fn of(request: &Request<RequestBody>, spare: &mut Vec<(HeaderName, HeaderValue)>) -> Option<Self> {
        if !request.body().is_end_stream() || !request.method().is_idempotent() {
            return None;
        }
        let mut headers = std::mem::take(spare);
        headers.extend(
            request
                .headers()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Some(Self {
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            headers,
        })
    }

    /// The list, empty, for the next request.
    pub(super) fn into_spare(mut self) -> Vec<(HeaderName, HeaderValue)> {
        self.headers.clear();
        self.headers
    }

    /// The request again.
    pub(super) fn into_request(self, exchange: &Rc<Exchange>) -> Request<RequestBody> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        let mut request = Request::new(RequestBody::empty(exchange));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        *request.version_mut() = self.version;
        *request.headers_mut() = headers;
        request
    }
}
