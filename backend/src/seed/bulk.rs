//! Reports by the million, for work on performance: made from their number alone, and streamed with COPY.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use uuid::Uuid;

/// The id of the first; those that follow it count on. No other report has an id of 1970.
const FIRST: u128 = 0x0000_5eed_0000_7000_8000_0000_0000_0000;
/// The most that can be told apart by their ids.
pub const MOST: u64 = 100_000_000;
/// How many accounts the reports are from.
const SENDERS: i32 = 5000;
/// How much is sent at once.
const CHUNK: usize = 256 * 1024;
/// After how many progress is told.
const STEP: u64 = 50_000;
/// When the first was sent; the others follow every other second, in the order in which indexes are built fastest, and
/// in which people send them. All are in the past.
const SENT: OffsetDateTime = datetime!(2019-01-01 00:00 UTC);
const SECONDS_BETWEEN: u64 = 2;

const COPY: &str = "COPY reports (id, program_id, title, severity, state, weakness, description, reporter_id, \
                    reporter, created_at, updated_at) FROM STDIN";

const SEVERITIES: [&str; 5] = ["low", "medium", "medium", "high", "critical"];
const STATES: [&str; 6] = ["new", "triaged", "resolved", "duplicate", "informative", "rejected"];
const WEAKNESSES: [(u32, &str); 6] = [
    (79, "Cross-site scripting in the search field"),
    (89, "SQL injection through the sort order"),
    (200, "A version number in an error page"),
    (352, "A form that takes requests of other sites"),
    (639, "Files of others by guessing their number"),
    (918, "The server fetches an address that it is given"),
];

/// Brings the reports that this makes to that number, and gives back how many were missing. Whole or not at all;
/// `progress` is told how many of how many are sent.
pub async fn add(
    connection: &mut PgConnection,
    count: u64,
    lock_timeout: Duration,
    progress: impl Fn(u64, u64),
) -> Result<u64> {
    ensure!(count <= MOST, "at most {MOST} reports can be made");
    let mut transaction = connection.begin().await?;
    super::lock(&mut transaction, lock_timeout).await?;
    let (first, last) = (id(0), id(MOST * 2));
    let there = sqlx::query!(
        r#"SELECT count(*) AS "count!", (SELECT id FROM reports WHERE id BETWEEN $1 AND $2 ORDER BY id DESC LIMIT 1) AS last
           FROM reports WHERE id BETWEEN $1 AND $2"#,
        first,
        last
    )
    .fetch_one(&mut *transaction)
    .await?;
    let missing = count.saturating_sub(u64::try_from(there.count)?);
    if missing == 0 {
        return Ok(0);
    }
    let programs = sqlx::query_scalar!("SELECT id FROM programs WHERE NOT temporary AND status = 'open' ORDER BY slug")
        .fetch_all(&mut *transaction)
        .await?;
    ensure!(!programs.is_empty(), "there is no open program that reports could be sent to");
    let senders = senders(&mut transaction).await?;
    // Behind the last, so that one that somebody has removed is in nobody's way.
    let next = there.last.map_or(0, |last| u64::try_from(last.as_u128() - FIRST).unwrap_or(0) + 1);
    stream(&mut transaction, next..next + missing, &Owners { programs, senders }, &progress).await?;
    transaction.commit().await?;
    // Without it the planner would go on with what it knew of a few rows.
    sqlx::query("ANALYZE reports").execute(connection).await?;
    Ok(missing)
}

/// What the reports belong to.
struct Owners {
    programs: Vec<Uuid>,
    senders: Vec<(Uuid, String)>,
}

/// As many senders as a large platform has, each with an account that nobody can sign in to.
async fn senders(connection: &mut PgConnection) -> Result<Vec<(Uuid, String)>> {
    sqlx::query!(
        "INSERT INTO users (id, handle)
         SELECT gen_random_uuid(), 'load-' || lpad(n::text, 4, '0') FROM generate_series(0, $1) n
         ON CONFLICT (handle) DO NOTHING",
        SENDERS - 1,
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query!("SELECT id, handle FROM users WHERE handle ~ '^load-[0-9]{4}$' ORDER BY handle")
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.handle)).collect())
}

