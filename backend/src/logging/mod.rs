//! Log lines, and the id that ties every line of a request together.

mod line;
mod sink;

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Span;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use uuid::Uuid;

pub use self::line::mark_as_draining;
use self::line::{Machine, Person};
pub use self::sink::finish;
use crate::actor;
use crate::config::{Config, LogFormat, LogSettings};

/// The header that carries a request's id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of the event that tells of an answer.
const ANSWERED: &str = "answered";
/// Asked by machines every few seconds: not worth a line as long as all is well.
const PROBES: [&str; 3] = ["/health", "/health/live", "/api/v1/health"];

/// Starts logging on stdout as the settings say; the first call in a process wins.
pub fn start(config: &Config) {
    start_on(&config.logs, std::io::stdout(), std::io::stdout().is_terminal());
}

/// The same for a command whose answer is on stdout.
pub fn start_on_stderr(config: &Config) {
    start_on(&config.logs, std::io::stderr(), std::io::stderr().is_terminal());
}

fn start_on(settings: &LogSettings, out: impl Write + Send + 'static, is_terminal: bool) {
    let writer = sink::open(out);
    // The library reports on stderr what it cannot write, and panics where that fails as well.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let subscriber = tracing_subscriber::registry().with(settings.filter.clone());
    let started = match settings.format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            subscriber.with(lines.map_event_format(Machine)).try_init()
        }
        LogFormat::Pretty => {
            let lines = lines.fmt_fields(format::debug_fn(line::request_fields).delimited(" "));
            subscriber.with(lines.event_format(Person { is_colored: is_terminal })).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging was already started");
        return;
    }
    // The usual one writes to stderr, and waits where nobody reads it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked: {}", panic.payload_as_str().unwrap_or("without a message"));
    }));
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
pub fn request_span(request: &Request<Body>, trusted_proxies: usize) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let client = actor::client_address(trusted_proxies, request.extensions().get().copied(), request.headers());
    let (method, path) = (request.method(), request.uri().path());
    tracing::error_span!("request", %method, %path, %client, request_id = %id)
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
