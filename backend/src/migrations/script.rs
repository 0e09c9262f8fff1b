//! Where the statements of a script begin and end, and which of them a transaction may hold.
//!
//! <https://www.postgresql.org/docs/15/sql-syntax-lexical.html>

/// A statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'s> {
    /// From its first word to the semicolon, without it.
    pub text: &'s str,
    /// The line of its first word, from 1.
    pub line: usize,
}

/// The statements of a script, in order. What has no end, such as a string, is part of the last one.
pub fn statements(script: &str) -> Vec<Statement<'_>> {
    let (mut found, mut start, mut at) = (Vec::new(), None, 0);
    // How deep the body of a function in SQL is nested, whose statements end with semicolons as well.
    let (mut words, mut depth) = (Vec::<&str>::new(), 0_usize);
    // The actions of a rule stand in parentheses, and semicolons between them.
    let mut parentheses = 0_usize;
    let mut close = |start: &mut Option<usize>, end: usize| {
        if let Some(start) = start.take() {
            let line = 1 + script[..start].matches('\n').count();
            found.push(Statement { text: script[start..end].trim_end(), line });
        }
    };
    while at < script.len() {
        let rest = &script[at..];
        let (length, kind) = piece(rest);
        match kind {
            Piece::Blank => {}
            Piece::End if depth == 0 && parentheses == 0 => {
                close(&mut start, at);
                words.clear();
            }
            Piece::End | Piece::Other => {
                match rest.as_bytes()[0] {
                    b'(' => parentheses += 1,
                    b')' => parentheses = parentheses.saturating_sub(1),
                    _ => {}
                }
                start.get_or_insert(at);
            }
            Piece::Word => {
                start.get_or_insert(at);
                let word = &rest[..length];
                let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
                let is_routine = words.first().is_some_and(|first| is(first, "CREATE"));
                if is_routine && is(word, "ATOMIC") && words.last().is_some_and(|last| is(last, "BEGIN"))
                    || depth > 0 && is(word, "CASE")
                {
                    depth += 1;
                } else if depth > 0 && is(word, "END") {
                    depth -= 1;
                }
                words.push(word);
            }
        }
        at += length;
    }
    close(&mut start, script.len());
    found
}

/// What a script is made of.
enum Piece {
    /// Blanks and comments.
    Blank,
    /// A semicolon.
    End,
    /// A keyword or a name.
    Word,
    /// Strings, quoted names and operators.
    Other,
}

/// The bytes of the first piece of a text that is not empty, and its kind.
fn piece(text: &str) -> (usize, Piece) {
    let first = text.chars().next().unwrap_or(' ');
    let to = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |place| from + place + end.len());
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    if first.is_whitespace() || first == '\u{feff}' {
        (first.len_utf8(), Piece::Blank)
    } else if text.starts_with("--") {
        (to(0, "\n"), Piece::Blank)
    } else if let Some(rest) = text.strip_prefix("/*") {
        (text.len() - super::sql::after_block_comment(rest).len(), Piece::Blank)
    } else if first == ';' {
        (1, Piece::End)
    } else if let Some(tag) = dollar_tag(text) {
        (to(tag.len(), tag), Piece::Other)
    } else if first == '\'' {
        (quoted(text, 0, false), Piece::Other)
    } else if matches!(first, 'e' | 'E') && text[1..].starts_with('\'') {
        (quoted(text, 1, true), Piece::Other)
    } else if first == '"' {
        (to(1, "\""), Piece::Other)
    } else if is_name(first) {
        (text.find(|letter| !is_name(letter)).unwrap_or(text.len()), Piece::Word)
    } else {
        (first.len_utf8(), Piece::Other)
    }
}

