//! Errors as clients see them: problem documents of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457).
//!
//! Capabilities have errors of their own; their routes turn them into a [`Problem`]. What a client must not learn (the
//! database's own message, say) is logged here and left out of the document.

mod kind;
mod routes;
mod violation;

use std::fmt::Display;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::ser::{Serialize, SerializeMap, Serializer};

pub use self::kind::Kind;
pub use self::routes::routes;
pub use self::violation::{Violation, Violations};
use crate::database::{self, Cause};

/// After how many seconds a request may be repeated that failed for a reason that passes.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The answer to a request that cannot be fulfilled.
#[derive(Debug, Clone)]
pub struct Problem {
    /// None where the status has to say it all.
    kind: Option<Kind>,
    status: StatusCode,
    /// What is particular to this occurrence.
    detail: Option<String>,
    /// Each part of the input that was not accepted.
    errors: Violations,
    /// The id under which the request stands in the logs.
    request_id: Option<String>,
    /// What the answer says beside the document.
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a client is asked for (RFC 6750 §3): nothing was shown, or what was shown is not good.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");
const CHALLENGE_AFTER_TOKEN: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        if let Some(kind) = self.kind {
            document.serialize_entry("type", &format!("/problems/{}", kind.name()))?;
            document.serialize_entry("title", kind.title())?;
        } else {
            // RFC 9457 §4.2.1.
            document.serialize_entry("type", "about:blank")?;
            document.serialize_entry("title", self.status.canonical_reason().unwrap_or("Error"))?;
        }
        document.serialize_entry("status", &self.status.as_u16())?;
        if let Some(detail) = &self.detail {
            document.serialize_entry("detail", detail)?;
        }
        if !self.errors.is_empty() {
            document.serialize_entry("errors", self.errors.listed())?;
        }
        if self.errors.more() > 0 {
            document.serialize_entry("more_errors", &self.errors.more())?;
        }
        if let Some(id) = &self.request_id {
            document.serialize_entry("request_id", id)?;
        }
        document.end()
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::of_status(kind.status()) }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::of_database(&error)
    }
}

impl Problem {
    /// A problem of which only the status is known.
    fn of_status(status: StatusCode) -> Self {
        let (errors, headers) = (Violations::default(), Vec::new());
        Self { kind: Kind::of(status), status, detail: None, errors, request_id: None, headers }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds what is particular to this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Input that was understood but is not acceptable, with each reason.
    pub fn invalid(errors: impl Into<Violations>) -> Self {
        Self { errors: errors.into(), ..Self::from(Kind::InvalidInput) }
    }

    /// A query string that cannot be used, with each reason.
    pub fn bad_parameters(errors: impl Into<Violations>) -> Self {
        Self { errors: errors.into(), ..Self::from(Kind::InvalidParameter) }
    }

    /// Somebody has to be signed in.
    pub fn sign_in_required() -> Self {
        Self::from(Kind::SignInRequired).header(header::WWW_AUTHENTICATE, CHALLENGE)
    }

    /// The same where a token was shown that is not good.
    pub fn token_refused() -> Self {
        Self::from(Kind::SignInRequired).header(header::WWW_AUTHENTICATE, CHALLENGE_AFTER_TOKEN)
    }

    /// Nothing is there, or nothing that this client may see.
    pub fn not_found(what: &str) -> Self {
        Self::from(Kind::NotFound).detail(format!("There is no such {what}."))
    }

    /// A fault of ours; the cause goes to the log only.
    pub fn internal(cause: &dyn Display) -> Self {
        tracing::error!("request failed: {cause:#}");
        Self::fault()
    }

    /// A fault of ours whose cause was logged.
    pub fn fault() -> Self {
        Self::from(Kind::Internal).detail("The fault is on our side; the request id leads to it in the logs.")
    }

    /// What the database could not do, as far as a client may know.
    pub fn of_database(error: &sqlx::Error) -> Self {
        match database::cause(error) {
            Cause::Passing => {
                tracing::error!("database unavailable: {error}");
                Self::from(Kind::Unavailable).detail("The database did not answer in time; try again shortly.")
            }
            Cause::Text => Self::from(Kind::BadRequest).detail("The address holds a character that no name can have."),
            Cause::Fault => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = (self.status, Json(&self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes every error a problem document with the request's id in it.
///
/// The router answers some errors itself (405, say) with an empty or a plain text body.
pub fn complete(response: Response<Body>, id: &HeaderValue) -> Response<Body> {
    if response.status().is_client_error() || response.status().is_server_error() {
        completed(response, id.to_str().ok().map(str::to_owned))
    } else {
        response
    }
}

fn completed(mut response: Response<Body>, request_id: Option<String>) -> Response<Body> {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_json(&response) => return response,
        None => Problem::of_status(response.status()),
    };
    let mut completed = Problem { request_id, ..problem }.into_response();
    completed.extensions_mut().extend(std::mem::take(response.extensions_mut()));
    let own: Vec<HeaderName> = completed.headers().keys().cloned().collect();
    for (name, value) in response.headers() {
        // A header may be there more than once, and each of its values counts.
        if !own.contains(name) && name != header::CONTENT_LENGTH {
            completed.headers_mut().append(name, value.clone());
        }
    }
    completed
}

fn is_json(response: &Response<Body>) -> bool {
    response.body().size_hint().exact() != Some(0)
        && response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_members_of_the_rfc() {
        let problem = Problem::invalid(Violation::at("#/title", "must not be empty"));
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

    #[test]
    fn a_header_that_is_there_twice_stays_so() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        for value in ["Bearer", "Basic"] {
            response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        response.headers_mut().append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let response = completed(response, None);
        let kept: Vec<_> = response.headers().get_all(header::WWW_AUTHENTICATE).iter().collect();
        assert_eq!(kept, ["Bearer", "Basic"]);
        assert_eq!(response.headers().get_all(header::CONTENT_TYPE).iter().count(), 1);
    }
}
