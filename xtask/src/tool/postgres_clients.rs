//! PostgreSQL's clients: psql, `pg_dump` and `pg_restore`, as the words after which the address comes from the
//! environment.

/// Asks or changes a database: one statement after the other, each in a transaction of its own. The first error ends it.
pub fn psql(database: &str, statements: &[String]) -> Vec<String> {
    let mut words = script(database);
    // The script comes from stdin where no statement is given.
    words.extend(statements.iter().map(|statement| format!("--command={statement}")));
    words
}

/// Runs the script that it reads. Rows come as lines, with tabs between their columns.
pub fn script(database: &str) -> Vec<String> {
    let flags = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t"];
    let words = flags.into_iter().map(str::to_owned);
    words.chain(["--set=ON_ERROR_STOP=1".to_owned(), format!("--dbname={database}")]).collect()
}

/// Prints everything that a database holds, compressed, in the form that [`pg_restore`] reads. The usual level 6 takes
/// twice the time of level 3, for a file that is a sixth smaller.
pub fn pg_dump(database: &str) -> Vec<String> {
    ["pg_dump", "--format=custom", "--compress=3", "--no-owner", "--no-privileges"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("--dbname={database}")])
        .collect()
}

/// Prints the statements that make everything but the rows, without tables whose names begin with an underscore.
pub fn pg_dump_schema(database: &str) -> Vec<String> {
    ["pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--exclude-table=_*"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("--dbname={database}")])
        .collect()
}

/// Fills an empty database with the dump that it reads, whole or not at all.
pub fn pg_restore(database: &str) -> Vec<String> {
    ["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("--dbname={database}")])
        .collect()
}

/// Prints the rows of these tables in a database, as statements of `COPY`.
pub fn pg_dump_rows(database: &str, tables: &[&str]) -> Vec<String> {
    rows("pg_dump", tables).chain([format!("--dbname={database}")]).collect()
}

/// Prints the same of the dump that it reads.
pub fn pg_restore_rows(tables: &[&str]) -> Vec<String> {
    rows("pg_restore", tables).chain(["--file=-".to_owned()]).collect()
}

fn rows(program: &str, tables: &[&str]) -> impl Iterator<Item = String> {
    let words = [program.to_owned(), "--data-only".to_owned()].into_iter();
    words.chain(tables.iter().map(|table| format!("--table={table}")).collect::<Vec<_>>())
}

/// A name as SQL writes it.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_break_out() {
        assert_eq!((identifier("a\"b"), literal("it's")), ("\"a\"\"b\"".to_owned(), "'it''s'".to_owned()));
    }

    #[test]
    fn errors_end_a_script_and_no_password_is_an_argument() {
        let words = psql("app", &["SELECT 1".to_owned(), "SELECT 2".to_owned()]).join(" ");
        assert!(words.contains("ON_ERROR_STOP=1 --dbname=app --command=SELECT 1 --command=SELECT 2"), "{words}");
        assert!(pg_restore("app").contains(&"--single-transaction".to_owned()));
        assert!(pg_dump("app").contains(&"--format=custom".to_owned()));
    }
}
