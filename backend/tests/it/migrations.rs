use std::borrow::Cow;
use std::time::Duration;

use backend::migrations::{self, MigrationError, State};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, Executor, SqlSafeStr};
use tokio::runtime::Runtime;

use crate::support::Database;

const PATIENCE: Duration = Duration::from_secs(30);

fn migrator(scripts: &[(i64, &'static str)]) -> Migrator {
    let migration = |(version, sql): &(i64, &'static str)| {
        Migration::new(*version, Cow::Borrowed("test"), MigrationType::ReversibleUp, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(scripts.iter().map(migration).collect())
}

#[test]
fn an_empty_database_has_everything_pending_and_asking_changes_nothing() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        for _ in 0..2 {
            let entries = migrations::status(&mut connection).await.unwrap();
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
fn four_at_once_apply_each_migration_once() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    let applied: usize = runtime.block_on(async {
        let one = || async {
            let mut connection = database.connect().await;
            migrations::run(&mut connection, PATIENCE).await.unwrap().len()
        };
        let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
        a + b + c + d
    });
    assert_eq!(applied, migrations::EMBEDDED.iter().filter(|one| one.migration_type.is_up_migration()).count());
}

#[test]
fn every_down_migration_takes_back_what_its_up_migration_made() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        migrations::run(&mut connection, PATIENCE).await.unwrap();
        for migration in migrations::EMBEDDED
            .iter()
            .filter(|one| one.migration_type.is_down_migration())
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            connection.execute(migration.sql.clone()).await.unwrap();
        }
        let left: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(left, ["_sqlx_migrations"]);
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
        let error = migrations::apply(&mut connection, &bad, PATIENCE).await.unwrap_err();
        let MigrationError::Failed { migration, applied, .. } = &error else { panic!("{error}") };
        assert_eq!((migration.as_str(), *applied), ("2_test", 1));
        assert!(error.to_string().contains("relation \"nowhere\" does not exist (SQLSTATE 42P01)"), "{error}");

        let mended = migrator(&[good, (2, "CREATE TABLE half (id int);")]);
        let applied = migrations::apply(&mut connection, &mended, PATIENCE).await.unwrap();
        assert_eq!(applied, ["2_test"], "the lock was let go, the table of the first attempt is gone");
    });
}

#[test]
fn an_altered_migration_stops_before_anything_is_applied() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        migrations::apply(&mut connection, &migrator(&[(1, "SELECT 1;")]), PATIENCE).await.unwrap();
        let altered = migrator(&[(1, "SELECT 2;"), (2, "CREATE TABLE new (id int);")]);
        let error = migrations::apply(&mut connection, &altered, PATIENCE).await.unwrap_err();
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
        migrations::apply(&mut connection, &newer, PATIENCE).await.unwrap();
        let older = migrator(&[(1, "SELECT 1;")]);
        assert_eq!(migrations::apply(&mut connection, &older, PATIENCE).await.unwrap(), Vec::<String>::new());
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
        let error = migrations::run(&mut connection, Duration::from_secs(1)).await.unwrap_err();
        let MigrationError::Locked { holder: Some(told), .. } = &error else { panic!("{error}") };
        assert!(told.contains("(the other one)") && told.contains("127.0.0.1"), "{told}");

        holder.close().await.unwrap();
        migrations::run(&mut connection, PATIENCE).await.unwrap();
    });
}
