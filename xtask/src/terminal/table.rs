//! Rows in columns as wide as what is in them, or as narrow as the terminal.

use std::fmt;

use anstream::adapter::strip_str;

/// Rows of cells; a cell may hold colour, which takes no room.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

/// The blanks between two columns.
const GAP: usize = 2;
/// How far what does not fit beside the rest is indented below it.
const INDENT: usize = 4;
/// The least room in which words are broken into lines beside the other columns.
const BESIDE: usize = 24;

fn width(cell: &str) -> usize {
    strip_str(cell).to_string().chars().count()
}

impl Table {
    /// The lines of the table, none of them wider than that unless a single word is.
    pub fn within(&self, most: usize) -> String {
        let starts = self.starts();
        let lines: Vec<String> = self.rows.iter().map(|row| wrapped(row, &starts, most)).collect();
        lines.join("\n")
    }

    /// Where each column begins.
    fn starts(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        };
        let ends = (0..columns).scan(0, |end, column| {
            *end += widest(column) + GAP;
            Some(*end)
        });
        std::iter::once(0).chain(ends).take(columns).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.within(usize::MAX))
    }
}

/// A row in as many lines as it takes.
fn wrapped(row: &[String], starts: &[usize], most: usize) -> String {
    let mut text = String::new();
    // How far the current line is written.
    let mut at = 0;
    let mut is_below = false;
    // Nothing after the last cell of a line, so that a copied line has no blanks at its end.
    let last = row.iter().rposition(|cell| !cell.is_empty());
    for (column, cell) in row.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
        let start = if is_below { at + GAP } else { starts[column] };
        let is_last = Some(column) == last;
        if start + width(cell) <= most {
            text.push_str(&" ".repeat(start.saturating_sub(at)));
            text.push_str(cell);
            at = start.max(at) + width(cell);
        } else if is_last && !is_below && most.saturating_sub(start) >= BESIDE {
            text.push_str(&" ".repeat(start.saturating_sub(at)));
            push_words(&mut text, cell, start, most);
        } else {
            text.push('\n');
            text.push_str(&" ".repeat(INDENT));
            at = push_words(&mut text, cell, INDENT, most);
            is_below = true;
        }
    }
    text
}

/// The text in lines of at most that width, unless a single word is wider. Further lines begin with that many blanks.
pub fn paragraph(text: &str, indent: usize, most: usize) -> String {
    let mut broken = String::new();
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            broken.push('\n');
        }
        push_words(&mut broken, line, indent, most);
    }
    broken
}

/// Adds the words of a cell that begins at `start`, and again there on each further line. How far the last line is
/// written.
fn push_words(text: &mut String, cell: &str, start: usize, most: usize) -> usize {
    let mut at = start;
    for (index, word) in cell.split(' ').enumerate() {
        let blank = usize::from(index > 0);
        if index > 0 && at + blank + width(word) > most {
            text.push('\n');
            text.push_str(&" ".repeat(start));
            at = start;
        } else if index > 0 {
            text.push(' ');
            at += 1;
        }
        text.push_str(word);
        at += width(word);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_broken_between_words_and_further_lines_are_indented() {
        let text = "error: one two three four\nfive";
        assert_eq!(paragraph(text, 2, usize::MAX), text);
        for line in paragraph(text, 2, 14).lines() {
            assert!(line.len() <= 14, "{line:?}");
        }
        assert_eq!(paragraph(text, 2, 14), "error: one\n  two three\n  four\nfive");
        assert_eq!(paragraph("a-single-long-word", 2, 5), "a-single-long-word");
    }

    #[test]
    fn columns_line_up_whatever_the_colour() {
        let mut table = Table::default();
        table.row(["a", "\u{1b}[32mlong\u{1b}[0m", "end"]);
        table.row(["bcd", "x", ""]);
        table.row(["e", "xx", "end"]);
        assert_eq!(strip_str(&table.to_string()).to_string(), "a    long  end\nbcd  x\ne    xx    end");
    }

    fn narrow() -> Table {
        let mut table = Table::default();
        table.row(["up", "Start PostgreSQL, Redis and the backend"]);
        table.row(["completions", "Print completions"]);
        table
    }

    #[test]
    fn the_last_column_is_broken_into_lines_where_the_terminal_is_narrow() {
        let lines =
            "up           Start PostgreSQL, Redis and\n             the backend\ncompletions  Print completions";
        assert_eq!(narrow().within(40), lines);
    }

    #[test]
    fn what_does_not_fit_beside_the_rest_goes_below_it() {
        let lines = "up\n    Start PostgreSQL,\n    Redis and the\n    backend\ncompletions\n    Print completions";
        assert_eq!(narrow().within(24), lines);
        let mut table = Table::default();
        table.row(["redis", "healthy", "127.0.0.1:20572", "pid 32299", "up 1s"]);
        assert_eq!(table.within(34), "redis  healthy  127.0.0.1:20572\n    pid 32299  up 1s");
    }

    #[test]
    fn odd_tables_are_printed_as_well() {
        let table = |rows: &[&[&str]]| {
            let mut table = Table::default();
            for row in rows {
                table.row(row.iter().copied());
            }
            table
        };
        assert_eq!(Table::default().to_string(), "");
        assert_eq!(table(&[&[], &["a"]]).to_string(), "\na");
        assert_eq!(table(&[&["", "b"], &["aa", ""]]).to_string(), "    b\naa");
        assert_eq!(table(&[&["é", "b"], &["ab", "c"]]).to_string(), "é   b\nab  c");
        // A word that is wider than the terminal stays whole.
        assert_eq!(table(&[&["a", "https://example.com/x"]]).within(10), "a\n    https://example.com/x");
        assert_eq!(table(&[&["a", "b"]]).within(0), "\n    a\n    b");
    }
}
