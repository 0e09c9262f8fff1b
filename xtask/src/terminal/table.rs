//! Rows in columns as wide as what is in them.

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

fn width(cell: &str) -> usize {
    strip_str(cell).to_string().chars().count()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            for (column, cell) in row.iter().enumerate() {
                f.write_str(cell)?;
                // Nothing after the last cell of a line, so that a copied line has no blanks at its end.
                if row[column + 1..].iter().any(|cell| !cell.is_empty()) {
                    write!(f, "{:1$}", "", widths[column] - width(cell) + 2)?;
                } else {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_colour() {
        let mut table = Table::default();
        table.row(["a", "\u{1b}[32mlong\u{1b}[0m", "end"]);
        table.row(["bcd", "x", ""]);
        table.row(["e", "xx", "end"]);
        assert_eq!(strip_str(&table.to_string()).to_string(), "a    long  end\nbcd  x\ne    xx    end");
    }
}
