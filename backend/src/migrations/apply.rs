//! One migration, applied or reverted together with what is noted of it.
//!
//! sqlx's own way is not used, because it cannot tell what a failed migration has left behind: a script may hold a COMMIT
//! of its own. Here a row that is written first in the same transaction is looked for afterwards.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migration;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr as _, SqlStr};
use tokio::time::Instant;
use tracing::warn;

use super::error::Left;
use super::script::{Statement, statements};
use super::{progress, sql, text, wait};

/// A script that failed.
#[derive(Debug)]
pub struct Failure {
    /// What the database said.
    pub error: sqlx::Error,
    /// What is left of it.
    pub left: Left,
    /// The line of the statement that failed, where it was a statement.
    pub line: Option<usize>,
}

/// A script's error, with the line of the statement that failed.
type Failed = (sqlx::Error, Option<usize>);

/// Applies a migration and says how long it took.
pub async fn up(connection: &mut PgConnection, up: &Migration, down: Option<&Migration>) -> Result<Duration, Failure> {
    let started = Instant::now();
    if up.no_tx {
        outside(connection, up, down).await?;
    } else {
        inside(connection, up, down).await?;
    }
    let took = started.elapsed();
    // For people only, and true only once all is committed; the migration is applied with or without it.
    drop(
        sqlx::query("UPDATE _sqlx_migrations SET execution_time = $2 WHERE version = $1")
            .bind(up.version)
            .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
            .execute(connection)
            .await,
    );
    Ok(took)
}

/// Applies a migration in one transaction.
async fn inside(connection: &mut PgConnection, up: &Migration, down: Option<&Migration>) -> Result<(), Failure> {
    // One that a killed process has left would be taken for this one's.
    text::forget(connection, up.version).await.map_err(before)?;
    // It may have begun outside of a transaction, before its file was changed.
    match progress::load(connection, up.version).await.map_err(before)? {
        Some(progress) if progress.done > 0 => return Err(changed(&progress, 1)),
        Some(progress) => {
            take_up(connection, Some(&progress), None).await.map_err(before)?;
            progress::forget(connection, up.version).await.map_err(before)?;
        }
        None => {}
    }
    let mut attempts = 0;
    let (error, line) = loop {
        let Err((error, line)) = whole(connection, up, down).await else { return Ok(()) };
        // What its own COMMIT has made would be made twice.
        let is_rolled_back = matches!(text::exists(connection, up.version).await, Ok(false));
        if !is_rolled_back || !wait::again(connection, attempts, &error, &up.description).await {
            break (error, line);
        }
        attempts += 1;
    };
    let left = left(&text::exists(connection, up.version).await);
    if left != Left::Nothing {
        // Best effort: the next attempt forgets it as well.
        drop(text::forget(connection, up.version).await);
    }
    Err(Failure { error, left, line })
}

async fn whole(connection: &mut PgConnection, up: &Migration, down: Option<&Migration>) -> Result<(), Failed> {
    let mut transaction = connection.begin().await.map_err(without_line)?;
    wait::set_timeouts(&mut transaction).await.map_err(without_line)?;
    text::record(&mut transaction, up, down).await.map_err(without_line)?;
    run(&mut transaction, up.sql.clone()).await?;
    record(&mut transaction, up).await.map_err(without_line)?;
    transaction.commit().await.map_err(without_line)
}

/// Applies a migration statement by statement, and goes on where an earlier attempt has ended.
async fn outside(connection: &mut PgConnection, up: &Migration, down: Option<&Migration>) -> Result<(), Failure> {
    let all = statements(up.sql.as_str());
    let resumed = progress::load(connection, up.version).await.map_err(before)?;
    let first = resumed.as_ref().map_or(0, |progress| progress.done);
    if let Some((progress, line)) = resumed.as_ref().and_then(|progress| Some((progress, progress.changed_line(&all)?)))
    {
        return Err(changed(progress, line));
    }
    let was_begun = take_up(connection, resumed.as_ref(), all.get(first)).await.map_err(before)?;
    progress::begin(connection, up.version, up.sql.as_str(), was_begun).await.map_err(before)?;
    if resumed.is_none() {
        // Of an attempt that somebody has undone by hand.
        text::forget(connection, up.version).await.map_err(before)?;
    }
    text::record(connection, up, down).await.map_err(before)?;
    // The session that ran them is gone.
    for statement in all[..first.min(all.len())].iter().filter(|statement| statement.is_of_session()) {
        run(connection, owned(statement)).await.map_err(|(error, _)| before(error))?;
    }
    let session = Session {
        has_own_timeouts: all.iter().any(|statement| statement.is_of_session()),
        has_own_transactions: all.iter().any(|statement| statement.controls_transactions()),
    };
    for (index, statement) in all.iter().enumerate().skip(first) {
        let was_begun = index == first && was_begun;
        if let Err(error) = next(connection, up.version, index, statement, was_begun, session).await {
            if session.has_own_transactions {
                roll_back(connection).await;
            }
            // Its own transaction took the notes of its statements with it.
            let noted = progress::load(connection, up.version).await.ok().flatten();
            let left = Left::Half { done: noted.map_or(index, |progress| progress.done), of: all.len() };
            return Err(Failure { error, left, line: Some(statement.line) });
        }
    }
    async {
        let mut transaction = connection.begin().await?;
        record(&mut transaction, up).await?;
        progress::forget(&mut transaction, up.version).await?;
        transaction.commit().await
    }
    .await
    .map_err(|error| Failure { error, left: Left::Half { done: all.len(), of: all.len() }, line: None })
}

