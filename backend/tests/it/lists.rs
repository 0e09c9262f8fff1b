//! Lists on many rows: whatever they are filtered by, an index gives their order, and nothing is read that is not shown.

use backend::actor::Role;
use backend::page::{Bounds, Key};
use backend::programs::{self, ProgramStatus};
use backend::reports::{self, Filter, ReportState, ReportSummary, Scope, Severity};
use backend::request::parameters;
use backend::session::Identity;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::support::Database;

/// A hundred thousand reports for twenty of as many programs: more than a page of each combination, because a few rows
/// may well be sorted.
const ROWS: &str = "
    INSERT INTO users (id, handle) SELECT gen_random_uuid(), 'owl-' || n FROM generate_series(0, 4999) n;
    INSERT INTO programs (id, slug, name, summary, status, created_at)
    SELECT gen_random_uuid(), 'program-' || n, 'x', 'x', (ARRAY['open', 'draft', 'paused', 'closed'])[1 + n % 4],
           now() - n * interval '1 minute'
    FROM generate_series(1, 20000) n;
    INSERT INTO reports (id, program_id, title, severity, state, description, reporter, reporter_id, created_at)
    SELECT gen_random_uuid(), p.id, 'x', (ARRAY['none', 'low', 'medium', 'high', 'critical'])[1 + n / 20 % 5],
           (ARRAY['new', 'triaged', 'resolved', 'duplicate', 'informative', 'rejected'])[1 + n / 100 % 6], 'x', 'owl',
           (SELECT id FROM users WHERE handle = 'owl-' || n % 2), now() - n * interval '1 second'
    FROM generate_series(1, 100000) n JOIN programs p ON p.slug = 'program-' || (1 + n % 20);
    INSERT INTO program_members (program_id, user_id)
    SELECT p.id, u.id FROM programs p, users u WHERE p.slug IN ('program-7', 'program-8') AND u.handle = 'owl-1';
    ANALYZE programs; ANALYZE reports; ANALYZE users; ANALYZE program_members;
";

/// Every kind of step of a plan, and the rows that it reads.
fn steps(plan: &Value, found: &mut Vec<String>) {
    if let Some(kind) = plan["Node Type"].as_str() {
        found.push(kind.to_owned());
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        steps(below, found);
    }
}

/// The plan of the list that was prepared last on this connection, as PostgreSQL makes it for these values and for any.
async fn plans(connection: &mut PgConnection, table: &str, values: &str) -> Vec<Value> {
    let prepared: String = sqlx::query_scalar(
        "SELECT name FROM pg_prepared_statements WHERE statement LIKE $1 ORDER BY prepare_time DESC LIMIT 1",
    )
    .persistent(false)
    .bind(format!("SELECT%FROM {table}%ORDER BY%"))
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let mut plans = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        connection.execute(AssertSqlSafe(format!("SET plan_cache_mode = {mode}"))).await.unwrap();
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE \"{prepared}\" ({values})");
        let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
        let plan: Value = sqlx::Row::try_get::<Value, _>(&row, 0).unwrap();
        plans.push(plan[0]["Plan"].clone());
    }
    plans
}

/// Whether a plan reads reports otherwise than by an index.
fn reads_all_reports(plan: &Value) -> bool {
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    let reads = plan["Relation Name"] == "reports" && ["Seq Scan", "Bitmap Heap Scan"].contains(&kind);
    reads || plan["Plans"].as_array().into_iter().flatten().any(reads_all_reports)
}

/// The page of fifty that begins there.
fn after(cursor: &str) -> Bounds {
    parameters::read(&format!("limit=50&cursor={cursor}")).ok().unwrap()
}

const ADMIN: Identity = Identity { user: Uuid::nil(), session: Uuid::nil(), role: Role::Admin, temporary: false };

fn of(status: Option<(ProgramStatus, &str)>) -> programs::Filter {
    programs::Filter { status: status.map(|(status, _)| status), search: None }
}

fn check(what: &str, plans: Vec<Value>) {
    for plan in plans {
        let mut found = Vec::new();
        steps(&plan, &mut found);
        let bad = ["Sort", "Incremental Sort", "Seq Scan", "Bitmap Heap Scan"];
        assert!(!found.iter().any(|step| bad.contains(&step.as_str())), "{what}: {found:?}\n{plan:#}");
    }
}

