//! What handlers take from a request: a checked JSON body and checked query parameters, each refused as a [`Problem`].

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::problem::{Problem, Violation};

/// Input that knows its own rules.
pub trait Validate {
    /// Everything about the value that is not acceptable; empty when it is fine.
    fn violations(&self) -> Vec<Violation>;
}

/// A JSON body that kept its type's rules.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + Validate, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
        if !is_json {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail("Send the body as `content-type: application/json`."));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status()).detail(rejection.body_text()))?;
        let value: T = from_json(&bytes)?;
        match value.violations() {
            violations if violations.is_empty() => Ok(Self(value)),
            violations => Err(Problem::invalid(violations)),
        }
    }
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            Problem::invalid(vec![Violation::at(pointer, error.to_string())])
        } else {
            Problem::new(StatusCode::BAD_REQUEST).detail(format!("The body is not JSON: {error}."))
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST).detail(format!("The body is not JSON: {error}.")))?;
    Ok(value)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold("#".to_owned(), |pointer, segment| match segment {
        Segment::Map { key } => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Enum { variant } => format!("{pointer}/{variant}"),
        Segment::Unknown => pointer,
    })
}

/// Query parameters, refused by name where they cannot be read.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let name = error.path().to_string();
            Problem::bad_parameter(Violation::parameter(name, error.into_inner().to_string()))
        })
    }
}

/// The rules that more than one capability needs.
pub mod rules {
    use super::Violation;

    /// Text of a bounded length, counted in characters as PostgreSQL's `length` does, and free of NUL, which no
    /// `text` column can hold.
    pub fn text(found: &mut Vec<Violation>, pointer: &str, value: &str, least: usize, most: usize) {
        let length = value.chars().count();
        if value.contains('\0') {
            found.push(Violation::at(pointer.to_owned(), "must not contain a NUL character"));
        } else if length < least || (least > 0 && value.trim().is_empty()) {
            found.push(Violation::at(pointer.to_owned(), "must not be empty"));
        } else if length > most {
            found.push(Violation::at(pointer.to_owned(), format!("must be at most {most} characters long")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[expect(dead_code, reason = "only its place in the input matters here")]
        list: Vec<u8>,
    }

    fn document(body: &str) -> serde_json::Value {
        serde_json::to_value(from_json::<Input>(body.as_bytes()).unwrap_err()).unwrap()
    }

    #[test]
    fn a_wrong_type_is_pointed_at() {
        let document = document(r#"{"list":[1,"x"]}"#);
        assert_eq!((&document["status"], &document["errors"][0]["pointer"]), (&422.into(), &"#/list/1".into()));
    }

    #[test]
    fn an_unknown_member_is_pointed_at() {
        assert_eq!(document(r#"{"list":[],"a/b":1}"#)["errors"][0]["pointer"], "#/a~1b");
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in ["", "{", r#"{"list":[]} trailing"#] {
            assert_eq!(document(body)["status"], 400, "{body}");
        }
    }
}
