//! What PostgreSQL really does for each statement of a migration: the locks that it takes, the tables that it rewrites,
//! reads as a whole or writes as a whole.
//!
//! The lint knows the statement and guesses. Here the statement runs on tables with rows, and the server is asked: for
//! locks (`pg_locks`), for the file of each table (`relfilenode`), and for its counters of the transaction.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::lint::rules::is_refused_in_transaction;
use super::migrations::Migration;
use super::sql::{self, Statement};
use super::survey::{OWN_TABLES, TABLE_NAME};

/// What is known of the tables before anything runs. Those that the migration makes are not among them: nobody uses them
/// yet.
fn before() -> String {
    format!(
        r"
SET client_min_messages = warning;
CREATE TEMPORARY TABLE _trace AS
SELECT c.oid, {TABLE_NAME} AS name, c.relfilenode, 0::bigint AS scans, 0::bigint AS writes,
    (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', n.nspname, c.relname), false, true, '')))
        [1]::text::bigint AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND {OWN_TABLES} AND (c.relkind <> 'm' OR c.relispopulated);
SELECT 'empty', name FROM _trace WHERE rows = 0 ORDER BY 2;
"
    )
}

/// What the counters say before a transaction's first statement.
const COUNTERS: &str = r"
UPDATE pg_temp._trace t SET relfilenode = c.relfilenode, scans = pg_stat_get_xact_numscans(t.oid),
    writes = pg_stat_get_xact_tuples_updated(t.oid) + pg_stat_get_xact_tuples_deleted(t.oid)
FROM pg_class c WHERE c.oid = t.oid;
";

/// What differs after a statement.
const AFTER: &str = r"
SELECT 'lock', t.name, l.mode FROM pg_locks l JOIN pg_temp._trace t ON t.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.granted ORDER BY 2, 3;
SELECT 'new', t.name FROM pg_temp._trace t JOIN pg_class c USING (oid) WHERE c.relfilenode <> t.relfilenode ORDER BY 2;
SELECT 'read', t.name FROM pg_temp._trace t WHERE pg_stat_get_xact_numscans(t.oid) > t.scans ORDER BY 2;
SELECT 'write', t.name, pg_stat_get_xact_tuples_updated(t.oid) + pg_stat_get_xact_tuples_deleted(t.oid) - t.writes, t.rows
FROM pg_temp._trace t
WHERE pg_stat_get_xact_tuples_updated(t.oid) + pg_stat_get_xact_tuples_deleted(t.oid) > t.writes ORDER BY 2;
";

/// A lock on a table that was there before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableLock {
    /// The table.
    pub table: String,
    /// Its mode, as `pg_locks` has it.
    pub mode: String,
}

/// Rows that were changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// How many there were before the migration.
    pub of: u64,
}

/// What one statement did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Traced {
    /// The line of its first word, from 1.
    pub line: usize,
    /// The line on which it ends.
    pub last_line: usize,
    /// Its first words.
    pub statement: String,
    /// The locks that it took. Those of a statement that no transaction may hold are gone before anybody can ask.
    pub locks: Vec<TableLock>,
    /// The tables that it wrote anew or emptied.
    pub rewritten: Vec<String>,
    /// The tables that it read from the first row to the last.
    pub read: Vec<String>,
    /// The rows that it changed.
    pub written: Vec<Written>,
    /// The tables among those that it locked which had no row before the migration: what it does to rows does not show.
    pub empty: Vec<String>,
    /// All locks that were held after it, also those that statements before it have taken.
    #[serde(skip)]
    held: Vec<TableLock>,
}

/// Something that a statement did to those who use the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The line of the statement.
    pub line: usize,
    /// The line on which it ends.
    #[serde(skip)]
    pub last_line: usize,
    /// `trace-rewrite`, `trace-scan` or `trace-write`.
    pub rule: &'static str,
    /// What happened to whom.
    pub effect: String,
}

/// The script that runs a migration and tells what each statement did.
pub fn script(migration: &Migration) -> String {
    let statements = sql::statements(&migration.text);
    let is_whole = !migration.is_without_transaction();
    let mut script = before();
    let begin = format!("BEGIN;{COUNTERS}");
    if is_whole {
        script.push_str(&begin);
    }
    for (index, statement) in statements.iter().enumerate() {
        let is_alone = !is_whole && is_refused_in_transaction(statement);
        if is_alone {
            // What was read before it, also by ourselves, is not its doing.
            script.push_str(COUNTERS);
        } else if !is_whole {
            script.push_str(&begin);
        }
        let text = migration.text[statement.bytes.clone()].trim_end();
        // On a line of its own, because the statement may end with a remark.
        script.push_str(&format!("\\echo at {index}\n{text}\n;\n{AFTER}{COUNTERS}"));
        if !is_whole && !is_alone {
            script.push_str("COMMIT;\n");
        }
    }
    if is_whole {
        script.push_str("COMMIT;\n");
    }
    script
}