#[test]
fn no_list_sorts_or_scans_whatever_it_is_filtered_by() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        connection.execute(ROWS).await.unwrap();
        let first = Bounds::first(50);
        for program in [None, Some("program-7")] {
            for state in [None, Some((ReportState::Rejected, "'rejected'"))] {
                for severity in [None, Some((Severity::Critical, "'critical'"))] {
                    let filter = Filter {
                        program: program.map(str::to_owned),
                        state: state.map(|(state, _)| state),
                        severity: severity.map(|(severity, _)| severity),
                        search: None,
                    };
                    let rows = reports::list(&mut connection, Scope::All, &filter, &first).await.unwrap();
                    assert_eq!(rows.len(), 51, "{filter:?}");
                    let page = first.page(rows, |row| Key { created_at: row.created_at, id: row.id });
                    let last = page.items.last().unwrap();
                    let values: Vec<String> = [
                        program.map(|slug| format!("'{slug}', ")),
                        state.map(|(_, word)| format!("{word}, ")),
                        severity.map(|(_, word)| format!("{word}, ")),
                    ]
                    .into_iter()
                    .flatten()
                    .collect();
                    let values = values.concat();
                    let what = format!("{filter:?}");
                    check(&what, plans(&mut connection, "reports", &format!("{values}51")).await);

                    let next = after(&page.next_cursor.unwrap());
                    let rows = reports::list(&mut connection, Scope::All, &filter, &next).await.unwrap();
                    assert!(rows[0].created_at < last.created_at, "{filter:?}");
                    let values = format!("{values}'{}', '{}', 51", last.created_at, last.id);
                    check(&format!("{what}, next page"), plans(&mut connection, "reports", &values).await);
                }
            }
        }
        // Of one's own, and of the programs that one triages.
        let owl: Uuid =
            sqlx::query_scalar("SELECT id FROM users WHERE handle = 'owl-1'").fetch_one(&mut connection).await.unwrap();
        let rows = reports::list(&mut connection, Scope::Own(owl), &Filter::default(), &first).await.unwrap();
        assert!(rows.iter().all(|row| row.reporter == "owl-1"));
        check("one's own", plans(&mut connection, "reports", &format!("'{owl}', 51")).await);
        let rows = reports::list(&mut connection, Scope::Triaged(owl), &Filter::default(), &first).await.unwrap();
        let is_seen =
            |row: &ReportSummary| row.reporter == "owl-1" || ["program-7", "program-8"].contains(&row.program.as_str());
        assert!(rows.iter().all(is_seen) && rows.iter().any(|row| row.reporter != "owl-1"));
        // The pages of each program are sorted, which are few; no report is read that is on none of them.
        for plan in plans(&mut connection, "(", &format!("'{owl}', '{owl}', 51")).await {
            let mut found = Vec::new();
            steps(&plan, &mut found);
            assert!(!reads_all_reports(&plan), "{plan:#}");
        }
        for scope in [Scope::Own(owl), Scope::Triaged(owl)] {
            let rows = reports::list(&mut connection, scope, &Filter::default(), &first).await.unwrap();
            assert_eq!(rows.len(), 51, "{scope:?}");
            let page = first.page(rows, |row| Key { created_at: row.created_at, id: row.id });
            let next = after(&page.next_cursor.unwrap());
            let rows = reports::list(&mut connection, scope, &Filter::default(), &next).await.unwrap();
            assert!(rows[0].created_at < page.items.last().unwrap().created_at, "{scope:?}");
            let seen = rows.iter().map(|row| row.id).chain(page.items.iter().map(|row| row.id));
            assert_eq!(seen.collect::<std::collections::HashSet<_>>().len(), 101, "{scope:?}");
        }
        // Words that are nowhere, which would be looked for in every report.
        let rare = Filter { search: Some("nowhere".to_owned()), ..Filter::default() };
        for scope in [Scope::All, Scope::Own(owl), Scope::Triaged(owl)] {
            let rows = reports::list(&mut connection, scope, &rare, &first).await.unwrap();
            assert!(rows.is_empty(), "{scope:?}");
        }
        let explain = "EXPLAIN (FORMAT JSON) SELECT id FROM reports \
                       WHERE to_tsvector('simple', title || ' ' || description) @@ plainto_tsquery('simple', 'nowhere')";
        let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut connection).await.unwrap();
        assert!(plan.to_string().contains("reports_text_idx"), "{plan:#}");
        for status in [None, Some((ProgramStatus::Paused, "'paused', "))] {
            let rows = programs::list(&mut connection, Some(&ADMIN), &of(status), &first).await.unwrap();
            assert_eq!(rows.len(), 51);
            let values = format!("{}51", status.map_or("", |(_, word)| word));
            check(&format!("{status:?}"), plans(&mut connection, "programs", &values).await);
            let page = first.page(rows, |row| Key { created_at: row.created_at, id: row.id });
            let last = page.items.last().unwrap();
            let next = after(&page.next_cursor.unwrap());
            let rows = programs::list(&mut connection, Some(&ADMIN), &of(status), &next).await.unwrap();
            assert!(rows[0].created_at < last.created_at, "{status:?}");
            let values = format!("{}'{}', '{}', 51", status.map_or("", |(_, word)| word), last.created_at, last.id);
            check(&format!("{status:?}, next page"), plans(&mut connection, "programs", &values).await);
        }
    });
}
