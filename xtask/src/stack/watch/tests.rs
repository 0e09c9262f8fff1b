//! What a watcher does about what happens, with recorded builds and servers.

use std::path::Path;

use super::build::put_beside;
use super::*;
use crate::fixture::Fixture;
use crate::fixture::servers::free_block;
use crate::runner::{Recorded, fails, says};
use crate::stack::ports::Ports;
use crate::wait::{self, Poll, Waited};

/// A checkout with sources and a build of them, as a watcher finds it.
pub fn checkout() -> (Fixture, Location) {
    let fixture = Fixture::new(&["git"]);
    fixture.settle(free_block());
    fixture.write("backend/src/main.rs", "fn main() {}");
    fixture.write("backend/migrations/1_a.up.sql", "SELECT 1");
    fixture.write("built/app", "a binary");
    fixture.runner.on("", says(""));
    crate::file::create(fixture.stack().watch().folder()).unwrap();
    let port = free_block();
    let location = Location::host(fixture.root(), Ports::block(port), fixture.root().join("built/app"));
    (fixture, location)
}

/// Does something with a watcher that has done nothing yet.
pub fn with_watcher(is_prepared: bool, check: impl FnOnce(&Fixture, Watcher<'_, '_>)) {
    let (fixture, location) = checkout();
    let files = fixture.stack().watch();
    std::thread::scope(|scope| {
        let start = Start { context: &fixture.context, location: &location, files, polls: true, is_prepared };
        check(&fixture, Watcher::new(start, scope).unwrap());
    });
}

/// What a build came to that changed the binary.
pub fn prepared(watcher: &Watcher<'_, '_>) -> Prepared {
    Prepared {
        snapshot: watcher.seen.clone(),
        environment: Vec::new(),
        is_another_binary: true,
        warnings: Vec::new(),
        migrated: Vec::new(),
        metadata: Vec::new(),
    }
}

impl Watcher<'_, '_> {
    /// As if a job had come to this.
    pub fn comes_to(&mut self, outcome: Outcome) -> Option<u8> {
        self.job = Some((99, CancelToken::never()));
        self.over(99, outcome)
    }

    /// As if what was edited had been built and now served.
    pub fn serves(&mut self) {
        let prepared = prepared(self);
        assert_eq!(self.comes_to(Outcome::Prepared(prepared)), None);
        self.take_over(self.servers.last()).unwrap();
    }

    /// What `status` would tell.
    pub fn told(&self) -> WatchReport {
        WatchReport::load(&self.files.report()).expect("a report")
    }

    /// The job that is under way comes to its end.
    fn finish_job(&mut self) -> Option<u8> {
        loop {
            if let Some(Message::Over(number, outcome)) = self.receive() {
                return self.over(number, outcome);
            }
        }
    }
}

/// The last line that a watcher has said, without its time.
#[track_caller]
pub fn last(fixture: &Fixture) -> String {
    lines(fixture).pop().expect("a line")
}

/// Every line that a watcher has said, without its time.
pub fn lines(fixture: &Fixture) -> Vec<String> {
    let line = |line: &str| line.split_once(" WATCH ").map_or(line, |(_, said)| said).to_owned();
    fixture.printed().lines().map(line).collect()
}

#[test]
fn what_was_built_just_now_is_not_built_again() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.prepare();
        assert_eq!(watcher.told().phase, Phase::Building);
        assert_eq!(watcher.finish_job(), None);
        assert_eq!(watcher.told().phase, Phase::Starting);
        assert!(!fixture.runner.was_asked("cargo build") && !fixture.runner.was_asked("migrate run"));
        assert!(fixture.runner.was_asked("NOTIFY_SOCKET serve"));
    });
    with_watcher(false, |fixture, mut watcher| {
        watcher.prepare();
        assert_eq!(watcher.finish_job(), None);
        let asked = fixture.runner.asked();
        let place = |word: &str| asked.iter().position(|command| command.contains(word)).unwrap();
        let order = ["build --package", "migrate run", "NOTIFY_SOCKET"];
        assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{asked:?}");
    });
}

#[test]
fn an_edit_is_built_and_a_save_without_a_change_is_not() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        watcher.look();
        fixture.write("backend/src/main.rs", "fn main() {}");
        watcher.look();
        assert!(watcher.job.is_none());
        fixture.write("backend/src/main.rs", "fn main() { }");
        watcher.look();
        assert_eq!(last(fixture), "backend/src/main.rs changed");
        assert_eq!(watcher.finish_job(), None);
        assert!(fixture.runner.was_asked("cargo build --package") && !fixture.runner.was_asked("migrate run"));
    });
}

