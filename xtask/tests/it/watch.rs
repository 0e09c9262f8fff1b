//! Hot reload: what an edit leads to, and that no client notices more of it than the new answer.

mod processes;

use std::fs;

use serde_json::Value;

use crate::load::Load;
use crate::support::{Checkout, is_alive, of, until, until_or_show};

/// A build that makes another binary of the same program.
const ANOTHER: &str = "cp target/debug/thunder target/debug/new && mv target/debug/new target/debug/thunder\n";
/// A build that fails as rustc does.
const BROKEN: &str = r#"
cat <<'END'
{"reason":"compiler-message","message":{"level":"error","rendered":"error[E0425]: not found: it_is\n","spans":[{"file_name":"backend/src/reports/routes.rs","line_start":41,"is_primary":true}]}}
{"reason":"build-finished","success":false}
END
echo 'error: could not compile `backend`' >&2
exit 101
"#;

/// A checkout whose cargo notes that it builds, and does what `backend/src/build.sh` says.
fn checkout() -> Checkout {
    let checkout = Checkout::new();
    checkout.fake(
        "cargo",
        "[ \"$1\" = build ] || exit 1\necho $$ >> builds\n[ ! -f backend/src/build.sh ] || . ./backend/src/build.sh\n",
    );
    checkout.write("backend/src/main.rs", "fn main() {}\n");
    checkout
}

/// One whose stack is up.
fn up() -> Checkout {
    let checkout = checkout();
    checkout.xtask(&["up"]).expect(0);
    checkout
}

impl Checkout {
    fn log(&self) -> String {
        fs::read_to_string(self.path(".stack/logs/backend.log")).unwrap_or_default()
    }

    fn said(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// How many builds were begun.
    fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds")).unwrap_or_default().lines().count()
    }

    /// Edits the source so that building it does this, and comes back when the watcher has said these words once more.
    #[track_caller]
    fn edit(&self, script: &str, words: &str) {
        let before = self.said(words);
        self.write("backend/src/build.sh", &format!("# after {} builds\n{script}", self.builds()));
        self.hear(words, before + 1);
    }

    /// Comes back when the watcher or the backend has said these words so many times.
    #[track_caller]
    fn hear(&self, words: &str, times: usize) {
        until_or_show(&format!("{words:?} appears"), || self.said(words) >= times, || self.log());
    }

    fn port(&self) -> u16 {
        let port = of(&self.status(), "backend")["port"].as_u64().expect("a port");
        u16::try_from(port).expect("a port")
    }

    fn watcher(&self) -> u32 {
        let record: Value = serde_json::from_str(&self.read(".stack/run/watcher.json")).expect("a record");
        u32::try_from(record["pid"].as_u64().expect("a pid")).expect("a pid")
    }
}

#[test]
fn an_edit_is_built_and_the_new_server_takes_over() {
    let checkout = up();
    let before = checkout.pid("backend");
    checkout.edit(ANOTHER, "reloaded ");
    let after = checkout.pid("backend");
    assert_ne!(before, after);
    until("the old one has ended", || !is_alive(before));
    assert_eq!(checkout.builds(), 2, "one by `up`, one by the edit");
    assert!(checkout.log().contains("WATCH backend/src/build.sh changed"), "{}", checkout.log());
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    let watch = &of(&status, "backend")["watch"];
    assert_eq!((&watch["running"], &watch["phase"], &watch["reloads"]), (&true.into(), &"idle".into(), &1.into()));
    checkout.xtask(&["smoke"]).expect(0);
}

/// How many requests were answered; every other one fails the test.
#[track_caller]
fn expect_no_failure(load: Load) -> usize {
    let (answers, failures) = load.end();
    assert!(failures.is_empty(), "{} failures: {:?}", failures.len(), &failures[..failures.len().min(5)]);
    answers
}

#[test]
fn no_request_is_refused_reset_or_failed_while_servers_replace_each_other() {
    let checkout = up();
    let load = Load::on(checkout.port());
    for _ in 0..20 {
        let answers = load.answers();
        checkout.edit(ANOTHER, "reloaded ");
        until("the new one answers", || load.answers() > answers);
    }
    assert!(expect_no_failure(load) >= 20);
    checkout.xtask(&["down"]).expect(0);
    assert_eq!(checkout.inhabitants(), Vec::<u32>::new());
}

