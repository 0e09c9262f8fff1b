//! As much of SQL's grammar as it takes to tell statements, words and remarks apart.
//!
//! <https://www.postgresql.org/docs/15/sql-syntax-lexical.html>

use std::ops::Range;

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or a name, in capitals; a quoted name as it is.
    Word(String),
    /// What a string constant holds.
    Text(String),
    /// A comma, a bracket, an operator.
    Mark(char),
}

impl Token {
    /// The word, if it is one.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// A statement of a script, with the comments before it.
#[derive(Debug, Default)]
pub struct Statement {
    /// The line of its first word, from 1.
    pub line: usize,
    /// The line of its first comment, or of its first word.
    pub first_line: usize,
    /// The line on which it ends.
    pub last_line: usize,
    /// The bytes of the script from its first word to the semicolon that ends it.
    pub bytes: Range<usize>,
    /// Its tokens, each with the byte at which it begins in the script.
    pub tokens: Vec<(usize, Token)>,
    /// Its comments, each line without its dashes.
    pub comments: Vec<String>,
}

impl Statement {
    /// Whether its words, without what stands between them, begin like this.
    pub fn begins(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(index, word)| self.word(index) == Some(word))
    }

    /// The word at that place among its tokens.
    pub fn word(&self, index: usize) -> Option<&str> {
        self.tokens.get(index).and_then(|(_, token)| token.word())
    }

    /// Whether it has these words one after the other.
    pub fn has(&self, words: &[&str]) -> bool {
        (0..self.tokens.len())
            .any(|start| words.iter().enumerate().all(|(index, word)| self.word(start + index) == Some(word)))
    }

    /// The name that starts at that place, without its schema.
    pub fn name_at(&self, index: usize) -> Option<&str> {
        let is_dot = |place: usize| matches!(self.tokens.get(place), Some((_, Token::Mark('.'))));
        if is_dot(index + 1) { self.word(index + 2) } else { self.word(index) }
    }
}

/// The statements of a script, in order. What cannot be read to its end, such as a string without one, is part of the
/// last statement.
pub fn statements(script: &str) -> Vec<Statement> {
    Reader::to_end(script).found
}

/// The bytes of each string and quoted name, with its quotes.
pub fn quoted(script: &str) -> Vec<Range<usize>> {
    Reader::to_end(script).quoted
}

#[derive(Default)]
struct Reader<'s> {
    script: &'s str,
    at: usize,
    line: usize,
    found: Vec<Statement>,
    open: Statement,
    quoted: Vec<Range<usize>>,
    /// How deep the body of a function in SQL is nested, whose statements end with semicolons as well.
    body: usize,
    /// How many brackets are open: the actions of a rule have semicolons between them.
    brackets: usize,
}

impl<'s> Reader<'s> {
    fn to_end(script: &'s str) -> Self {
        let mut reader = Self { script, line: 1, ..Self::default() };
        while reader.step() {}
        reader.close(script.len());
        reader
    }

    fn rest(&self) -> &str {
        &self.script[self.at..]
    }

    /// Goes on by so many bytes.
    fn advance(&mut self, bytes: usize) {
        let to = (self.at + bytes).min(self.script.len());
        self.line += self.script[self.at..to].matches('\n').count();
        self.at = to;
    }

    /// The bytes to the end of `end` from that byte of the rest on; all of it, where it has no end.
    fn to(&self, from: usize, end: &str) -> usize {
        self.rest()[from..].find(end).map_or(self.rest().len(), |place| from + place + end.len())
    }

    fn close(&mut self, end: usize) {
        let mut statement = std::mem::take(&mut self.open);
        (self.body, self.brackets) = (0, 0);
        if let Some((start, _)) = statement.tokens.first() {
            statement.last_line = self.line;
            statement.bytes = *start..end;
            self.found.push(statement);
        }
    }

