//! Rules for what squawk does not see.

use super::Found;
use crate::database::sql::{Statement, Token};

/// What the rules know of the script that they look at.
pub struct Script<'s> {
    /// Its statements.
    pub statements: &'s [Statement],
    /// Whether all of it is one transaction.
    pub in_transaction: bool,
}

impl Script<'_> {
    /// Whether the table is made by this script: then nobody uses it yet.
    fn makes(&self, table: &str) -> bool {
        self.statements.iter().any(|statement| created_table(statement) == Some(table))
    }

    /// Whether a statement before that one holds a lock on the table that keeps everybody out.
    fn is_locked_before(&self, index: usize, table: &str) -> bool {
        let locks =
            |statement: &Statement| statement.begins(&["ALTER", "TABLE"]) && altered_table(statement) == Some(table);
        self.in_transaction && self.statements[..index].iter().any(locks)
    }
}

/// What a script's statements would do.
pub fn check(script: &Script<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (index, statement) in script.statements.iter().enumerate() {
        let mut add =
            |rule: &str| found.push(Found { line: statement.line, rule: rule.to_owned(), ..Found::default() });
        if let Some((table, has_condition)) = changed_table(statement).filter(|(table, _)| !script.makes(table)) {
            if !has_condition {
                add("unbatched-write");
            } else if script.is_locked_before(index, table) {
                add("write-under-lock");
            }
        }
        if let Some(rule) = rule_of(statement, script) {
            add(rule);
        }
        if script.in_transaction && is_refused_in_transaction(statement) {
            add("refused-in-a-transaction");
        }
        for value in added_enum_values(statement).filter(|_| script.in_transaction) {
            let uses = |later: &Statement| later.tokens.iter().any(|(_, token)| *token == Token::Text(value.clone()));
            if let Some(user) = script.statements[index + 1..].iter().find(|later| uses(later)) {
                found.push(Found {
                    line: user.line,
                    rule: "enum-value-in-its-transaction".to_owned(),
                    ..Found::default()
                });
            }
        }
    }
    found
}

/// The rule that a statement breaks by what it is.
fn rule_of(statement: &Statement, script: &Script<'_>) -> Option<&'static str> {
    let table_after = |word: &str| {
        let place = (0..statement.tokens.len()).find(|index| statement.word(*index) == Some(word))?;
        statement.name_at(place + 1)
    };
    let is_known = |table: Option<&str>| !table.is_some_and(|table| script.makes(table));
    if statement.begins(&["TRUNCATE"]) {
        let table = if statement.word(1) == Some("TABLE") { statement.name_at(2) } else { statement.name_at(1) };
        return is_known(table).then_some("truncate");
    }
    if statement.begins(&["VACUUM"]) && statement.has(&["FULL"]) || statement.begins(&["CLUSTER"]) {
        return Some("vacuum-full");
    }
    if statement.begins(&["LOCK"]) {
        return Some("lock-table");
    }
    if statement.begins(&["CREATE"])
        && statement.tokens.iter().take(6).any(|(_, token)| token.word() == Some("TRIGGER"))
    {
        return is_known(table_after("ON")).then_some("create-trigger");
    }
    if statement.begins(&["CREATE", "RULE"]) || statement.begins(&["CREATE", "OR", "REPLACE", "RULE"]) {
        return Some("create-rule");
    }
    if statement.begins(&["ALTER", "TABLE"]) && is_known(altered_table(statement)) {
        if statement.has(&["ROW", "LEVEL", "SECURITY"]) && statement.has(&["ENABLE"]) {
            return Some("row-level-security");
        }
        if statement.has(&["SET", "UNLOGGED"])
            || statement.has(&["SET", "LOGGED"])
            || statement.has(&["SET", "TABLESPACE"])
        {
            return Some("table-rewrite");
        }
    }
    (statement.begins(&["REFRESH", "MATERIALIZED", "VIEW"]) && !statement.has(&["CONCURRENTLY"]))
        .then_some("refresh-without-concurrently")
}

/// <https://www.postgresql.org/docs/15/sql-createindex.html> and the pages of the others say so.
pub fn is_refused_in_transaction(statement: &Statement) -> bool {
    let is_index = ["CREATE", "DROP", "REINDEX"].iter().any(|word| statement.begins(&[word]));
    is_index && statement.has(&["CONCURRENTLY"])
        || statement.begins(&["VACUUM"])
        || statement.begins(&["CREATE", "DATABASE"])
        || statement.begins(&["DROP", "DATABASE"])
        || statement.begins(&["ALTER", "SYSTEM"])
        || commits_in_its_body(statement)
}

/// A block that ends transactions of its own can do so outside of any other
/// (<https://www.postgresql.org/docs/15/plpgsql-transactions.html>).
fn commits_in_its_body(statement: &Statement) -> bool {
    let commits = |body: &str| {
        body.split(|letter: char| !letter.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("commit"))
    };
    statement.begins(&["DO"])
        && statement.tokens.iter().any(|(_, token)| matches!(token, Token::Text(body) if commits(body)))
}

/// The table that UPDATE or DELETE changes, and whether a condition says which rows.
fn changed_table(statement: &Statement) -> Option<(&str, bool)> {
    let start = (0..statement.tokens.len()).find(|index| match statement.word(*index) {
        // `FOR UPDATE`, `ON UPDATE` and `DO UPDATE` change no rows of their own accord.
        Some("UPDATE") => index
            .checked_sub(1)
            .is_none_or(|before| !matches!(statement.word(before), Some("FOR" | "ON" | "DO" | "KEY"))),
        Some("DELETE") => statement.word(index + 1) == Some("FROM"),
        _ => false,
    })?;
    // Bodies of functions and actions of triggers and keys are no writes of this script.
    if !matches!(statement.word(0), Some("UPDATE" | "DELETE" | "WITH")) {
        return None;
    }
    let mut place = start + 1 + usize::from(statement.word(start) == Some("DELETE"));
    place += usize::from(statement.word(place) == Some("ONLY"));
    Some((statement.name_at(place)?, statement.has(&["WHERE"])))
}

fn created_table(statement: &Statement) -> Option<&str> {
    let place = (0..statement.tokens.len().min(5)).find(|index| statement.word(*index) == Some("TABLE"))?;
    let place = if statement.word(place + 1) == Some("IF") { place + 4 } else { place + 1 };
    statement.begins(&["CREATE"]).then(|| statement.name_at(place))?
}

fn altered_table(statement: &Statement) -> Option<&str> {
    let mut place = 2;
    place += if statement.word(place) == Some("IF") { 2 } else { 0 };
    place += usize::from(statement.word(place) == Some("ONLY"));
    statement.name_at(place)
}

/// The values that a statement adds to an enum.
fn added_enum_values(statement: &Statement) -> impl Iterator<Item = String> + '_ {
    let adds = statement.begins(&["ALTER", "TYPE"]) && statement.has(&["ADD", "VALUE"]);
    statement
        .tokens
        .iter()
        .filter(move |_| adds)
        .find_map(|(_, token)| match token {
            Token::Text(value) => Some(value.clone()),
            _ => None,
        })
        .into_iter()
}
