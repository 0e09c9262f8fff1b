//! How a database gets its migrations, and what it holds when that goes wrong.

use std::borrow::Cow;
use std::time::Duration;

use backend::migrations::{self, EMBEDDED, Left, Migrate, MigrationError, State};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};
use tokio::runtime::Runtime;

use crate::support::Database;

const PATIENCE: Duration = Duration::from_secs(30);

fn migration(version: i64, kind: MigrationType, sql: &'static str) -> Migration {
    let no_tx = sql.starts_with("-- no-transaction");
    Migration::new(version, Cow::Borrowed("test"), kind, sql.into_sql_str(), no_tx)
}

/// Migrations that have no way back.
pub fn migrator(scripts: &[(i64, &'static str)]) -> Migrator {
    let one = |(version, sql): &(i64, &'static str)| migration(*version, MigrationType::ReversibleUp, sql);
    Migrator::with_migrations(scripts.iter().map(one).collect())
}

/// Migrations with their way back.
pub fn pairs(scripts: &[(i64, &'static str, &'static str)]) -> Migrator {
    let pair = |(version, up, down): &(i64, &'static str, &'static str)| {
        [migration(*version, MigrationType::ReversibleUp, up), migration(*version, MigrationType::ReversibleDown, down)]
    };
    Migrator::with_migrations(scripts.iter().flat_map(pair).collect())
}

pub fn all_of(known: &Migrator) -> Migrate<'_> {
    Migrate { known, lock_timeout: PATIENCE, drafts: &[] }
}

pub async fn run(
    connection: &mut PgConnection,
    known: &Migrator,
    drafts: &[i64],
) -> Result<Vec<String>, MigrationError> {
    let changes = Migrate { drafts, ..all_of(known) }.run(connection).await?;
    Ok(changes.iter().map(ToString::to_string).collect())
}

pub async fn states(connection: &mut PgConnection, known: &Migrator) -> Vec<(i64, State)> {
    let entries = migrations::status(connection, known).await.unwrap();
    entries.iter().map(|entry| (entry.version, entry.state)).collect()
}

/// Whether there is a table of that name.
pub async fn has_table(connection: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(name).fetch_one(connection).await.unwrap()
}

/// A test on an empty database.
pub fn on_a_database(test: impl AsyncFnOnce(&mut PgConnection)) {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        test(&mut connection).await;
    });
}

#[test]
fn an_empty_database_has_everything_pending_and_asking_changes_nothing() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        for _ in 0..2 {
            let entries = migrations::status(&mut connection, &EMBEDDED).await.unwrap();
            assert!(entries.iter().all(|entry| entry.state == State::Pending) && !entries.is_empty());
        }
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(tables, 0);
    });
}

#[test]
fn eight_at_once_apply_each_migration_once() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    let applied: usize = runtime.block_on(async {
        let one = || async {
            let mut connection = database.connect().await;
            all_of(&EMBEDDED).run(&mut connection).await.unwrap().len()
        };
        futures_util::future::join_all((0..8).map(|_| one())).await.into_iter().sum()
    });
    assert_eq!(applied, EMBEDDED.iter().filter(|one| one.migration_type.is_up_migration()).count());
}

#[test]
fn every_down_migration_takes_back_what_its_up_migration_made() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        all_of(&EMBEDDED).run(&mut connection).await.unwrap();
        for migration in
            EMBEDDED.iter().filter(|one| one.migration_type.is_down_migration()).collect::<Vec<_>>().iter().rev()
        {
            connection.execute(migration.sql.clone()).await.unwrap();
        }
        let left: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        assert_eq!(left, ["_migration_progress", "_migration_texts", "_sqlx_migrations"], "only what migrating keeps");
    });
}

#[test]
fn one_that_fails_half_way_leaves_nothing_of_itself_and_keeps_those_before() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        let good = (1, "CREATE TABLE kept (id int);");
        let bad = migrator(&[good, (2, "CREATE TABLE half (id int); INSERT INTO nowhere VALUES (1);")]);
        let error = run(&mut connection, &bad, &[]).await.unwrap_err();
        let MigrationError::Failed { migration, applied, left: Left::Nothing, .. } = &error else { panic!("{error}") };
        assert_eq!((migration.as_str(), *applied), ("2_test", 1));
        assert!(error.to_string().contains("failed and was rolled back"), "{error}");
        assert!(error.to_string().contains("relation \"nowhere\" does not exist (SQLSTATE 42P01)"), "{error}");

        let mended = migrator(&[good, (2, "CREATE TABLE half (id int);")]);
        let applied = run(&mut connection, &mended, &[]).await.unwrap();
        assert_eq!(applied, ["applied 2_test"], "the lock was let go, the table of the first attempt is gone");
    });
}

