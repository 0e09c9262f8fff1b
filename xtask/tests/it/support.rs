//! A checkout of its own for each test, with a cargo that does nothing: what it would build is there already.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The repository that the tests are built from.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a workspace")
}

/// The backend's binary, which `cargo xtask test` has built.
fn thunder() -> PathBuf {
    let built = std::env::var_os("TEST_BACKEND_BINARY").map(PathBuf::from);
    built.filter(|built| built.is_file()).expect("the backend is built: run the tests with `cargo xtask test`")
}

/// A folder that xtask takes for a checkout.
pub struct Checkout {
    folder: TempDir,
}

/// What a run of xtask gave.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails the test with everything that was said, unless the code is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless stderr holds all of these.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in\n{}", self.stderr);
        }
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Checkout {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("xtask-").tempdir().expect("a temporary folder");
        // The server's user has to get in when the tests run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("own folder");
        let checkout = Self { folder };
        for file in [
            ".env.docker.example",
            "infra/lint/squawk.txt",
            "infra/servers/package-lock.json",
            "infra/servers/requirements.txt",
            "infra/servers/clients.txt",
        ] {
            checkout.write(file, &fs::read_to_string(repository().join(file)).expect(file));
        }
        for file in ["xtask/Cargo.toml", "Cargo.toml"] {
            checkout.write(file, "# only its presence matters\n");
        }
        let binaries = checkout.path("target/debug");
        fs::create_dir_all(&binaries).expect("own folder");
        copy_program(Path::new(env!("CARGO_BIN_EXE_xtask")), &binaries.join("xtask"));
        copy_program(&thunder(), &binaries.join("thunder"));
        checkout.fake("cargo", "[ \"$1\" = nextest ] && exit 1\nexit 0\n");
        // Whether Docker is there differs between machines, and none of it matters here.
        checkout.fake("docker", "echo 'no daemon in this test' >&2\nexit 1\n");
        checkout
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a path inside")).expect("own folder");
        fs::write(path, text).expect("own folder");
    }

    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    pub fn exists(&self, relative: &str) -> bool {
        fs::symlink_metadata(self.path(relative)).is_ok()
    }

    /// Puts a shell script before all other programs of that name.
    pub fn fake(&self, name: &str, script: &str) {
        self.program(&format!("bin/{name}"), script);
    }

    /// Puts a shell script in the place of the backend's binary.
    pub fn fake_backend(&self, script: &str) {
        fs::remove_file(self.path("target/debug/thunder")).expect("it was there");
        self.program("target/debug/thunder", script);
    }

    fn program(&self, relative: &str, script: &str) {
        self.write(relative, &format!("#!/bin/sh\n{script}"));
        fs::set_permissions(self.path(relative), fs::Permissions::from_mode(0o755)).expect("own file");
    }

    /// A command that runs xtask in this checkout.
    #[expect(clippy::disallowed_methods, reason = "the tests start the binary as a user does")]
    pub fn command(&self, args: &[&str]) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.path("bin")).chain(std::env::split_paths(&path).collect::<Vec<_>>());
        let mut command = Command::new(self.path("target/debug/xtask"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(path).expect("paths without colons"))
            .env("CARGO_MANIFEST_DIR", self.path("xtask"))
            .env("CARGO", self.path("bin/cargo"))
            .env_remove("RUST_BACKTRACE")
            .env_remove("XTASK_STATE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs xtask to its end.
    pub fn xtask(&self, args: &[&str]) -> Ran {
        self.command(args).output().expect("xtask runs").into()
    }

    /// Starts xtask and comes back when stderr says this.
    pub fn start_until(&self, args: &[&str], word: &str) -> Background {
        Background::start(self.command(args), word)
    }

    /// `status --json`, whatever the exit code.
    pub fn status(&self) -> Value {
        self.xtask(&["status", "--json"]).json()
    }

    pub fn pid(&self, service: &str) -> u32 {
        let status = self.status();
        let found = of(&status, service)["pid"].as_u64();
        u32::try_from(found.unwrap_or_else(|| panic!("{service} has no process: {status:#}"))).expect("a pid")
    }

    /// Processes that work in this checkout, by Linux' `/proc`.
    pub fn inhabitants(&self) -> Vec<u32> {
        let root = self.folder.path();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(root))).collect()
    }

    /// Fails the test unless nothing of the stack is left, in this checkout or running.
    #[track_caller]
    pub fn expect_nothing_left(&self) {
        assert!(
            !self.exists(".stack"),
            "{:?}",
            fs::read_dir(self.path(".stack")).map(|all| all.flatten().map(|one| one.path()).collect::<Vec<_>>())
        );
        until("nothing works in the checkout", || self.inhabitants().is_empty());
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if self.exists(".stack") {
            let cleaned = self.xtask(&["clean", "--yes"]);
            assert!(cleaned.code == 0 || std::thread::panicking(), "clean failed: {}", cleaned.stderr);
        }
    }
}