#[test]
fn other_settings_need_a_new_server_and_no_build() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        fixture.set("LOG_LEVEL", "debug");
        watcher.look();
        assert_eq!(last(fixture), "the settings changed");
        assert_eq!(watcher.finish_job(), None);
        assert_eq!(watcher.told().phase, Phase::Starting);
        assert!(!fixture.runner.was_asked("cargo build"));
        assert!(fixture.runner.was_asked("LOG_LEVEL=debug serve"));
    });
}

#[test]
fn another_migration_is_built_in_and_applied() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        fixture.runner.on("migrate run", says("2_b applied\nnothing to apply\n"));
        fixture.write("backend/migrations/2_b.up.sql", "SELECT 2");
        watcher.look();
        assert_eq!(watcher.finish_job(), None);
        assert_eq!(lines(fixture)[lines(fixture).len() - 1], "migration 2_b applied");
        assert!(fixture.runner.was_asked("cargo build --package"));
    });
}

#[test]
fn an_edit_during_a_build_starts_over() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let cancel = CancelToken::never();
        watcher.job = Some((7, cancel.clone()));
        fixture.write("backend/src/main.rs", "fn main() { }");
        watcher.look();
        assert!(cancel.is_cancelled());
        assert_eq!(last(fixture), "backend/src/main.rs changed; starting over");
        let late = prepared(&watcher);
        assert_eq!(watcher.over(7, Outcome::Prepared(late)), None);
        assert!(watcher.job.is_some(), "what the cancelled one came to does not count");
    });
}

#[test]
fn an_edit_that_is_taken_back_leaves_what_serves_alone() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        fixture.write("backend/src/main.rs", "broken");
        watcher.look();
        watcher.comes_to(Outcome::Failed(Problem::of_source("1 error".to_owned(), Vec::new())));
        fixture.write("backend/src/main.rs", "fn main() {}");
        watcher.look();
        assert_eq!(last(fixture), "backend/src/main.rs changed back to what serves");
        assert_eq!((watcher.told().phase, watcher.told().problem), (Phase::Idle, None));
        assert!(watcher.job.is_none());
    });
}

#[test]
fn a_draft_that_is_taken_back_is_applied_again_because_the_database_is_not_as_it_was() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        fixture.write("backend/migrations/2_b.up.sql", "SELECT 2");
        watcher.look();
        assert_eq!(watcher.finish_job(), None);
        std::fs::remove_file(fixture.root().join("backend/migrations/2_b.up.sql")).unwrap();
        fixture.runner.forget();
        watcher.look();
        assert!(watcher.job.is_some());
        watcher.finish_job();
        assert!(fixture.runner.was_asked("migrate run"));
    });
}

#[test]
fn a_build_that_comes_to_the_same_reloads_nothing() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let same = Prepared { is_another_binary: false, ..prepared(&watcher) };
        assert_eq!(watcher.comes_to(Outcome::Prepared(same)), None);
        assert_eq!(last(fixture), "the build is the same; nothing to reload");
        assert_eq!(watcher.told().phase, Phase::Idle);
        // Other variables are worth a new server.
        let environment = vec![Variable::plain("LOG_LEVEL", "debug")];
        let other = Prepared { is_another_binary: false, environment, ..prepared(&watcher) };
        watcher.comes_to(Outcome::Prepared(other));
        assert_eq!(watcher.told().phase, Phase::Starting);
    });
}

#[test]
fn what_the_database_said_about_queries_is_written_and_is_no_change() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let path = Path::new(crate::product::QUERY_METADATA).join("query-1.json");
        let new = Prepared { metadata: vec![(path.clone(), b"{}".to_vec())], ..prepared(&watcher) };
        watcher.comes_to(Outcome::Prepared(new));
        assert_eq!(std::fs::read_to_string(fixture.root().join(path)).unwrap(), "{}");
        assert!(lines(fixture).iter().any(|line| line.starts_with("asked the database about a changed query")));
        watcher.look();
        assert!(watcher.job.is_none());
    });
}

