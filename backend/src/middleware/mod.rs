//! The one layer around every route.
//!
//! axum boxes and clones each layer of a stack for each request. Here one future does what a stack of layers would.
//! The request gets its id and its span. Without a `Host` it is refused; a preflight is answered; from a client that asks
//! too often, or when there is too much to do, it is refused. The handler has a time limit and may panic. An error becomes a problem document. The answer gets
//! its headers and is logged.

mod cors;
mod guard;
mod limiter;

use std::convert::Infallible;
use std::net::IpAddr;
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
pub use self::limiter::{Limiter, UserOf};
use crate::actor;
use crate::config::Config;
use crate::health::Probe;
use crate::logging::{self, REQUEST_ID};
use crate::problem::{self, Kind, Problem};
use crate::rate_limit::{Question, Verdict};
use crate::request::admission::{Admission, Place};

/// How long an answer may take from the request's head on: longer than a body may, and than PostgreSQL lets a query.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// What nobody must make of an answer, unless its handler says otherwise: another media type than it says; a page with
/// content of its own, or a part of one of another site; an address that the next site is told; a copy for later.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
];
/// Two years without a request that is not encrypted. Not of the names below, which may be others'.
const ENCRYPTED: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// The layer; clones share it.
#[derive(Debug, Clone)]
pub struct Middleware(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    trusted_proxies: usize,
    cors: Cors,
    /// How many requests a client may send; none where an answer is due however many it sends.
    limiter: Option<Limiter>,
    /// What is left of places for requests; none where an answer is due however much there is to do.
    admission: Option<Admission>,
    timeout: Duration,
    /// What knows whether waiting for the database makes sense; none where no database is asked.
    probe: Option<Probe>,
    /// Whether browsers are told to come encrypted only.
    is_production: bool,
}

impl Middleware {
    /// The layer; without a limiter it lets every client send as much as it likes, and without an admission it admits every
    /// request.
    pub fn new(config: &Config, limiter: Option<Limiter>, admission: Option<Admission>, probe: Option<Probe>) -> Self {
        Self(Arc::new(Shared {
            trusted_proxies: config.listen.trusted_proxies,
            cors: Cors::new(config.origins.allowed()),
            limiter,
            admission,
            timeout: REQUEST_TIMEOUT,
            probe,
            is_production: config.is_production(),
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
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let asked = Asked::of(&request, &shared);
        match shared.look(&asked, &request) {
            Look::Refused(response) => Box::pin(async move { Ok(asked.finish(*response, None, &shared)) }),
            Look::Question(limiter, question) => {
                // The one that was asked whether it is ready handles the request; only this rare way pays for a clone.
                let next = self.route.clone();
                let mut route = std::mem::replace(&mut self.route, next);
                Box::pin(async move {
                    let verdict = limiter.ask(question).instrument(asked.span.clone()).await;
                    let answered = shared.start(&mut route, request, &asked, Some(verdict));
                    Ok(asked.answer(answered, Some(verdict), &shared).await)
                })
            }
            Look::Verdict(verdict) => {
                let answered = shared.start(&mut self.route, request, &asked, verdict);
                Box::pin(async move { Ok(asked.answer(answered, verdict, &shared).await) })
            }
        }
    }
}

/// What a first look at a request shows.
enum Look {
    /// It gets its answer without being handled.
    Refused(Box<Response>),
    /// Whether the client may send it is known, where that is limited.
    Verdict(Option<Verdict>),
    /// That has to be asked.
    Question(Limiter, Question),
}

/// The future of a handler with the request's place, or the answer that it gets without being handled.
type Started<F> = Result<(F, Option<Place>), Box<Response>>;

impl Shared {
    fn look(&self, asked: &Asked, request: &Request) -> Look {
        let _inside = asked.span.enter();
        if !has_one_host(request) {
            let problem = Problem::from(Kind::BadRequest).detail("The request has to have exactly one `Host` header.");
            return Look::Refused(Box::new(problem.into_response()));
        }
        if cors::is_preflight(request) {
            return Look::Refused(Box::new(cors::answer_preflight()));
        }
        let Some(limiter) = &self.limiter else { return Look::Verdict(None) };
        if self.trusted_proxies == 0 {
            limiter::warn_of_proxies(request.headers());
        }
        match limiter.at_once(asked.route(), asked.client, request.headers()) {
            Ok(verdict) => Look::Verdict(Some(verdict)),
            Err(question) => Look::Question(limiter.clone(), question),
        }
    }

    fn start<S>(
        &self,
        route: &mut S,
        mut request: Request,
        asked: &Asked,
        verdict: Option<Verdict>,
    ) -> Started<S::Future>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let _inside = asked.span.enter();
        if let Some(refused) = verdict.filter(|verdict| !verdict.is_allowed()) {
            return Err(Box::new(refused.refusal().into_response()));
        }
        match self.admission.as_ref().map(|admission| admission.admit(&mut request)).transpose() {
            Ok(place) => Ok((route.call(request), place)),
            Err(problem) => Err(Box::new(problem.into_response())),
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
    client: IpAddr,
    /// The route's pattern: paths alone would give every report a line of its own in statistics.
    route: Option<MatchedPath>,
    span: Span,
}

impl Asked {
    fn of(request: &Request, shared: &Shared) -> Self {
        let at = Instant::now();
        let id = logging::request_id(request);
        let peer = request.extensions().get().copied();
        let client = actor::client_address(shared.trusted_proxies, peer, request.headers());
        let span = logging::request_span(request, &id, client);
        let origin = request.headers().get(header::ORIGIN).cloned();
        Self { at, id, origin, client, route: request.extensions().get().cloned(), span }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("", MatchedPath::as_str)
    }

    async fn answer<F>(self, started: Started<F>, verdict: Option<Verdict>, shared: &Shared) -> Response
    where
        F: Future<Output = Result<Response, Infallible>>,
    {
        let response = match started {
            Ok((route, place)) => {
                let lost = async {
                    match &shared.probe {
                        Some(probe) => probe.postgres_hangs().await,
                        None => std::future::pending().await,
                    }
                };
                let response = guard::answer(route, shared.timeout, lost).instrument(self.span.clone()).await;
                drop(place);
                response
            }
            Err(response) => *response,
        };
        self.finish(response, verdict, shared)
    }

    fn finish(self, response: Response, verdict: Option<Verdict>, shared: &Shared) -> Response {
        let mut response = problem::complete(response, &self.id);
        let status = response.status();
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        let headers = response.headers_mut();
        shared.cors.add(self.origin.as_ref(), headers);
        add_missing(headers, SECURITY);
        if shared.is_production {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, ENCRYPTED);
        }
        if let Some(verdict) = verdict {
            // Beside what a handler has counted by itself.
            for (name, value) in verdict.headers() {
                headers.append(name, value);
            }
        }
        headers.insert(REQUEST_ID, self.id);
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