async fn stream(
    connection: &mut PgConnection,
    numbers: std::ops::Range<u64>,
    owners: &Owners,
    progress: &impl Fn(u64, u64),
) -> Result<()> {
    let (first, total) = (numbers.start, numbers.end - numbers.start);
    let mut rows = String::with_capacity(CHUNK + 1024);
    let mut copy = connection.copy_in_raw(COPY).await?;
    for number in numbers {
        row(&mut rows, number, owners)?;
        if rows.len() >= CHUNK {
            copy.send(rows.as_bytes()).await?;
            rows.clear();
        }
        let done = number - first + 1;
        if done % STEP == 0 {
            progress(done, total);
        }
    }
    copy.send(rows.as_bytes()).await?;
    let copied = copy.finish().await.context("PostgreSQL did not take the reports")?;
    ensure!(copied == total, "PostgreSQL took {copied} of {total} reports");
    Ok(())
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(FIRST + u128::from(number))
}

/// One of the values, by a number; neighbours do not follow each other in the same order everywhere.
fn one_of<T>(values: &[T], number: u64) -> &T {
    let place = usize::try_from(number % values.len() as u64).unwrap_or(0);
    &values[place]
}

/// Appends a row as COPY reads it: <https://www.postgresql.org/docs/15/sql-copy.html>, "Text Format". Nothing in it has to
/// be escaped.
fn row(rows: &mut String, number: u64, owners: &Owners) -> Result<()> {
    // Knuth's multiplicative hash: neighbours differ in everything.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let (weakness, title) = one_of(&WEAKNESSES, mixed);
    let (sender, handle) = one_of(&owners.senders, mixed);
    let sent = (SENT + Duration::from_secs(number * SECONDS_BETWEEN)).format(&Rfc3339)?;
    writeln!(
        rows,
        "{}\t{}\t{title}, case {number}\t{}\t{}\t{weakness}\tMade for work on performance: nobody has found this. Steps, \
         impact and a suggestion would stand here, in as many words as people write on average, so that a row is as wide \
         as theirs are. Case {number}.\t{sender}\t{handle}\t{sent}\t{sent}",
        id(number),
        one_of(&owners.programs, mixed >> 3),
        one_of(&SEVERITIES, mixed >> 7),
        one_of(&STATES, mixed >> 11),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_columns_and_nothing_that_copy_would_read_otherwise() {
        let senders = (0..50).map(|number| (id(number), format!("load-{number:04}"))).collect();
        let owners = Owners { programs: vec![Uuid::nil(), Uuid::max()], senders };
        let mut rows = String::new();
        for number in 0..1000 {
            row(&mut rows, number, &owners).unwrap();
        }
        let columns: Vec<Vec<&str>> = rows.lines().map(|line| line.split('\t').collect()).collect();
        assert!(columns.len() == 1000 && columns.iter().all(|columns| columns.len() == 11));
        assert!(!rows.contains('\\'));
        let different = |column: usize| {
            let values: std::collections::BTreeSet<&str> = columns.iter().map(|columns| columns[column]).collect();
            values.len()
        };
        let (ids, programs, severities, states) = (different(0), different(1), different(3), different(4));
        assert_eq!((ids, programs, severities, states), (1000, 2, 4, 6));
        assert!(different(7) > 30 && different(7) == different(8), "an id and a handle of each sender");
        assert_eq!(different(9), 1000, "they were sent one after the other");
    }

    #[test]
    fn ids_count_on_from_the_first() {
        assert_eq!(id(0).to_string(), "00005eed-0000-7000-8000-000000000000");
        assert_eq!(id(MOST).as_u128() - FIRST, u128::from(MOST));
        let last = SENT + Duration::from_secs(MOST * SECONDS_BETWEEN);
        assert!(last < datetime!(2026-01-01 00:00 UTC), "{last}");
    }
}