/// A run of xtask that goes on.
pub struct Background {
    pub child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub said: String,
}

impl Background {
    /// Starts a command and comes back when stderr says this.
    pub fn start(mut command: Command, word: &str) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("xtask runs");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut background = Self { child, stderr, said: String::new() };
        background.hear(word);
        background
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Comes back when stderr says this.
    pub fn hear(&mut self, word: &str) {
        while !self.said.contains(word) {
            let mut line = String::new();
            let length = self.stderr.read_line(&mut line).expect("text");
            assert!(length > 0, "it ended without saying {word:?}:\n{}", self.said);
            self.said.push_str(&line);
        }
    }

    /// Kills it, so that it can put nothing in order.
    pub fn kill_and_wait(self) {
        self.signal("KILL");
        self.wait();
    }

    /// Waits for the end of xtask itself, not of what may still hold its streams open.
    pub fn wait(mut self) {
        self.child.wait().expect("it ends");
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ran {
        let mut stdout = String::new();
        self.stderr.read_to_string(&mut self.said).expect("text");
        self.child.stdout.take().expect("it is piped").read_to_string(&mut stdout).expect("text");
        let status = self.child.wait().expect("it ends");
        Output { status, stdout: stdout.into_bytes(), stderr: self.said.into_bytes() }.into()
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests send signals as a user does")]
pub fn signal(pid: u32, name: &str) {
    // A process that is gone already is what most of these want.
    Command::new("kill").args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null()).status().expect("kill runs");
}

/// A service in a status.
pub fn of<'a>(status: &'a Value, service: &str) -> &'a Value {
    let services = status["services"].as_array().into_iter().flatten();
    services.into_iter().find(|one| one["name"] == service).unwrap_or_else(|| panic!("no {service} in {status:#}"))
}

/// Whether a process is there and has not ended.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Waits until the condition is true.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    until_or_show(what, condition, String::new);
}

/// Waits until the condition is true, and fails with the evidence when it does not come true.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "this is the place in which the tests wait for a condition")]
pub fn until_or_show(what: &str, mut condition: impl FnMut() -> bool, evidence: impl Fn() -> String) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < TIMEOUT, "waited in vain until {what}\n{}", evidence());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A link to the program where that works, else a copy. Programs that find themselves see the place they were put in.
fn copy_program(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).expect("room for a copy");
    }
}

/// The text with every path of the checkout shortened, for comparing.
pub fn anonymous(checkout: &Checkout, text: &str) -> String {
    let root = checkout.folder.path().canonicalize().expect("it is there");
    text.replace(&*root.to_string_lossy(), "ROOT")
}

/// The migrations that are in the backend's program.
pub fn copy_migrations(checkout: &Checkout) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/migrations");
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        checkout.write(&format!("backend/migrations/{name}"), &fs::read_to_string(entry.path()).unwrap());
    }
}
