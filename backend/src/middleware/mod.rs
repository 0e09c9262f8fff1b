//! The one layer around every route.
//!
//! axum boxes and clones each layer of a stack for each request. Here one future does what a stack of layers would.
//! The request gets its id and its span. Without a `Host` it is refused; a preflight is answered; when there is too much
//! to do, it is refused. The handler has a time limit and may panic. An error becomes a problem document. The answer gets
//! its headers and is logged.

mod cors;
mod guard;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use self::cors::Cors;
use crate::config::Config;
use crate::logging::{self, REQUEST_ID};
use crate::problem::{self, Kind, Problem};
use crate::request::admission::{Admission, Place};

/// How long an answer may take from the request's head on: longer than a body may, and than PostgreSQL lets a query.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// What browsers must not make of an answer: another media type than it says, or a page with content of its own.
const SECURITY: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// The layer; clones share it.
#[derive(Debug, Clone)]
pub struct Middleware(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    trusted_proxies: usize,
    cors: Cors,
    /// What is left of places for requests; none where an answer is due however much there is to do.
    admission: Option<Admission>,
    timeout: Duration,
}

impl Middleware {
    /// The layer; without an admission it admits every request.
    pub fn new(config: &Config, admission: Option<Admission>) -> Self {
        Self(Arc::new(Shared {
            trusted_proxies: config.listen.trusted_proxies,
            cors: Cors::new(config.origins.allowed()),
            admission,
            timeout: REQUEST_TIMEOUT,
        }))
    }
}

impl<S> Layer<S> for Middleware {
    type Service = Wrapped<S>;

    fn layer(&self, route: S) -> Wrapped<S> {
        Wrapped { route, shared: Arc::clone(&self.0) }
    }
}

/// A route with the layer around it.
#[derive(Debug, Clone)]
pub struct Wrapped<S> {
    route: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Wrapped<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let asked = Asked::of(&request, &shared);
        let answered = asked.span.in_scope(|| shared.refuse_or_admit(&mut request));
        let answered = answered.map(|place| (self.route.call(request), place));
        Box::pin(async move {
            let response = match answered {
                Ok((route, place)) => {
                    let response = guard::answer(route, shared.timeout).instrument(asked.span.clone()).await;
                    drop(place);
                    response
                }
                Err(response) => *response,
            };
            Ok(asked.finish(response, &shared))
        })
    }
}

impl Shared {
    /// A place for the request, or the answer that it gets without being handled.
    fn refuse_or_admit(&self, request: &mut Request) -> Result<Option<Place>, Box<Response>> {
        let refuse = |response: Response| Err(Box::new(response));
        if !has_one_host(request) {
            let problem = Problem::from(Kind::BadRequest).detail("The request has to have exactly one `Host` header.");
            return refuse(problem.into_response());
        }
        if cors::is_preflight(request) {
            return refuse(cors::answer_preflight());
        }
        match self.admission.as_ref().map(|admission| admission.admit(request)).transpose() {
            Ok(place) => Ok(place),
            Err(problem) => refuse(problem.into_response()),
        }
    }
}

/// Exactly one `Host` (RFC 9112 §3.2): with none or several, whatever stands in front may have understood another
/// request than this service does.
fn has_one_host(request: &Request) -> bool {
    match request.headers().get_all(header::HOST).iter().count() {
        0 => request.version() == Version::HTTP_10,
        hosts => hosts == 1,
    }
}

/// What has to be known of a request once its answer is there.
struct Asked {
    at: Instant,
    id: HeaderValue,
    origin: Option<HeaderValue>,
    /// The route's pattern: paths alone would give every report a line of its own in statistics.
    route: Option<MatchedPath>,
    span: Span,
}

impl Asked {
    fn of(request: &Request, shared: &Shared) -> Self {
        let at = Instant::now();
        let id = logging::request_id(request);
        let span = logging::request_span(request, &id, shared.trusted_proxies);
        let origin = request.headers().get(header::ORIGIN).cloned();
        Self { at, id, origin, route: request.extensions().get().cloned(), span }
    }

    fn finish(self, response: Response, shared: &Shared) -> Response {
        let mut response = problem::complete(response, &self.id);
        let status = response.status();
        let headers = response.headers_mut();
        shared.cors.add(self.origin.as_ref(), headers);
        add_missing(headers, SECURITY);
        headers.insert(REQUEST_ID, self.id);
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        self.span.in_scope(|| logging::log_answer(status, route, self.at.elapsed()));
        response
    }
}

fn add_missing<const N: usize>(headers: &mut HeaderMap, others: [(HeaderName, HeaderValue); N]) {
    for (name, value) in others {
        headers.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests;
