//! Log lines on stdout, and the id that ties every line of a request together.

mod line;

use std::io::IsTerminal as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Span;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::{MakeWriter, format};
use uuid::Uuid;

pub use self::line::mark_as_draining;
use self::line::{Machine, Person};
use crate::config::{Config, LogFormat};

/// The header that carries a request's id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of the event that tells of an answer.
const ANSWERED: &str = "answered";
/// Asked by machines every few seconds: not worth a line as long as all is well.
const PROBES: [&str; 3] = ["/health", "/health/live", "/api/v1/health"];

/// Starts logging on stdout as the settings say; the first call in a process wins.
pub fn start(config: &Config) {
    start_on(config, std::io::stdout, std::io::stdout().is_terminal());
}

/// The same for a command whose answer is on stdout.
pub fn start_on_stderr(config: &Config) {
    start_on(config, std::io::stderr, std::io::stderr().is_terminal());
}

fn start_on<W>(config: &Config, out: W, is_terminal: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(out);
    // A test process starts more than one server; the second finds logging already set up, which is what it wants.
    let already_started = match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).map_event_format(Machine).try_init(),
        LogFormat::Pretty => lines
            .fmt_fields(format::debug_fn(line::request_fields).delimited(" "))
            .event_format(Person { is_colored: is_terminal })
            .try_init(),
    };
    if already_started.is_err() {
        tracing::debug!("logging was already started");
    }
}

/// Gives each request a time-ordered id, unless it brings one that is fit to be logged.
#[derive(Clone, Copy)]
pub struct MakeId;

impl MakeRequestId for MakeId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&Uuid::now_v7().to_string()).ok().map(RequestId::new)
    }
}

/// Whether an id from outside may go into our logs: short, printable, nothing that breaks a line or a terminal.
pub fn is_acceptable_id(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// The span around a request; everything logged inside carries its fields. At the highest level, because the id that an
/// error answer tells has to be found in the logs whatever `LOG_LEVEL` is.
pub fn request_span(request: &Request<Body>) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::error_span!("request", method = %request.method(), path = %request.uri().path(), request_id = %id)
}

/// One line for each answer: what was asked, what came of it, how long it took.
pub fn log_response(response: &Response<Body>, latency: Duration, span: &Span) {
    let route = response.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let status = response.status().as_u16();
    let latency_ms = milliseconds(latency);
    span.in_scope(|| {
        if response.status().is_server_error() {
            tracing::error!(name: ANSWERED, status, latency_ms, route, "answered");
        } else if response.status().is_success() && PROBES.contains(&route) {
            tracing::debug!(name: ANSWERED, status, latency_ms, route, "answered");
        } else {
            tracing::info!(name: ANSWERED, status, latency_ms, route, "answered");
        }
    });
}

/// A duration in milliseconds, to the microsecond.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_would_break_a_log_line_is_replaced() {
        for good in ["a", "0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e", "edge.1:2_3"] {
            assert!(is_acceptable_id(&HeaderValue::from_static(good)), "{good}");
        }
        for bad in ["", "two words", "\"quoted\"", "{json}"] {
            assert!(!is_acceptable_id(&HeaderValue::from_static(bad)), "{bad}");
        }
        assert!(!is_acceptable_id(&HeaderValue::from_str(&"a".repeat(129)).unwrap()));
    }
}
