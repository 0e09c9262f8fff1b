//! The server inside of the test's own process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use backend::app::App;
use backend::background::Background;
use backend::{connect, router, server};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::{Answer, Client, Database, Mailbox, config, settings};

/// A running server.
pub struct Server {
    pub url: String,
    pub app: App,
    pub database: Database,
    pub runtime: Runtime,
    /// Where its mail goes.
    pub mailbox: Mailbox,
    /// How many mails of whom were looked at.
    pub read: Mutex<HashMap<String, usize>>,
    /// The access token of an administrator, once one was needed.
    admin: OnceLock<Option<String>>,
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
        let mailbox = Mailbox::start();
        let mail = mailbox.url();
        let mut all = vec![("SMTP_URL", mail.as_str())];
        all.extend_from_slice(changes);
        let config = config(&settings(&database, &all));
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
        Self {
            url: format!("http://{address}"),
            app,
            database,
            runtime,
            mailbox,
            read: Mutex::default(),
            admin: OnceLock::new(),
            background,
            stop: Some(stop),
        }
    }

    /// Asks as an administrator.
    pub fn get(&self, path: &str) -> Answer {
        self.admin(path).get(path)
    }

    /// Sends something as an administrator.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.admin(path).post(path, body)
    }

    /// An administrator, where the path is one that needs somebody who is signed in; nobody without a database.
    fn admin(&self, path: &str) -> Client<'_> {
        let needs_nobody = ["/api/v1/health", "/api/v1/auth/", "/api/v1/temporary-users"];
        if !path.starts_with("/api/v1/") || needs_nobody.iter().any(|start| path.starts_with(start)) {
            return self.nobody();
        }
        match self.admin.get_or_init(|| self.try_user("the-admin", "admin").map(|user| user.access_token)) {
            Some(token) => self.as_user(token),
            None => self.nobody(),
        }
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
