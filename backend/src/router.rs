//! Every route, with its layers.

use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::config::Config;
use crate::logging::{self, REQUEST_ID};
use crate::problem::{self, Kind, Problem};
use crate::request::admission;
use crate::{health, programs, reports};

/// How long an answer may take from the request's head on: longer than a body may, and than PostgreSQL lets a query.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// Every route with every layer.
pub fn of(app: App) -> Router {
    let api = Router::new()
        .nest("/api/v1", Router::new().merge(programs::routes()).merge(reports::routes()))
        .route_layer(middleware::from_fn_with_state(app.clone(), admission::admit));
    let trusted_proxies = app.config.listen.trusted_proxies;
    let around_everything = ServiceBuilder::new()
        .layer(middleware::from_fn(drop_unfit_request_id))
        .layer(SetRequestIdLayer::new(REQUEST_ID, logging::MakeId))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(move |request: &Request| logging::request_span(request, trusted_proxies))
                .on_request(())
                .on_response(logging::log_response)
                // The answer's line says it already.
                .on_failure(()),
        )
        .layer(cors(&app.config))
        .layer(middleware::from_fn(problem::complete))
        .layer(middleware::from_fn(require_host));
    let routes = Router::new()
        .merge(health::routes())
        .merge(problem::routes())
        .merge(api)
        .fallback(|| async { Problem::not_found("route") })
        .method_not_allowed_fallback(|| async { Problem::from(Kind::MethodNotAllowed) });
    guarded(routes).layer(around_everything).with_state(app)
}

/// Routes whose handlers may panic or take too long. The route is noted outside of what answers in their place, so that
/// those answers have it too.
fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.route_layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn(note_route))
            .layer(CatchPanicLayer::custom(problem::from_panic))
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT)),
    )
}

/// Lets the log line say which route answered: paths alone would give every report a line of its own in statistics.
async fn note_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

async fn drop_unfit_request_id(mut request: Request, next: Next) -> Response {
    if request.headers().get(REQUEST_ID).is_some_and(|id| !logging::is_acceptable_id(id)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    next.run(request).await
}

/// Exactly one `Host` (RFC 9112 §3.2): with none or several, whatever stands in front may have understood another
/// request than this service does.
async fn require_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts == 1 || (hosts == 0 && request.version() == Version::HTTP_10) {
        return next.run(request).await;
    }
    Problem::from(Kind::BadRequest).detail("The request has to have exactly one `Host` header.").into_response()
}

fn cors(config: &Config) -> CorsLayer {
    /// What scripts could not read otherwise.
    const EXPOSED: [HeaderName; 3] = [REQUEST_ID, header::LOCATION, header::RETRY_AFTER];
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(config.origins.allowed()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, REQUEST_ID])
        .expose_headers(EXPOSED)
        .max_age(Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_a_handlers_place_has_the_route_too() {
        let routes = Router::new()
            .route("/panics/{id}", get(async || -> &str { panic!("as it should") }))
            .route("/hangs/{id}", get(async || std::future::pending::<&str>().await));
        for (path, route, status) in [("/panics/7", "/panics/{id}", 500), ("/hangs/7", "/hangs/{id}", 503)] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = guarded(routes.clone()).oneshot(request).await.unwrap();
            let noted = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
            assert_eq!((response.status().as_u16(), noted), (status, Some(route)));
        }
    }
}
