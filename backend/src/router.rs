//! Every route, with its layers.

use std::time::Duration;

use axum::Router;
use axum::extract::MatchedPath;
use axum::http::{Method, Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::config::Config;
use crate::logging::{self, REQUEST_ID};
use crate::problem::{self, Problem};
use crate::{health, programs, reports};

/// The most that a request's body may hold, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// How long a request may take from its first header to its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Every route with every layer.
pub fn of(app: App) -> Router {
    let layers = ServiceBuilder::new()
        .layer(middleware::from_fn(drop_unfit_request_id))
        .layer(SetRequestIdLayer::new(REQUEST_ID, logging::MakeId))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(logging::request_span)
                .on_request(())
                .on_response(logging::log_response)
                // The answer's line says it already.
                .on_failure(()),
        )
        .layer(cors(&app.config))
        .layer(middleware::from_fn(problem::complete))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT));
    Router::new()
        .merge(health::routes())
        .nest("/api/v1", Router::new().merge(programs::routes()).merge(reports::routes()))
        .fallback(|| async { Problem::not_found("route") })
        .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED) })
        .route_layer(middleware::from_fn(note_route))
        .layer(layers)
        .with_state(app)
}

/// Lets the log line say which route answered: paths alone would give every report a line of its own in statistics.
async fn note_route(request: Request<axum::body::Body>, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

async fn drop_unfit_request_id(mut request: Request<axum::body::Body>, next: Next) -> Response {
    if request.headers().get(REQUEST_ID).is_some_and(|id| !logging::is_acceptable_id(id)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    next.run(request).await
}

fn cors(config: &Config) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(config.allowed_origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, REQUEST_ID])
        .expose_headers([REQUEST_ID])
        .max_age(Duration::from_hours(1))
}