#[test]
fn a_save_of_many_steps_or_a_change_of_many_files_is_one_build() {
    let checkout = up();
    let main = checkout.path("backend/src/main.rs");
    // As Vim saves: a swap file, a trial, the old one put aside, the new one written, the old one removed.
    let before = checkout.said("the build is the same");
    checkout.write("backend/src/.main.rs.swp", "swap");
    checkout.write("backend/src/4913", "");
    fs::remove_file(checkout.path("backend/src/4913")).unwrap();
    fs::rename(&main, checkout.path("backend/src/main.rs~")).unwrap();
    checkout.write("backend/src/main.rs", "");
    checkout.write("backend/src/main.rs", "fn main() { }\n");
    fs::remove_file(checkout.path("backend/src/main.rs~")).unwrap();
    checkout.hear("the build is the same", before + 1);
    assert_eq!(checkout.builds(), 2);

    // As git changes branches: files in new folders, others gone.
    for index in 0..300 {
        checkout.write(&format!("backend/src/many/of/{}/file_{index}.rs", index % 7), "// new\n");
    }
    fs::remove_file(&main).unwrap();
    checkout.hear("the build is the same", before + 2);
    assert_eq!(checkout.builds(), 3, "{}", checkout.log());

    // And what lies in folders that are new is watched as well.
    checkout.write("backend/src/many/of/3/file_3.rs", "// newer\n");
    until("it was built", || checkout.builds() == 4);
}

#[test]
fn a_compile_error_is_shown_once_and_told_by_status_until_it_is_fixed() {
    let checkout = up();
    let before = checkout.pid("backend");
    checkout.edit(BROKEN, "1 error in backend/src/reports/routes.rs:41; the older build keeps serving");
    assert_eq!(checkout.said("error[E0425]: not found: it_is"), 1);
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    let backend = of(&status, "backend");
    assert_eq!(backend["detail"], "serving an older build: 1 error in backend/src/reports/routes.rs:41");
    assert_eq!((&status["state"], &backend["health"]), (&"up".into(), &"healthy".into()));
    assert!(
        checkout
            .xtask(&["status"])
            .stdout
            .contains("serving an older build: 1 error in backend/src/reports/routes.rs:41")
    );
    assert_eq!(checkout.pid("backend"), before);

    checkout.edit(BROKEN, "(as before)");
    assert_eq!(checkout.said("error[E0425]: not found: it_is"), 1, "the same message is not said again");
    checkout.edit(ANOTHER, "reloaded ");
    assert_eq!(of(&checkout.status(), "backend")["detail"], Value::Null);
}

#[test]
fn an_error_that_is_undone_needs_no_build() {
    let checkout = up();
    checkout.edit(BROKEN, "keeps serving");
    let builds = checkout.builds();
    fs::remove_file(checkout.path("backend/src/build.sh")).unwrap();
    checkout.hear("changed back to what serves", 1);
    assert_eq!(of(&checkout.status(), "backend")["detail"], Value::Null);
    assert_eq!(checkout.builds(), builds);
}

#[test]
fn a_change_during_a_build_cancels_it() {
    let checkout = up();
    checkout.write("backend/src/build.sh", "exec sleep 600\n");
    until("it is being built", || checkout.builds() == 2);
    let first: u32 = checkout.read("builds").lines().last().unwrap().parse().unwrap();
    until("status tells", || of(&checkout.status(), "backend")["watch"]["phase"] == "building");
    checkout.edit(ANOTHER, "reloaded ");
    assert!(!is_alive(first));
    assert_eq!((checkout.builds(), checkout.said("starting over")), (3, 1));
}

