//! Every route, with the layer around it.

use axum::Router;

use crate::app::App;
use crate::middleware::Middleware;
use crate::problem::{Kind, Problem};
use crate::{health, problem, programs, reports};

/// Every route.
pub fn of(app: App) -> Router {
    let api = Router::new().merge(programs::routes()).merge(reports::routes());
    // Asked also, and above all, when there is too much to do.
    let always = Router::new().merge(health::routes()).merge(problem::routes());
    let rest = Router::new().fallback(async || Problem::not_found("route"));
    let everyone = Middleware::new(&app.config);
    Router::new()
        .merge(around(api, Middleware::admitting(&app.config, &app.admission)))
        .merge(around(always, everyone.clone()))
        .merge(around(rest, everyone))
        .with_state(app)
}

fn around(routes: Router<App>, layer: Middleware) -> Router<App> {
    routes.method_not_allowed_fallback(async || Problem::from(Kind::MethodNotAllowed)).layer(layer)
}
