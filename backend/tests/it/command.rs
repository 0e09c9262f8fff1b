//! The binary as whoever operates it sees it: exit codes, streams and signals.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::Executor;
use tokio::runtime::Runtime;

use crate::support::{Database, Serving, agent, read, run, serve, settings, text, thunder};

/// What production requires beyond what all environments do.
pub const PRODUCTION: &[(&str, &str)] = &[
    ("APP_ENV", "production"),
    ("HEALTH_TOKEN", "0123456789abcdef0123456789abcdef"),
    ("SMTP_URL", "smtp://localhost:25"),
];

#[test]
fn without_settings_it_names_all_that_are_missing_and_ends_with_3() {
    let output = run(&["serve"], &[("JWT_SECRET".to_owned(), "hunter2".to_owned())]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    for name in ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "JWT_REFRESH_SECRET"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_declaration_is_json_with_every_promised_member() {
    let output = run(&["config", "--json"], &[]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema_version"], 1);
    let settings = document["settings"].as_array().unwrap();
    for setting in settings {
        for member in ["name", "required", "required_in_production", "secret", "default", "description"] {
            assert!(setting.get(member).is_some(), "{member} of {setting}");
        }
    }
    let required: Vec<&str> = settings
        .iter()
        .filter(|setting| setting["required"] == true)
        .map(|setting| setting["name"].as_str().unwrap())
        .collect();
    assert_eq!(required, ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "JWT_REFRESH_SECRET"]);
}

#[test]
fn migrations_are_applied_told_and_checked_by_exit_code() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    let environment = settings(&database, &[("MIGRATION_LOCK_TIMEOUT", "1")]);
    let pending = run(&["migrate", "status"], &environment);
    assert_eq!(pending.status.code(), Some(5), "pending");
    assert!(text(&pending.stdout).ends_with("\npending: `migrate run` applies it\n"), "{}", text(&pending.stdout));
    let shown = text(&run(&["migrate", "run", "--dry-run"], &environment).stdout);
    assert!(
        shown.starts_with("-- 20261121090000_programs.up.sql\n") && shown.contains("CREATE TABLE reports"),
        "{shown}"
    );
    assert_eq!(run(&["migrate", "status"], &environment).status.code(), Some(5), "nothing was applied");
    let applied = run(&["migrate"], &environment);
    assert!(applied.status.success() && text(&applied.stdout).contains("applied "), "{}", text(&applied.stderr));
    assert!(text(&run(&["migrate", "run"], &environment).stdout).contains("nothing to apply"));
    assert_eq!(text(&run(&["migrate", "run", "--dry-run"], &environment).stdout), "-- nothing to apply\n");
    let status = run(&["migrate", "status", "--json"], &environment);
    let document: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((status.status.code(), &document["pending"], &document["empty"]), (Some(0), &0.into(), &0.into()));
    assert_eq!(document["migrations"][0]["state"], "applied");
    assert!(!text(&run(&["migrate", "status"], &environment).stdout).contains("\n\n"), "nothing is left to do");

    runtime.block_on(async {
        let mut connection = database.connect().await;
        connection.execute("UPDATE _sqlx_migrations SET checksum = '\\x00'").await.unwrap();
    });
    assert_eq!(run(&["migrate", "status"], &environment).status.code(), Some(5), "altered");
    assert_eq!(run(&["migrate", "run"], &environment).status.code(), Some(5), "altered");

    runtime.block_on(async {
        let mut connection = database.connect().await;
        let lock = backend::migrations::LOCK;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(lock).execute(&mut connection).await.unwrap();
        let locked = run(&["migrate", "run"], &environment);
        assert_eq!(locked.status.code(), Some(6), "{}", text(&locked.stderr));
    });
}

#[test]
fn the_newest_migration_can_be_redone_outside_of_production() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let output = run(&["migrate", "redo"], &settings(&database, &[]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with(": reverted, applied again\n"), "{}", text(&output.stdout));
    // The result is printed once. PostgreSQL's notices about tables that exist already are not printed.
    assert_eq!(text(&output.stderr), "");
    let production = settings(&database, PRODUCTION);
    assert_eq!(run(&["migrate", "redo"], &production).status.code(), Some(9));
    assert_eq!(run(&["migrate", "run", "--draft", "20261121090000"], &production).status.code(), Some(9));
    let drafts = settings(&database, &[PRODUCTION, &[("MIGRATION_DRAFTS", "20261121090000")]].concat());
    let output = run(&["config", "--check"], &drafts);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("MIGRATION_DRAFTS must not be set"), "{}", text(&output.stderr));
}

