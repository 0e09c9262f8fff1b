//! The binary as whoever operates it starts it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

#[expect(clippy::disallowed_methods, reason = "the tests start the binary as a user does")]
pub fn thunder(args: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thunder"));
    command.args(args).env_clear().envs(environment.iter().cloned()).stdin(Stdio::null());
    command
}

pub fn run(args: &[&str], environment: &[(String, String)]) -> Output {
    thunder(args, environment).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server that is ready, and the port it listens on.
pub struct Serving {
    pub child: Child,
    pub port: u16,
    pub lines: mpsc::Receiver<String>,
}

pub fn serve(environment: &[(String, String)]) -> Serving {
    ready(thunder(&["serve"], environment))
}

/// The same behind a command of the shell, such as one that sets limits.
#[expect(clippy::disallowed_methods, reason = "the tests start the binary as a user does")]
pub fn serve_by(before: &str, environment: &[(String, String)]) -> Serving {
    let mut command = Command::new("sh");
    let script = format!("{before} && exec \"$0\" serve");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_thunder")]).env_clear().envs(environment.iter().cloned());
    command.stdin(Stdio::null());
    ready(command)
}

/// A server that is waited for although its logs do not tell when it is ready, with these changes.
pub fn serve_quietly(environment: &[(String, String)], changes: &[(&str, &str)]) -> Serving {
    let port = free_port();
    let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut command = thunder(&["serve"], environment);
    command.envs(changes).env("PORT", port.to_string());
    let (child, lines) = start(command);
    let serving = Serving { child, port, lines };
    super::until("it serves", || super::agent().get(serving.url("/health/live")).call().is_ok());
    serving
}

/// A port that nobody listens on, a moment before.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(mut command: Command) -> (Child, mpsc::Receiver<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (child, lines)
}

fn ready(command: Command) -> Serving {
    let (child, lines) = start(command);
    let mut said = Vec::new();
    let port = loop {
        let line = lines.recv_timeout(Duration::from_secs(20)).expect("a line that says where it listens");
        let address = line.split_once("listening address=").map(|(_, address)| address.to_owned());
        said.push(line);
        if let Some(address) = address {
            let address = address.split_whitespace().next().unwrap();
            break address.rsplit_once(':').unwrap().1.parse().unwrap();
        }
    };
    // What was said before is not lost.
    let (sender, all) = mpsc::channel();
    std::thread::spawn(move || said.into_iter().chain(lines).try_for_each(|line| sender.send(line)));
    Serving { child, port, lines: all }
}

impl Serving {
    #[expect(clippy::disallowed_methods, reason = "the tests send signals as a user does")]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit code, and everything it said until then.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Serving {
    /// A path of this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it takes of the machine's memory, in MB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}