/// The bytes to the end of the string whose first quote is at that byte.
fn quoted(text: &str, open: usize, has_escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if has_escapes => at += 1,
            b'\'' if has_escapes && bytes.get(at + 1) == Some(&b'\'') => at += 1,
            b'\'' => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The `$$` or `$name$` that the text begins with; `$1` is none.
fn dollar_tag(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let end = name.find('$')?;
    let is_tag = name[..end].chars().all(|letter| letter.is_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit());
    is_tag.then(|| &text[..end + 2])
}

impl<'s> Statement<'s> {
    /// Its words, in capitals, without what is quoted.
    fn words(self) -> Vec<String> {
        let (mut words, mut at) = (Vec::new(), 0);
        while at < self.text.len() {
            let (length, kind) = piece(&self.text[at..]);
            if matches!(kind, Piece::Word) {
                words.push(self.text[at..at + length].to_uppercase());
            }
            at += length;
        }
        words
    }

    /// Whether it can be run in a transaction together with the note that it is done. What PostgreSQL refuses there
    /// cannot, nor what begins or ends transactions itself. Of a block or a procedure only the attempt tells.
    pub fn may_be_in_transaction(self) -> bool {
        let words = self.words();
        let is = |place: usize, names: &[&str]| words.get(place).is_some_and(|word| names.contains(&word.as_str()));
        // A column may have the name of what cannot be made in a transaction.
        let object = if is(1, &["UNIQUE"]) { 2 } else { 1 };
        let is_index = is(object, &["INDEX"]);
        let first = words.first().map_or("", String::as_str);
        match first {
            "VACUUM" | "REINDEX" | "CLUSTER" | "SET" | "RESET" | "DISCARD" => false,
            "CREATE" | "DROP" if is_index => words.get(object + 1).is_none_or(|word| word != "CONCURRENTLY"),
            "CREATE" | "DROP" => !is(object, &["DATABASE", "TABLESPACE", "SUBSCRIPTION"]),
            "ALTER" if is(object, &["SYSTEM", "DATABASE", "SUBSCRIPTION"]) => false,
            "ALTER" => words.last().is_none_or(|word| word != "CONCURRENTLY"),
            _ => !self.controls_transactions(),
        }
    }

    /// Whether it is a block or a procedure, which may hold a COMMIT of its own.
    pub fn is_procedural(self) -> bool {
        matches!(self.words().first().map_or("", String::as_str), "DO" | "CALL")
    }

    /// Whether it begins or ends a transaction.
    pub fn controls_transactions(self) -> bool {
        let first = self.words().first().cloned().unwrap_or_default();
        let words = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE", "LOCK"];
        words.contains(&first.as_str())
    }

    /// Whether it changes the session: a session that goes on later has to be told again.
    pub fn is_of_session(self) -> bool {
        matches!(self.words().first().map_or("", String::as_str), "SET" | "RESET")
    }

    /// The name of the index that it builds concurrently, as it is written there.
    pub fn concurrent_index(self) -> Option<&'s str> {
        let words = self.words();
        if words.first().map(String::as_str) != Some("CREATE") || !words.iter().any(|word| word == "INDEX") {
            return None;
        }
        let place = self.text.to_uppercase().find("CONCURRENTLY")?;
        let mut rest = self.text.get(place + "CONCURRENTLY".len()..)?.trim_start();
        if words.windows(3).any(|three| three == ["IF", "NOT", "EXISTS"]) {
            rest = rest.get(rest.to_uppercase().find("EXISTS")? + "EXISTS".len()..)?.trim_start();
        }
        let (length, _) = piece(rest);
        let name = rest.get(..length).filter(|name| !name.eq_ignore_ascii_case("ON"))?;
        (name.starts_with('"') || name.starts_with(|letter: char| letter.is_alphabetic() || letter == '_'))
            .then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<(usize, &str)> {
        statements(script).into_iter().map(|one| (one.line, one.text)).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_stands_in_something() {
        let script =
            "-- one;\nSELECT 'a;b', E'c\\';d', \"e;f\", $$g;h$$, $x$ $$; $x$ /* i; /* j; */ */ -- k;\n;\n\nDROP t";
        let found = texts(script);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(found[1].1, "DROP t");
        assert!(texts(" ;; -- nothing").is_empty());
        for two in
            ["SELECT E'it''s a\\'; b'; SELECT 2", "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT (2)); X"]
        {
            assert_eq!(texts(two).len(), 2, "{two}");
        }
        for endless in ["SELECT 'a", "SELECT $$a", "SELECT \"a", "SELECT 1 /* a", "SELECT E'\\", "ä 'ö", "$", "'"] {
            assert_eq!(texts(endless).len(), 1, "{endless}");
        }
    }

    #[test]
    fn the_body_of_a_function_in_sql_is_one_statement() {
        let script = "CREATE FUNCTION f() RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n \
                      SELECT 2;\nEND;\nSELECT f();\nBEGIN;\nSELECT 1;\nEND;";
        assert_eq!(texts(script).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 6, 7, 8, 9]);
    }

    #[test]
    fn what_a_transaction_may_hold_is_told_by_the_first_words() {
        let may = |text: &str| statements(text)[0].may_be_in_transaction();
        for text in [
            "UPDATE t SET a = 'VACUUM'",
            "CREATE INDEX i ON t (a)",
            "ALTER TYPE e ADD VALUE 'x'",
            "DROP TABLE t",
            "CREATE TABLE t (database text, system int, subscription int)",
            "CREATE UNIQUE INDEX i ON t (a) TABLESPACE x",
            "ALTER TABLE t ADD COLUMN system int",
            "DO $$ BEGIN END $$",
            "CALL p()",
        ] {
            assert!(may(text), "{text}");
        }
        for text in [
            "create index concurrently i on t (a)",
            "DROP INDEX CONCURRENTLY i",
            "REINDEX TABLE t",
            "VACUUM t",
            "BEGIN",
            "COMMIT",
            "SET lock_timeout = '1s'",
            "ALTER SYSTEM SET a = 1",
            "CREATE DATABASE d",
            "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)",
            "ALTER DATABASE d SET TABLESPACE x",
            "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
        ] {
            assert!(!may(text), "{text}");
        }
    }

    #[test]
    fn the_name_of_an_index_is_read_as_it_is_written() {
        let name = |text: &'static str| statements(text)[0].concurrent_index();
        assert_eq!(name("CREATE INDEX CONCURRENTLY i ON t (a)"), Some("i"));
        assert_eq!(name("create unique index concurrently if not exists \"I x\" on t (a)"), Some("\"I x\""));
        assert_eq!(name("CREATE INDEX CONCURRENTLY ON t (a)"), None);
        assert_eq!(name("CREATE INDEX i ON t (a)"), None);
        assert_eq!(name("DROP INDEX CONCURRENTLY i"), None);
    }
}
