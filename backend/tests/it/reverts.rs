//! Migrations that are taken back, and edits of applied ones that are meant.

use backend::migrations::{self, MigrationError, NotReverted, State};
use sqlx::{Executor, PgConnection};
use tokio::runtime::Runtime;

use crate::migrations::{all_of, has_table, migrator, on_a_database, pairs, run, states};
use crate::support::{Database, run as thunder, settings, text, wait_for};

const THREE: [(i64, &str, &str); 3] = [
    (1, "CREATE TABLE a (id int);", "DROP TABLE a;"),
    (2, "CREATE TABLE b (id int);", "DROP TABLE b;"),
    (3, "CREATE TABLE c (id int);", "DROP TABLE c;"),
];

async fn tables(connection: &mut PgConnection) -> Vec<&'static str> {
    let mut found = Vec::new();
    for name in ["a", "b", "c"] {
        if has_table(connection, name).await {
            found.push(name);
        }
    }
    found
}

async fn revert(connection: &mut PgConnection, to: Option<i64>) -> Result<Vec<String>, MigrationError> {
    let changes = all_of(&pairs(&THREE)).revert(connection, to).await?;
    Ok(changes.iter().map(ToString::to_string).collect())
}

#[test]
fn the_newest_is_reverted_or_all_that_are_newer_than_a_version_newest_first() {
    on_a_database(async |connection| {
        assert_eq!(revert(connection, None).await.unwrap(), [""; 0], "nothing is applied");
        run(connection, &pairs(&THREE), &[]).await.unwrap();
        assert_eq!(revert(connection, None).await.unwrap(), ["reverted 3_test"]);
        assert_eq!(tables(connection).await, ["a", "b"]);
        assert_eq!(states(connection, &pairs(&THREE)).await[2], (3, State::Pending));
        run(connection, &pairs(&THREE), &[]).await.unwrap();
        assert_eq!(revert(connection, Some(3)).await.unwrap(), [""; 0], "it is the newest already");
        assert_eq!(revert(connection, Some(1)).await.unwrap(), ["reverted 3_test", "reverted 2_test"]);
        assert_eq!(tables(connection).await, ["a"]);
        assert_eq!(revert(connection, Some(0)).await.unwrap(), ["reverted 1_test"]);
        assert_eq!(tables(connection).await, [""; 0]);
    });
}

#[test]
fn a_version_that_is_not_applied_is_no_place_to_stop_at() {
    on_a_database(async |connection| {
        run(connection, &pairs(&THREE), &[]).await.unwrap();
        let error = revert(connection, Some(7)).await.unwrap_err();
        assert!(matches!(error, MigrationError::NotApplied(7)), "{error}");
        assert_eq!(tables(connection).await, ["a", "b", "c"]);
    });
}

#[test]
fn nothing_is_reverted_unless_it_is_known_how_for_all() {
    on_a_database(async |connection| {
        let known = pairs(&[THREE[0], (2, "CREATE TABLE b (id int);", "-- no way back"), THREE[2]]);
        run(connection, &known, &[]).await.unwrap();
        let error = all_of(&known).revert(connection, Some(0)).await.unwrap_err();
        assert!(error.to_string().contains("2_test cannot be reverted: no down script was recorded"), "{error}");
        assert_eq!(tables(connection).await, ["a", "b", "c"]);
    });
}

#[test]
fn where_one_cannot_be_reverted_those_before_it_stay_reverted_and_are_told() {
    on_a_database(async |connection| {
        let known = pairs(&[THREE[0], (2, "CREATE TABLE b (id int);", "DROP TABLE b; DROP TABLE nosuch;"), THREE[2]]);
        run(connection, &known, &[]).await.unwrap();
        let error = all_of(&known).revert(connection, Some(0)).await.unwrap_err();
        assert!(matches!(&error, MigrationError::NotReverted { reason: NotReverted::Failed { .. }, .. }), "{error}");
        assert!(error.to_string().contains("reverted before it, and pending now: 3_test"), "{error}");
        assert_eq!(tables(connection).await, ["a", "b"], "the one that failed was rolled back");
    });
}

