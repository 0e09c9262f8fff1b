//! What a program is looked up by, and what its slug may be.

use uuid::Uuid;

use crate::request::rules::Rule;

/// The same rule as the database's `programs_slug_check` and `programs_slug_is_no_id_check`.
pub(super) fn slug(text: &str) -> Rule {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !(3..=60).contains(&text.len()) || !text.split('-').all(is_word) {
        Err("must be 3 to 60 lower-case letters and digits, in words joined by single hyphens".into())
    } else if ProgramKey::id(text).is_some() {
        Err("must not look like an id".into())
    } else {
        Ok(())
    }
}

/// What a program is looked up by. No slug looks like an id, so that one look-up never finds two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramKey<'a> {
    /// By its id.
    Id(Uuid),
    /// By its slug.
    Slug(&'a str),
}

impl<'a> From<&'a str> for ProgramKey<'a> {
    fn from(text: &'a str) -> Self {
        Self::id(text).map_or(Self::Slug(text), Self::Id)
    }
}

impl ProgramKey<'_> {
    /// The id that a text is, in the one form that this service writes.
    fn id(text: &str) -> Option<Uuid> {
        (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok()).flatten()
    }

    pub(crate) fn parts(&self) -> (Option<Uuid>, Option<&str>) {
        match self {
            Self::Id(id) => (Some(*id), None),
            Self::Slug(slug) => (None, Some(slug)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_words_joined_by_single_hyphens_and_no_id() {
        for good in ["abc", "a-b", "thunder-security-2", "0198c2f07a1e7cc0b0d52b8f9a1c3d4e"] {
            assert!(slug(good).is_ok(), "{good}");
        }
        let id = "0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e";
        for bad in ["ab", "-ab", "ab-", "a--b", "Abc", "a_b", "ä-b", &"a".repeat(61), id] {
            assert!(slug(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_an_id_or_a_slug_and_never_both() {
        let id = "0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e";
        assert_eq!(ProgramKey::from(id), ProgramKey::Id(Uuid::parse_str(id).unwrap()));
        let simple = "0198c2f07a1e7cc0b0d52b8f9a1c3d4e";
        for text in ["acme", simple, "{0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e}"] {
            assert_eq!(ProgramKey::from(text), ProgramKey::Slug(text));
        }
    }
}
