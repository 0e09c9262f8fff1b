//! `migrate lint` with the real squawk: scripts that are dangerous to a database in use, and scripts that are not.

use crate::support::Checkout;

/// Scripts, and the rule by which each is found.
const DANGEROUS: [(&str, &str); 24] = [
    ("ALTER TABLE reports ADD COLUMN cvss numeric NOT NULL;", "adding-required-field"),
    ("ALTER TABLE reports DROP COLUMN weakness;", "ban-drop-column"),
    ("ALTER TABLE reports RENAME COLUMN weakness TO cwe;", "renaming-column"),
    ("ALTER TABLE reports RENAME TO findings;", "renaming-table"),
    ("ALTER TABLE reports ALTER COLUMN number TYPE numeric;", "changing-column-type"),
    ("ALTER TABLE reports ALTER COLUMN weakness SET NOT NULL;", "adding-not-nullable-field"),
    ("ALTER TABLE programs ALTER COLUMN currency DROP DEFAULT;", "ban-drop-default"),
    ("DROP TABLE program_rewards;", "ban-drop-table"),
    ("ALTER TABLE programs SET SCHEMA old;", "ban-set-schema"),
    (
        "ALTER TABLE reports ADD CONSTRAINT a FOREIGN KEY (asset) REFERENCES assets (id);",
        "adding-foreign-key-constraint",
    ),
    ("ALTER TABLE reports ADD CONSTRAINT a UNIQUE (title);", "disallowed-unique-constraint"),
    ("ALTER TABLE reports ADD CONSTRAINT a CHECK (weakness > 0);", "constraint-missing-not-valid"),
    ("ALTER TABLE reports ADD CONSTRAINT a CHECK (weakness > 0) NOT VALID;", "ban-new-write-restriction"),
    ("CREATE INDEX a ON reports (title);", "require-concurrent-index-creation"),
    ("CREATE INDEX CONCURRENTLY a ON reports (title);", "refused-in-a-transaction"),
    ("-- no-transaction\nDROP INDEX reports_newest_idx;", "require-concurrent-index-deletion"),
    ("-- no-transaction\nREINDEX TABLE reports;", "require-concurrent-reindex"),
    ("UPDATE reports SET severity = 'low';", "unbatched-write"),
    (
        "ALTER TABLE reports ADD COLUMN cvss numeric;\nUPDATE reports SET cvss = 0 WHERE cvss IS NULL;",
        "write-under-lock",
    ),
    ("TRUNCATE reports;", "truncate"),
    ("-- no-transaction\nVACUUM FULL reports;", "vacuum-full"),
    ("CREATE TRIGGER a BEFORE INSERT ON reports FOR EACH ROW EXECUTE FUNCTION b();", "create-trigger"),
    ("ALTER TYPE state ADD VALUE 'new';\nUPDATE t SET s = 'new' WHERE id = 1;", "enum-value-in-its-transaction"),
    ("ALTER TABLE reports ADD COLUMN a text;\nCOMMIT;", "transaction-nesting"),
];