#[test]
fn what_another_branch_applied_is_reverted_by_what_it_recorded() {
    on_a_database(async |connection| {
        run(connection, &pairs(&THREE), &[]).await.unwrap();
        let own = pairs(&THREE[..2]);
        let changes = all_of(&own).revert(connection, Some(2)).await.unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(tables(connection).await, ["a", "b"]);
    });
}

#[test]
fn an_edit_that_is_meant_is_recorded_after_it_was_looked_at() {
    on_a_database(async |connection| {
        let before = pairs(&[(1, "CREATE TABLE a (id int);\n-- of old", "DROP TABLE a;")]);
        run(connection, &before, &[]).await.unwrap();
        let known = pairs(&[(1, "CREATE TABLE a (id int);\n-- of new", "DROP TABLE a; -- new")]);
        let error = run(connection, &known, &[]).await.unwrap_err();
        assert!(error.to_string().contains("line 2 was `-- of old` and is `-- of new`"), "{error}");
        let altered = migrations::altered(connection, &known).await.unwrap();
        let [one] = altered.as_slice() else { panic!("{altered:?}") };
        assert_eq!((one.version, one.file.as_str()), (1, "1_test"));
        assert_eq!(one.recorded.as_deref(), Some("CREATE TABLE a (id int);\n-- of old"));

        let error = all_of(&known).bless(connection, 1, Some(&one.recorded_checksum)).await.unwrap_err();
        assert!(matches!(error, MigrationError::ChangedMeanwhile(_)), "{error}");
        assert_eq!(states(connection, &known).await, [(1, State::Altered)], "a refusal changes nothing");
        all_of(&known).bless(connection, 1, Some(&one.checksum)).await.unwrap();
        assert_eq!(states(connection, &known).await, [(1, State::Applied)]);
        assert_eq!(run(connection, &known, &[]).await.unwrap(), [""; 0]);
        let error = all_of(&known).bless(connection, 1, None).await.unwrap_err();
        assert!(matches!(error, MigrationError::NotAltered(1)), "{error}");
    });
}

#[test]
fn what_was_applied_is_not_told_where_it_was_never_recorded() {
    on_a_database(async |connection| {
        run(connection, &migrator(&[(1, "SELECT 1;")]), &[]).await.unwrap();
        connection.execute("DROP TABLE _migration_texts").await.unwrap();
        let known = migrator(&[(1, "SELECT 2;")]);
        assert_eq!(migrations::altered(connection, &known).await.unwrap()[0].recorded, None);
        all_of(&known).bless(connection, 1, None).await.unwrap();
        assert_eq!(states(connection, &known).await, [(1, State::Applied)]);
    });
}

#[test]
fn nothing_is_reverted_below_a_migration_that_is_half_done() {
    on_a_database(async |connection| {
        const FIRST: (i64, &str, &str) = (1, "CREATE TABLE a (id int);", "DROP TABLE a;");
        let second = |last| (2, last, "-- none");
        run(connection, &pairs(&[FIRST]), &[]).await.unwrap();
        let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nSELECT 1 / 0;";
        let known = pairs(&[FIRST, second(index)]);
        run(connection, &known, &[]).await.unwrap_err();
        let changed = pairs(&[(1, "CREATE TABLE a (id bigint);", FIRST.2), second(index)]);
        let errors = [
            all_of(&known).revert(connection, None).await.unwrap_err(),
            all_of(&known).redo(connection).await.unwrap_err(),
            run(connection, &changed, &[1]).await.unwrap_err(),
            // Another branch does not know the half-done one.
            all_of(&pairs(&[FIRST])).revert(connection, None).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, MigrationError::HalfDone { version: 2, done: 1, .. }), "{error}");
            assert!(error.to_string().contains("DELETE FROM _migration_progress WHERE version = 2"), "{error}");
        }
        let better = pairs(&[FIRST, second("-- no-transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nSELECT 1;")]);
        run(connection, &better, &[]).await.unwrap();
        assert!(has_table(connection, "a_id").await);
    });
}

