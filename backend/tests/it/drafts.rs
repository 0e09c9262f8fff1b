//! Migrations that are still being written: what is recorded of each, and how one that was altered is applied anew.

use backend::migrations::{Left, MigrationError, NotReverted, State};
use sqlx::Executor;

use crate::migrations::{all_of, has_table, migrator, on_a_database, pairs, run, states};

#[test]
fn the_scripts_of_an_applied_migration_are_recorded_as_they_were() {
    on_a_database(async |connection| {
        let (up, down) = ("CREATE TABLE one (id int); -- ä\r\n", "DROP TABLE one;\n");
        run(connection, &pairs(&[(1, up, down)]), &[]).await.unwrap();
        let recorded: (String, Option<String>, bool) = sqlx::query_as(
            "SELECT up, down, recorded_at > now() - interval '1 minute' FROM _migration_texts WHERE version = 1",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        assert_eq!(recorded, (up.to_owned(), Some(down.to_owned()), true));
    });
}

#[test]
fn what_was_applied_before_texts_were_recorded_is_recorded_by_the_next_run() {
    on_a_database(async |connection| {
        let known = pairs(&[(1, "CREATE TABLE one (id int);", "DROP TABLE one;")]);
        run(connection, &known, &[]).await.unwrap();
        connection.execute("DROP TABLE _migration_texts").await.unwrap();
        assert_eq!(run(connection, &known, &[]).await.unwrap(), Vec::<String>::new());
        let changed = pairs(&[(1, "CREATE TABLE other (id int);", "DROP TABLE other;")]);
        run(connection, &changed, &[1]).await.unwrap();
        assert!(has_table(connection, "other").await && !has_table(connection, "one").await);
    });
}

#[test]
fn an_altered_draft_is_reverted_as_it_was_applied_and_applied_as_it_is() {
    on_a_database(async |connection| {
        let base = (1, "CREATE TABLE base (id int);", "DROP TABLE base;");
        run(connection, &pairs(&[base, (2, "CREATE TABLE a (id int);", "DROP TABLE a;")]), &[]).await.unwrap();
        // The new down script could not take back what was applied.
        let edited = pairs(&[base, (2, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        assert_eq!(states(connection, &edited).await[1], (2, State::Altered));
        let said = run(connection, &edited, &[2]).await.unwrap();
        assert_eq!(said, ["draft 2_test changed: reverted, applied again"]);
        assert!(has_table(connection, "b").await && !has_table(connection, "a").await);
        assert_eq!(states(connection, &edited).await, [(1, State::Applied), (2, State::Applied)]);
        assert_eq!(run(connection, &edited, &[2]).await.unwrap(), Vec::<String>::new(), "a draft as it was applied");
    });
}

#[test]
fn a_down_script_that_was_written_after_its_migration_was_tried_out_counts() {
    on_a_database(async |connection| {
        let up = "CREATE TABLE a (id int);";
        run(connection, &pairs(&[(1, up, "-- later")]), &[]).await.unwrap();
        run(connection, &pairs(&[(1, up, "DROP TABLE a;")]), &[]).await.unwrap();
        let edited = pairs(&[(1, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        run(connection, &edited, &[1]).await.unwrap();
        assert!(!has_table(connection, "a").await);
    });
}

#[test]
fn drafts_are_reverted_newest_first_down_to_the_oldest_that_was_altered() {
    on_a_database(async |connection| {
        let newer = (2, "ALTER TABLE a ADD COLUMN more int;", "ALTER TABLE a DROP COLUMN more;");
        run(connection, &pairs(&[(1, "CREATE TABLE a (id int);", "DROP TABLE a;"), newer]), &[]).await.unwrap();
        let edited = pairs(&[(1, "CREATE TABLE a (id bigint);", "DROP TABLE a;"), newer]);
        let error = run(connection, &edited, &[1]).await.unwrap_err();
        assert!(matches!(&error, MigrationError::Diverged(all) if all.len() == 1), "{error}");
        assert!(error.to_string().contains("2_test was applied after a draft"), "{error}");
        let said = run(connection, &edited, &[1, 2]).await.unwrap();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(states(connection, &edited).await, [(1, State::Applied), (2, State::Applied)]);
    });
}

#[test]
fn an_altered_migration_that_is_no_draft_is_not_touched() {
    on_a_database(async |connection| {
        let old = (1, "CREATE TABLE a (id int);", "DROP TABLE a;");
        run(connection, &pairs(&[old]), &[]).await.unwrap();
        let edited = pairs(&[(1, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        for drafts in [&[][..], &[7]] {
            let error = run(connection, &edited, drafts).await.unwrap_err();
            assert!(matches!(error, MigrationError::Diverged(_)), "{error}");
        }
        assert!(has_table(connection, "a").await);
    });
}

#[test]
fn a_draft_without_a_recorded_way_back_stays_as_it_is() {
    on_a_database(async |connection| {
        run(connection, &migrator(&[(1, "CREATE TABLE a (id int);")]), &[]).await.unwrap();
        let edited = pairs(&[(1, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        let error = run(connection, &edited, &[1]).await.unwrap_err();
        assert!(matches!(&error, MigrationError::NotReverted { reason: NotReverted::NoDown, .. }), "{error}");
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert!(has_table(connection, "a").await);
        assert_eq!(states(connection, &edited).await, [(1, State::Altered)]);
    });
}

#[test]
fn a_draft_whose_recorded_way_back_fails_stays_as_it_is() {
    on_a_database(async |connection| {
        let down = "DROP TABLE a; DROP TABLE nowhere;";
        run(connection, &pairs(&[(1, "CREATE TABLE a (id int);", down)]), &[]).await.unwrap();
        let edited = pairs(&[(1, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        let error = run(connection, &edited, &[1]).await.unwrap_err();
        let MigrationError::NotReverted { reason: NotReverted::Failed { left, .. }, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*left, Left::Nothing);
        assert!(error.to_string().contains("\"nowhere\" does not exist"), "{error}");
        assert!(has_table(connection, "a").await, "the part that succeeded was rolled back");
        assert_eq!(states(connection, &edited).await, [(1, State::Altered)]);
    });
}

#[test]
fn a_draft_that_fails_when_it_is_applied_again_is_pending_and_that_is_told() {
    on_a_database(async |connection| {
        run(connection, &pairs(&[(1, "CREATE TABLE a (id int);", "DROP TABLE a;")]), &[]).await.unwrap();
        let broken = pairs(&[(1, "CREATE TABEL b (id int);", "DROP TABLE b;")]);
        let error = run(connection, &broken, &[1]).await.unwrap_err();
        assert!(matches!(&error, MigrationError::Failed { was_reverted: true, left: Left::Nothing, .. }), "{error}");
        assert!(error.to_string().contains("its older form was reverted, and it is pending now"), "{error}");
        assert!(!has_table(connection, "a").await);
        assert_eq!(states(connection, &broken).await, [(1, State::Pending)]);

        let good = pairs(&[(1, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        assert_eq!(run(connection, &good, &[1]).await.unwrap(), ["applied 1_test"]);
    });
}

#[test]
fn a_draft_that_was_emptied_is_not_reverted() {
    on_a_database(async |connection| {
        run(connection, &pairs(&[(1, "CREATE TABLE a (id int);", "DROP TABLE a;")]), &[]).await.unwrap();
        let error = run(connection, &pairs(&[(1, "", "DROP TABLE a;")]), &[1]).await.unwrap_err();
        assert!(matches!(error, MigrationError::Empty(_)), "{error}");
        assert!(has_table(connection, "a").await);
    });
}

#[test]
fn redo_reverts_the_newest_and_applies_it_as_it_is_now() {
    on_a_database(async |connection| {
        let base = (1, "CREATE TABLE base (id int);", "DROP TABLE base;");
        let error = all_of(&pairs(&[base])).redo(connection).await.unwrap_err();
        assert!(matches!(error, MigrationError::NothingToRedo(_)), "{error}");
        let known = pairs(&[base, (2, "CREATE TABLE a (id int);", "DROP TABLE a;")]);
        run(connection, &known, &[]).await.unwrap();
        connection.execute("INSERT INTO a VALUES (1)").await.unwrap();
        let change = all_of(&known).redo(connection).await.unwrap();
        assert_eq!(change.to_string(), "2_test: reverted, applied again");
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM a").fetch_one(&mut *connection).await.unwrap();
        assert_eq!(left, 0);

        let edited = pairs(&[base, (2, "CREATE TABLE b (id int);", "DROP TABLE b;")]);
        all_of(&edited).redo(connection).await.unwrap();
        assert!(has_table(connection, "b").await && !has_table(connection, "a").await);

        let error = all_of(&pairs(&[base])).redo(connection).await.unwrap_err();
        assert!(error.to_string().contains("2_test, is not among this version's"), "{error}");
    });
}
