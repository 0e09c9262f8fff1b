//! The front of a service: one address, and behind it the containers of the version that serves.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum_reverse_proxy::{HostBehaviour, ProxyPolicy, ReverseProxy, XForwardedFor};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpListener;

use crate::answers::{Answers, second};

/// How long a container may take until it begins to answer.
const UPSTREAM_TIMEOUT: Duration = Duration::from_mins(5);

/// The front of a service.
pub struct Front {
    /// Its port on this machine.
    pub port: u16,
    upstreams: RwLock<Arc<Vec<Upstream>>>,
    next: AtomicUsize,
    answers: Mutex<Answers>,
}

/// How long requests that were on their way at a switch may take until they are answered or tunnelled.
const UNDER_WAY_TIMEOUT: Duration = Duration::from_secs(10);

/// One container of the version that serves.
pub struct Upstream {
    port: u16,
    proxy: ReverseProxy<HttpConnector>,
}

impl Upstream {
    fn at(port: u16) -> Self {
        let policy = ProxyPolicy::new()
            .with_host_behaviour(HostBehaviour::Preserve)
            .with_x_forwarded_for(XForwardedFor::Append)
            .with_public_scheme("http")
            .with_upstream_timeout(UPSTREAM_TIMEOUT);
        Self { port, proxy: ReverseProxy::new("", format!("http://127.0.0.1:{port}")).with_policy(policy) }
    }
}

impl Front {
    /// Listens, on the port of before if that is free.
    pub async fn open(before: Option<u16>) -> Result<Arc<Self>> {
        let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = match before {
            Some(port) => match listen(port).await {
                Ok(listener) => Ok(listener),
                Err(_) => listen(0).await,
            },
            None => listen(0).await,
        };
        let listener = listener.context("cannot listen on any port")?;
        let front = Arc::new(Self {
            port: listener.local_addr()?.port(),
            upstreams: RwLock::default(),
            next: AtomicUsize::new(0),
            answers: Mutex::default(),
        });
        let serving = Arc::clone(&front);
        let router = Router::new().fallback(move |request: Request| {
            let front = Arc::clone(&serving);
            async move { front.answer(request).await }
        });
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "a front has ended");
            }
        });
        Ok(front)
    }

    /// From now on every new request goes to these ports; those that are under way stay where they are. A container that
    /// stays keeps its connections. Gives back what the requests under way may still hold.
    pub fn switch(&self, ports: &[u16]) -> Arc<Vec<Upstream>> {
        let mut upstreams = self.upstreams.write().unwrap_or_else(PoisonError::into_inner);
        if upstreams.iter().map(|one| one.port).eq(ports.iter().copied()) {
            return Arc::default();
        }
        std::mem::replace(&mut *upstreams, Arc::new(ports.iter().map(|port| Upstream::at(*port)).collect()))
    }

    /// Waits until nothing is on its way any more to what a switch has left: a request that had chosen its container and
    /// not reached it yet would be refused there.
    pub async fn under_way(left: Arc<Vec<Upstream>>) {
        let arrived = async {
            while Arc::strong_count(&left) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        drop(tokio::time::timeout(UNDER_WAY_TIMEOUT, arrived).await);
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response, Infallible> {
        let upstreams = Arc::clone(&self.upstreams.read().unwrap_or_else(PoisonError::into_inner));
        let response = if upstreams.is_empty() {
            (StatusCode::SERVICE_UNAVAILABLE, "nothing serves here\n").into_response()
        } else {
            let place = self.next.fetch_add(1, Ordering::Relaxed) % upstreams.len();
            upstreams[place].proxy.proxy_request(request).await?
        };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).count(second(), response.status().as_u16());
        Ok(response)
    }

    /// How many requests were answered from one second to another, and how many of them with 5xx.
    pub fn answers(&self, from: u64, until: u64) -> (u64, u64) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).between(from, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::ws::{Message, WebSocketUpgrade};
    use axum::routing::get;
    use futures_util::{SinkExt as _, StreamExt as _};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use std::sync::atomic::AtomicBool;
    use tokio_tungstenite::tungstenite;

    /// A version: it tells its name, fails where it is asked to, and echoes what it hears with its name.
    async fn version(name: &'static str) -> u16 {
        let echo = move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |mut socket| async move {
                while let Some(Ok(Message::Text(text))) = socket.recv().await {
                    let said = Message::Text(format!("{name} {text}").into());
                    if socket.send(said).await.is_err() {
                        return;
                    }
                }
            })
        };
        let router = Router::new()
            .route("/", get(move || async move { name }))
            .route("/fails", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .route("/socket", get(echo));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        port
    }

    async fn status(client: &Client<HttpConnector, Body>, front: &Front, path: &str) -> StatusCode {
        let request = Request::get(format!("http://127.0.0.1:{}{path}", front.port)).body(Body::empty()).unwrap();
        client.request(request).await.unwrap().status()
    }

    fn client() -> Client<HttpConnector, Body> {
        Client::builder(TokioExecutor::new()).build_http()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn twenty_switches_lose_no_request_and_cut_no_tunnel() {
        let front = Front::open(None).await.unwrap();
        let ports = [version("a").await, version("b").await];
        front.switch(&[ports[0]]);
        let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let load: Vec<_> = (0..4)
            .map(|_| {
                let (front, is_over, asked) = (Arc::clone(&front), Arc::clone(&is_over), Arc::clone(&asked));
                tokio::spawn(async move {
                    let client = client();
                    while !is_over.load(Ordering::Relaxed) {
                        assert_eq!(status(&client, &front, "/").await, StatusCode::OK);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut tunnels = Vec::new();
        for switch in 0..20_usize {
            let url = format!("ws://127.0.0.1:{}/socket", front.port);
            let (tunnel, _) = tokio_tungstenite::connect_async(url).await.unwrap();
            tunnels.push((["a", "b"][switch % 2], tunnel));
            let before = asked.load(Ordering::Relaxed);
            let left = front.switch(&[ports[(switch + 1) % 2]]);
            Front::under_way(left).await;
            // Some requests have been answered by the new one before the next switch.
            while asked.load(Ordering::Relaxed) < before + 8 {
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for one in load {
            one.await.unwrap();
        }
        for (name, tunnel) in &mut tunnels {
            tunnel.send(tungstenite::Message::text("hello")).await.unwrap();
            let said = tunnel.next().await.unwrap().unwrap().into_text().unwrap();
            assert_eq!(said.as_str(), format!("{name} hello"), "a tunnel stays with the version that it began with");
        }
        let (all, bad) = front.answers(0, u64::MAX);
        assert_eq!(bad, 0);
        assert_eq!(all, u64::try_from(asked.load(Ordering::Relaxed) + tunnels.len()).unwrap());
    }

    #[tokio::test]
    async fn nothing_behind_it_and_what_fails_behind_it_are_counted() {
        let (front, client) = (Front::open(None).await.unwrap(), client());
        assert_eq!(status(&client, &front, "/").await, StatusCode::SERVICE_UNAVAILABLE);
        front.switch(&[version("a").await]);
        assert_eq!(status(&client, &front, "/").await, StatusCode::OK);
        assert_eq!(status(&client, &front, "/fails").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(front.answers(0, u64::MAX), (3, 2));
    }

    #[tokio::test]
    async fn the_port_of_before_is_kept_where_nobody_has_taken_it() {
        let first = Front::open(None).await.unwrap();
        let other = Front::open(Some(first.port)).await.unwrap();
        assert_ne!(first.port, other.port);
    }
}
