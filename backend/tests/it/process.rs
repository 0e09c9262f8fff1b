//! The process among others on a machine: its environment, its limits, its logs, and servers that do not answer.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use sqlx::Executor;
use tokio::runtime::Runtime;

use crate::support::{Database, agent, read, run, serve, settings, text};

#[test]
fn the_commit_is_what_was_built_whatever_the_environment_says() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[("GIT_COMMIT", "forged"), ("THUNDER_COMMIT", "forged")]));
    assert_eq!(read(agent().get(serving.url("/health")).call()).body["commit"], backend::COMMIT);
    assert_ne!(backend::COMMIT, "unknown", "the tests are built in a repository");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_health_check_of_this_machine_takes_no_proxy() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[]));
    let nobody = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let environment: Vec<(String, String)> = [("PORT", serving.port.to_string())]
        .into_iter()
        .chain(["HTTP_PROXY", "http_proxy", "ALL_PROXY"].map(|name| (name, nobody.clone())))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let alive = run(&["healthcheck"], &environment);
    assert_eq!(alive.status.code(), Some(0), "{}", text(&alive.stderr));
    let ready = run(&["healthcheck", "--ready"], &environment);
    assert!(ready.status.success() && text(&ready.stdout).contains(r#""status":"ok""#), "{}", text(&ready.stdout));
    let smoke = run(&["smoke", "--url", &serving.url("")], &environment);
    assert!(smoke.status.success(), "{}{}", text(&smoke.stdout), text(&smoke.stderr));
    database.close(&runtime);
    crate::support::until("it is not ready", || {
        run(&["healthcheck", "--ready"], &environment).status.code() == Some(1)
    });
    assert_eq!(run(&["healthcheck"], &environment).status.code(), Some(0), "and lives all the same");
    serving.signal("TERM");
    serving.end();
}

/// What the kernel says of a process.
fn about(serving: &crate::support::Serving, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", serving.child.id())).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
}

#[test]
fn the_limit_on_open_files_is_raised_and_one_that_cannot_be_is_kept_to() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let environment = settings(&database, &[]);
    let soft = crate::support::process::serve_by("ulimit -Sn 256", &environment);
    let files = about(&soft, "limits", "Max open files").split_whitespace().next().unwrap().parse::<u64>().unwrap();
    assert!(files >= 8192, "{files}");
    soft.signal("TERM");
    assert_eq!(soft.end().0, Some(0));

    let hard = crate::support::process::serve_by("ulimit -n 300", &environment);
    // More than there are files for: none of them is refused, and none makes the others wait for ever.
    let streams: Vec<_> = (0..400).map(|_| std::net::TcpStream::connect(("127.0.0.1", hard.port)).unwrap()).collect();
    drop(streams);
    assert_eq!(read(agent().get(hard.url("/health")).call()).status, 200);
    hard.signal("TERM");
    let (code, said) = hard.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("leaves room for fewer connections files=300 connections=172"), "{said}");
    assert!(!said.contains("cannot accept"), "{said}");
}

#[test]
fn threads_stay_below_what_a_container_may_have() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[]));
    let url = serving.url("/api/v1/programs");
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| read(agent().get(&url).call()).status);
        }
    });
    let threads: u32 = about(&serving, "status", "Threads:").parse().unwrap();
    assert!(threads <= 16 + 32 + 4, "{threads}");
    serving.signal("TERM");
    serving.end();
}

#[test]
fn the_id_of_a_failed_request_is_in_the_logs_whatever_their_level() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    for (level, format) in [("warn", "pretty"), ("error", "json")] {
        let environment = settings(&database, &[("LOG_LEVEL", level)]);
        let serving = crate::support::process::serve_quietly(&environment, &[("LOG_FORMAT", format)]);
        database.close(&runtime);
        let answer = read(agent().get(serving.url("/api/v1/programs")).call());
        assert_eq!(answer.status, 503);
        serving.signal("TERM");
        let (_, said) = serving.end();
        let lines: Vec<&str> =
            said.lines().filter(|line| line.contains(answer.body["request_id"].as_str().unwrap())).collect();
        assert!(lines.iter().any(|line| line.contains("database unavailable")), "{said}");
        assert!(lines.iter().any(|line| line.contains("503")), "{said}");
        assert!(!said.contains("INFO") && !said.contains("listening"), "{said}");
        database.open(&runtime);
    }
}

#[test]
fn a_database_that_accepts_and_never_answers_is_given_up_on_by_every_command() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:p@{}/d", deaf.local_addr().unwrap());
    let environment = settings(&database, &[("DATABASE_URL", &url), ("STARTUP_TIMEOUT", "1")]);
    for command in [&["migrate", "run"][..], &["migrate", "status"], &["migrate", "redo"], &["seed"]] {
        let begun = Instant::now();
        let output = run(command, &environment);
        assert_eq!(output.status.code(), Some(4), "{command:?}");
        assert!(text(&output.stderr).contains("PostgreSQL did not answer within 1 s"), "{}", text(&output.stderr));
        assert!(begun.elapsed() < Duration::from_secs(5), "{command:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn another_process_that_seeds_is_not_waited_for_for_ever() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let mut holder = runtime.block_on(database.connect());
    runtime.block_on(holder.execute("SELECT pg_advisory_lock(x'73656564'::bigint)")).unwrap();
    let output = run(&["seed"], &settings(&database, &[("MIGRATION_LOCK_TIMEOUT", "1")]));
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("another process still adds demo data after"), "{}", text(&output.stderr));
}