    fn push(&mut self, token: Token, bytes: usize) {
        if self.open.tokens.is_empty() {
            self.open.line = self.line;
            if self.open.first_line == 0 {
                self.open.first_line = self.line;
            }
        }
        let is_quoted = matches!(token, Token::Text(_)) || self.rest().starts_with('"');
        self.quoted.extend(is_quoted.then(|| self.at..(self.at + bytes).min(self.script.len())));
        self.open.tokens.push((self.at, token));
        self.advance(bytes);
    }

    /// Counts how deep a word leads into the body of a function in SQL, or out of it.
    fn count_body(&mut self, word: &str) {
        let is_body = word == "ATOMIC"
            && self.open.begins(&["CREATE"])
            && self.open.tokens.last().and_then(|(_, token)| token.word()) == Some("BEGIN");
        if is_body || self.body > 0 && word == "CASE" {
            self.body += 1;
        } else if word == "END" {
            self.body = self.body.saturating_sub(1);
        }
    }

    fn comment(&mut self, bytes: usize) {
        if self.open.first_line == 0 {
            self.open.first_line = self.line;
        }
        let text = &self.script[self.at..(self.at + bytes).min(self.script.len())];
        let lines = text.lines().map(|line| line.trim().trim_start_matches(['-', '/', '*']).trim().to_owned());
        self.open.comments.extend(lines.collect::<Vec<_>>());
        self.advance(bytes);
    }

    /// Reads the next piece; false at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return false };
        if first.is_whitespace() || first == '\u{feff}' {
            self.advance(first.len_utf8());
        } else if rest.starts_with("--") {
            self.comment(self.to(0, "\n"));
        } else if rest.starts_with("/*") {
            self.comment(block_comment(rest));
        } else if first == ';' && self.body == 0 && self.brackets == 0 {
            let end = self.at;
            self.advance(1);
            self.close(end);
        } else if let Some(tag) = dollar_tag(rest) {
            let (tag, length) = (tag.to_owned(), self.to(tag.len(), tag));
            let text = inner(rest, tag.len(), length, tag.len());
            self.push(Token::Text(text), length);
        } else if first == '\'' {
            self.quoted(0, false);
        } else if matches!(first, 'e' | 'E') && rest[1..].starts_with('\'') {
            self.quoted(1, true);
        } else if first == '"' {
            let length = self.to(1, "\"");
            let name = inner(rest, 1, length, 1);
            self.push(Token::Word(name), length);
        } else if first.is_alphanumeric() || first == '_' {
            let is_end = |letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '$'));
            let length = rest.find(is_end).unwrap_or(rest.len());
            let word = rest[..length].to_uppercase();
            self.count_body(&word);
            self.push(Token::Word(word), length);
        } else {
            match first {
                '(' => self.brackets += 1,
                ')' => self.brackets = self.brackets.saturating_sub(1),
                _ => {}
            }
            self.push(Token::Mark(first), first.len_utf8());
        }
        true
    }

    /// A string whose first quote is at that byte of the rest; two quotes stand for one.
    fn quoted(&mut self, open: usize, has_escapes: bool) {
        let bytes = self.rest().as_bytes();
        let (mut at, mut text) = (open + 1, Vec::new());
        while at < bytes.len() {
            match bytes[at] {
                b'\\' if has_escapes => at += 1,
                b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 1,
                b'\'' => break,
                _ => {}
            }
            text.extend(bytes.get(at));
            at += 1;
        }
        self.push(Token::Text(String::from_utf8_lossy(&text).into_owned()), at + 1);
    }
}

/// What stands between the first and the last bytes of a piece.
fn inner(rest: &str, open: usize, length: usize, close: usize) -> String {
    rest.get(open..length.saturating_sub(close)).unwrap_or_default().to_owned()
}

/// The `$$` or `$name$` that the text begins with; `$1` is none.
fn dollar_tag(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let end = name.find('$')?;
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is_tag = name[..end].chars().all(is_name) && !name.starts_with(|letter: char| letter.is_ascii_digit());
    is_tag.then(|| &text[..end + 2])
}

