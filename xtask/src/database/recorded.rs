//! Migrations as a database has recorded them, for those whose files are gone: a draft that was applied and in no commit.
//!
//! PostgreSQL's clients print the tables of the migrator in the form of `COPY`, from a dump as from a database.

use std::path::Path;

use super::dumps::Manifest;
use super::migrations;
use crate::failure::{Exit, Failure};
use crate::plan::Write;

/// The tables that tell of applied migrations: the library's own, which has their names, and the backend's, which has
/// their texts.
pub const TABLES: [&str; 2] = ["_sqlx_migrations", "_migration_texts"];

/// A migration as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The digits before its name.
    pub version: u64,
    /// The rest of its name, as a file has it.
    name: String,
    up: String,
    down: Option<String>,
}

impl Recorded {
    /// Its two files in the folder of migrations.
    pub fn files(&self, folder: &Path) -> [Write; 2] {
        let file = |end: &str, text: &str| Write {
            path: folder.join(format!("{}_{}.{end}.sql", self.version, self.name)),
            text: text.to_owned(),
            mode: 0o644,
        };
        [file("up", &self.up), file("down", self.down.as_deref().unwrap_or(migrations::DOWN))]
    }
}

/// Every migration whose text stands in what `pg_restore` or `pg_dump` prints of [`TABLES`], oldest first.
pub fn parse(said: &str) -> Vec<Recorded> {
    let names = rows(said, TABLES[0], &["version", "description"]);
    let texts = rows(said, TABLES[1], &["version", "up", "down"]);
    let name_of = |version: &str| {
        let own = names.iter().find(|row| row[0].as_deref() == Some(version));
        own.and_then(|row| row[1].as_deref()).map_or_else(|| "recorded".to_owned(), file_name)
    };
    let mut all: Vec<Recorded> = texts
        .iter()
        .filter_map(|row| {
            let version = row[0].as_deref()?;
            Some(Recorded {
                version: version.parse().ok()?,
                name: name_of(version),
                up: row[1].clone()?,
                down: row[2].clone(),
            })
        })
        .collect();
    all.sort_by_key(|one| one.version);
    all
}

/// The name in a file's name. It comes from a dump, so that nothing in it may lead to another folder.
fn file_name(description: &str) -> String {
    let plain = |letter: char| if letter.is_alphanumeric() || letter == '-' { letter } else { '_' };
    description.chars().map(plain).collect()
}

/// The rows of a table in the form of `COPY`: these columns of each, null as none.
fn rows(said: &str, table: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    let mut lines = said.split('\n');
    let places = lines.by_ref().find_map(|line| {
        let (name, rest) = line.strip_prefix("COPY ")?.split_once(" (")?;
        let names: Vec<&str> = rest.split_once(')')?.0.split(", ").collect();
        let is_own = name.rsplit('.').next() == Some(table);
        let places = columns.iter().map(|column| names.iter().position(|name| name == column));
        is_own.then(|| places.collect::<Option<Vec<usize>>>()).flatten()
    });
    let Some(places) = places else { return Vec::new() };
    let fields = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        places.iter().map(|place| fields.get(*place).and_then(|field| value(field))).collect()
    };
    lines.take_while(|line| *line != "\\.").map(fields).collect()
}

/// A field as `COPY` writes it; none where it is null.
fn value(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let (mut value, mut letters) = (String::new(), field.chars());
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        value.push(match letters.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        });
    }
    Some(value)
}

/// The applied migrations that a checkout does not have.
pub fn unknown(applied: &[u64], known: &[u64]) -> Vec<u64> {
    applied.iter().filter(|version| !known.contains(version)).copied().collect()
}

/// A sentence for each of them.
fn sentences(unknown: &[u64]) -> impl Iterator<Item = String> + '_ {
    unknown.iter().map(|version| format!("{version} is not among this checkout's migrations"))
}

/// The refusal of a database with these migrations. `again` asks for the same with their files written, where each of them
/// is recorded; what is asked for was made from that manifest's commit, where there is one.
pub fn refusal(what: &str, unknown: &[u64], again: Option<&str>, manifest: Option<&Manifest>) -> Failure {
    let mut failure = Failure::new(Exit::Migrations, format!("{what}: its schema is not this checkout's"))
        .details(sentences(unknown));
    if let Some(again) = again {
        failure = failure.hint(format!("{again}, which writes their files as they were applied"));
    }
    match manifest {
        Some(manifest) => {
            let commit = manifest.commit.trim_end_matches("-dirty");
            let also = if commit == manifest.commit { "" } else { " with changes that were in no commit" };
            failure.hint(format!("git checkout {commit}, from which it was dumped{also}"))
        }
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\n\
        COPY public._migration_texts (version, up, down, recorded_at) FROM stdin;\n\
        20260102000000\tCREATE TABLE a (\\n\\tb text -- \\\\x\\r\\n);\\n\tDROP TABLE a;\t2026-01-01 00:00:00+00\n\
        20260101000000\tSELECT 1;\t\\N\t2026-01-01 00:00:00+00\n\\.\n\n\n\
        COPY public._sqlx_migrations (version, description, installed_on) FROM stdin;\n\
        20260102000000\tadd ../a\t2026-01-01 00:00:00+00\n20260103000000\tlater\t2026-01-01 00:00:00+00\n\\.\n\n";

    #[test]
    fn texts_and_names_are_read_as_the_clients_print_them() {
        let all = parse(SAID);
        assert_eq!(all.iter().map(|one| one.version).collect::<Vec<_>>(), [20_260_101_000_000, 20_260_102_000_000]);
        let [up, down] = all[1].files(Path::new("/m"));
        assert_eq!(up.path, Path::new("/m/20260102000000_add____a.up.sql"), "no name leads to another folder");
        assert_eq!(up.text, "CREATE TABLE a (\n\tb text -- \\x\r\n);\n");
        assert_eq!(
            (down.path.ends_with("20260102000000_add____a.down.sql"), down.text.as_str()),
            (true, "DROP TABLE a;")
        );
        assert_eq!(all[0].files(Path::new("/m"))[1].text, migrations::DOWN, "what has no way back still has two files");
    }

    #[test]
    fn what_has_no_such_table_has_recorded_nothing() {
        for said in ["", "COPY public.other (version, up, down) FROM stdin;\n1\ta\tb\n\\.\n", "COPY broken"] {
            assert_eq!(parse(said), [], "{said:?}");
        }
    }
}