/// The migration is altered behind its back: the recorded checksum is another one.
#[test]
fn drafts_are_named_by_arguments_or_by_a_setting() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let newest = backend::migrations::EMBEDDED.iter().map(|migration| migration.version).max().unwrap().to_string();
    let alter = || {
        runtime.block_on(async {
            let mut connection = database.connect().await;
            let alter = "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
            connection.execute(alter).await.unwrap();
        });
    };
    alter();
    assert_eq!(run(&["migrate", "run"], &settings(&database, &[])).status.code(), Some(5));
    let output = run(&["migrate", "run", "--draft", &newest], &settings(&database, &[]));
    assert!(text(&output.stdout).starts_with(&format!("draft {newest}_")), "{}", text(&output.stderr));
    alter();
    let serving = serve(&settings(&database, &[("RUN_MIGRATIONS", "true"), ("MIGRATION_DRAFTS", &newest)]));
    serving.signal("TERM");
    let (code, _) = serving.end();
    assert_eq!(code, Some(0));
    assert_eq!(run(&["migrate", "status"], &settings(&database, &[])).status.code(), Some(0));
}

#[test]
fn a_check_of_the_settings_can_be_read_by_a_program() {
    let output = run(&["config", "--check", "--json"], &[("JWT_SECRET".to_owned(), "hunter2".to_owned())]);
    assert_eq!(output.status.code(), Some(3));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["schema_version"], &document["ok"]), (&1.into(), &false.into()));
    let secret = document["problems"].as_array().unwrap().iter().find(|one| one["name"] == "JWT_SECRET").unwrap();
    assert_eq!(secret["problem"], "must be at least 32 characters long");
    assert!(!text(&output.stdout).contains("hunter2"));

    let runtime = Runtime::new().unwrap();
    let output = run(&["config", "--check", "--json"], &settings(&Database::empty(&runtime), &[]));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["ok"], &document["problems"]), (Some(0), &true.into(), &json!([])));
}

#[test]
fn a_wrong_password_fails_at_once_and_shows_no_password() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (before, after) = database.url.split_once('@').unwrap();
    let user = before.rsplit_once(':').unwrap().0;
    let wrong = format!("{user}:hunter2hunter2@{after}");
    let output = run(&["serve"], &settings(&database, &[("DATABASE_URL", &wrong), ("STARTUP_TIMEOUT", "3600")]));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(said.contains("PostgreSQL refused the connection"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn it_waits_for_a_database_that_is_not_there_yet_and_not_for_ever() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let absent = format!("postgres://u:p@{nobody}/d");
    let output = run(&["serve"], &settings(&database, &[("DATABASE_URL", &absent), ("STARTUP_TIMEOUT", "1")]));
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stdout).contains("waiting for PostgreSQL"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("PostgreSQL did not answer within 1 s"), "{}", text(&output.stderr));
}

#[test]
fn a_database_that_goes_away_while_it_migrates_is_no_fault_of_a_migration() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    let mut other = runtime.block_on(database.connect());
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(backend::migrations::LOCK);
    runtime.block_on(lock.execute(&mut other)).unwrap();
    let mut migrate = thunder(&["migrate", "run"], &settings(&database, &[])).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(migrate.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("waiting for the migration lock")));
    database.close(&runtime);
    assert_eq!(migrate.wait().unwrap().code(), Some(4));
    database.open(&runtime);
    assert_eq!(run(&["migrate", "run"], &settings(&database, &[])).status.code(), Some(0));
}

#[test]
fn demo_data_is_refused_in_production_and_without_a_schema() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    assert_eq!(run(&["seed"], &settings(&database, PRODUCTION)).status.code(), Some(9));
    let empty = Database::empty(&runtime);
    let unmigrated = run(&["seed"], &settings(&empty, &[]));
    assert_eq!(unmigrated.status.code(), Some(5), "{}", text(&unmigrated.stderr));
    assert!(text(&unmigrated.stderr).contains("migrations are pending"), "{}", text(&unmigrated.stderr));
    let output = run(&["seed"], &settings(&database, &[]));
    assert!(output.status.success() && text(&output.stdout).starts_with("added "), "{}", text(&output.stderr));
}

#[test]
fn sigterm_ends_an_idle_server_in_order() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[]));
    let answer = read(agent().get(format!("http://127.0.0.1:{}/health", serving.port)).call());
    assert_eq!(answer.status, 200);
    let begun = Instant::now();
    serving.signal("TERM");
    let (code, said) = serving.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopping signal=\"SIGTERM\"") && said.contains("stopped"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "an idle server has nothing to wait for");
    let (before, after) = said.split_once("INFO draining stopping").expect("lines after the signal are marked");
    assert!(!before.contains(" draining ") && after.lines().skip(1).all(|line| line.contains(" draining ")), "{said}");
}

#[test]
fn an_answer_is_one_short_line_and_a_probe_that_is_content_none() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[]));
    let ask = |path: &str, id: &str| {
        let request = agent().get(format!("http://127.0.0.1:{}{path}", serving.port));
        read(request.header("x-request-id", id).call()).status
    };
    assert_eq!((ask("/health", "id-1"), ask("/api/v1/programs", "id-2"), ask("/nowhere", "id-3")), (200, 200, 404));
    serving.signal("TERM");
    let (_, said) = serving.end();
    assert!(!said.contains("id-1"), "{said}");
    for (id, middle) in [("id-2", "INFO GET /api/v1/programs 200 "), ("id-3", "INFO GET /nowhere 404 ")] {
        let line = said.lines().find(|line| line.ends_with(id)).unwrap_or_else(|| panic!("a line of {id}: {said}"));
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 27 && time.ends_with('Z'), "{line}");
        let duration = rest.trim_start().strip_prefix(middle).unwrap_or_else(|| panic!("{line}"));
        assert!(duration.split(' ').nth(1).is_some_and(|unit| unit == "ms"), "{line}");
    }
}

