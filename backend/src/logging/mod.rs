//! Log lines, and the id that ties every line of a request together.

mod json;
mod line;
mod sink;

use std::io::{IsTerminal as _, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use tracing::Span;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use self::json::{AsMembers, Machine};
use self::line::Person;
pub use self::sink::finish;
use crate::config::{Config, LogFormat, LogSettings};

/// The header that carries a request's id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of the event that tells of an answer.
const ANSWERED: &str = "answered";
/// Asked by machines every few seconds: not worth a line as long as all is well.
const PROBES: [&str; 3] = ["/health", "/health/live", "/api/v1/health"];

/// Whether this process was told to stop. One that replaces it may log to the same place at the same time.
static DRAINING: AtomicBool = AtomicBool::new(false);
/// How lines call such a process.
const DRAINING_WORD: &str = "draining";

/// From now on every line says that it comes from a process that was told to stop.
pub fn mark_as_draining() {
    DRAINING.store(true, Ordering::Relaxed);
}

/// Whether this process was told to stop.
fn is_draining() -> bool {
    DRAINING.load(Ordering::Relaxed)
}

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
        LogFormat::Json => subscriber.with(lines.fmt_fields(AsMembers).event_format(Machine)).try_init(),
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

/// The id that a request brings, if it is fit to be logged, or else a new one that is ordered by time.
pub fn request_id(request: &Request) -> HeaderValue {
    let brought = request.headers().get(REQUEST_ID).filter(|id| is_acceptable_id(id));
    brought.cloned().unwrap_or_else(|| {
        let mut text = [0; Hyphenated::LENGTH];
        let id = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Whether an id from outside may go into our logs: short, printable, nothing that breaks a line or a terminal.
fn is_acceptable_id(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// The span around a request; everything logged inside carries its fields. At the highest level, because the id that an
/// error answer tells has to be found in the logs whatever `LOG_LEVEL` is.
pub fn request_span(request: &Request, id: &HeaderValue, client: IpAddr) -> Span {
    let (method, path, request_id) = (request.method(), request.uri().path(), id.to_str().unwrap_or_default());
    tracing::error_span!("request", %method, %path, %client, %request_id)
}

/// One line for each answer, to be called inside of its request's span: what came of it, and how long it took.
pub fn log_answer(status: StatusCode, route: &str, latency: Duration) {
    let (code, latency_ms) = (status.as_u16(), milliseconds(latency));
    if status.is_server_error() {
        tracing::error!(name: ANSWERED, status = code, latency_ms, route, "answered");
    } else if status.is_success() && PROBES.contains(&route) {
        tracing::debug!(name: ANSWERED, status = code, latency_ms, route, "answered");
    } else {
        tracing::info!(name: ANSWERED, status = code, latency_ms, route, "answered");
    }
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
