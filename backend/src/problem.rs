//! Errors as clients see them: problem documents of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457).
//!
//! Inside a request there is one error type, [`Problem`]; outside of requests it is `anyhow`. What a client must not
//! learn (the database's own message, say) is logged here and left out of the document.

use std::borrow::Cow;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::logging::REQUEST_ID;

/// The answer to a request that cannot be fulfilled.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// What kind of problem it is: `about:blank` when the status says it all (RFC 9457 §4.2.1).
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    /// The kind in words, the same for each of its occurrences.
    title: Cow<'static, str>,
    /// The HTTP status.
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    /// What is particular to this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Each part of the input that was not accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Violation>,
    /// The id under which the request stands in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's serialize_with passes a reference")]
fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem that its status describes.
    pub fn new(status: StatusCode) -> Self {
        Self {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            status,
            detail: None,
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// Adds what is particular to this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Input that was understood but is not acceptable, with each reason.
    pub fn invalid(errors: Vec<Violation>) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY);
        problem.kind = Cow::Borrowed("/problems/invalid-input");
        problem.title = Cow::Borrowed("The request holds values that are not acceptable");
        problem.errors = errors;
        problem
    }

    /// A query string that cannot be used.
    pub fn bad_parameter(violation: Violation) -> Self {
        let mut problem = Self::invalid(vec![violation]);
        problem.status = StatusCode::BAD_REQUEST;
        problem
    }

    /// Nothing is there, or nothing that this client may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND).detail(format!("There is no such {what}."))
    }

    /// The request contradicts what is stored.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT).detail(detail)
    }

    /// A fault of ours; the cause goes to the log only.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!("request failed: {cause:#}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR)
            .detail("The fault is on our side; the request id leads to it in the logs.")
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // The database is away or overloaded: the request may be repeated.
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed => {
                tracing::error!("database unavailable: {error}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE).detail("The database does not answer; try again shortly.")
            }
            // 22021, character_not_in_repertoire: text from the address that no column can hold, such as %00.
            sqlx::Error::Database(error) if error.code().as_deref() == Some("22021") => {
                Self::new(StatusCode::BAD_REQUEST).detail("The address holds a character that no name can have.")
            }
            error => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = self.status;
        let mut response = (status, Json(&self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Middleware that makes every error a problem document and puts the request's id into it.
///
/// Layers and the router answer some errors themselves (408, 413, 405) with an empty or a plain text body.
pub async fn complete(request: Request, next: Next) -> Response<Body> {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut response = next.run(request).await;
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if (status.is_client_error() || status.is_server_error()) && !is_json(&response) => Problem::new(status),
        None => return response,
    };
    let mut completed = Problem { request_id: id, ..problem }.into_response();
    completed.extensions_mut().extend(std::mem::take(response.extensions_mut()));
    for (name, value) in response.headers() {
        if !completed.headers().contains_key(name) && name != header::CONTENT_LENGTH {
            completed.headers_mut().append(name, value.clone());
        }
    }
    completed
}

fn is_json(response: &Response<Body>) -> bool {
    response.body().size_hint().exact() != Some(0)
        && response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"))
}

/// The answer to a request whose handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the signature that CatchPanicLayer asks for")]
pub fn from_panic(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let message = panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned());
    Problem::internal(&format!("panic: {message}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_members_of_the_rfc() {
        let problem = Problem::invalid(vec![Violation::at("#/title", "must not be empty")]);
        let document = serde_json::to_value(&problem).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "/problems/invalid-input",
                "title": "The request holds values that are not acceptable",
                "status": 422,
                "errors": [{ "pointer": "#/title", "detail": "must not be empty" }],
            })
        );
    }

    #[test]
    fn the_cause_of_a_fault_is_not_shown() {
        let document = serde_json::to_string(&Problem::internal(&"secret table is broken")).unwrap();
        assert!(!document.contains("secret table"));
    }
}