#[test]
fn json_lines_of_a_process_that_was_told_to_stop_say_so() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let environment = settings(&database, &[("LOG_FORMAT", "json")]);
    let mut child = thunder(&["serve"], &environment).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let first = lines.next().unwrap();
    assert_eq!((&first["message"], first.get("draining")), (&"listening".into(), None));
    let serving = Serving { child, port: 0, lines: std::sync::mpsc::channel().1 };
    serving.signal("TERM");
    let after: Vec<_> = lines.collect();
    assert!(!after.is_empty() && after.iter().all(|line| line["draining"] == true), "{after:?}");
    serving.end();
}

#[test]
fn migrations_run_at_start_where_that_is_asked_for() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    let serving = serve(&settings(&database, &[("RUN_MIGRATIONS", "true")]));
    let answer = read(agent().get(format!("http://127.0.0.1:{}/health", serving.port)).call());
    assert_eq!((answer.status, &answer.body["status"]), (200, &"ok".into()));
    let port = [("PORT".to_owned(), serving.port.to_string())];
    assert_eq!(run(&["healthcheck"], &port).status.code(), Some(0));
    serving.signal("INT");
    let (code, said) = serving.end();
    assert_eq!(code, Some(0));
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("no {words:?} in {said}"));
    let (mut count, mut last) = (0, 0);
    for migration in backend::migrations::EMBEDDED.iter().filter(|one| one.migration_type.is_up_migration()) {
        let at = place(&format!(" INFO applied {}_", migration.version));
        assert!(at > last, "each in its turn: {said}");
        (count, last) = (count + 1, at);
    }
    assert!(place(&format!(" INFO migrations are up to date applied={count}")) > last, "{said}");
    let serving = serve(&settings(&database, &[("RUN_MIGRATIONS", "true")]));
    serving.signal("INT");
    let (_, again) = serving.end();
    assert!(again.contains("up to date applied=0") && !again.contains("INFO applied "), "{again}");
    assert_eq!(run(&["healthcheck"], &port).status.code(), Some(1), "nobody is there any more");
}

#[test]
fn sigterm_ends_one_that_is_still_waiting_for_its_database() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let absent = format!("postgres://u:p@{nobody}/d");
    let environment = settings(&database, &[("DATABASE_URL", &absent), ("STARTUP_TIMEOUT", "3600")]);
    let mut child = thunder(&["serve"], &environment).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("waiting for PostgreSQL")));
    let serving = Serving { child, port: 0, lines: std::sync::mpsc::channel().1 };
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
    drop(lines);
}

#[test]
fn logs_are_one_json_object_a_line_where_that_is_asked_for() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let mut child =
        thunder(&["serve"], &settings(&database, &[("LOG_FORMAT", "json")])).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["level"], &object["message"]), (&"INFO".into(), &"listening".into()));
    assert!(object["timestamp"].is_string());
}

/// A server on a socket that this test holds, started as systemd starts one.
fn serve_on(listener: &TcpListener, notices: &Path, environment: &[(String, String)]) -> Child {
    let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" serve";
    #[expect(clippy::disallowed_methods, reason = "the tests start the binary as a user does")]
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_thunder")]).env_clear().envs(environment.iter().cloned());
    let socket = OwnedFd::from(listener.try_clone().unwrap());
    command.env("NOTIFY_SOCKET", notices).stdin(Stdio::from(socket)).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn one_server_takes_over_from_another_on_a_socket_that_somebody_holds_for_both() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let environment = settings(&database, &[]);
    let folder = std::env::temp_dir().join(format!("thunder-notices-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let notices = UnixDatagram::bind(folder.join("socket")).unwrap();
    notices.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = |word: &str| {
        let mut bytes = [0; 256];
        let length = notices.recv(&mut bytes).unwrap();
        assert_eq!(std::str::from_utf8(&bytes[..length]).unwrap().trim(), word);
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());

    let first = serve_on(&listener, &folder.join("socket"), &environment);
    hear("READY=1");
    let kept = agent();
    assert_eq!(read(kept.get(&url).call()).status, 200);
    let second = serve_on(&listener, &folder.join("socket"), &environment);
    hear("READY=1");
    let serving = |child| Serving { child, port: 0, lines: std::sync::mpsc::channel().1 };
    let (first, second) = (serving(first), serving(second));
    first.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(read(kept.get(&url).call()).status, 200, "on the connection that was open, whoever answers");
    assert_eq!(first.end().0, Some(0));
    assert_eq!(read(agent().get(&url).call()).status, 200);

    // With nobody to answer, a connection waits for the next server.
    second.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(second.end().0, Some(0));
    let waiting = std::thread::spawn(move || read(agent().get(&url).call()).status);
    let third = serving(serve_on(&listener, &folder.join("socket"), &environment));
    assert_eq!(waiting.join().unwrap(), 200);
    third.signal("TERM");
    assert_eq!(third.end().0, Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}
