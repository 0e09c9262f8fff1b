//! Every route, with the layer around it.

use std::sync::Arc;

use axum::Router;
use axum::http::header;

use crate::actor::bearer;
use crate::app::App;
use crate::middleware::{Limiter, Middleware};
use crate::problem::{Kind, Problem};
use crate::{auth, health, problem, programs, reports, users};

/// Every route.
pub fn of(app: App) -> Router {
    let api =
        Router::new().merge(auth::routes()).merge(users::routes()).merge(programs::routes()).merge(reports::routes());
    // These answer even when there is too much to do.
    let always = Router::new().merge(health::routes()).merge(problem::routes());
    let rest = Router::new().fallback(async || Problem::not_found("route"));
    // Whether the session goes on is found out later: whoever signed out is still who they were.
    let sessions = app.sessions.clone();
    let limiter = Limiter::new(
        app.rate_limit.clone(),
        Arc::new(move |headers| {
            let token = headers.get(header::AUTHORIZATION).and_then(|shown| bearer(shown.as_bytes()))?;
            sessions.check(token).ok().map(|claims| claims.user)
        }),
    );
    let around_api =
        Middleware::new(&app.config, Some(limiter.clone()), Some(app.admission.clone()), Some(app.health.clone()));
    Router::new()
        .merge(around(api, around_api))
        .merge(around(always, Middleware::new(&app.config, None, None, None)))
        .merge(around(rest, Middleware::new(&app.config, Some(limiter), None, None)))
        .with_state(app)
}

fn around(routes: Router<App>, layer: Middleware) -> Router<App> {
    routes.method_not_allowed_fallback(async || Problem::from(Kind::MethodNotAllowed)).layer(layer)
}

#[cfg(test)]
mod tests {
    use std::iter;

    use axum::body::Body;
    use axum::http::Request;
    use redis::aio::{ConnectionManager, ConnectionManagerConfig};
    use tower::ServiceExt as _;

    use super::*;
    use crate::background::Background;
    use crate::config::Config;
    use crate::connect;

    #[tokio::test]
    async fn a_full_service_refuses_the_api_and_answers_health_checks() {
        let settings = [
            ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("JWT_REFRESH_SECRET", "fedcba9876543210fedcba9876543210"),
        ];
        let config =
            Config::read(|name| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
                .unwrap();
        let client = redis::Client::open(config.redis.url.reveal()).unwrap();
        let redis = ConnectionManager::new_lazy_with_config(client, ConnectionManagerConfig::new()).unwrap();
        let database = connect::pool(&config).unwrap();
        let app = App::new(config, database, redis, &Background::default());
        let ask = |path: &str| Request::builder().uri(path).header("host", "x").body(Body::empty()).unwrap();
        let held: Vec<_> = iter::from_fn(|| app.admission.admit(&mut ask("/")).ok()).collect();
        assert_eq!(held.len(), 512);
        let routes = of(app);
        for (path, status) in [("/api/v1/reports", 503), ("/api/v1/programs", 503), ("/health/live", 200), ("/x", 404)]
        {
            assert_eq!(routes.clone().oneshot(ask(path)).await.unwrap().status().as_u16(), status, "{path}");
        }
    }
}
