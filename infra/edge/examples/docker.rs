//! A docker for the edge's tests: a container is a process of this machine, an image is a word that says how it behaves.
//! What it knows lies in the folder that `FAKE_DOCKER` names.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// How long a process may take to listen.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a container lives that nobody ends.
const LIFE: Duration = Duration::from_mins(2);
/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(5);

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(std::env::var("FAKE_DOCKER").context("FAKE_DOCKER names no folder")?);
    let last = words.last().context("nothing to do")?.clone();
    match words[0].as_str() {
        "run" => run(&folder, &words).await,
        "serve" => serve(&folder, &words[1], &words[2]).await,
        "inspect" => inspect(&folder, &last),
        "stop" => stop(&folder, &last, words[2].parse()?).await,
        "rm" => {
            for name in words.iter().skip(1).filter(|word| !word.starts_with("--")) {
                remove(&folder, name).await?;
            }
            Ok(())
        }
        "ps" => {
            let entries = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
            let names = entries.filter(|path| path.extension().is_some_and(|ending| ending == "pid"));
            names
                .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
                .try_for_each(|name| say(&name))
        }
        "events" => {
            tokio::time::sleep(TIMEOUT).await;
            Ok(())
        }
        other => bail!("this docker knows no {other}"),
    }
}

fn say(text: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn file(folder: &Path, name: &str, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{kind}"))
}

fn read(folder: &Path, name: &str, kind: &str) -> Option<String> {
    std::fs::read_to_string(file(folder, name, kind)).ok().map(|text| text.trim().to_owned())
}

async fn until<T>(seconds: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match look() {
            Some(found) => return Some(found),
            None if begun.elapsed() > seconds => return None,
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Whether a process runs: one that has ended and was not waited for does not.
fn runs(folder: &Path, name: &str) -> bool {
    let Some(pid) = read(folder, name, "pid") else { return false };
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

async fn kill(folder: &Path, name: &str, signal: &str) -> Result<()> {
    let pid = read(folder, name, "pid").with_context(|| format!("No such container: {name}"))?;
    Command::new("kill").args(["-s", signal, &pid]).stderr(Stdio::null()).status().await?;
    Ok(())
}

async fn run(folder: &Path, words: &[String]) -> Result<()> {
    let after = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let name = after("--name").context("no name")?;
    if after("--entrypoint").is_some() {
        // What runs before a version starts.
        let fails = words.iter().any(|word| word == "fails-before");
        if fails {
            bail!("the schema is another")
        }
        return Ok(());
    }
    let image = words.last().context("no image")?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(["serve", name, image]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn()?;
    let pid = child.id().context("it has ended")?;
    std::fs::write(file(folder, name, "pid"), pid.to_string())?;
    if image != "exits" {
        until(TIMEOUT, || read(folder, name, "port")).await.context("it does not listen")?;
    }
    say(name)
}

/// Is a container: it tells its image, and echoes what it hears on a socket.
async fn serve(folder: &Path, name: &str, image: &str) -> Result<()> {
    if image == "exits" {
        std::fs::write(file(folder, name, "exit"), "3")?;
        return Ok(());
    }
    let (status, told) =
        if image == "unhealthy" { (StatusCode::SERVICE_UNAVAILABLE, image) } else { (StatusCode::OK, image) };
    let told = told.to_owned();
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
        })
    };
    let router = Router::new().route("/health", get(move || async move { (status, told) })).route("/socket", get(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut terminated = signal(SignalKind::terminate())?;
    let stays = image == "stays";
    let draft = file(folder, name, "draft");
    std::fs::write(&draft, listener.local_addr()?.port().to_string())?;
    std::fs::rename(draft, file(folder, name, "port"))?;
    let over = async move {
        terminated.recv().await;
        if stays {
            std::future::pending::<()>().await;
        }
    };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving =
        tokio::spawn(
            async move { axum::serve(listener, router).with_graceful_shutdown(async { drop(ended.await) }).await },
        );
    // One that a failed test has left ends as well.
    drop(tokio::time::timeout(LIFE, over).await);
    end.send(()).map_err(|()| anyhow!("it does not serve any more"))?;
    // Sockets that stay open do not hold it up.
    drop(tokio::time::timeout(Duration::from_secs(1), serving).await);
    std::fs::write(file(folder, name, "exit"), "0")?;
    Ok(())
}

fn inspect(folder: &Path, name: &str) -> Result<()> {
    if read(folder, name, "pid").is_none() {
        bail!("No such container: {name}");
    }
    if runs(folder, name) {
        return say(&format!("running 0 {}", read(folder, name, "port").unwrap_or_default()));
    }
    say(&format!("exited {}", read(folder, name, "exit").unwrap_or_else(|| "137".to_owned())))
}

async fn stop(folder: &Path, name: &str, seconds: u64) -> Result<()> {
    kill(folder, name, "TERM").await?;
    let ended = until(Duration::from_secs(seconds), || (!runs(folder, name)).then_some(())).await;
    if ended.is_none() {
        kill(folder, name, "KILL").await?;
    }
    say(name)
}

async fn remove(folder: &Path, name: &str) -> Result<()> {
    kill(folder, name, "KILL").await?;
    for kind in ["pid", "port", "exit"] {
        drop(std::fs::remove_file(file(folder, name, kind)));
    }
    Ok(())
}
