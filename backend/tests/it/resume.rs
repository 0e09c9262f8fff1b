//! Migrations that run outside of a transaction, and migrators that are killed: what is left, and how it goes on.

use std::time::Duration;

use backend::migrations::{self, Left, Migrate, MigrationError, State};
use sqlx::migrate::Migrator;
use sqlx::{Executor, PgConnection};
use tokio::runtime::Runtime;

use crate::migrations::{has_table, migrator, on_a_database, pairs, run, states};
use crate::support::{Database, wait_for};

/// What the statements have written, in order.
async fn written(connection: &mut PgConnection) -> Vec<i32> {
    sqlx::query_scalar("SELECT n FROM log ORDER BY id").fetch_all(connection).await.unwrap()
}

async fn with_log(connection: &mut PgConnection) {
    connection.execute("CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY, n int)").await.unwrap();
}

async fn failure(connection: &mut PgConnection, known: &Migrator) -> String {
    run(connection, known, &[]).await.unwrap_err().to_string()
}

#[test]
fn several_statements_that_no_transaction_may_hold_fit_into_one_file() {
    on_a_database(async |connection| {
        let script = "-- no-transaction\nCREATE TABLE t (a int, b int);\nCREATE INDEX CONCURRENTLY t_a ON t (a);\n\
                      CREATE INDEX CONCURRENTLY t_b ON t (b);\nVACUUM t;";
        let down = "-- no-transaction\nDROP INDEX CONCURRENTLY t_a;\nDROP INDEX CONCURRENTLY t_b;\nDROP TABLE t;";
        let known = pairs(&[(1, script, down)]);
        assert_eq!(run(connection, &known, &[]).await.unwrap(), ["applied 1_test"]);
        assert_eq!(states(connection, &known).await, [(1, State::Applied)]);
        crate::migrations::all_of(&known).revert(connection, None).await.unwrap();
        assert!(!has_table(connection, "t").await);
    });
}

#[test]
fn the_next_run_goes_on_after_what_is_done_with_the_settings_of_the_session() {
    on_a_database(async |connection| {
        with_log(connection).await;
        let script = |last: &'static str| migrator(&[(1, last)]);
        let broken = script(
            "-- no-transaction\nSET application_name = 'set here';\nINSERT INTO log (n) VALUES (1);\n\n\
             INSERT INTO log (n) VALUES ('x');\nINSERT INTO log (n) VALUES (3);",
        );
        let told = failure(connection, &broken).await;
        assert!(told.contains("2 of its 4 statements are done, and the next run goes on after them"), "{told}");
        assert!(told.contains("line 5: invalid input syntax for type integer"), "{told}");
        let entries = migrations::status(connection, &broken).await.unwrap();
        assert_eq!((entries[0].state, entries[0].statements_done), (State::Pending, 2));

        connection.execute("SET application_name = 'another session'").await.unwrap();
        let better = script(
            "-- no-transaction\nSET application_name = 'set here';\nINSERT INTO log (n) VALUES (1);\n\n\
             INSERT INTO log (n) VALUES (length(current_setting('application_name')));\nINSERT INTO log (n) VALUES (3);",
        );
        assert_eq!(run(connection, &better, &[]).await.unwrap(), ["applied 1_test"]);
        assert_eq!(written(connection).await, [1, 8, 3], "what was done is not done again");
        let entries = migrations::status(connection, &better).await.unwrap();
        assert_eq!((entries[0].state, entries[0].statements_done), (State::Applied, 0));
    });
}

#[test]
fn a_statement_that_was_done_and_is_another_now_stops_the_next_run() {
    on_a_database(async |connection| {
        with_log(connection).await;
        let broken = "-- no-transaction\nINSERT INTO log (n) VALUES (1);\nINSERT INTO log (n) VALUES ('x');";
        failure(connection, &migrator(&[(1, broken)])).await;
        for other in [
            "-- no-transaction\n\nINSERT INTO log (n) VALUES (7);\nINSERT INTO log (n) VALUES (2);",
            "INSERT INTO log (n) VALUES (1);",
        ] {
            let error = run(connection, &migrator(&[(1, other)]), &[]).await.unwrap_err();
            assert!(matches!(&error, MigrationError::Failed { left: Left::Changed { done: 1 }, .. }), "{error}");
            assert!(error.to_string().contains("DELETE FROM _migration_progress WHERE version = 1"), "{error}");
        }
        assert_eq!(written(connection).await, [1]);
        connection.execute("DELETE FROM _migration_progress; TRUNCATE log").await.unwrap();
        let other = "-- no-transaction\nINSERT INTO log (n) VALUES (7);";
        run(connection, &migrator(&[(1, other)]), &[]).await.unwrap();
        assert_eq!(written(connection).await, [7]);
    });
}