/// What the statements of a script that runs outside of a transaction do themselves.
#[derive(Debug, Clone, Copy)]
struct Session {
    /// It sets how long it waits.
    has_own_timeouts: bool,
    /// It begins and ends transactions.
    has_own_transactions: bool,
}

/// Runs the next statement of a script outside of a transaction, and notes that it is done.
async fn next(
    connection: &mut PgConnection,
    version: i64,
    index: usize,
    statement: &Statement<'_>,
    was_begun: bool,
    session: Session,
) -> Result<(), sqlx::Error> {
    if settle(connection, statement, was_begun).await? {
        return progress::note(connection, version, index + 1, false).await;
    }
    if was_begun && !statement.controls_transactions() {
        let line = statement.line;
        warn!(migration = version, line, "the migrator was killed while this statement ran; it is run again");
    }
    if session.has_own_transactions || !statement.may_be_in_transaction() {
        return alone(connection, version, index, statement).await;
    }
    match together(connection, version, index, statement, session.has_own_timeouts).await {
        Err(error) if statement.is_procedural() && has_own_commit(&error) => {
            alone(connection, version, index, statement).await
        }
        outcome => outcome,
    }
}

/// Whether PostgreSQL refused a COMMIT or ROLLBACK in a block or a procedure: `invalid_transaction_termination`.
fn has_own_commit(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "2D000")
}

/// Ends the transaction that a script began and did not end. Nothing else can be asked in one that has failed, nor can
/// the lock be released.
async fn roll_back(connection: &mut PgConnection) {
    // Best effort: without a connection there is no transaction.
    drop(sqlx::raw_sql("ROLLBACK").execute(connection).await);
}

/// Runs a statement and notes that it is done, both or neither.
async fn together(
    connection: &mut PgConnection,
    version: i64,
    index: usize,
    statement: &Statement<'_>,
    has_own_timeouts: bool,
) -> Result<(), sqlx::Error> {
    let mut attempts = 0;
    loop {
        let outcome = async {
            let mut transaction = connection.begin().await?;
            if !has_own_timeouts {
                wait::set_timeouts(&mut transaction).await?;
            }
            run(&mut transaction, owned(statement)).await.map_err(|(error, _)| error)?;
            progress::note(&mut transaction, version, index + 1, false).await?;
            transaction.commit().await
        }
        .await;
        let Err(error) = outcome else { return Ok(()) };
        if !wait::again(connection, attempts, &error, &format!("{version}, line {}", statement.line)).await {
            return Err(error);
        }
        attempts += 1;
    }
}

/// Runs a statement that no transaction may hold. Whoever is killed meanwhile leaves the note that it was begun.
async fn alone(
    connection: &mut PgConnection,
    version: i64,
    index: usize,
    statement: &Statement<'_>,
) -> Result<(), sqlx::Error> {
    progress::note(connection, version, index, true).await?;
    if let Err((error, _)) = run(connection, owned(statement)).await {
        // It has ended, and is not done. Where the connection is gone, nobody knows.
        drop(progress::note(connection, version, index, false).await);
        return Err(error);
    }
    progress::note(connection, version, index + 1, false).await
}

/// Whether the statement that the script goes on with is the one that was begun. An index that another statement has
/// begun in its place is removed.
async fn take_up(
    connection: &mut PgConnection,
    progress: Option<&progress::Progress>,
    now: Option<&Statement<'_>>,
) -> Result<bool, sqlx::Error> {
    let Some(begun) = progress.and_then(progress::Progress::begun) else { return Ok(false) };
    if now.is_some_and(|now| now.text == begun.text) {
        return Ok(true);
    }
    if let Some(name) = begun.concurrent_index() {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(connection).await?;
    }
    Ok(false)
}

