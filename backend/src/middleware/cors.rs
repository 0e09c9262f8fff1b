//! Which pages may call the API, and what they may read of its answers (the Fetch standard, §3.2).

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};

/// What scripts could not read otherwise.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-request-id,location,etag,idempotency-replayed,retry-after,ratelimit,ratelimit-policy");
const METHODS: HeaderValue = HeaderValue::from_static("GET,POST,PUT,PATCH,DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization,content-type,idempotency-key,if-match,x-request-id");
/// How long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");
/// A cache must not give one page's answer to another.
const VARY: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// The pages that may call.
#[derive(Debug)]
pub struct Cors {
    allowed: Vec<HeaderValue>,
}

/// Whether a browser only asks what a page may do.
pub fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// What the allowed pages may do. Other pages get it too, but without a permission it means nothing to a browser.
pub fn answer_preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (headers, Body::empty()).into_response()
}

impl Cors {
    /// Pages of these origins may call, and no others.
    pub fn new(allowed: Vec<HeaderValue>) -> Self {
        Self { allowed }
    }

    /// Lets pages of this origin read an answer, if they may.
    pub fn add(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(header::VARY, VARY);
        if let Some(origin) = origin.filter(|origin| self.allowed.contains(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed_for(cors: &Cors, origin: Option<&'static str>) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        cors.add(origin.map(HeaderValue::from_static).as_ref(), &mut headers);
        assert_eq!(headers.get_all(header::VARY).iter().count(), 2, "what the handler has said stays");
        assert_eq!(
            headers.contains_key(header::ACCESS_CONTROL_EXPOSE_HEADERS),
            headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        );
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    }

    #[test]
    fn only_a_page_of_an_allowed_origin_may_read_an_answer() {
        let cors = Cors::new(vec![HeaderValue::from_static("https://one.example")]);
        assert_eq!(allowed_for(&cors, Some("https://one.example")).unwrap(), "https://one.example");
        for other in [None, Some("https://one.example.evil"), Some("null"), Some("*")] {
            assert_eq!(allowed_for(&cors, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_question_of_another_kind_is_no_preflight() {
        let ask = |method: Method, name: &str| {
            is_preflight(&Request::builder().method(method).header(name, "POST").body(Body::empty()).unwrap())
        };
        assert!(ask(Method::OPTIONS, "access-control-request-method"));
        assert!(!ask(Method::OPTIONS, "x-other"));
        assert!(!ask(Method::POST, "access-control-request-method"));
    }
}