#[test]
fn an_index_that_was_not_finished_is_built_anew() {
    on_a_database(async |connection| {
        with_log(connection).await;
        connection.execute("INSERT INTO log (n) VALUES (1), (1)").await.unwrap();
        let known = migrator(&[(1, "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY log_n ON log (n);")]);
        let told = failure(connection, &known).await;
        assert!(told.contains("0 of its 1 statements are done") && told.contains("SQLSTATE 23505"), "{told}");
        connection.execute("DELETE FROM log WHERE id = 2").await.unwrap();
        assert_eq!(run(connection, &known, &[]).await.unwrap(), ["applied 1_test"]);
        let valid: Vec<bool> =
            sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'log_n'::regclass")
                .fetch_all(connection)
                .await
                .unwrap();
        assert_eq!(valid, [true]);
    });
}

#[test]
fn an_index_that_was_begun_is_taken_as_it_is_only_if_its_statement_is_the_same() {
    let script = |index: &str| -> &'static str {
        Box::leak(format!("-- no-transaction\nSELECT 1;\nCREATE INDEX CONCURRENTLY {index};").into_boxed_str())
    };
    for (name, now, kept) in [
        ("same", "log_i ON log (n)", true),
        ("other columns", "log_i ON log (n, id)", false),
        ("other name", "log_j ON log (n)", false),
    ] {
        on_a_database(async |connection| {
            with_log(connection).await;
            failure(connection, &migrator(&[(1, script("log_i ON nosuch (n)"))])).await;
            // As after a kill between the end of the statement and the note that it is done.
            connection.execute("CREATE INDEX log_i ON log (n)").await.unwrap();
            let noted = "UPDATE _migration_progress SET is_begun = true, script = replace(script, 'nosuch', 'log')";
            connection.execute(noted).await.unwrap();
            let built: i64 =
                sqlx::query_scalar("SELECT 'log_i'::regclass::oid::bigint").fetch_one(&mut *connection).await.unwrap();
            run(connection, &migrator(&[(1, script(now))]), &[]).await.unwrap();
            let found: Vec<(i64, String)> = sqlx::query_as(
                "SELECT indexrelid::bigint, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'log'::regclass",
            )
            .fetch_all(connection)
            .await
            .unwrap();
            let [(index, definition)] = found.as_slice() else { panic!("{name}: {found:?}") };
            assert_eq!(*index == built, kept, "{name}: {definition}");
            let (own, columns) = now.split_once(" ON log ").unwrap();
            assert!(definition.contains(own) && definition.ends_with(columns), "{name}: {definition}");
        });
    }
}

#[test]
fn a_block_is_done_together_with_its_note_unless_it_commits_itself() {
    on_a_database(async |connection| {
        with_log(connection).await;
        let script = "-- no-transaction\n\
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no note'; END $$;\n\
            CREATE TRIGGER refuse BEFORE UPDATE ON _migration_progress FOR EACH ROW WHEN (new.done = 3) \
            EXECUTE FUNCTION refuse();\n\
            DO $$ BEGIN INSERT INTO log (n) VALUES (1); END $$;";
        let told = failure(connection, &migrator(&[(1, script)])).await;
        assert!(told.contains("no note"), "{told}");
        assert_eq!(written(connection).await, [0; 0]);
        connection.execute("DROP TRIGGER refuse ON _migration_progress").await.unwrap();
        run(connection, &migrator(&[(1, script)]), &[]).await.unwrap();
        assert_eq!(written(connection).await, [1]);
        let batches = "-- no-transaction\n\
            DO $$ BEGIN FOR i IN 2..3 LOOP INSERT INTO log (n) VALUES (i); COMMIT; END LOOP; END $$;\n\
            CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (n) VALUES (4); COMMIT; END $$;\n\
            CALL p();";
        run(connection, &migrator(&[(1, script), (2, batches)]), &[]).await.unwrap();
        assert_eq!(written(connection).await, [1, 2, 3, 4]);
    });
}

