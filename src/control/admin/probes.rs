//! What everybody who can connect may ask.
//!
//! `/livez` says that the process runs, and depends on nothing else: restarting Keygate does not mend an upstream.
//! `/startupz` says that the first generation is in force, `/readyz` that traffic should come: not while draining.
//! `/metrics` is what Prometheus scrapes.

use http::{Method, StatusCode};

use super::answers::{self, Answer, text};
use super::problem::Problem;
use crate::control::Control;
use crate::lifecycle::Stage;

pub(super) fn answer(control: &Control, method: &Method, path: &str) -> Answer {
    match path {
        "/livez" | "/startupz" | "/readyz" | "/metrics" => {}
        _ => {
            return text(
                StatusCode::NOT_FOUND,
                "there are /livez, /readyz, /startupz, /metrics and, for operators, /admin/v1/openapi.json\n",
            );
        }
    }
    if *method == Method::OPTIONS {
        return answers::options("GET, HEAD, OPTIONS");
    }
    if *method != Method::GET && *method != Method::HEAD {
        return answers::problem(Problem::not_allowed("GET, HEAD, OPTIONS"));
    }
    match path {
        "/metrics" => {
            let paused = i64::try_from(control.queue.pauses().len()).unwrap_or(i64::MAX);
            control.metrics.webhooks.paused_now.set(paused);
            answers::metrics(control.metrics.render(control.dropped_lines.as_ref()))
        }
        "/readyz" if *control.conductor.stages().borrow() != Stage::Serving => {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        // This thread runs only once the first generation is in force, so these are simply true.
        _ => text(StatusCode::OK, "ok\n"),
    }
}
