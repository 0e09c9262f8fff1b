//! Log lines for people: a short one for each event.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::{ANSWERED, DRAINING_WORD, is_draining};

/// A line for a person: time, level, what happened; for an answer method, path, status and duration; last the
/// request's id.
pub struct Person {
    /// Whether a terminal shows it.
    pub is_colored: bool,
}

impl Person {
    fn paint(&self, code: u8, text: impl fmt::Display) -> String {
        if self.is_colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn level(&self, level: Level) -> String {
        let code = match level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG => 34,
            Level::TRACE => 35,
        };
        self.paint(code, format_args!("{level:>5}"))
    }
}

impl<S, N> FormatEvent<S, N> for Person
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        write!(writer, "{} {}", self.paint(2, time), self.level(*event.metadata().level()))?;
        if is_draining() {
            write!(writer, " {}", self.paint(2, DRAINING_WORD))?;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let request = ctx.event_scope().and_then(|spans| {
            let mut spans = spans.from_root();
            spans.find_map(|span| span.extensions().get::<FormattedFields<N>>().map(|fields| fields.fields.clone()))
        });
        // A request's fields are written as `METHOD PATH ID`, none of which can hold a blank.
        let (place, id) =
            request.as_deref().map_or(("", ""), |request| request.rsplit_once(' ').unwrap_or((request, "")));
        // One of the fields is not shown, and its delimiter is left.
        let place = place.trim_end();
        if event.metadata().name() == ANSWERED {
            write!(writer, " {place} {} {}", said.status, duration(said.latency_ms))?;
        } else {
            // A library's line is of little use without its name.
            let target = event.metadata().target();
            if !target.starts_with(env!("CARGO_CRATE_NAME")) {
                write!(writer, " {target}:")?;
            }
            write!(writer, "{}{}", said.message, said.others)?;
            if !place.is_empty() {
                write!(writer, " {place}")?;
            }
        }
        if !id.is_empty() {
            write!(writer, " {}", self.paint(2, id))?;
        }
        writeln!(writer)
    }
}

/// The fields of a request's span, each by its value alone.
pub fn request_fields(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "method" | "path" | "request_id" => write!(writer, "{value:?}"),
        // For machines: while developing it is always the same.
        "client" => Ok(()),
        name => write!(writer, "{name}={value:?}"),
    }
}

fn duration(milliseconds: f64) -> String {
    if milliseconds < 1000.0 { format!("{milliseconds:.1} ms") } else { format!("{:.1} s", milliseconds / 1000.0) }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    others: String,
    status: u64,
    latency_ms: f64,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
        self.record_debug(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "latency_ms" {
            self.latency_ms = value;
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = one_event(&format!("{value:?}"));
        if field.name() == "message" {
            self.message = format!(" {value}");
        // What the `log` crate's records carry besides their message.
        } else if !field.name().starts_with("log.") {
            self.others.push_str(&format!(" {}={value}", field.name()));
        }
    }
}

/// Text that may come from outside, so that it cannot pass for another line or steer a terminal.
fn one_event(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\n    "),
            letter if letter.is_control() => safe.extend(letter.escape_default()),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_pass_for_a_line_of_its_own() {
        assert_eq!(
            one_event("a\n2026-11-21T00:00:00Z  INFO b\x1b[2J"),
            "a\n    2026-11-21T00:00:00Z  INFO b\\u{1b}[2J"
        );
    }

    #[test]
    fn a_duration_has_the_unit_that_fits() {
        assert_eq!((duration(0.349), duration(1234.0)), ("0.3 ms".to_owned(), "1.2 s".to_owned()));
    }
}