/// The bytes of the block comment that the text begins with. PostgreSQL nests them.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        let words = |statement: &Statement| {
            statement.tokens.iter().filter_map(|(_, token)| token.word().map(str::to_owned)).collect()
        };
        statements(script).iter().map(words).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_stands_in_something() {
        let script = "SELECT 'a;b', E'c\\';d', \"e;f\", $$g;h$$, $x$ $$; $x$ /* i; /* j; */ */ -- k;\n; DROP TABLE t";
        assert_eq!(words(script), [vec!["SELECT", "e;f"], vec!["DROP", "TABLE", "T"]]);
    }

    #[test]
    fn the_body_of_a_function_in_sql_and_the_actions_of_a_rule_are_part_of_their_statement() {
        let script = "CREATE FUNCTION f() RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n \
                      SELECT 2;\nEND;\nSELECT f();\nBEGIN;\nSELECT 1;\nEND;\n\
                      CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);\nSELECT 3);\nSELECT 4;";
        let lines: Vec<usize> = statements(script).iter().map(|one| one.line).collect();
        assert_eq!(lines, [1, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn strings_and_quoted_names_are_told_with_their_quotes() {
        let script = "SELECT 'a', E'\\'' -- 'no'\n, \"b\", $$c$$, $x$d$x$ /* 'no' */; SELECT 'e";
        let texts: Vec<&str> = quoted(script).into_iter().map(|bytes| &script[bytes]).collect();
        assert_eq!(texts, ["'a'", "E'\\''", "\"b\"", "$$c$$", "$x$d$x$", "'e"]);
    }

    #[test]
    fn strings_hold_their_value() {
        let found = statements("SELECT 'it''s', E'a\\'b', $$c'd$$, $1");
        let texts = found[0].tokens.iter().filter_map(|(_, token)| match token {
            Token::Text(text) => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["it's", "a'b", "c'd"]);
    }

    #[test]
    fn lines_and_comments_belong_to_the_statement_that_follows() {
        let found = statements("-- one\n\n-- two\nSELECT\n1; -- three\nSELECT 2;\n-- four\n");
        let lines: Vec<_> = found.iter().map(|one| (one.first_line, one.line, one.last_line)).collect();
        assert_eq!(lines, [(1, 4, 5), (5, 6, 6)]);
        assert_eq!((found[0].comments.join("|"), found[1].comments.join("|")), ("one|two".into(), "three".into()));
    }

    #[test]
    fn the_text_of_a_statement_goes_from_its_first_word_to_its_semicolon() {
        let script = "-- one\nSELECT ';' -- two\n; ; /* three */ DROP TABLE t\n";
        let texts: Vec<&str> = statements(script).into_iter().map(|one| &script[one.bytes]).collect();
        assert_eq!(texts, ["SELECT ';' -- two\n", "DROP TABLE t\n"]);
    }

    #[test]
    fn names_are_found_with_and_without_their_schema() {
        let found = statements("ALTER TABLE public.reports ADD COLUMN x int; TRUNCATE reports");
        assert_eq!((found[0].name_at(2), found[1].name_at(1)), (Some("REPORTS"), Some("REPORTS")));
        assert!(found[0].begins(&["ALTER", "TABLE"]) && found[0].has(&["ADD", "COLUMN"]) && !found[0].has(&["DROP"]));
    }

    #[test]
    fn what_has_no_end_is_read_to_the_end() {
        for script in ["SELECT 'a", "SELECT $$a", "SELECT \"a", "SELECT 1 /* a", "SELECT E'\\", "ä 'ö", "'", "$", "$$"]
        {
            assert!(statements(script).len() <= 1, "{script}");
        }
        assert!(statements("-- only a comment").is_empty() && statements(" ;; ").is_empty());
    }
}
