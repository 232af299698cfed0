//! Refusals and failures as responses.

use http::{HeaderMap, HeaderValue, Response};
use bytes::Bytes;

use super::relay::ResponseBody;
use crate::policy::answer::Answer;

/// Puts an answer of policy's making on the wire.
pub(super) fn response(answer: Answer) -> Response<ResponseBody> {
    let Answer { status, headers, body } = answer;
    let mut response = Response::new(ResponseBody::full(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
