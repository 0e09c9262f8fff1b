//! Lists of reports.
//!
//! Only the conditions that are asked for stand in a query, so that each combination has a plan of its own, and a program's
//! slug is looked up first, so that an index gives the order.

use sqlx::{PgExecutor, Postgres, QueryBuilder};
use uuid::Uuid;

use super::error::ReportError;
use super::types::{Comment, Event, ReportState, ReportSummary, Severity};
use crate::actor::Role;
use crate::page::Bounds;
use crate::programs::ProgramKey;
use crate::session::Identity;

/// Which reports a list shows.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Those of the program with this slug or id.
    pub program: Option<String>,
    /// Those in this state.
    pub state: Option<ReportState>,
    /// Those of this severity.
    pub severity: Option<Severity>,
    /// Those that hold all of these words, or the one with this number.
    pub search: Option<String>,
}

/// Whose reports somebody may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// One's own, and those of the programs that one triages.
    Triaged(Uuid),
    /// One's own.
    Own(Uuid),
}

impl Scope {
    /// That of who is signed in.
    pub fn of(identity: &Identity) -> Self {
        match identity.role {
            Role::Admin => Self::All,
            Role::Triager => Self::Triaged(identity.user),
            Role::Researcher => Self::Own(identity.user),
        }
    }
}

const COLUMNS: &str = "SELECT r.id, r.number, p.slug AS program, r.title, r.severity, r.state, r.weakness, r.asset, \
                       u.handle AS reporter, r.duplicate_of, r.version, r.created_at, r.updated_at ";
const NAMES: &str = " JOIN programs p ON p.id = r.program_id JOIN users u ON u.id = r.reporter_id ";

/// One row more than the page holds, newest first.
pub async fn list(
    database: impl PgExecutor<'_>,
    scope: Scope,
    filter: &Filter,
    bounds: &Bounds,
) -> Result<Vec<ReportSummary>, ReportError> {
    let mut query = QueryBuilder::<Postgres>::new("");
    if let Some(search) = &filter.search {
        push_search(&mut query, search);
    }
    query.push(COLUMNS);
    match scope {
        Scope::All => {
            query.push("FROM reports r").push(NAMES).push("WHERE true");
            filter.push(&mut query);
        }
        Scope::Own(user) => {
            query.push("FROM reports r").push(NAMES).push("WHERE r.reporter_id = ").push_bind(user);
            filter.push(&mut query);
        }
        Scope::Triaged(user) => {
            // The newest of each program and of one's own, each by an index, and of these the newest: it costs a page for
            // each program, however many reports there are.
            query.push("FROM (SELECT newest.id FROM program_members m CROSS JOIN LATERAL (SELECT r.id FROM reports r ");
            query.push("WHERE r.program_id = m.program_id");
            filter.push(&mut query);
            bounds.push_known(&mut query, "r.");
            query.push(") newest WHERE m.user_id = ").push_bind(user);
            query.push(" UNION (SELECT r.id FROM reports r WHERE r.reporter_id = ").push_bind(user);
            filter.push(&mut query);
            bounds.push_known(&mut query, "r.");
            query.push(")) seen JOIN reports r ON r.id = seen.id").push(NAMES).push("WHERE true");
        }
    }
    bounds.push(&mut query, "r.");
    Ok(query.build_query_as().fetch_all(database).await?)
}

impl Filter {
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(slug) = &self.program {
            let key = ProgramKey::from(slug.as_str());
            let (id, slug) = key.parts();
            query.push(" AND r.program_id = ");
            match (id, slug) {
                (Some(id), _) => query.push_bind(id),
                (None, slug) => {
                    query.push("(SELECT id FROM programs WHERE slug = ").push_bind(slug.map(str::to_owned)).push(")")
                }
            };
        }
        if let Some(state) = self.state {
            query.push(" AND r.state = ").push_bind(state);
        }
        if let Some(severity) = self.severity {
            query.push(" AND r.severity = ").push_bind(severity);
        }
        if self.search.is_some() {
            query.push(" AND r.id IN (SELECT id FROM found)");
        }
    }
}

/// What the words are found in, by the index `reports_text_idx` and in no other way. PostgreSQL does not know how rare a word
/// is, and would rather read reports one by one until a page is full, which can be all of them. Each of the words has to be
/// there; no operator is read out of them.
fn push_search(query: &mut QueryBuilder<Postgres>, search: &str) {
    query.push(
        "WITH found AS MATERIALIZED (SELECT id FROM reports WHERE \
         to_tsvector('simple', title || ' ' || description) @@ plainto_tsquery('simple', ",
    );
    query.push_bind(search.to_owned()).push(")");
    if let Ok(number) = search.trim_start_matches('#').parse::<i64>() {
        query.push(" OR number = ").push_bind(number);
    }
    query.push(") ");
}

/// A report's comments, newest first; one row more than the page holds.
pub async fn comments(
    database: impl PgExecutor<'_>,
    report: Uuid,
    with_internal: bool,
    bounds: &Bounds,
) -> Result<Vec<Comment>, ReportError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT c.id, u.handle AS author, c.body, c.internal, c.created_at \
         FROM report_comments c JOIN users u ON u.id = c.author_id WHERE c.report_id = ",
    );
    query.push_bind(report);
    if !with_internal {
        query.push(" AND NOT c.internal");
    }
    bounds.push(&mut query, "c.");
    Ok(query.build_query_as().fetch_all(database).await?)
}

/// What happened to a report, newest first; one row more than the page holds.
pub async fn events(
    database: impl PgExecutor<'_>,
    report: Uuid,
    with_internal: bool,
    bounds: &Bounds,
) -> Result<Vec<Event>, ReportError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT e.id, e.kind, u.handle AS actor, e.changes, e.created_at \
         FROM report_events e LEFT JOIN users u ON u.id = e.actor_id WHERE e.report_id = ",
    );
    query.push_bind(report);
    if !with_internal {
        query.push(" AND NOT e.changes @> '{\"internal\": true}'");
    }
    bounds.push(&mut query, "e.");
    Ok(query.build_query_as().fetch_all(database).await?)
}
