//! `migrate check` on a real PostgreSQL: what each statement does to those who use the database, and whether the files
//! keep their promises.

use crate::support::{Checkout, copy_migrations};

/// Scripts, what the trace finds in each, and whether the lint sees it in the text.
const DANGEROUS: [(&str, &str, bool); 25] = [
    ("ALTER TABLE reports ALTER COLUMN number TYPE integer;", "trace-rewrite", true),
    ("ALTER TABLE reports ALTER COLUMN title TYPE varchar(200);", "trace-rewrite", true),
    ("ALTER TABLE reports ADD COLUMN token uuid DEFAULT gen_random_uuid();", "trace-rewrite", true),
    ("ALTER TABLE program_rewards SET UNLOGGED;", "trace-rewrite", true),
    ("TRUNCATE program_rewards;", "trace-rewrite", true),
    ("-- no-transaction\nVACUUM FULL reports;", "trace-rewrite", true),
    ("CLUSTER reports USING reports_newest_idx;", "trace-rewrite", true),
    ("ALTER TABLE reports ADD CONSTRAINT a CHECK (length(title) < 201);", "trace-scan", true),
    ("ALTER TABLE programs ADD CONSTRAINT a UNIQUE (name);", "trace-scan", true),
    ("ALTER TABLE reports ADD CONSTRAINT a FOREIGN KEY (program_id) REFERENCES programs (id);", "trace-scan", true),
    ("CREATE INDEX a ON reports (title);", "trace-scan", true),
    ("CREATE UNIQUE INDEX a ON programs (name);", "trace-scan", true),
    ("REINDEX TABLE reports;", "trace-scan", true),
    ("UPDATE reports SET severity = 'low';", "trace-write", true),
    ("DELETE FROM program_rewards;", "trace-write", true),
    ("ALTER TABLE reports ADD cvss numeric;\nUPDATE reports SET cvss = 0 WHERE cvss IS NULL;", "trace-write", true),
    (
        "ALTER TABLE reports ADD CONSTRAINT a CHECK (length(title) > 0) NOT VALID;\n\
         ALTER TABLE reports VALIDATE CONSTRAINT a;",
        "trace-scan",
        true,
    ),
    // The text alone does not tell.
    ("DO $$ BEGIN UPDATE reports SET severity = 'low' WHERE true; END $$;", "trace-write", false),
    ("UPDATE reports SET severity = lower(severity) WHERE id IS NOT NULL;", "trace-write", false),
    ("DO $$ BEGIN EXECUTE 'ALTER TABLE reports ALTER title TYPE varchar(200)'; END $$;", "trace-rewrite", false),
    ("INSERT INTO programs TABLE programs ON CONFLICT (id) DO UPDATE SET updated_at = now();", "trace-write", false),
    ("CREATE FUNCTION a() RETURNS void LANGUAGE sql AS 'DELETE FROM reports';\nSELECT a();", "trace-write", false),
    ("LOCK TABLE reports IN EXCLUSIVE MODE;\nSELECT count(*) FROM reports;", "trace-scan", false),
    (
        "MERGE INTO reports r USING programs p ON r.program_id = p.id WHEN MATCHED THEN UPDATE SET updated_at = now();",
        "trace-write",
        false,
    ),
    (
        "ALTER TABLE reports ALTER title SET STATISTICS 9;\nDO $$ BEGIN REINDEX TABLE reports; END $$;",
        "trace-scan",
        false,
    ),
];

const HARMLESS: [&str; 20] = [
    "ALTER TABLE reports ADD COLUMN cvss numeric;",
    "ALTER TABLE reports ADD COLUMN is_public boolean NOT NULL DEFAULT false;",
    "CREATE TABLE notes (id uuid PRIMARY KEY, text text NOT NULL CHECK (length(text) < 10));",
    "CREATE TABLE notes (id uuid PRIMARY KEY, report uuid NOT NULL);\nCREATE INDEX notes_report ON notes (report);",
    "CREATE TABLE notes (id uuid PRIMARY KEY);\nALTER TABLE notes ADD COLUMN a text NOT NULL DEFAULT '';",
    "CREATE TABLE notes AS SELECT id FROM reports;\nUPDATE notes SET id = gen_random_uuid();",
    "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON reports (title);",
    "-- no-transaction\nREINDEX INDEX CONCURRENTLY reports_newest_idx;",
    "-- no-transaction\n-- accept ban-drop-index: no query uses it\nDROP INDEX CONCURRENTLY reports_state_newest_idx;",
    "-- no-transaction\nVACUUM reports;\nANALYZE reports;",
    "ALTER TABLE reports ALTER COLUMN state SET DEFAULT 'triaged';",
    "INSERT INTO program_rewards SELECT id, 'low', 1, 2 FROM programs WHERE slug = 'nosuch' ON CONFLICT DO NOTHING;",
    "UPDATE programs SET status = 'closed' WHERE slug = 'nosuch';",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;",
    "CREATE VIEW open_programs AS SELECT id FROM programs WHERE status = 'open';",
    "CREATE TYPE visibility AS ENUM ('public', 'private');\nALTER TABLE programs ADD COLUMN seen visibility;",
    "COMMENT ON TABLE reports IS 'one finding; DROP TABLE nothing';",
    "CREATE SEQUENCE invoice_numbers START WITH 1000;",
    "-- accept ban-drop-column: no version reads it since 1.4\nALTER TABLE reports DROP COLUMN weakness;",
    "DO $$ BEGIN UPDATE programs SET status = 'closed' WHERE slug = 'nosuch'; END $$;",
];