const HARMLESS: [&str; 20] = [
    "ALTER TABLE reports ADD COLUMN cvss numeric;",
    "ALTER TABLE reports ADD COLUMN is_public boolean NOT NULL DEFAULT false;",
    "CREATE TABLE notes (id uuid PRIMARY KEY, text text NOT NULL CHECK (length(text) < 10));",
    "CREATE TABLE notes (id uuid PRIMARY KEY, report uuid NOT NULL);\nCREATE INDEX notes_report ON notes (report);",
    "CREATE TABLE notes (id uuid PRIMARY KEY);\nALTER TABLE notes ADD COLUMN a text NOT NULL DEFAULT '';",
    "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON reports (title);",
    "-- no-transaction\nREINDEX INDEX CONCURRENTLY reports_newest_idx;",
    "ALTER TABLE reports VALIDATE CONSTRAINT a;",
    "ALTER TABLE reports ADD CONSTRAINT a UNIQUE USING INDEX b;",
    "ALTER TABLE reports ALTER COLUMN state SET DEFAULT 'triaged';",
    "INSERT INTO programs (id, slug) VALUES (gen_random_uuid(), 'a;b') ON CONFLICT DO NOTHING;",
    "UPDATE programs SET status = 'closed' WHERE slug = 'old';",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;",
    "CREATE VIEW open_programs AS SELECT id FROM programs WHERE status = 'open';",
    "CREATE TYPE visibility AS ENUM ('public', 'private');",
    "COMMENT ON TABLE reports IS 'one finding; DROP TABLE nothing';",
    "CREATE SEQUENCE invoice_numbers START WITH 1000;",
    "ALTER TABLE reports ALTER COLUMN title SET STATISTICS 1000;",
    "-- accept ban-drop-column: no version reads it since 1.4\nALTER TABLE reports DROP COLUMN weakness;",
    "GRANT SELECT ON reports TO reader;",
];

fn checkout() -> Checkout {
    let checkout = Checkout::new();
    for end in ["up", "down"] {
        checkout.write(&format!("backend/migrations/20200101000000_first.{end}.sql"), "SELECT 1;");
    }
    checkout
}

#[test]
fn dangerous_scripts_are_found_for_the_right_reason_and_harmless_ones_are_not_reported() {
    let checkout = checkout();
    let mut args = vec!["migrate".to_owned(), "lint".to_owned(), "--json".to_owned()];
    for (index, text) in DANGEROUS.iter().map(|(text, _)| *text).chain(HARMLESS).enumerate() {
        let name = format!("scripts/{index:02}.sql");
        checkout.write(&name, text);
        args.push(checkout.path(&name).display().to_string());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let document = checkout.xtask(&args).expect(1).json();
    let verdicts = document["migrations"].as_array().unwrap();
    assert_eq!(verdicts.len(), DANGEROUS.len() + HARMLESS.len());
    let rules = |index: usize| -> Vec<&str> {
        let findings = verdicts[index]["findings"].as_array().unwrap().iter();
        let open = findings.filter(|finding| finding["accepted"].is_null());
        open.map(|finding| finding["rule"].as_str().unwrap()).collect()
    };
    for (index, (text, rule)) in DANGEROUS.iter().enumerate() {
        assert!(rules(index).contains(rule), "{text}: {:?}", rules(index));
    }
    for (index, text) in HARMLESS.iter().enumerate() {
        assert_eq!(rules(DANGEROUS.len() + index), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn what_is_wrong_with_the_files_themselves_is_named_before_anything_else() {
    let checkout = checkout();
    checkout.write("backend/migrations/20991231000000_alone.up.sql", "SELECT 1;");
    checkout.write("backend/migrations/20991231000001_bad.up.sql", "TRUNCATE reports;");
    checkout.write("backend/migrations/20991231000001_bad.down.sql", "");
    let ran = checkout.xtask(&["migrate", "lint"]).expect(1);
    let ran =
        ran.says(&["20991231000000_alone.up.sql is without 20991231000000_alone.down.sql", "-- accept RULE: reason"]);
    assert!(ran.stdout.contains("20991231000001_bad.up.sql: not compatible"), "{}", ran.stdout);
    assert!(ran.stdout.contains("line 1  truncate"), "{}", ran.stdout);
}

#[test]
fn without_squawk_and_pip_nothing_passes_for_linted() {
    let checkout = checkout();
    checkout.write("a.sql", "SELECT 1;");
    for program in ["python3", "pip3", "python", "pip", "uv"] {
        checkout.fake(program, "exit 127\n");
    }
    let mut command = checkout.command(&["migrate", "lint", "a.sql"]);
    command.env("XDG_CACHE_HOME", checkout.path("cache")).current_dir(checkout.path(""));
    let ran: crate::support::Ran = command.output().unwrap().into();
    ran.expect(3).says(&["migrations cannot be linted", "pip"]);
}