/// What the answer to [`script`] says of each statement.
pub fn parse(migration: &Migration, said: &str) -> Result<Vec<Traced>> {
    let statements = sql::statements(&migration.text);
    let (mut traced, mut empty): (Vec<Traced>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in said.lines() {
        if let Some(index) = line.strip_prefix("at ").and_then(|index| index.parse::<usize>().ok()) {
            let statement = statements.get(index).context("the trace tells of a statement that is not there")?;
            traced.push(begin(migration, statement));
            continue;
        }
        // Statements print rows of their own, which are none of ours.
        let Some(last) = traced.last_mut() else {
            empty.extend(line.strip_prefix("empty\t"));
            continue;
        };
        let table = |name: &str| name.to_owned();
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["lock", name, mode] => last.held.push(TableLock { table: table(name), mode: mode.to_owned() }),
            ["new", name] => last.rewritten.push(table(name)),
            ["read", name] => last.read.push(table(name)),
            ["write", name, rows, of] => {
                last.written.push(Written { table: table(name), rows: rows.parse()?, of: of.parse()? });
            }
            _ => {}
        }
    }
    for index in 0..traced.len() {
        let before = if index > 0 { traced[index - 1].held.clone() } else { Vec::new() };
        traced[index].locks = traced[index].held.iter().filter(|lock| !before.contains(lock)).cloned().collect();
        let is_held = |table: &&str| traced[index].held.iter().any(|lock| lock.table == *table);
        traced[index].empty = empty.iter().copied().filter(is_held).map(str::to_owned).collect();
    }
    Ok(traced)
}

/// The line of the statement that a trace has come to.
pub fn last_line(migration: &Migration, said: &str) -> usize {
    let index = said.lines().filter_map(|line| line.strip_prefix("at ")?.parse::<usize>().ok()).next_back();
    let statements = sql::statements(&migration.text);
    index.and_then(|index| statements.get(index)).map_or(1, |statement| statement.line)
}

fn begin(migration: &Migration, statement: &Statement) -> Traced {
    let text = &migration.text[statement.bytes.clone()];
    let words: Vec<&str> = text.split_whitespace().take(6).collect();
    Traced { line: statement.line, last_line: statement.last_line, statement: words.join(" "), ..Traced::default() }
}

/// The modes in which a table cannot be written, and what they are called where it cannot be read either.
fn blocks(mode: &str) -> Option<&'static str> {
    match mode {
        "AccessExclusiveLock" => Some("reads and writes"),
        "ShareLock" | "ShareRowExclusiveLock" | "ExclusiveLock" => Some("writes"),
        _ => None,
    }
}

impl Traced {
    /// Who waits for the table until the transaction ends; nobody, where no lock keeps anybody out.
    fn waits(&self, table: &str) -> Option<&'static str> {
        let own = self.held.iter().filter(|lock| lock.table == table).filter_map(|lock| blocks(&lock.mode));
        own.max_by_key(|who| who.len())
    }

    /// What it did to those who use the database.
    pub fn observations(&self) -> Vec<Observation> {
        let mut found = Vec::new();
        let mut add = |rule: &'static str, effect: String| {
            found.push(Observation { line: self.line, last_line: self.last_line, rule, effect });
        };
        for table in &self.rewritten {
            add(
                "trace-rewrite",
                format!("{table} is written anew or emptied, and nobody can read or write it meanwhile"),
            );
        }
        for table in self.read.iter().filter(|table| !self.rewritten.contains(table)) {
            if let Some(who) = self.waits(table) {
                add("trace-scan", format!("every row of {table} is read while {who} wait"));
            }
        }
        for Written { table, rows, of } in &self.written {
            // One row of one tells nothing.
            if rows >= of && *of > 1 {
                add("trace-write", format!("every row of {table} is changed in one transaction"));
            }
        }
        found
    }

    /// The strongest of the locks that it took on each table, and what else it did, in a line.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for lock in &self.locks {
            let is_weaker =
                |other: &TableLock| other.table == lock.table && strength(&other.mode) > strength(&lock.mode);
            if !self.locks.iter().any(is_weaker) {
                parts.push(format!("{} on {}", lock.mode, lock.table));
            }
        }
        parts.extend(self.rewritten.iter().map(|table| format!("rewrote {table}")));
        parts.extend(
            self.read
                .iter()
                .filter(|table| !self.rewritten.contains(table) && !self.empty.contains(table))
                .map(|table| format!("read all of {table}")),
        );
        parts
            .extend(self.written.iter().map(|one| format!("changed {} of {} rows of {}", one.rows, one.of, one.table)));
        // Of those that only an earlier statement has locked, that one has told.
        let is_own = |table: &&String| {
            self.locks.iter().any(|lock| lock.table == **table)
                || self.rewritten.contains(table)
                || self.read.contains(table)
        };
        let empty = self.empty.iter().filter(is_own);
        parts.extend(empty.map(|table| format!("no row of {table} was there to be read, changed or rewritten")));
        if parts.is_empty() { "nothing that was there before".to_owned() } else { parts.join(", ") }
    }
}

