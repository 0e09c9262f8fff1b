//! `/problems`: the pages that the `type` of a problem document leads to.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::{Kind, Problem};
use crate::app::App;

/// The same for everybody, as long as a version lives.
const MARKDOWN: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8")),
    (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
];

/// A list of all kinds, and a page for each.
pub fn routes() -> Router<App> {
    Router::new().route("/problems", get(list)).route("/problems/{name}", get(page))
}

async fn list() -> impl IntoResponse {
    let mut text =
        "# Problems\n\nThe `type` of a problem document is the address of one of these pages.\n\n".to_owned();
    for kind in Kind::ALL {
        let (status, name, title) = (kind.status().as_u16(), kind.name(), kind.title());
        text.push_str(&format!("- {status} [{name}](/problems/{name}): {title}\n"));
    }
    (MARKDOWN, text)
}

async fn page(Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| Problem::not_found("problem"))?;
    Ok((MARKDOWN, kind.page()))
}
