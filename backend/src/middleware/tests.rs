use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::oneshot;
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

fn layer(admission: Option<Admission>) -> Middleware {
    let cors = Cors::new(vec![HeaderValue::from_static("https://app.example")]);
    Middleware(Arc::new(Shared { trusted_proxies: 0, cors, admission, timeout: Duration::from_millis(50) }))
}

fn ask(path: &str) -> Request {
    Request::builder().uri(path).header("host", "x").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn an_answer_in_a_handlers_place_is_logged_with_its_route() {
    let routes = Router::new()
        .route("/panics/{id}", get(async || -> &str { panic!("as it should") }))
        .route("/hangs/{id}", get(async || std::future::pending::<&str>().await))
        .layer(layer(None));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Arc::new(writer));
    let logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
    for (path, status) in [("/panics/7", 500), ("/hangs/7", 503)] {
        let response = routes.clone().oneshot(ask(path)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    drop(logging);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut reader, &mut said).unwrap();
    for expected in ["answered status=500", "route=\"/panics/{id}\"", "answered status=503", "route=\"/hangs/{id}\""] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// Handles requests that wait until they may go on, and ones with a body.
fn with_two_places() -> (Router, tokio::sync::mpsc::Receiver<oneshot::Sender<()>>) {
    let (sender, arrived) = tokio::sync::mpsc::channel(8);
    let waits = get(async move || {
        let (go_on, may_go_on) = oneshot::channel::<()>();
        sender.send(go_on).await.unwrap();
        may_go_on.await.ok();
    });
    let admission = Admission::of(2, 1024);
    let posts = async |request: Request| request.extensions().get::<Place>().is_some().to_string();
    let routes = Router::new().route("/waits", waits.post(posts));
    let patient =
        Middleware(Arc::new(Shared { timeout: REQUEST_TIMEOUT, ..Arc::into_inner(layer(Some(admission)).0).unwrap() }));
    (routes.layer(patient), arrived)
}

#[tokio::test]
async fn only_so_many_requests_are_answered_at_once_and_one_that_ends_makes_room() {
    let (routes, mut arrived) = with_two_places();
    let start = || tokio::spawn(routes.clone().oneshot(ask("/waits")));
    let (first, second) = (start(), start());
    let (go_on, held) = (arrived.recv().await.unwrap(), arrived.recv().await.unwrap());
    let refused = routes.clone().oneshot(ask("/waits")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
    // One that is still sending takes no place from others: it gets its own when its body is there.
    let sending = Request::post("/waits").header("host", "x").body(Body::from(Bytes::from_static(b"x"))).unwrap();
    let answer = routes.clone().oneshot(sending).await.unwrap();
    assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await.unwrap(), "true");
    go_on.send(()).unwrap();
    let _either = tokio::select! { done = first => done, done = second => done }.unwrap();
    let third = start();
    arrived.recv().await.unwrap().send(()).unwrap();
    assert_eq!(third.await.unwrap().unwrap().status(), StatusCode::OK);
    drop(held);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_take_it_for_what_it_says() {
    const OWN: &str = "default-src 'self'";
    let routes = Router::new()
        .route("/page", get(async || [(header::CONTENT_SECURITY_POLICY, OWN)]))
        .route("/text", get(async || "x"))
        .layer(layer(None));
    for (path, policy) in [("/text", "default-src 'none'; frame-ancestors 'none'"), ("/page", OWN)] {
        let headers = routes.clone().oneshot(ask(path)).await.unwrap().headers().clone();
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], policy, "a page may have its own");
    }
}
