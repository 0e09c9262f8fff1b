//! The server inside of the test's own process.

use std::net::SocketAddr;
use std::time::Duration;

use backend::app::App;
use backend::background::Background;
use backend::{connect, router, server};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::{Answer, Database, agent, config, read, settings};

/// A running server.
pub struct Server {
    pub url: String,
    pub app: App,
    pub database: Database,
    pub runtime: Runtime,
    background: Background,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(changes: &[(&str, &str)]) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let database = Database::migrated(&runtime);
        Self::on(runtime, database, changes)
    }

    pub fn on(runtime: Runtime, database: Database, changes: &[(&str, &str)]) -> Self {
        let config = config(&settings(&database, changes));
        let background = Background::default();
        let (app, address, stop) = runtime.block_on(async {
            let database = connect::pool(&config).expect("a pool");
            let redis = connect::redis(&config).await.expect("Redis");
            let app = App::new(config, database, redis, &background);
            let listener = server::listen(app.config.listen.host, 0).expect("a free port");
            let address: SocketAddr = listener.local_addr().expect("an address");
            let (stop, stopped) = oneshot::channel();
            let stopped = async { drop(stopped.await) };
            let router = router::of(app.clone());
            tokio::spawn(server::serve(listener, router, server::Limits::default(), stopped, Duration::from_secs(1)));
            (app, address, stop)
        });
        Self { url: format!("http://{address}"), app, database, runtime, background, stop: Some(stop) }
    }

    pub fn get(&self, path: &str) -> Answer {
        read(agent().get(format!("{}{path}", self.url)).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        read(agent().post(format!("{}{path}", self.url)).send_json(body))
    }

    /// A program that takes reports.
    pub fn program(&self, slug: &str) -> Value {
        let body = serde_json::json!({
            "slug": slug, "name": slug, "summary": "A program of a test.", "status": "open",
            "assets": [
                { "identifier": "in.example", "kind": "web" },
                { "identifier": "out.example", "kind": "web", "in_scope": false },
            ],
        });
        let answer = self.post("/api/v1/programs", &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.runtime.block_on(async { tokio::join!(self.background.stop(), self.app.database.close()) });
    }
}
