//! Reading a JSON object member by member, so that everything that is wrong about it is found in one go.
//!
//! serde stops at the first member that is missing or mistyped, and tells of Rust's types. Here each member is read with
//! its rule, in the order of the declaration, and what is wrong goes into one list.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use uuid::Uuid;

use super::json::Json;
use crate::problem::{Violation, Violations};

/// A body that can be read.
pub trait Input: Sized {
    /// The most that such a body may hold, in bytes.
    const MOST_BYTES: usize;

    /// Reads its members; none if any of them is not acceptable, which the members then know.
    fn read(members: &mut Members<'_>) -> Option<Self>;
}

/// Reads a whole document as a `T`.
pub fn read<T: Input>(document: Json) -> Result<T, Violations> {
    let mut found = Violations::default();
    let value = object(T::read)(document, Spot { place: &Place::Root, found: &mut found });
    match value {
        Some(value) if found.is_empty() => Ok(value),
        _ => Err(found),
    }
}

/// Where in a document something is.
enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

/// What a fragment cannot hold (RFC 3986 §3.5).
const NOT_IN_FRAGMENTS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A JSON pointer as a URI fragment (RFC 6901 §6).
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("#"),
            Self::Member(above, name) => {
                let name = name.replace('~', "~0").replace('/', "~1");
                write!(f, "{above}/{}", utf8_percent_encode(&name, NOT_IN_FRAGMENTS))
            }
            Self::Item(above, index) => write!(f, "{above}/{index}"),
        }
    }
}

/// A place together with the list of what is wrong.
pub struct Spot<'a> {
    place: &'a Place<'a>,
    found: &'a mut Violations,
}

impl Spot<'_> {
    /// Notes what is wrong here; there is no value then.
    pub fn refuse<T>(self, detail: impl Into<Cow<'static, str>>) -> Option<T> {
        self.found.push(Violation::at(self.place.to_string(), detail));
        None
    }
}

/// The members of an object that have not been read.
pub struct Members<'a> {
    left: Vec<(String, Json)>,
    spot: Spot<'a>,
}

impl Members<'_> {
    /// A member that has to be there.
    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(Json, Spot<'_>) -> Option<T>) -> Option<T> {
        match self.take(name) {
            Some(value) => self.at(name, |spot| read(value, spot)),
            None => self.at(name, |spot| spot.refuse("is missing")),
        }
    }

    /// A member that may be absent or `null`; `Some(None)` then.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Json, Spot<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.take(name) {
            None | Some(Json::Null) => Some(None),
            Some(value) => self.at(name, |spot| read(value, spot)).map(Some),
        }
    }

    /// A member with a value of its own where it is absent or `null`.
    pub fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(Json, Spot<'_>) -> Option<T>,
    ) -> Option<T> {
        self.optional(name, read).map(|value| value.unwrap_or(default))
    }

    /// Notes what is wrong about a member, or about a place below, such as `["rewards", 1, "minimum"]`.
    pub fn refuse(&mut self, name: &str, index: Option<usize>, member: Option<&str>, detail: &'static str) {
        let top = Place::Member(self.spot.place, name);
        let item = index.map(|index| Place::Item(&top, index));
        let place = item.as_ref().unwrap_or(&top);
        let place = member.map_or(place.to_string(), |member| Place::Member(place, member).to_string());
        self.spot.found.push(Violation::at(place, detail));
    }

    fn at<T>(&mut self, name: &str, read: impl FnOnce(Spot<'_>) -> T) -> T {
        read(Spot { place: &Place::Member(self.spot.place, name), found: self.spot.found })
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let place = self.left.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.left.remove(place);
        let before = self.left.len();
        self.left.retain(|(other, _)| other != name);
        if self.left.len() < before {
            self.refuse(name, None, None, "is given more than once");
        }
        Some(value)
    }

    /// Notes every member that nobody asked for.
    fn refuse_the_others(mut self) {
        /// No member is called anything like as long; what is longer would be repeated for nothing.
        const LONGEST: usize = 60;
        for (name, _) in std::mem::take(&mut self.left) {
            if name.len() <= LONGEST {
                self.refuse(&name, None, None, "is not known here");
            } else {
                let detail = format!("has a member that is not known here, with a name of {} bytes", name.len());
                self.spot.found.push(Violation::at(self.spot.place.to_string(), detail));
            }
        }
    }
}