#[test]
fn a_way_back_that_was_recorded_stays_where_its_file_holds_none() {
    for (up, is_blessed) in [("CREATE TABLE a (id int);\r\n", false), ("CREATE TABLE a (id int); -- a\n", true)] {
        on_a_database(async |connection| {
            run(connection, &pairs(&[(1, "CREATE TABLE a (id int);\n", "DROP TABLE a;")]), &[]).await.unwrap();
            let known = pairs(&[(1, up, "-- still to be written")]);
            if is_blessed {
                all_of(&known).bless(connection, 1, None).await.unwrap();
            }
            run(connection, &known, &[]).await.unwrap();
            assert_eq!(all_of(&known).revert(connection, None).await.unwrap().len(), 1);
            assert_eq!(tables(connection).await, [""; 0]);
        });
    }
}

#[test]
fn a_way_back_has_the_timeouts_of_a_migration_and_is_tried_again() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let (mut holder, mut connection) = (database.connect().await, database.connect().await);
        holder.execute("CREATE TABLE told (timeouts text)").await.unwrap();
        let down = "INSERT INTO told SELECT current_setting('lock_timeout') || ' ' || \
                    current_setting('statement_timeout'); DROP TABLE a;";
        let known = pairs(&[(1, "CREATE TABLE a (id int);", down)]);
        run(&mut connection, &known, &[]).await.unwrap();
        holder.execute("BEGIN; SELECT * FROM a").await.unwrap();
        let release = async {
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND \
                           database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            wait_for(&mut holder, waiting, 1).await;
            wait_for(&mut holder, waiting, 0).await;
            holder.execute("COMMIT").await.unwrap();
        };
        let known = all_of(&known);
        let (reverted, ()) = tokio::join!(known.revert(&mut connection, None), release);
        assert_eq!(reverted.unwrap().len(), 1);
        let told: Vec<String> = sqlx::query_scalar("SELECT timeouts FROM told").fetch_all(&mut holder).await.unwrap();
        assert_eq!(told, ["3s 15min"]);
    });
}

#[test]
fn other_line_endings_are_no_alteration() {
    let (unix, windows) = ("SELECT 1;\n-- end\n", "SELECT 1;\r\n-- end\r\n");
    for (applied, now) in [(unix, windows), (windows, unix)] {
        on_a_database(async |connection| {
            run(connection, &migrator(&[(1, applied)]), &[]).await.unwrap();
            assert_eq!(states(connection, &migrator(&[(1, now)])).await, [(1, State::Applied)]);
            assert_eq!(run(connection, &migrator(&[(1, now)]), &[]).await.unwrap(), [""; 0]);
            assert_eq!(states(connection, &migrator(&[(1, "SELECT 1;\n\n-- end\n")])).await, [(1, State::Altered)]);
        });
    }
}

#[test]
fn the_command_reverts_outside_of_production_and_tells_what_it_did() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let environment = settings(&database, &[]);
    let versions: Vec<i64> = migrations::EMBEDDED.iter().map(|one| one.version).collect();
    let first = versions.iter().min().unwrap().to_string();
    let production = settings(&database, crate::command::PRODUCTION);
    assert_eq!(thunder(&["migrate", "revert"], &production).status.code(), Some(9));
    assert_eq!(thunder(&["migrate", "revert", "--to", "7"], &environment).status.code(), Some(1));
    let output = thunder(&["migrate", "revert", "--to", &first], &environment);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).lines().all(|line| line.starts_with("reverted ")), "{}", text(&output.stdout));
    let nothing = thunder(&["migrate", "revert", "--to", &first], &environment);
    assert_eq!(text(&nothing.stdout), "nothing to revert\n");
    let altered = thunder(&["migrate", "altered"], &environment);
    let document: serde_json::Value = serde_json::from_slice(&altered.stdout).unwrap();
    assert_eq!((document["schema_version"].as_i64(), document["altered"].as_array().unwrap().len()), (Some(1), 0));
    assert_eq!(thunder(&["migrate", "bless", &first], &environment).status.code(), Some(1));
}