#[test]
fn what_a_transaction_of_its_own_has_taken_back_is_not_told_as_done() {
    on_a_database(async |connection| {
        with_log(connection).await;
        let script = |last: &str| -> &'static str {
            let text = "-- no-transaction\nINSERT INTO log (n) VALUES (1);\nBEGIN;\nINSERT INTO log (n) VALUES (2);\n\
                        INSERT INTO log (n) VALUES (LAST);\nCOMMIT;";
            Box::leak(text.replace("LAST", last).into_boxed_str())
        };
        let told = failure(connection, &migrator(&[(1, script("'x'"))])).await;
        assert!(told.contains("1 of its 5 statements are done") && told.contains("line 5: "), "{told}");
        let held: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
        assert_eq!((held, written(connection).await), (0, vec![1]));
        run(connection, &migrator(&[(1, script("3"))]), &[]).await.unwrap();
        assert_eq!(written(connection).await, [1, 2, 3]);
    });
}

#[test]
fn a_semicolon_in_a_string_with_escapes_or_in_a_rule_ends_no_statement() {
    on_a_database(async |connection| {
        with_log(connection).await;
        let script = "-- no-transaction\nINSERT INTO log (n) VALUES (length(E'it''s a\\'; b'));\n\
            CREATE TABLE t (a int);\nCREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO log (n) VALUES (1); \
            INSERT INTO log (n) VALUES (2));\nINSERT INTO t VALUES (0);";
        run(connection, &migrator(&[(1, script)]), &[]).await.unwrap();
        assert_eq!(written(connection).await, [10, 1, 2]);
    });
}

#[test]
fn a_failure_names_the_line_of_its_statement() {
    on_a_database(async |connection| {
        with_log(connection).await;
        for (script, line) in [
            ("SELECT 1;\n\nSELEC 2;", 3),
            ("SELECT 1;\n-- ä;\nINSERT INTO log (n)\nVALUES ('x');", 4),
            ("SELECT 1;\n\n\nDO $$ BEGIN\n RAISE 'no';\nEND $$;\nSELECT 1;", 4),
            ("SELECT ';';\nSELECT 1 / (SELECT count(*) FROM log);", 2),
        ] {
            let told = failure(connection, &migrator(&[(1, script)])).await;
            assert!(
                told.contains(&format!("failed and was rolled back (0 applied before it): line {line}: ")),
                "{told}"
            );
        }
        let known = pairs(&[(1, "SELECT 1;", "SELECT 1;\nDROP TABLE nosuch;")]);
        run(connection, &known, &[]).await.unwrap();
        let error = crate::migrations::all_of(&known).revert(connection, None).await.unwrap_err().to_string();
        assert!(error.contains("line 2: table \"nosuch\" does not exist"), "{error}");
    });
}

#[test]
fn a_lock_that_somebody_holds_is_tried_again_and_nobody_waits_behind_it_for_long() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let (mut holder, mut migrator_of_it) = (database.connect().await, database.connect().await);
        holder.execute("CREATE TABLE t (a int)").await.unwrap();
        holder.execute("BEGIN; SELECT * FROM t").await.unwrap();
        let known = migrator(&[(1, "ALTER TABLE t ADD COLUMN b int;")]);
        let release = async {
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND \
                           database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            wait_for(&mut holder, waiting, 1).await;
            // It gives way to whoever waits behind it.
            wait_for(&mut holder, waiting, 0).await;
            holder.execute("COMMIT").await.unwrap();
        };
        let (applied, ()) = tokio::join!(run(&mut migrator_of_it, &known, &[]), release);
        assert_eq!(applied.unwrap(), ["applied 1_test"]);
    });
}