fn checkout() -> Checkout {
    let checkout = Checkout::new();
    copy_migrations(&checkout);
    checkout
}

#[test]
fn what_dangerous_scripts_do_is_observed_and_harmless_ones_are_not_reported() {
    let checkout = checkout();
    let mut files = Vec::new();
    for (index, text) in DANGEROUS.iter().map(|(text, ..)| *text).chain(HARMLESS).enumerate() {
        let name = format!("scripts/{index:02}.sql");
        checkout.write(&name, text);
        files.push(checkout.path(&name).display().to_string());
    }
    let words = |task: &'static str| -> Vec<&str> {
        ["migrate", task, "--json"].into_iter().chain(files.iter().map(String::as_str)).collect()
    };
    let document = checkout.xtask(&words("check")).expect(1).says(&["which the lint does not see"]).json();
    let linted = checkout.xtask(&words("lint")).expect(1).json();
    let reports = document["migrations"].as_array().unwrap();
    assert_eq!(reports.len(), files.len());
    for (index, (text, rule, foreseen)) in DANGEROUS.iter().enumerate() {
        let observations = reports[index]["observations"].as_array().unwrap();
        let own = observations.iter().find(|one| one["rule"] == *rule);
        let own = own.unwrap_or_else(|| panic!("{text}: {:#}", reports[index]));
        assert_eq!(own["foreseen"], *foreseen, "{text}: {:#}", linted["migrations"][index]);
    }
    for (index, text) in HARMLESS.iter().enumerate() {
        let place = DANGEROUS.len() + index;
        assert_eq!(reports[place]["observations"].as_array().unwrap().len(), 0, "{text}: {:#}", reports[place]);
        let findings = linted["migrations"][place]["findings"].as_array().unwrap();
        assert!(findings.iter().all(|finding| !finding["accepted"].is_null()), "{text}: {findings:?}");
    }
    checkout.expect_nothing_left();
}

#[test]
fn the_schema_in_git_is_compared_and_written() {
    let checkout = checkout();
    checkout.xtask(&["migrate", "check"]).expect(1).says(&["backend/schema.sql is not what the migrations add up to"]);
    assert!(!checkout.exists("backend/schema.sql"));
    checkout.xtask(&["migrate", "check", "--fix"]).expect(0);
    let schema = checkout.read("backend/schema.sql");
    assert!(schema.contains("CREATE TABLE public.reports (") && !schema.contains("_sqlx_migrations"), "{schema}");
    let document = checkout.xtask(&["migrate", "check", "--json"]).expect(0).json();
    assert_eq!((&document["passed"], &document["schema_version"]), (&true.into(), &1.into()));
    assert_eq!(document["migrations"].as_array().unwrap().len(), 1, "the newest is always traced");
    checkout.write("backend/schema.sql", &schema.replace("currency", "money"));
    checkout.xtask(&["migrate", "check"]).expect(1).says(&["currency"]);
    checkout.expect_nothing_left();
}

#[test]
fn a_file_that_does_not_apply_is_named_with_what_the_server_says() {
    let checkout = checkout();
    checkout.write("backend/migrations/20991231000000_bad.up.sql", "CREATE TABLE a (b nosuchtype);");
    checkout.write("backend/migrations/20991231000000_bad.down.sql", "DROP TABLE a;");
    let ran = checkout.xtask(&["migrate", "check"]).expect(1);
    ran.says(&["cannot apply 20991231000000_bad.up.sql from nothing", "type \"nosuchtype\" does not exist"]);
    checkout.write("draft.sql", "SELECT 1;\n\nDELETE FROM programs;\n");
    let ran = checkout.xtask(&["migrate", "check", &checkout.path("draft.sql").display().to_string()]).expect(1);
    ran.says(&["draft.sql, line 3, fails on a database with rows", "violates foreign key constraint"]);
    checkout.expect_nothing_left();
}

#[test]
fn an_interrupted_check_leaves_no_server_and_no_folder() {
    let checkout = checkout();
    let check = checkout.start_until(&["migrate", "check"], "from nothing");
    check.signal("INT");
    check.end().expect(130);
    checkout.expect_nothing_left();
    checkout.start_until(&["migrate", "check"], "from nothing").kill_and_wait();
    checkout.xtask(&["migrate", "check", "--fix"]).expect(0);
    checkout.expect_nothing_left();
}

#[test]
fn tables_without_rows_are_told_with_the_locks_that_were_taken_all_the_same() {
    let checkout = checkout();
    let real = std::env::var("TEST_BACKEND_BINARY").unwrap();
    checkout.fake_backend(&format!("[ \"$1\" = seed ] && exit 0\nexec '{real}' \"$@\"\n"));
    let scripts = "ALTER TABLE reports ADD cvss numeric;\n\
                   -- accept trace-write: some rows only\nDO $$ BEGIN UPDATE programs SET name = 'a'; END $$;\n";
    checkout.write("draft.sql", scripts);
    let file = checkout.path("draft.sql").display().to_string();
    let document = checkout.xtask(&["migrate", "check", &file, "--json"]).expect(0).json();
    let statements = &document["migrations"][0]["statements"];
    assert_eq!(statements[0]["locks"][0]["mode"], "AccessExclusiveLock", "{statements:#}");
    assert_eq!(statements[0]["empty"], serde_json::json!(["reports"]));
    let ran = checkout.xtask(&["migrate", "check", &file]).expect(0);
    for line in [
        "AccessExclusiveLock on reports, no row of reports was there to be read, changed or rewritten",
        "RowExclusiveLock on programs, no row of programs was there to be read, changed or rewritten",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in\n{}", ran.stdout);
    }
}