/// Whether an index that is to be built is there already, because it was begun by somebody who was killed. One that was not
/// finished is removed first.
async fn settle(
    connection: &mut PgConnection,
    statement: &Statement<'_>,
    was_begun: bool,
) -> Result<bool, sqlx::Error> {
    let Some(name) = statement.concurrent_index() else { return Ok(false) };
    let is_valid: Option<bool> =
        sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)")
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
    if is_valid == Some(false) {
        let drop = format!("DROP INDEX CONCURRENTLY {name}");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(connection).await?;
    }
    Ok(was_begun && is_valid == Some(true))
}

fn owned(statement: &Statement<'_>) -> SqlStr {
    AssertSqlSafe(statement.text.to_owned()).into_sql_str()
}

/// Runs a script; an error comes with the line of the statement that failed.
async fn run(connection: &mut PgConnection, script: SqlStr) -> Result<(), Failed> {
    let text = script.as_str().to_owned();
    let mut done = 0;
    let mut results = sqlx::raw_sql(script).execute_many(connection);
    loop {
        match results.try_next().await {
            Ok(Some(_)) => done += 1,
            Ok(None) => return Ok(()),
            Err(error) => {
                let line = line_of(&text, done, &error);
                return Err((error, line));
            }
        }
    }
}

/// The line at which a script failed after so many statements: where PostgreSQL points to, else where the statement begins.
fn line_of(script: &str, done: usize, error: &sqlx::Error) -> Option<usize> {
    let database = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    if let Some(PgErrorPosition::Original(position)) = database.position() {
        return Some(1 + script.chars().take(position.saturating_sub(1)).filter(|letter| *letter == '\n').count());
    }
    statements(script).get(done).map(|statement| statement.line)
}

async fn record(connection: &mut PgConnection, up: &Migration) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, true, $3, -1)",
    )
    .bind(up.version)
    .bind(&*up.description)
    .bind(&*up.checksum)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reverts a migration by the script that was recorded when it was applied.
pub async fn down(connection: &mut PgConnection, version: i64, script: String) -> Result<(), Failure> {
    if sql::is_without_transaction(&script) {
        let outcome: Result<(), Failed> = async {
            // Each by itself: several that are sent at once are one transaction.
            for statement in statements(&script) {
                let outcome = run(connection, owned(&statement)).await;
                outcome.map_err(|(error, _)| (error, Some(statement.line)))?;
            }
            forget(connection, version).await.map_err(without_line)
        }
        .await;
        let Err((error, line)) = outcome else { return Ok(()) };
        if statements(&script).iter().any(|statement| statement.controls_transactions()) {
            roll_back(connection).await;
        }
        return Err(Failure { error, left: Left::OutsideOfTransaction, line });
    }
    let script = AssertSqlSafe(script).into_sql_str();
    let mut attempts = 0;
    let (error, line) = loop {
        let Err((error, line)) = whole_down(connection, version, script.clone()).await else { return Ok(()) };
        let is_rolled_back = matches!(text::exists(connection, version).await, Ok(true));
        if !is_rolled_back || !wait::again(connection, attempts, &error, &version.to_string()).await {
            break (error, line);
        }
        attempts += 1;
    };
    let left = left(&text::exists(connection, version).await.map(|exists| !exists));
    Err(Failure { error, left, line })
}

async fn whole_down(connection: &mut PgConnection, version: i64, script: SqlStr) -> Result<(), Failed> {
    let mut transaction = connection.begin().await.map_err(without_line)?;
    wait::set_timeouts(&mut transaction).await.map_err(without_line)?;
    // Before the script, so that the row tells afterwards whether all of it was rolled back.
    forget(&mut transaction, version).await.map_err(without_line)?;
    run(&mut transaction, script).await?;
    transaction.commit().await.map_err(without_line)
}

/// The failure of a script that cannot go on, because it is not any more what was begun.
fn changed(progress: &progress::Progress, line: usize) -> Failure {
    Failure { error: sqlx::Error::RowNotFound, left: Left::Changed { done: progress.done }, line: Some(line) }
}

fn without_line(error: sqlx::Error) -> Failed {
    (error, None)
}

/// The failure of what comes before the script.
fn before(error: sqlx::Error) -> Failure {
    Failure { error, left: Left::Nothing, line: None }
}

async fn forget(connection: &mut PgConnection, version: i64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1").bind(version).execute(&mut *connection).await?;
    text::forget(connection, version).await
}

fn left(is_committed: &Result<bool, sqlx::Error>) -> Left {
    match is_committed {
        Ok(true) => Left::BeforeItsCommit,
        Ok(false) => Left::Nothing,
        Err(_) => Left::Unknown,
    }
}
