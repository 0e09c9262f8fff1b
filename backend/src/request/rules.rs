//! The rules that more than one capability needs.

use std::borrow::Cow;

/// What a text must be like.
pub type Rule = Result<(), Cow<'static, str>>;

/// A line of a bounded length, counted in characters as PostgreSQL's `length` does.
pub fn line(least: usize, most: usize) -> impl Fn(&str) -> Rule {
    move |text| {
        if text.chars().any(char::is_control) {
            return Err("must be a single line, without control characters".into());
        }
        length(text, least, most)
    }
}

/// Text over several lines, with no other control characters: no `text` column can hold a NUL, and the others steer
/// terminals.
pub fn prose(least: usize, most: usize) -> impl Fn(&str) -> Rule {
    move |text| {
        if text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
            return Err("must not contain control characters other than line breaks and tabs".into());
        }
        length(text, least, most)
    }
}

fn length(text: &str, least: usize, most: usize) -> Rule {
    let length = text.chars().count();
    if length < least || (least > 0 && text.trim().is_empty()) {
        Err("must not be empty".into())
    } else if length > most {
        Err(format!("must be at most {most} characters long").into())
    } else {
        Ok(())
    }
}

/// A type whose values are words in documents and addresses.
pub trait Words: Copy + 'static {
    /// Each value with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// The value that a word stands for.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }

    /// The word that stands for the value.
    fn word(self) -> &'static str
    where
        Self: PartialEq,
    {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }

    /// The message for a word that is none of them.
    fn expected() -> String {
        let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        format!("must be one of {}", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let rule = line(1, 5);
        for good in ["x", "äöüäö", "a b"] {
            assert!(rule(good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", "abcdef", "a\nb", "a\u{0}", "\u{1b}[2J", "\u{7f}", "a\tb"] {
            assert!(rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prose_has_lines_and_no_other_control_characters() {
        let rule = prose(0, 10);
        for good in ["", "a\r\n\tb"] {
            assert!(rule(good).is_ok(), "{good:?}");
        }
        for bad in ["a\u{0}", "\u{1b}", "\u{8}", "12345678901"] {
            assert!(rule(bad).is_err(), "{bad:?}");
        }
    }
}
