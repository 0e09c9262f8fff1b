//! A checkout that can be deployed, and the Railway that it is deployed to.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::platform::Platform;
use crate::server::Server;
use crate::support::{Background, Checkout, Ran};

/// The token.
pub const TOKEN: &str = "11112222-3333-4444-5555-666677778888";
/// The commit that is live before.
pub const OLD: &str = "aaaaaaaaaaaa";

/// A checkout with a commit, and a Railway in which another one is live.
pub struct Yard {
    pub checkout: Checkout,
    pub server: Server,
    /// The commit that is checked out.
    pub new: String,
}

impl Yard {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same with that change of the platform.
    pub fn with(change: impl FnOnce(&mut Platform)) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let checkout = Checkout::new();
        for file in ["infra/railway.json", "infra/Dockerfile", ".dockerignore", "Cargo.lock"] {
            checkout.write(file, &std::fs::read_to_string(root.join(file)).expect(file));
        }
        for direction in ["up", "down"] {
            checkout.write(&format!("backend/migrations/20260101000000_first.{direction}.sql"), "SELECT 1;\n");
        }
        checkout.write("backend/src/main.rs", "fn main() {}\n");
        checkout.write("secret.env", "KEY=hunter2\n");
        checkout.write(".gitignore", "/target\n/bin\n/.stack\n/secret.env\n/ca.pem\n");
        // What walks through the service is the backend itself, which has no service to walk through here.
        std::fs::rename(checkout.path("target/debug/thunder"), checkout.path("target/debug/real"))
            .expect("it is there");
        checkout.write("target/debug/thunder", "");
        checkout.fake_backend(
            "[ \"$1\" = smoke ] && { cat smoke.txt 2>/dev/null && exit 1; exit 0; }\nexec target/debug/real \"$@\"\n",
        );
        let new = commit(&checkout);
        let declaration: Value = serde_json::from_str(&checkout.read("infra/railway.json")).expect("JSON");
        let settings = serde_json::json!({ "build": declaration["services"][0]["build"],
            "deploy": declaration["services"][0]["deploy"] });
        let needed = ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "JWT_REFRESH_SECRET", "HEALTH_TOKEN", "SMTP_URL"];
        let mut platform = Platform::new(OLD, &needed, settings);
        let released = serde_json::json!({ "entries": [{ "at": 1, "owner": "Ada", "run": null, "commit": OLD,
            "subject": "The version before", "deployments": { "backend": "live" }, "migration": 20_260_101_000_000_u64,
            "backup": null, "verdict": "live" }] });
        platform.shared.insert("THUNDER_RELEASES".to_owned(), released.to_string());
        change(&mut platform);
        let server = Server::start(platform);
        checkout.write("ca.pem", &server.authority);
        Self { checkout, server, new }
    }

    /// A command of xtask that reaches this Railway.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.checkout.command(args);
        command
            .env("RAILWAY_TOKEN", TOKEN)
            .env_remove("RAILWAY_API_TOKEN")
            .env("HTTPS_PROXY", format!("http://{}", self.server.proxy))
            .env("NO_PROXY", "127.0.0.1")
            .env("SSL_CERT_FILE", self.checkout.path("ca.pem"))
            .env("HOME", self.checkout.path("target"));
        command
    }

    /// What a deploy is told.
    pub fn words(&self, more: &[&str]) -> Vec<String> {
        let url = format!("http://{}", self.server.domain);
        let words = ["deploy", "--confirm", "production", "--watch", "0s", "--lock-timeout", "0", "--url", &url];
        words.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    /// Deploys to its end.
    pub fn deploy(&self, more: &[&str]) -> Ran {
        let words = self.words(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run(&words)
    }

    /// Runs xtask to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        let ran: Ran = self.command(words).output().expect("xtask runs").into();
        for secret in [TOKEN, "hunter2"] {
            assert!(
                !ran.stdout.contains(secret) && !ran.stderr.contains(secret),
                "{secret}: {}{}",
                ran.stdout,
                ran.stderr
            );
        }
        ran
    }

    /// Starts a deploy and comes back when it says that.
    pub fn deploy_until(&self, word: &str) -> Background {
        let words = self.words(&[]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Background::start(self.command(&words), word)
    }

    /// The names of what was ordered, without the lock's and the releases' own.
    pub fn orders(&self) -> Vec<String> {
        self.server.platform().orders.iter().filter(|name| *name != "variableUpsert").cloned().collect()
    }

    /// What stands in the lock.
    pub fn lock(&self) -> String {
        self.server.platform().shared.get("THUNDER_DEPLOY_LOCK").cloned().unwrap_or_default()
    }
}

/// Commits everything, and pushes it to a remote beside it.
#[expect(clippy::disallowed_methods, reason = "the tests use git as a user does")]
fn commit(checkout: &Checkout) -> String {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(checkout.path(".")).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]);
        let output = command.args(args).output().expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "Add a thing"]);
    git(&["init", "--quiet", "--bare", "target/remote.git"]);
    git(&["remote", "add", "origin", "target/remote.git"]);
    git(&["push", "--quiet", "origin", "main"]);
    git(&["rev-parse", "--short=12", "HEAD"])
}
