//! Reading a query string parameter by parameter, so that everything that is wrong about it is found in one go.

use std::borrow::Cow;

use super::rules::{Words, line};
use crate::problem::{Violation, Violations};

/// A query string that can be read.
pub trait Parameters: Sized {
    /// Reads its parameters; none if any of them is not acceptable, which they then know.
    fn read(given: &mut Given<'_>) -> Option<Self>;
}

/// The parameters that have not been read.
pub struct Given<'a> {
    left: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    found: Violations,
}

/// Reads a whole query string as a `T`.
pub fn read<T: Parameters>(query: &str) -> Result<T, Violations> {
    let left = form_urlencoded::parse(query.as_bytes()).collect();
    let mut given = Given { left, found: Violations::default() };
    let value = T::read(&mut given);
    given.refuse_the_others();
    match value {
        Some(value) if given.found.is_empty() => Ok(value),
        _ => Err(given.found),
    }
}

impl Given<'_> {
    /// A parameter that may be absent; `Some(None)` then.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
    ) -> Option<Option<T>> {
        let Some(place) = self.left.iter().position(|(known, _)| known == name) else { return Some(None) };
        let (_, value) = self.left.remove(place);
        let before = self.left.len();
        self.left.retain(|(other, _)| other != name);
        if self.left.len() < before {
            self.found.push(Violation::parameter(name, "is given more than once"));
            return None;
        }
        read(&value).map(Some).map_err(|detail| self.found.push(Violation::parameter(name, detail))).ok()
    }

    fn refuse_the_others(&mut self) {
        for (name, _) in std::mem::take(&mut self.left) {
            // Enough to recognise it by.
            let name: String = name.chars().take(60).collect();
            self.found.push(Violation::parameter(name, "is not known here"));
        }
    }
}

/// One of the words of a type.
pub fn word<T: Words>(text: &str) -> Result<T, Cow<'static, str>> {
    T::from_word(text).ok_or_else(|| T::expected().into())
}

/// Something to search for: 1 to 200 characters.
pub fn search(text: &str) -> Result<String, Cow<'static, str>> {
    line(1, 200)(text).map(|()| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Both;

    impl Parameters for Both {
        fn read(given: &mut Given<'_>) -> Option<Self> {
            let a = given.optional("a", |text| text.parse::<u8>().map_err(|_| "must be a number".into()));
            let b = given.optional("b", |text| text.parse::<u8>().map_err(|_| "must be a number".into()));
            a.and(b).map(|_| Self)
        }
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let violations = read::<Both>("b=x&c=1&a=1&a=2").err().unwrap();
        let names: Vec<_> =
            violations.listed().iter().map(|one| serde_json::to_value(one).unwrap()["parameter"].clone()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(read::<Both>("").is_ok() && read::<Both>("a=1&b=2").is_ok());
    }
}
