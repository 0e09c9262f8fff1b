//! The parts of an input that were not accepted.

use std::borrow::Cow;

use serde::Serialize;

/// One part of the input that was not accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    #[serde(flatten)]
    place: Place,
    detail: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// A JSON pointer into the request's body, as a URI fragment (RFC 6901 §6).
    Pointer(Cow<'static, str>),
    /// The name of a query parameter.
    Parameter(Cow<'static, str>),
}

impl Violation {
    /// Something in the body, at a JSON pointer such as `#/title`.
    pub fn at(pointer: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Pointer(pointer.into()), detail: detail.into() }
    }

    /// A query parameter.
    pub fn parameter(name: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Parameter(name.into()), detail: detail.into() }
    }
}

/// As many violations as a person will read, and how many more there are: an input of a megabyte must not get an answer
/// of four.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    listed: Vec<Violation>,
    more: usize,
}

impl Violations {
    /// How many are listed.
    pub const MOST: usize = 32;

    /// Adds one.
    pub fn push(&mut self, violation: Violation) {
        if self.listed.len() < Self::MOST {
            self.listed.push(violation);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Those that are listed.
    pub fn listed(&self) -> &[Violation] {
        &self.listed
    }

    /// How many are not.
    pub fn more(&self) -> usize {
        self.more
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self { listed: vec![violation], more: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_read_is_counted() {
        let mut violations = Violations::default();
        for _ in 0..100 {
            violations.push(Violation::at("#/x", "is wrong"));
        }
        assert_eq!((violations.listed().len(), violations.more()), (32, 68));
    }
}