#[test]
fn what_the_compiler_said_is_not_said_twice() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let problem = || Problem::of_source("1 error".to_owned(), vec!["error: expected `;`\n".to_owned()]);
        watcher.comes_to(Outcome::Failed(problem()));
        assert_eq!(last(fixture), "error: expected `;`");
        watcher.comes_to(Outcome::Failed(problem()));
        assert_eq!(last(fixture), "(as before)");
    });
}

#[test]
fn a_binary_is_put_beside_once() {
    let folder = tempfile::tempdir().unwrap();
    let (built, kept) = (folder.path().join("built"), folder.path().join("kept"));
    assert!(put_beside(&built, &kept).is_err(), "another build is replacing it");
    std::fs::write(&built, "one").unwrap();
    assert!(put_beside(&built, &kept).unwrap());
    assert!(!put_beside(&built, &kept).unwrap(), "it is that file");
    std::fs::remove_file(&built).unwrap();
    std::fs::write(&built, "two").unwrap();
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "one", "a build replaces only its own");
    assert!(put_beside(&built, &kept).unwrap());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "two");
}

/// Waits until the report is so.
#[track_caller]
fn until(files: &Files, is_so: impl Fn(&WatchReport) -> bool) {
    let waited = wait::until(Duration::from_secs(20), &CancelToken::never(), || {
        let report = WatchReport::load(&files.report());
        Ok(match report {
            Some(report) if is_so(&report) => Poll::Ready(()),
            report => Poll::Pending(format!("{report:?}")),
        })
    });
    let waited = waited.unwrap();
    assert!(matches!(waited, Waited::Done(())), "{waited:?}");
}

/// When it is dropped, also by a test that fails, the watcher is told to stop, and its servers end.
struct End {
    sender: Sender<Message>,
    runner: Recorded,
}

impl Drop for End {
    fn drop(&mut self) {
        drop(self.sender.send(Message::Stop));
        self.runner.end("RUST_BACKTRACE serve", "exit code 0");
    }
}

#[test]
fn a_watcher_lives_from_its_first_server_over_a_reload_to_its_end() {
    let (fixture, location) = checkout();
    let files = fixture.stack().watch();
    std::thread::scope(|scope| {
        let start = Start {
            context: &fixture.context,
            location: &location,
            files: files.clone(),
            polls: true,
            is_prepared: false,
        };
        let watcher = Watcher::new(start, scope).unwrap();
        let (sender, runner) = (watcher.sender.clone(), fixture.runner.clone());
        let (built, main) = (location.binary().to_owned(), fixture.root().join("backend/src/main.rs"));
        scope.spawn(move || {
            let end = End { sender, runner };
            let send = |message| end.sender.send(message).unwrap();
            until(&files, |report| report.phase == Phase::Starting);
            send(Message::Ready(1));
            until(&files, |report| report.phase == Phase::Idle && report.reloads == 0);
            std::fs::remove_file(&built).unwrap();
            std::fs::write(&built, "another binary").unwrap();
            std::fs::write(main, "fn main() { }").unwrap();
            send(Message::MayHaveChanged);
            until(&files, |report| report.phase == Phase::Starting);
            send(Message::Ready(2));
            until(&files, |report| report.phase == Phase::Idle && report.reloads == 1);
        });
        assert_eq!(watcher.run().unwrap(), 0);
    });
    let said = lines(&fixture);
    assert_eq!(said[0], "watching backend");
    assert!(said.iter().any(|line| line == "serving") && said.iter().any(|line| line.starts_with("reloaded ")));
    assert_eq!(said.last().map(String::as_str), Some("stopped"));
    assert!(!fixture.has(".stack/run/watch.json") && !fixture.has(".stack/run/backend.json"));
    assert_eq!(std::fs::read_dir(fixture.root().join(".stack/run/servers")).unwrap().count(), 0);
}

#[test]
fn a_first_build_that_fails_ends_the_watcher_with_its_code_and_leaves_the_reason() {
    let (fixture, location) = checkout();
    fixture.runner.on("cargo build --package", fails(101, "error: no such package"));
    let files = fixture.stack().watch();
    let start = Start { context: &fixture.context, location: &location, files, polls: true, is_prepared: false };
    assert_eq!(run(start).unwrap(), 1);
    let report = WatchReport::load(&fixture.stack().watch().report()).unwrap();
    assert_eq!(report.problem.as_deref(), Some("cargo: no such package"));
}