#[test]
fn a_server_that_does_not_get_ready_leaves_the_older_one_serving() {
    let checkout = up();
    let before = checkout.pid("backend");
    let failing = "printf '#!/bin/sh\\necho no luck\\nexit 7\\n' > target/debug/new; chmod +x target/debug/new; \
                   mv target/debug/new target/debug/thunder\n";
    checkout.edit(failing, "the new server ended with exit code 7 before it was ready; the older build keeps serving");
    assert_eq!(checkout.pid("backend"), before);
    checkout.hear("it did not get ready, 2 times in a row; trying again in 1s", 1);
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    let detail = of(&status, "backend")["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("serving an older build: the new server ended with exit code 7"), "{detail}");
}

#[test]
fn a_server_that_could_not_start_takes_over_once_it_can() {
    let checkout = up();
    let real = checkout.path("target/debug/real").display().to_string();
    fs::copy(checkout.path("target/debug/thunder"), checkout.path("target/debug/real")).unwrap();
    let once = format!(
        "cat > target/debug/new <<'END'\n#!/bin/sh\n[ \"$1\" = serve ] && [ ! -e failed ] && {{ touch failed; exit 1; }}\n\
         exec {real} \"$@\"\nEND\nchmod +x target/debug/new; mv target/debug/new target/debug/thunder\n"
    );
    checkout.edit(&once, "the new server ended with exit code 1 before it was ready");
    checkout.hear("reloaded ", 1);
    assert_eq!(of(&checkout.status(), "backend")["detail"], Value::Null);
}

#[test]
fn changed_settings_need_no_build_and_wrong_ones_leave_the_older_server() {
    let checkout = up();
    let settings = checkout.read(".env.docker");
    checkout.write(".env.docker", &settings.replace("LOG_LEVEL=info", "LOG_LEVEL=debug"));
    checkout.hear("reloaded ", 1);
    assert_eq!(checkout.builds(), 1);
    assert!(checkout.log().contains("WATCH the settings changed"), "{}", checkout.log());

    let before = checkout.pid("backend");
    checkout.write(".env.docker", &settings.replace("LOG_LEVEL=info", "LOG_LEVEL=inf=o=3"));
    checkout.hear("the older build keeps serving", 1);
    assert_eq!(checkout.pid("backend"), before);
    assert!(checkout.log().contains("LOG_LEVEL"), "the server names what is wrong: {}", checkout.log());
    checkout.write(".env.docker", &settings);
    checkout.hear("reloaded ", 2);
}

#[test]
fn a_pending_migration_is_applied_first_and_an_altered_one_stops_with_what_to_do() {
    let checkout = checkout();
    fs::rename(checkout.path("target/debug/thunder"), checkout.path("target/debug/real")).unwrap();
    let real = checkout.path("target/debug/real").display().to_string();
    let migrating = |answer: &str| {
        format!("#!/bin/sh\nif [ \"$1\" = migrate ]; then {answer}; fi\nexec {real} \"$@\"\n# {answer}\n")
    };
    let build = |answer: &str| {
        format!(
            "cat > target/debug/new <<'END'\n{}END\nchmod +x target/debug/new; mv target/debug/new target/debug/thunder\n",
            migrating(answer)
        )
    };
    checkout.write("backend/src/build.sh", &build("exec REAL \"$@\"").replace("REAL", &real));
    checkout.xtask(&["up"]).expect(0);

    checkout.write("backend/migrations/2_b.up.sql", "SELECT 1");
    checkout.edit(&build("echo applied 2_b; exit 0"), "reloaded ");
    let log = checkout.log();
    let place = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words:?} is not in {log}"));
    assert!(place("WATCH migration applied 2_b") < place("WATCH reloaded"), "{log}");

    // Without another migration none is asked for.
    checkout.edit(&build("echo applied 3_c; exit 0"), "reloaded ");
    assert_eq!(checkout.said("3_c"), 0);

    let before = checkout.pid("backend");
    let served = checkout.read("backend/src/build.sh");
    checkout.write("backend/migrations/2_b.up.sql", "SELECT 2");
    let altered = "echo \"thunder: the database's migrations differ from this version's:\" >&2; echo '  2_b was altered' >&2; exit 5";
    checkout.edit(&build(altered), "migrations differ from this version's; the older build keeps serving");
    let log = checkout.log();
    for words in ["2_b was altered", "cargo xtask migrate status", "cargo xtask clean"] {
        assert!(log.contains(words), "{words:?} is not in {log}");
    }
    assert_eq!(checkout.pid("backend"), before);

    // Undone, and then started again for another reason.
    checkout.write("backend/migrations/2_b.up.sql", "SELECT 1");
    let reloads = checkout.said("reloaded ");
    checkout.write("backend/src/build.sh", &served);
    // Whatever the failed migration has left, what serves needs all of its own.
    checkout.hear("reloaded ", reloads + 1);
    assert_eq!(checkout.said("changed back to what serves"), 0);
    let (builds, reloads) = (checkout.builds(), checkout.said("reloaded "));
    let settings = checkout.read(".env.docker").replace("LOG_LEVEL=info", "LOG_LEVEL=debug");
    checkout.write(".env.docker", &settings);
    checkout.hear("reloaded ", reloads + 1);
    assert_eq!(checkout.builds(), builds, "what serves is what was built last");
}