/// The place of a mode among all, the weakest first: <https://www.postgresql.org/docs/15/explicit-locking.html>
fn strength(mode: &str) -> usize {
    const MODES: [&str; 8] = [
        "AccessShareLock",
        "RowShareLock",
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ];
    MODES.iter().position(|known| *known == mode).unwrap_or(MODES.len())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn migration(text: &str) -> Migration {
        Migration { version: 1, up: PathBuf::from("1_a.up.sql"), text: text.to_owned() }
    }

    fn traced(text: &str, said: &str) -> Vec<Traced> {
        parse(&migration(text), said).unwrap()
    }

    #[test]
    fn each_statement_is_followed_by_questions_and_all_of_them_are_one_transaction() {
        let text = script(&migration("-- why\nSELECT 1 -- one\n;\nSELECT 2;"));
        let (first, second) =
            (text.find("\\echo at 0\nSELECT 1 -- one\n;\n").unwrap(), text.find("\\echo at 1\n").unwrap());
        assert!(text.find("BEGIN;").unwrap() < first && first < second && text.ends_with("COMMIT;\n"), "{text}");
        assert_eq!((text.matches("BEGIN;").count(), text.matches("pg_locks").count()), (1, 2));
        let text = script(&migration("-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 2;"));
        assert!(text.find("CONCURRENTLY").unwrap() < text.find("BEGIN;").unwrap(), "{text}");
        assert!(text.find(COUNTERS).unwrap() < text.find("CONCURRENTLY").unwrap(), "{text}");
        assert_eq!((text.matches("BEGIN;").count(), text.matches("COMMIT;").count()), (1, 1));
    }

    #[test]
    fn a_statement_has_taken_the_locks_that_were_not_there_before_it() {
        let said = "at 0\nlock\ta\tAccessShareLock\nat 1\n42\tof its own\nlock\ta\tAccessExclusiveLock\nlock\ta\tAccessShareLock\n";
        let traced = traced("SELECT 1;\nALTER TABLE a ADD b int;", said);
        assert_eq!(traced[1].summary(), "AccessExclusiveLock on a");
        assert_eq!((traced[1].line, traced[1].statement.as_str()), (2, "ALTER TABLE a ADD b int"));
        assert_eq!(traced[1].observations(), [], "a lock alone is short");
    }

    #[test]
    fn who_waits_for_how_much_is_told() {
        let rules = |said: &str| -> Vec<(&'static str, String)> {
            let all = traced("SELECT 1;", said);
            all[0].observations().into_iter().map(|one| (one.rule, one.effect)).collect()
        };
        let scan = |mode: &str| rules(&format!("at 0\nlock\ta\t{mode}\nread\ta\n"));
        assert_eq!(scan("ShareLock"), [("trace-scan", "every row of a is read while writes wait".to_owned())]);
        assert_eq!(scan("AccessExclusiveLock")[0].1, "every row of a is read while reads and writes wait");
        for mode in ["AccessShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"] {
            assert_eq!(scan(mode), [], "{mode} keeps no reader and no writer out");
        }
        assert_eq!(rules("at 0\nlock\ta\tAccessExclusiveLock\nnew\ta\nread\ta\n")[0].0, "trace-rewrite");
        assert_eq!(rules("at 0\nwrite\ta\t13\t13\n")[0].0, "trace-write");
        for harmless in ["write\ta\t12\t13", "write\ta\t1\t1", "read\ta"] {
            assert_eq!(rules(&format!("at 0\n{harmless}\n")), [], "{harmless}");
        }
    }

    #[test]
    fn a_table_without_rows_is_told_with_the_locks_that_were_taken_all_the_same() {
        let said = "empty\tnotes\nempty\tother\nat 0\nlock\tnotes\tAccessExclusiveLock\nat 1\n\
                    lock\tnotes\tAccessExclusiveLock\nlock\treports\tRowExclusiveLock\n";
        let traced = traced("ALTER TABLE notes ADD a int;\nDELETE FROM reports;", said);
        let told = "AccessExclusiveLock on notes, no row of notes was there to be read, changed or rewritten";
        assert_eq!(traced[0].summary(), told);
        assert_eq!(traced[1].summary(), "RowExclusiveLock on reports", "it is told once");
        assert_eq!(traced[1].empty, ["notes"]);
    }

    #[test]
    fn the_statement_that_failed_is_the_last_that_was_begun() {
        let two = migration("SELECT 1;\n\nSELECT x;");
        assert_eq!((last_line(&two, "at 0\n1\nat 1\n"), last_line(&two, "")), (3, 1));
    }
}
