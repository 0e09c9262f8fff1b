//! `reporter`, a text, becomes `reporter_id`: the version before goes on while the migrations run, and after them.

use std::borrow::Cow;
use std::time::Duration;

use backend::migrations::{EMBEDDED, Migrate};
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::{Executor, PgConnection};
use tokio::runtime::Runtime;

use crate::support::{Database, Server};

/// The newest migration that the version without accounts has.
const BEFORE: i64 = 20_261_124_090_200;

async fn migrate(connection: &mut PgConnection, to: i64) {
    let known: Vec<_> = EMBEDDED.iter().filter(|one| one.version <= to).cloned().collect();
    let known = Migrator { migrations: Cow::Owned(known), ..Migrator::DEFAULT };
    let migrate = Migrate { known: &known, lock_timeout: Duration::from_secs(30), drafts: &[] };
    migrate.run(connection).await.unwrap();
}

/// What the version before does to send a report, and to read it.
async fn send(connection: &mut PgConnection, reporter: &str) {
    sqlx::query(
        "INSERT INTO reports (id, program_id, title, severity, weakness, asset, description, reporter, created_at, updated_at)
         SELECT gen_random_uuid(), id, 'x', 'low', NULL, NULL, 'x', $1, now(), now() FROM programs",
    )
    .bind(reporter)
    .execute(&mut *connection)
    .await
    .unwrap();
    let read =
        "SELECT r.reporter FROM reports r JOIN programs p ON p.id = r.program_id ORDER BY r.created_at DESC LIMIT 1";
    let read: String = sqlx::query_scalar(read).fetch_one(connection).await.unwrap();
    assert_eq!(read, reporter);
}

#[test]
fn the_version_before_goes_on_at_every_step_and_nothing_is_left_without_an_owner() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    runtime.block_on(async {
        let mut connection = database.connect().await;
        migrate(&mut connection, BEFORE).await;
        let program = "INSERT INTO programs (id, slug, name, summary, status) VALUES (gen_random_uuid(), 'acme', 'x', 'x', 'open')";
        connection.execute(program).await.unwrap();
        // More than a batch holds.
        let many = "INSERT INTO reports (id, program_id, title, severity, description, reporter)
                    SELECT gen_random_uuid(), p.id, 'x', 'low', 'x', 'owl-' || n % 7 FROM programs p, generate_series(1, 12000) n";
        connection.execute(many).await.unwrap();
        let later: Vec<i64> = EMBEDDED.iter().map(|one| one.version).filter(|version| *version > BEFORE).collect();
        for (step, version) in later.iter().enumerate() {
            migrate(&mut connection, *version).await;
            send(&mut connection, &format!("sender-{step}")).await;
            send(&mut connection, "owl-1").await;
        }
        let orphans: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM reports r LEFT JOIN users u ON u.id = r.reporter_id WHERE u.handle IS DISTINCT FROM r.reporter",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(orphans, 0);
        let refused = "UPDATE reports SET reporter_id = NULL WHERE reporter = 'owl-1'";
        assert!(connection.execute(refused).await.is_err(), "an owner is required");
    });
    let server = Server::on(runtime, database, &[]);
    let answer = server.get("/api/v1/reports?limit=1");
    assert_eq!((answer.status, &answer.body["items"][0]["reporter"]), (200, &json!("owl-1")));
    // Nobody takes the name of somebody whose reports are here.
    let body = json!({ "handle": "owl-3", "email": "owl@example.com", "password": "a long password" });
    assert_eq!(server.post("/api/v1/auth/sign-up", &body).status, 409);
}