#[test]
fn changes_are_found_at_intervals_where_that_is_asked_for() {
    let checkout = checkout();
    let settings = checkout.read(".env.docker.example").replace("WATCH_POLL=", "WATCH_POLL=true");
    checkout.write(".env.docker.example", &settings);
    checkout.xtask(&["up"]).expect(0);
    checkout.edit(ANOTHER, "reloaded ");
    assert_eq!(checkout.builds(), 2);
    checkout.xtask(&["down"]).expect(0);
    let settings = checkout.read(".env.docker").replace("WATCH_POLL=true", "WATCH_POLL=false");
    checkout.write(".env.docker", &settings);
    checkout.xtask(&["up", "--poll"]).expect(0);
    checkout.edit(ANOTHER, "reloaded ");
}

#[test]
fn the_folder_of_the_sources_may_go_and_come_again() {
    let checkout = up();
    fs::rename(checkout.path("backend"), checkout.path("elsewhere")).unwrap();
    checkout.hear(" changed", 1);
    fs::rename(checkout.path("elsewhere"), checkout.path("backend")).unwrap();
    checkout.hear(" changed", 2);
    checkout.edit(ANOTHER, "reloaded ");
}

#[test]
fn looking_at_intervals_can_be_asked_for_later_and_survives_a_restart() {
    let checkout = checkout();
    checkout.xtask(&["up"]).expect(0);
    checkout.xtask(&["up", "--poll"]).expect(0);
    let polls = |checkout: &Checkout| {
        let record: Value = serde_json::from_str(&checkout.read(".stack/run/watcher.json")).unwrap();
        let words = std::fs::read_to_string(format!("/proc/{}/cmdline", record["pid"])).unwrap();
        words.split('\0').any(|word| word == "--poll")
    };
    assert!(polls(&checkout));
    checkout.xtask(&["restart", "backend"]).expect(0);
    assert!(polls(&checkout));
}

#[test]
fn a_migration_that_is_in_no_commit_is_named_as_a_draft() {
    let checkout = checkout();
    checkout.fake("git", "case \"$*\" in *ls-tree*) echo backend/migrations/1_a.up.sql ;; *) exit 128 ;; esac\n");
    checkout.write("backend/migrations/1_a.up.sql", "SELECT 1");
    checkout.write("backend/migrations/2_b.up.sql", "SELECT 1");
    let real = checkout.path("target/debug/real");
    std::fs::rename(checkout.path("target/debug/thunder"), &real).unwrap();
    checkout.write("target/debug/thunder", "");
    checkout.fake_backend(&format!(
        "[ \"$1\" = migrate ] && {{ echo \"$*\" >> asked; exec {real} migrate run; }}\nexec {real} \"$@\"\n",
        real = real.display()
    ));
    checkout.xtask(&["up"]).expect(0);
    let asked = || std::fs::read_to_string(checkout.path("asked")).unwrap_or_default();
    assert_eq!(asked().lines().last(), Some("migrate run --draft 2"), "by `up`");
    checkout.write("backend/migrations/3_c.up.sql", "SELECT 1");
    until("the watcher migrates", || asked().lines().last() == Some("migrate run --draft 2 --draft 3"));
}