#[test]
fn every_migration_has_limits_unless_its_file_sets_others() {
    on_a_database(async |connection| {
        let limits = "current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')";
        connection.execute("CREATE TABLE told (id int GENERATED ALWAYS AS IDENTITY, limits text)").await.unwrap();
        let tell = format!("INSERT INTO told (limits) SELECT {limits};");
        let heads = [
            "",
            "SET LOCAL lock_timeout = '7s';",
            "-- no-transaction\n",
            "-- no-transaction\nSET lock_timeout = '7s';",
        ];
        let script = |head: &str| -> &'static str { Box::leak(format!("{head}\n{tell}").into_boxed_str()) };
        let known: Vec<(i64, &'static str)> =
            heads.iter().zip(1..).map(|(head, version)| (version, script(head))).collect();
        run(connection, &migrator(&known), &[]).await.unwrap();
        let told: Vec<String> =
            sqlx::query_scalar("SELECT limits FROM told ORDER BY id").fetch_all(&mut *connection).await.unwrap();
        assert_eq!(told, ["3s 15min", "7s 15min", "3s 15min", "7s 0"]);
    });
}

#[test]
fn a_lock_that_is_never_got_is_a_failure_and_a_file_says_how_long_it_waits() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let (mut holder, mut connection) = (database.connect().await, database.connect().await);
        holder.execute("CREATE TABLE t (a int)").await.unwrap();
        holder.execute("BEGIN; SELECT * FROM t").await.unwrap();
        let script = "SET LOCAL lock_timeout = '50ms';\nALTER TABLE t ADD COLUMN b int;";
        let told = failure(&mut connection, &migrator(&[(1, script)])).await;
        assert!(told.contains("failed and was rolled back") && told.contains("line 2: "), "{told}");
        assert!(told.contains("SQLSTATE 55P03"), "{told}");
        assert_eq!(states(&mut connection, &migrator(&[(1, script)])).await, [(1, State::Pending)]);
    });
}

const CHILD: &str = "MIGRATE_AS_A_CHILD";
const SLOW: &str = "INSERT INTO log (n) VALUES (1);\nINSERT INTO log (n) SELECT 2 FROM pg_sleep(600);\n\
                    INSERT INTO log (n) VALUES (3);";
const QUICK: &str = "INSERT INTO log (n) VALUES (1);\nINSERT INTO log (n) SELECT 2 FROM pg_sleep(0);\n\
                     INSERT INTO log (n) VALUES (3);";

/// A migrator in a process of its own, for the test below; nothing where nobody has asked for it.
#[test]
fn a_child_that_migrates() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let (url, head) = words.split_once(' ').unwrap();
    let script: &'static str = Box::leak(format!("{head}\n{SLOW}").into_boxed_str());
    let settings =
        [("DATABASE_URL", url), ("REDIS_URL", "redis://h"), ("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
    let second = ("JWT_REFRESH_SECRET", "fedcba9876543210fedcba9876543210");
    let settings: Vec<(String, String)> =
        settings.into_iter().chain([second]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Runtime::new().unwrap().block_on(async {
        let mut connection = backend::connect::postgres(&crate::support::config(&settings)).await.unwrap();
        let known = migrator(&[(1, script)]);
        let migrate = Migrate { known: &known, lock_timeout: Duration::from_secs(5), drafts: &[] };
        drop(migrate.run(&mut connection).await);
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only a process of its own can be killed")]
fn a_migrator_that_is_killed_leaves_no_lock_and_nothing_half_done_that_is_not_told() {
    for (head, left, after) in [("-- whole", vec![], vec![1, 2, 3]), ("-- no-transaction", vec![1], vec![1, 2, 3])] {
        let runtime = Runtime::new().unwrap();
        let database = Database::empty(&runtime);
        runtime.block_on(async {
            let mut connection = database.connect().await;
            with_log(&mut connection).await;
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "resume::a_child_that_migrates"])
                .env(CHILD, format!("{} {head}", database.url))
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE \
                          '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()";
            wait_for(&mut connection, sleeps, 1).await;
            child.kill().unwrap();
            child.wait().unwrap();
            let script: &'static str = Box::leak(format!("{head}\n{QUICK}").into_boxed_str());
            let known = migrator(&[(1, script)]);
            // The server notices within a second that nobody is there any more.
            let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND \
                        database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            wait_for(&mut connection, held, 0).await;
            assert_eq!(written(&mut connection).await, left, "{head}");
            run(&mut connection, &known, &[]).await.unwrap();
            assert_eq!(written(&mut connection).await, after, "{head}");
        });
    }
}
