//! What can be told of a migration's text without asking a database.

/// Whether there is anything to run besides blanks, comments and semicolons.
pub fn has_statement(text: &str) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ';' || letter == '\u{feff}');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_block_comment(comment);
        } else {
            return !rest.is_empty();
        }
    }
}

/// What follows a block comment whose opening was read already. PostgreSQL nests them; one without an end swallows
/// the rest.
pub fn after_block_comment(mut rest: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(place) = rest.find(['*', '/']) else { return "" };
        rest = &rest[place..];
        if let Some(after) = rest.strip_prefix("*/") {
            (rest, depth) = (after, depth - 1);
        } else if let Some(after) = rest.strip_prefix("/*") {
            (rest, depth) = (after, depth + 1);
        } else {
            rest = &rest[1..];
        }
    }
    rest
}

/// Whether a script asks to run outside of a transaction, by the first line that sqlx looks for.
pub fn is_without_transaction(text: &str) -> bool {
    text.starts_with("-- no-transaction")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_semicolons_are_no_statement() {
        for text in [
            "",
            " \n\t\u{feff}",
            "-- up",
            "-- SELECT 1;\n\n-- more\n;",
            "/* a */ /* b /* nested */ still */ -- end",
            "/* without an end",
            "/* ** // */;;",
        ] {
            assert!(!has_statement(text), "{text:?}");
        }
    }

    #[test]
    fn a_statement_is_found_behind_comments() {
        for text in ["SELECT 1", "-- up\nSELECT 1;", "/* a /* b */ c */ SELECT", "- -", "/ *", "'--'"] {
            assert!(has_statement(text), "{text:?}");
        }
    }
}
