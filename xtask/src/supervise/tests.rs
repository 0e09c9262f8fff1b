//! Real processes that end, will not end, or are somebody else's.
#![cfg(unix)]

use std::cell::RefCell;

use super::*;
use crate::failure::exit_code;
use crate::interrupt::Interrupt;

/// A folder of records, and what was warned of.
struct Bench {
    folder: tempfile::TempDir,
    warnings: RefCell<Vec<String>>,
}

/// A process of ours; gone with the test, whatever came of it.
struct Process {
    handle: duct::Handle,
    record: Record,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.handle.kill().expect("it is ours");
    }
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), warnings: RefCell::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script that says when it is ready, and records it under the name.
    fn start(&self, name: &str, script: &str, variables: &[(&str, String)]) -> Process {
        let script = format!("{script}\n: >{name}.ready; while :; do sleep 0.05; done");
        #[expect(clippy::disallowed_methods, reason = "the processes under test are not started by the runner")]
        let command = duct::cmd("sh", ["-c", &script]).dir(self.folder.path()).stdin_null().unchecked();
        let command = variables.iter().fold(command, |command, (name, value)| command.env(name, value));
        let handle = command.start().unwrap();
        let record = Record::of(handle.pids()[0]).unwrap();
        let ready = self.path(&format!("{name}.ready"));
        let is_ready = || Ok(if ready.exists() { Poll::Ready(()) } else { Poll::Pending(String::new()) });
        assert!(matches!(wait::until(LONG, &CancelToken::never(), is_ready), Ok(Waited::Done(()))), "it does not run");
        std::fs::remove_file(ready).unwrap();
        self.write(name, &record);
        Process { handle, record }
    }

    fn write(&self, name: &str, record: &Record) {
        std::fs::write(self.path(&format!("{name}.json")), serde_json::to_string(record).unwrap()).unwrap();
    }

    fn stop_with(&self, name: &str, signals: &[(&'static str, Duration)]) -> Stop {
        Stop { service: name.to_owned(), record: self.path(&format!("{name}.json")), signals: signals.to_vec() }
    }

    fn warn(&self) -> impl Fn(String) + '_ {
        |text| self.warnings.borrow_mut().push(text)
    }

    /// The files that are left.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

#[test]
fn a_service_that_ends_when_asked_is_forgotten_without_a_word() {
    let bench = Bench::new();
    let process = bench.start("redis", "", &[]);
    stop(&bench.stop_with("redis", &[("TERM", LONG), ("KILL", LONG)]), &bench.warn()).unwrap();
    assert!(!process.record.is_running());
    assert_eq!(bench.left(), [""; 0]);
    assert_eq!(*bench.warnings.borrow(), [""; 0]);
}

#[test]
fn a_service_that_does_not_listen_gets_the_next_signal_and_that_is_said() {
    let bench = Bench::new();
    let process = bench.start("redis", "trap '' TERM", &[]);
    stop(&bench.stop_with("redis", &[("TERM", SHORT), ("KILL", LONG)]), &bench.warn()).unwrap();
    assert!(!process.record.is_running());
    let warning = format!("redis (process {}) does not stop by itself; sending SIGKILL", process.record.pid);
    assert_eq!(*bench.warnings.borrow(), [warning]);
}

#[test]
fn a_stop_that_was_begun_and_failed_is_remembered_and_finished_later() {
    let bench = Bench::new();
    let process = bench.start("redis", "trap '' TERM", &[]);
    let gentle = bench.stop_with("redis", &[("TERM", SHORT)]);
    let error = stop(&gentle, &bench.warn()).unwrap_err();
    assert_eq!(error.to_string(), format!("redis (process {}) cannot be stopped", process.record.pid));
    assert!(process.record.is_running());
    assert_eq!(bench.left(), ["redis.json", "redis.stopping"]);
    finish_stop(&bench.stop_with("redis", &[("KILL", LONG)]), &bench.warn()).unwrap();
    assert!(!process.record.is_running());
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn a_service_that_nobody_began_to_stop_goes_on() {
    let bench = Bench::new();
    let process = bench.start("redis", "", &[]);
    finish_stop(&bench.stop_with("redis", &[("KILL", LONG)]), &bench.warn()).unwrap();
    assert!(process.record.is_running());
}

#[test]
fn a_record_whose_number_is_somebody_elses_now_ends_nobody() {
    let bench = Bench::new();
    let process = bench.start("other", "", &[]);
    bench.write("redis", &Record { started: "another boot".to_owned(), ..process.record.clone() });
    stop(&bench.stop_with("redis", &[("KILL", LONG)]), &bench.warn()).unwrap();
    assert!(process.record.is_running());
    assert_eq!(bench.left(), ["other.json"]);
}

#[test]
fn a_service_that_is_not_there_leaves_no_trace_and_one_that_is_about_to_start_does_not() {
    let bench = Bench::new();
    let redis = bench.stop_with("redis", &[("TERM", LONG)]);
    std::fs::write(redis.begun(), "").unwrap();
    launch::announce(&redis.record).unwrap();
    stop(&redis, &bench.warn()).unwrap();
    assert_eq!(bench.left(), [""; 0]);
    assert!(!launch::begin(&redis.record).unwrap(), "its launch was called off");
    std::fs::write(&redis.record, "{ half").unwrap();
    stop(&redis, &bench.warn()).unwrap();
    assert!(!redis.record.exists());
}

#[test]
fn of_several_processes_those_that_are_spared_go_on_and_are_only_forgotten() {
    let bench = Bench::new();
    let (one, two) = (bench.start("one", "", &[]), bench.start("two", "", &[]));
    std::fs::write(bench.path("three.json"), "{ half").unwrap();
    std::fs::write(bench.path("two.stopping"), "").unwrap();
    let each = Stop { record: bench.folder.path().to_owned(), ..bench.stop_with("server", &[("TERM", LONG)]) };
    let spared = one.record.clone();
    stop_each(&each, &|record| record == Some(&spared), &bench.warn()).unwrap();
    assert!(one.record.is_running() && !two.record.is_running());
    assert_eq!(bench.left(), [""; 0]);
    let none = Stop { record: bench.path("none"), ..each };
    stop_each(&none, &|_| false, &bench.warn()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_in_which_nobody_works_is_free_and_a_wait_for_it_ends_with_ctrl_c() {
    let bench = Bench::new();
    vacate(bench.folder.path(), &CancelToken::never()).unwrap();
    vacate(&bench.path("none"), &CancelToken::never()).unwrap();
    let process = bench.start("redis", "", &[]);
    let interrupt = Interrupt::default();
    interrupt.request(Exit::Terminated);
    let error = vacate(bench.folder.path(), &CancelToken::on(&interrupt)).unwrap_err();
    assert_eq!(exit_code(&error), 143);
    assert!(process.record.is_running());
}

#[cfg(target_os = "linux")]
#[test]
fn only_what_a_task_of_this_checkout_has_left_that_is_gone_is_ended() {
    let bench = Bench::new();
    let root = bench.path("checkout");
    let (ourselves, own) = (std::process::id(), process::session(std::process::id()).unwrap());
    let dead = u32::try_from(i32::MAX - 1).unwrap();
    let now = process::started(ourselves).unwrap();
    let marked = |name: &str, mark: String| bench.start(name, "", &[(process::STARTED_BY, mark)]);
    let left = [
        marked("dead", format!("{dead} {own} 1 {}", root.display())),
        marked("reused", format!("{ourselves} {own} another-boot:1 {}", root.display())),
    ];
    let stays = [
        marked("ours", format!("{ourselves} {own} {now} {}", root.display())),
        marked("elsewhere", format!("{dead} {own} 1 {}/other", root.display())),
        marked("daemon", format!("{dead} 1{own} 1 {}", root.display())),
        marked("odd", "x".to_owned()),
        bench.start("unmarked", "", &[]),
    ];
    end_orphans(&root, &bench.warn()).unwrap();
    assert!(left.iter().all(|process| !process.record.is_running()));
    assert!(stays.iter().all(|process| process.record.is_running()));
    let warnings = bench.warnings.borrow();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for process in &left {
        assert!(warnings[0].contains(&format!("sh (process {})", process.record.pid)), "{warnings:?}");
    }
}
