use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::get;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio::sync::oneshot;
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::config::RateLimitSettings;
use crate::rate_limit::{Class, Key, RateLimit};

fn shared() -> Shared {
    let cors = Cors::new(vec![HeaderValue::from_static("https://app.example")]);
    let timeout = Duration::from_millis(50);
    Shared { trusted_proxies: 0, cors, limiter: None, admission: None, probe: None, timeout, is_production: false }
}

fn layer(admission: Option<Admission>) -> Middleware {
    Middleware(Arc::new(Shared { admission, ..shared() }))
}

/// A limit of three requests, and of one with a password, with nobody to share it.
fn three_requests() -> RateLimit {
    let client = redis::Client::open("redis://127.0.0.1:1").unwrap();
    let redis = ConnectionManager::new_lazy_with_config(client, ConnectionManagerConfig::new()).unwrap();
    RateLimit::new(RateLimitSettings { requests: 3, passwords: 1 }, redis)
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
async fn every_answer_tells_what_nobody_must_make_of_it() {
    const OWN: &str = "default-src 'self'";
    let routes = Router::new()
        .route("/page", get(async || [(header::CONTENT_SECURITY_POLICY, OWN), (header::CACHE_CONTROL, "public")]))
        .route("/text", get(async || "x"))
        .layer(layer(None));
    let policy = "default-src 'none'; frame-ancestors 'none'";
    for (path, policy, cache) in [("/text", policy, "private, no-store"), ("/page", OWN, "public")] {
        let headers = routes.clone().oneshot(ask(path)).await.unwrap().headers().clone();
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", policy),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", cache),
        ] {
            assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{path}: {name}");
        }
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY), "a developer's machine has no certificate");
    }
}

#[tokio::test]
async fn production_tells_browsers_to_come_encrypted_only() {
    let production = Middleware(Arc::new(Shared { is_production: true, ..shared() }));
    let routes = Router::new().route("/", get(async || "x")).layer(production);
    let answer = routes.oneshot(ask("/")).await.unwrap();
    assert_eq!(answer.headers()[header::STRICT_TRANSPORT_SECURITY], "max-age=63072000");
}

/// Routes with a limit of three requests for each user, or for the one address that all come from.
fn with_a_limit() -> Router {
    let rate_limit = three_requests();
    let user_of: UserOf = Arc::new(|headers| headers.get("x-user")?.to_str().ok()?.parse().ok());
    let limiter = Some(Limiter::new(rate_limit.clone(), user_of));
    let counts = get(async move || rate_limit.check(Class::Account, Key::of_name("ada")).await.map(|()| "fine"));
    Router::new()
        .route("/list", get(async || "x"))
        .route("/counts", counts)
        .route("/api/v1/auth/sign-in", get(async || "x"))
        .layer(Middleware(Arc::new(Shared { limiter, ..shared() })))
}

/// What such a request gets: its status, and what is left of which limit.
async fn standing(routes: &Router, mut request: Request, user: u128) -> (u16, Vec<String>) {
    if user > 0 {
        request.headers_mut().insert("x-user", uuid::Uuid::from_u128(user).to_string().try_into().unwrap());
    }
    let answer = routes.clone().oneshot(request).await.unwrap();
    let standings = answer.headers().get_all("ratelimit").iter();
    let left = standings.map(|value| value.to_str().unwrap().split(";t=").next().unwrap().to_owned()).collect();
    (answer.status().as_u16(), left)
}

#[tokio::test]
async fn each_user_has_a_limit_and_so_have_all_others_at_one_address() {
    let routes = with_a_limit();
    for user in [1, 2, 0] {
        for left in ["2", "1", "0"] {
            let expected = vec![format!("\"default\";r={left}")];
            assert_eq!(standing(&routes, ask("/list"), user).await, (200, expected), "{user}");
        }
        assert_eq!(standing(&routes, ask("/list"), user).await.0, 429);
    }
}

#[tokio::test]
async fn guesses_are_counted_by_address_whoever_sends_them() {
    let routes = with_a_limit();
    let sign_in = || ask("/api/v1/auth/sign-in");
    assert_eq!(standing(&routes, sign_in(), 1).await, (200, vec!["\"password\";r=0".to_owned()]));
    for user in [0, 1, 2] {
        assert_eq!(standing(&routes, sign_in(), user).await.0, 429, "{user}");
    }
    assert_eq!(standing(&routes, ask("/list"), 1).await.0, 200, "and apart from everything else");
}

#[tokio::test]
async fn what_a_handler_counts_is_told_beside_what_the_layer_does() {
    let routes = with_a_limit();
    assert_eq!(standing(&routes, ask("/counts"), 1).await, (200, vec!["\"default\";r=2".to_owned()]));
    let both = vec!["\"account\";r=0".to_owned(), "\"default\";r=2".to_owned()];
    assert_eq!(standing(&routes, ask("/counts"), 2).await, (429, both));
}

#[tokio::test]
async fn a_preflight_is_not_counted_and_its_page_may_read_what_is_left() {
    let routes = with_a_limit();
    let preflight = || {
        let headers = Request::options("/list").header("host", "x").header("origin", "https://app.example");
        headers.header("access-control-request-method", "GET").body(Body::empty()).unwrap()
    };
    for _ in 0..5 {
        assert_eq!(standing(&routes, preflight(), 0).await, (200, vec![]));
    }
    let mut request = ask("/list");
    request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://app.example"));
    let answer = routes.clone().oneshot(request).await.unwrap();
    let exposed = answer.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    assert!(exposed.split(',').any(|name| name == "ratelimit"), "{exposed}");
}
