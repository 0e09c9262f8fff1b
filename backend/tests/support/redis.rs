//! A Redis that a test may stop, freeze and start again.

use std::process::{Child, Command, Stdio};

use super::process::free_port;
use super::{provided, until};

/// A Redis of the test's own, of the same program as the shared one.
pub struct Redis {
    child: Child,
    pub port: u16,
}

impl Redis {
    pub fn start() -> Self {
        Self::on(free_port())
    }

    #[expect(clippy::disallowed_methods, reason = "the test has a server of its own, which it freezes")]
    pub fn on(port: u16) -> Self {
        let mut shared = ::redis::Client::open(provided("TEST_REDIS_URL")).unwrap().get_connection().unwrap();
        let about: String = ::redis::cmd("INFO").arg("server").query(&mut shared).unwrap();
        let program = about.lines().find_map(|line| line.strip_prefix("executable:")).unwrap().trim();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        until("Redis answers", || {
            ::redis::Client::open(server.url())
                .and_then(|client| client.get_connection())
                .and_then(|mut connection| ::redis::cmd("PING").query::<String>(&mut connection))
                .is_ok()
        });
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    #[expect(clippy::disallowed_methods, reason = "the test has a server of its own, which it freezes")]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
