//! What handlers take from a request: a checked JSON body and checked query parameters, each refused as a [`Problem`].

pub mod admission;
mod body;
mod json;
mod members;
pub mod parameters;
pub mod precondition;
pub mod rules;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use self::admission::Place;
pub use self::json::Json;
pub use self::members::{Input, Members, Spot, flag, id, list, object, read, text, whole, word};
pub use self::parameters::{Given, Parameters};
use crate::app::App;
use crate::problem::{Kind, Problem};

/// A JSON body that kept its type's rules.
pub struct Body<T>(pub T);

impl<T: Input> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        body(request, app, |_| ()).await.map(|(value, ())| Self(value))
    }
}

/// Reads a body, and takes from its bytes what else is needed of them.
pub async fn body<T: Input, E>(request: Request, app: &App, take: impl FnOnce(&[u8]) -> E) -> Result<(T, E), Problem> {
    if !is_json(request.headers()) {
        return Err(
            Problem::from(Kind::UnsupportedMediaType).detail("Send the body as `content-type: application/json`.")
        );
    }
    let place = request.extensions().get::<Place>().cloned().unwrap_or_default();
    let body = body::collect(request.into_body(), T::MOST_BYTES, &app.admission).await?;
    place.take(&app.admission)?;
    let document = Json::parse(&body.bytes)
        .map_err(|error| Problem::from(Kind::MalformedBody).detail(format!("The body is not JSON: {error}.")))?;
    let taken = take(&body.bytes);
    Ok((read(document).map_err(Problem::invalid)?, taken))
}

/// Media types are compared without case, and have parameters (RFC 9110 §8.3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Query parameters that kept their type's rules.
pub struct Query<T>(pub T);

impl<T: Parameters, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parameters::read(parts.uri.query().unwrap_or_default()).map(Self).map_err(Problem::bad_parameters)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_media_type_is_compared_without_case_and_parameters() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json ;x=1", true),
            ("text/plain", false),
            ("application/jsonl", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_json(&headers), expected, "{kind}");
        }
    }
}