/// An object with these members and no others.
pub fn object<T>(read: impl Fn(&mut Members<'_>) -> Option<T>) -> impl Fn(Json, Spot<'_>) -> Option<T> {
    move |value, spot| {
        let Json::Object(left) = value else { return spot.refuse("must be an object") };
        let Spot { place, found } = spot;
        let mut members = Members { left, spot: Spot { place, found } };
        let value = read(&mut members);
        members.refuse_the_others();
        value
    }
}

/// At most so many of something. Of a longer list nothing is read.
pub fn list<T>(most: usize, read: impl Fn(Json, Spot<'_>) -> Option<T>) -> impl Fn(Json, Spot<'_>) -> Option<Vec<T>> {
    move |value, spot| {
        let Json::List(items) = value else { return spot.refuse("must be a list") };
        if items.len() > most {
            return spot.refuse(format!("must be at most {most}"));
        }
        let items: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| read(item, Spot { place: &Place::Item(spot.place, index), found: spot.found }))
            .collect();
        items.into_iter().collect()
    }
}

/// A text that keeps a rule.
pub fn text(rule: impl Fn(&str) -> Result<(), Cow<'static, str>>) -> impl Fn(Json, Spot<'_>) -> Option<String> {
    move |value, spot| {
        let Json::Text(text) = value else { return spot.refuse("must be a text") };
        match rule(&text) {
            Ok(()) => Some(text),
            Err(detail) => spot.refuse(detail),
        }
    }
}

/// A whole number in a range.
pub fn whole(least: i64, most: i64) -> impl Fn(Json, Spot<'_>) -> Option<i64> {
    move |value, spot| match value {
        Json::Number(number) => match number.as_i64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => spot.refuse(format!("must be a whole number from {least} to {most}")),
        },
        _ => spot.refuse(format!("must be a whole number from {least} to {most}")),
    }
}

/// `true` or `false`.
#[expect(clippy::needless_pass_by_value, reason = "used where values of every kind are passed so")]
pub fn flag(value: Json, spot: Spot<'_>) -> Option<bool> {
    match value {
        Json::Bool(flag) => Some(flag),
        _ => spot.refuse("must be true or false"),
    }
}

/// An id, in the form that this service writes.
#[expect(clippy::needless_pass_by_value, reason = "used where values of every kind are passed so")]
pub fn id(value: Json, spot: Spot<'_>) -> Option<Uuid> {
    let id = match &value {
        Json::Text(text) if text.len() == uuid::fmt::Hyphenated::LENGTH => Uuid::try_parse(text).ok(),
        _ => None,
    };
    id.or_else(|| spot.refuse("must be an id"))
}

/// One of the words of a type.
pub fn word<T: super::rules::Words>(value: Json, spot: Spot<'_>) -> Option<T> {
    let Json::Text(text) = value else { return spot.refuse(T::expected()) };
    match T::from_word(&text) {
        Some(value) => Some(value),
        None => spot.refuse(T::expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    #[derive(Debug)]
    struct Item;

    #[derive(Debug)]
    struct Whole {
        name: String,
        items: Vec<Item>,
    }

    impl Input for Whole {
        const MOST_BYTES: usize = 1024;

        fn read(members: &mut Members<'_>) -> Option<Self> {
            let name = members.required("name", text(rules::line(1, 5)));
            let items =
                members.or("items", Vec::new(), list(3, object(|item| item.required("n", whole(0, 9)).map(|_| Item))));
            Some(Self { name: name?, items: items? })
        }
    }

    fn wrong(body: &str) -> Vec<(String, String)> {
        let violations = read::<Whole>(Json::parse(body.as_bytes()).unwrap()).unwrap_err();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let violations = violations.listed().iter().map(|one| serde_json::to_value(one).unwrap());
        violations.map(|one| (text(&one["pointer"]), text(&one["detail"]))).collect()
    }

    fn places(body: &str) -> Vec<String> {
        wrong(body).into_iter().map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn what_is_acceptable_is_read() {
        let whole: Whole = read(Json::parse(br#"{"items":[{"n":1},{"n":2}],"name":"x"}"#).unwrap()).unwrap();
        assert_eq!((whole.name.as_str(), whole.items.len()), ("x", 2));
    }

    #[test]
    fn missing_mistyped_unknown_and_doubled_members_are_named_at_once() {
        let body = r#"{"a/b ü%":1,"items":[{},{"n":"x"},{"n":10}],"items":[]}"#;
        let expected = ["#/name", "#/items", "#/items/0/n", "#/items/1/n", "#/items/2/n", "#/a~1b%20%C3%BC%25"];
        assert_eq!(places(body), expected);
    }

    #[test]
    fn a_document_of_another_kind_is_one_violation() {
        for body in ["[]", "1", "null", "\"x\""] {
            assert_eq!(wrong(body), [("#".to_owned(), "must be an object".to_owned())], "{body}");
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_not_read() {
        assert_eq!(places(r#"{"name":"x","items":[1,2,3,4]}"#), ["#/items"]);
    }

    #[test]
    fn what_was_sent_is_not_repeated_at_length() {
        let body = format!(r#"{{"name":"x","{}":1}}"#, "k".repeat(1000));
        let found = wrong(&body);
        assert_eq!(found[0].0, "#");
        assert!(found[0].1.contains("1000 bytes") && found[0].1.len() < 100, "{found:?}");
    }
}