#[test]
fn an_altered_migration_stops_before_anything_is_applied() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        run(&mut connection, &migrator(&[(1, "SELECT 1;")]), &[]).await.unwrap();
        let altered = migrator(&[(1, "SELECT 2;"), (2, "CREATE TABLE new (id int);")]);
        let error = run(&mut connection, &altered, &[]).await.unwrap_err();
        assert!(matches!(&error, MigrationError::Diverged(all) if all.len() == 1), "{error}");
        assert!(connection.execute("SELECT * FROM new").await.is_err());
    });
}

#[test]
fn a_migration_that_only_the_database_knows_stops_nobody() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        let newer = migrator(&[(1, "SELECT 1;"), (3, "SELECT 3;")]);
        run(&mut connection, &newer, &[]).await.unwrap();
        let older = migrator(&[(1, "SELECT 1;")]);
        assert_eq!(run(&mut connection, &older, &[]).await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn the_wait_for_the_lock_ends_and_names_its_holder() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut holder = database.connect().await;
        holder.execute("SET application_name = 'the other one'").await.unwrap();
        sqlx::query("SELECT pg_advisory_lock($1)").bind(migrations::LOCK).execute(&mut holder).await.unwrap();
        let mut connection = database.connect().await;
        let error = Migrate { lock_timeout: Duration::from_secs(1), ..all_of(&EMBEDDED) }
            .run(&mut connection)
            .await
            .unwrap_err();
        let MigrationError::Locked { holder: Some(told), .. } = &error else { panic!("{error}") };
        assert!(told.contains("(the other one)") && told.contains("127.0.0.1"), "{told}");
        assert!(told.contains("pg_advisory_lock") && told.contains("SELECT pg_terminate_backend("), "{told}");

        holder.close().await.unwrap();
        all_of(&EMBEDDED).run(&mut connection).await.unwrap();
    });
}

#[test]
fn a_file_without_a_statement_is_never_applied_and_stops_the_others_too() {
    on_a_database(async |connection| {
        for blank in ["", "\n \n", "-- what it will do\n/* and why */ ;"] {
            let known = migrator(&[(1, "CREATE TABLE one (id int);"), (2, blank)]);
            let error = run(connection, &known, &[]).await.unwrap_err();
            let MigrationError::Empty(names) = &error else { panic!("{error}") };
            assert_eq!(*names, ["2_test"]);
            assert!(
                error.to_string().contains("2_test.up.sql") && error.to_string().contains("write the SQL"),
                "{error}"
            );
            assert_eq!(states(connection, &known).await, [(1, State::Pending), (2, State::Empty)]);
            assert!(!has_table(connection, "one").await, "nothing was applied");
        }
    });
}

#[test]
fn what_a_failed_migration_has_left_behind_is_told_as_it_is() {
    on_a_database(async |connection| {
        let committed = "CREATE TABLE kept (id int); COMMIT; INSERT INTO nowhere VALUES (1);";
        let error = run(connection, &migrator(&[(1, committed)]), &[]).await.unwrap_err();
        assert!(error.to_string().contains("failed after a COMMIT of its own"), "{error}");
        assert!(!error.to_string().contains("was rolled back"), "{error}");
        assert!(has_table(connection, "kept").await);

        let loose = "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON nowhere (id);";
        let error = run(connection, &migrator(&[(2, loose)]), &[]).await.unwrap_err();
        assert!(error.to_string().contains("failed outside of a transaction"), "{error}");
        assert!(!error.to_string().contains("was rolled back"), "{error}");

        // Nothing of all this stands in the way of a better attempt.
        let better = migrator(&[(1, "DROP TABLE kept;"), (2, "SELECT 1;")]);
        assert_eq!(run(connection, &better, &[]).await.unwrap().len(), 2);
    });
}

#[test]
fn a_migration_that_is_older_than_an_applied_one_is_named_before_anything_runs() {
    on_a_database(async |connection| {
        run(connection, &migrator(&[(1, "SELECT 1;"), (3, "SELECT 3;")]), &[]).await.unwrap();
        let merged =
            migrator(&[(1, "SELECT 1;"), (2, "CREATE TABLE late (id int);"), (3, "SELECT 3;"), (4, "SELECT 4;")]);
        let error = run(connection, &merged, &[]).await.unwrap_err();
        let MigrationError::OutOfOrder { pending, newest } = &error else { panic!("{error}") };
        assert_eq!((pending.as_slice(), newest.as_str()), (&["2_test".to_owned()][..], "3_test"));
        assert!(!has_table(connection, "late").await);
        let entries = migrations::status(connection, &merged).await.unwrap();
        let late: Vec<_> = entries.iter().filter(|entry| entry.out_of_order).map(|entry| entry.version).collect();
        assert_eq!(late, [2]);
    });
}
