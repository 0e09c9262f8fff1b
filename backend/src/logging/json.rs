//! Log lines for machines: one JSON object each.
//!
//! The library's own formatter keeps a span's fields as text, and parses that text again for each line in the span. Here
//! the text is JSON already, and is copied.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::{DRAINING_WORD, is_draining};

/// A line as one JSON object.
pub struct Machine;

impl<S, N> FormatEvent<S, N> for Machine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let mut members = Members { writer: &mut writer, is_first: false, target: None, outcome: Ok(()) };
        event.record(&mut members);
        let target = members.target.take();
        members.outcome?;
        writer.write_str(",\"target\":")?;
        text(&mut writer, target.as_deref().unwrap_or(event.metadata().target()))?;
        // The outermost is the request's, which has its id.
        if let Some(span) = ctx.event_scope().and_then(|spans| spans.from_root().next()) {
            writer.write_str(",\"span\":{")?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                write!(writer, "{},", fields.fields)?;
            }
            write!(writer, "\"name\":\"{}\"}}", span.name())?;
        }
        if is_draining() {
            write!(writer, ",\"{DRAINING_WORD}\":true")?;
        }
        writer.write_str("}\n")
    }
}

/// A span's fields as the members of an object, without its braces.
pub struct AsMembers;

impl<'a> FormatFields<'a> for AsMembers {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut members = Members { writer: &mut writer, is_first: true, target: None, outcome: Ok(()) };
        fields.record(&mut members);
        members.outcome
    }

    fn add_fields(&self, current: &'a mut FormattedFields<Self>, fields: &tracing::span::Record<'_>) -> fmt::Result {
        let is_first = current.fields.is_empty();
        let mut writer = current.as_writer();
        let mut members = Members { writer: &mut writer, is_first, target: None, outcome: Ok(()) };
        fields.record(&mut members);
        members.outcome
    }
}

/// Writes fields as members of an object.
struct Members<'w, 'a> {
    writer: &'w mut Writer<'a>,
    is_first: bool,
    /// Where a record of the `log` crate comes from: the event's own target is just `log`.
    target: Option<String>,
    outcome: fmt::Result,
}

impl Members<'_, '_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        // What else the `log` crate's records carry.
        if self.outcome.is_err() || field.name().starts_with("log.") {
            return;
        }
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        self.outcome = write!(self.writer, "{comma}\"{}\":", field.name()).and_then(|()| value(self.writer));
    }
}

impl Visit for Members<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is not a number.
        self.member(
            field,
            |writer| if value.is_finite() { write!(writer, "{value}") } else { writer.write_str("null") },
        );
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.member(field, |writer| text(writer, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }
}

fn text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    writer.write_char('"')?;
    Escaped(writer).write_str(text)?;
    writer.write_char('"')
}

/// What is written to it becomes the inside of a JSON string.
struct Escaped<'w, 'a>(&'w mut Writer<'a>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            self.0.write_str(&rest[..at])?;
            match rest.as_bytes()[at] {
                b'\n' => self.0.write_str("\\n")?,
                byte @ (b'"' | b'\\') => write!(self.0, "\\{}", char::from(byte))?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::sink::Sink;
    use super::*;

    /// What is logged meanwhile, line by line.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let sink = Sink::start(writer);
        let layer = tracing_subscriber::fmt::layer().with_writer(sink.clone());
        let subscriber = tracing_subscriber::registry().with(layer.event_format(Machine).fmt_fields(AsMembers));
        tracing::subscriber::with_default(subscriber, log);
        sink.finish();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut reader, &mut said).unwrap();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_keep_their_kinds_and_text_from_outside_stays_in_its_string() {
        let hostile = "a\"b\\c\nd\u{1b}[2Jé";
        let lines = lines(|| {
            tracing::info!(count = 7, share = 0.5, nothing = f64::NAN, is = true, hostile, debug = ?hostile, "said");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let expected = json!({
            "level": "INFO", "message": "said", "count": 7, "share": 0.5, "nothing": null, "is": true,
            "hostile": hostile, "debug": format!("{hostile:?}"), "target": "backend::logging::json::tests",
        });
        let mut line = line.clone();
        assert!(line.as_object_mut().unwrap().remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
        assert_eq!(line, expected);
    }

    #[test]
    fn a_record_of_the_log_crate_has_the_target_that_it_came_from() {
        let lines = lines(|| {
            tracing::warn!(target: "log", { "log.target" = "some::library", "log.line" = 7, "log.file" = "a.rs" }, "said");
        });
        let mut line = lines[0].clone();
        line.as_object_mut().unwrap().remove("timestamp");
        assert_eq!(line, json!({ "level": "WARN", "message": "said", "target": "some::library" }));
    }

    #[test]
    fn a_line_has_the_fields_of_its_request_also_those_that_came_later() {
        let lines = lines(|| {
            let span = tracing::info_span!("request", path = "/a\"b", route = tracing::field::Empty);
            let _entered = span.enter();
            span.record("route", "/{x}");
            tracing::info_span!("inner").in_scope(|| tracing::warn!("said"));
        });
        assert_eq!(lines[0]["span"], json!({ "name": "request", "path": "/a\"b", "route": "/{x}" }));
    }
}
