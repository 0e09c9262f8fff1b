//! The schema as text, which two databases and two commits can be compared by.

use super::difference::{Line, difference};
use super::sql;

/// What the file in git begins with.
const HEAD: &str = "\
-- What the migrations add up to. `cargo xtask migrate check --fix` writes this file, and `check` fails when it is not
-- fresh. Read it to see what a migration changes; nothing is ever made from it.
";

/// The most lines of a difference that are told.
const MOST_LINES: usize = 40;

/// What `pg_dump --schema-only` says, without what differs from one server or run to the next.
pub fn normalised(dump: &str) -> String {
    let quoted = sql::quoted(dump);
    let is_quoted = |place: usize| quoted.iter().any(|piece| piece.start < place && place < piece.end);
    let (mut text, mut next) = (String::new(), 0);
    for line in dump.split('\n') {
        let start = next;
        next += line.len() + 1;
        let line = if is_quoted(start + line.len()) { line } else { line.trim_end() };
        // What a function or a default says belongs to the schema, whatever it looks like.
        if is_quoted(start) {
            text.push_str(line);
            text.push('\n');
            continue;
        }
        let is_noise = line == "--"
            || ["-- Name: ", "-- Dumped ", "-- PostgreSQL database dump", "\\restrict ", "\\unrestrict "]
                .iter()
                .any(|start| line.starts_with(start))
            || line.starts_with("SELECT pg_catalog.set_config(")
            || is_setting(line);
        let is_second_blank = line.is_empty() && (text.is_empty() || text.ends_with("\n\n"));
        if !is_noise && !is_second_blank {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The parameters that `pg_dump` sets: some depend on its version.
const SETTINGS: [&str; 13] = [
    "check_function_bodies",
    "client_encoding",
    "client_min_messages",
    "default_table_access_method",
    "default_tablespace",
    "escape_string_warning",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "row_security",
    "standard_conforming_strings",
    "statement_timeout",
    "transaction_timeout",
    "xmloption",
];

/// Whether a line sets a parameter of the dump, as `SET statement_timeout = 0;` at its head.
fn is_setting(line: &str) -> bool {
    let name = line.strip_prefix("SET ").and_then(|rest| rest.strip_suffix(';')?.split_once(" = "));
    name.is_some_and(|(name, _)| SETTINGS.contains(&name))
}

/// The file in git for a schema.
pub fn file_of(schema: &str) -> String {
    format!("{HEAD}\n{schema}\n")
}

/// How two schemas differ, a line each; nothing where they are the same.
pub fn differences(before: &str, after: &str) -> Vec<String> {
    let lines = difference(before, after);
    let shown = lines.iter().map(|line| match line {
        Line::Same(text) => format!("  {text}"),
        Line::Removed(text) => format!("- {text}"),
        Line::Added(text) => format!("+ {text}"),
        Line::Gap => "  …".to_owned(),
    });
    let mut shown: Vec<String> = shown.collect();
    if shown.len() > MOST_LINES {
        let left = shown.len() - MOST_LINES;
        shown.truncate(MOST_LINES);
        shown.push(format!("  … and {left} more lines"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict aBc\n\n-- Dumped from database version 15.18\n\n\
        SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n\
        SET default_tablespace = '';\n\n--\n-- Name: a; Type: TABLE; Schema: public; Owner: -\n--\n\n\
        CREATE TABLE public.a (\n    id integer\n);\n\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict aBc\n";

    #[test]
    fn only_what_makes_the_schema_is_left() {
        assert_eq!(normalised(DUMP), "CREATE TABLE public.a (\n    id integer\n);");
        assert_eq!(normalised(&DUMP.replace("15.18", "15.19").replace("aBc", "xYz")), normalised(DUMP));
        let empty = DUMP.replace("CREATE TABLE public.a (\n    id integer\n);", "");
        assert_eq!(normalised(&empty), "", "a database without anything");
    }

    #[test]
    fn what_a_function_says_stays() {
        let body =
            "CREATE FUNCTION f() RETURNS void\n    SET search_path TO 'x'\n    AS $$\n-- why\nSET LOCAL a.b = 1;\n$$;";
        assert_eq!(normalised(body), body);
        for quote in ["$$", "$_$", "'"] {
            let body = format!(
                "CREATE FUNCTION f() RETURNS void\n    AS {quote}\n\n\n--\nSET x = 1;\nSET lock_timeout = 0;\n-- Name: a\n{quote};"
            );
            assert_eq!(normalised(&format!("{DUMP}\n{body}")).split_once("\n\n").unwrap().1, body);
        }
    }

    #[test]
    fn schemas_that_differ_are_told_by_line() {
        assert_eq!(differences("a\nb", "a\nc"), ["  a", "- b", "+ c"]);
        assert!(differences("a", "a").is_empty());
        let many = (0..100).map(|number| number.to_string()).collect::<Vec<_>>().join("\n");
        let told = differences("", &many);
        assert_eq!((told.len(), told.last().unwrap().as_str()), (MOST_LINES + 1, "  … and 60 more lines"));
    }
}
