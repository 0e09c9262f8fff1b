//! Who has a lock, who waits for it, and for how long.

use super::*;
use crate::failure::exit_code;
use crate::interrupt::Interrupt;

/// A lock in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    terminal: Terminal,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), terminal: Terminal::kept() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(".stack/lock")
    }

    fn take(&self, task: &str, timeout: Duration, cancel: &CancelToken) -> Result<Lock> {
        Lock::take(&self.path(), task, timeout, cancel, &self.terminal)
    }

    /// Takes it where nobody has it.
    fn take_now(&self, task: &str) -> Result<Lock> {
        self.take(task, Duration::ZERO, &CancelToken::never())
    }

    fn said(&self) -> String {
        self.terminal.printed().1
    }
}

#[test]
fn a_second_one_does_not_get_it_until_the_first_lets_go() {
    let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
    let path = folder.path().join("stack").join("lock");
    let first = Lock::attempt(&path).unwrap().unwrap().sign("up").unwrap();
    assert!(Lock::attempt(&path).unwrap().is_none());
    assert!(describe(&path).starts_with(&format!("`up` (process {}", std::process::id())));
    drop(first);
    assert_eq!(Holder::of(&path), None);
    assert!(Lock::attempt(&path).unwrap().is_some());
}

#[test]
fn a_lock_whose_file_was_removed_does_not_count() {
    let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
    let path = folder.path().join("lock");
    let first = Lock::attempt(&path).unwrap().unwrap();
    first.remove_file().unwrap();
    let second = Lock::attempt(&path).unwrap().unwrap();
    assert!(!is_still_there(&first.file, &path));
    assert!(is_still_there(&second.file, &path));
}

#[test]
fn whoever_finds_it_taken_is_told_by_which_task_and_what_to_do() {
    let place = Place::new();
    let _held = place.take_now("up").unwrap();
    let failure = place.take_now("clean").unwrap_err().downcast::<Failure>().unwrap();
    assert_eq!(failure.code(), Exit::Locked as u8);
    let message = failure.to_string();
    assert!(message.starts_with(&format!("`up` (process {}, for ", std::process::id())), "{message}");
    assert!(message.ends_with(" is changing this stack, and was not done within 0s"), "{message}");
    assert_eq!(failure.hints().len(), 2);
    assert!(failure.hints()[1].starts_with("--lock-timeout SECONDS"), "{:?}", failure.hints());
    assert_eq!(place.said(), "", "who does not wait need not be told that they wait");
}

#[test]
fn whoever_waits_says_so_once_and_has_it_when_it_is_free() {
    let place = Place::new();
    let held = place.take_now("up").unwrap();
    let lock = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.take("clean", Duration::from_mins(1), &CancelToken::never()));
        while place.said().is_empty() && !waiting.is_finished() {
            std::thread::yield_now();
        }
        drop(held);
        waiting.join().unwrap().unwrap()
    });
    let said = place.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("waiting for `up` (process ") && said.ends_with("which is changing this stack\n"),
        "{said}"
    );
    assert_eq!(Holder::of(&place.path()).unwrap().task, "clean");
    drop(lock);
}

#[test]
fn a_wait_for_it_ends_with_ctrl_c() {
    let place = Place::new();
    let _held = place.take_now("up").unwrap();
    let interrupt = Interrupt::default();
    interrupt.request(Exit::Interrupted);
    let error = place.take("clean", Duration::from_hours(1), &CancelToken::on(&interrupt)).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Interrupted as u8);
}

#[test]
fn a_name_that_a_killed_task_has_left_is_not_believed() {
    let place = Place::new();
    drop(place.take_now("up").unwrap());
    let dead = r#"{"pid":4294967295,"started":"x","task":"up","since":"2026-01-01T00:00:00Z"}"#;
    let reused = format!(
        r#"{{"pid":{},"started":"another boot","task":"up","since":"2026-01-01T00:00:00Z"}}"#,
        std::process::id()
    );
    for text in ["", "{", "up", dead, &reused] {
        std::fs::write(place.path(), text).unwrap();
        assert_eq!(Holder::of(&place.path()), None, "{text}");
        assert_eq!(describe(&place.path()), "another task");
        drop(place.take_now("clean").expect("nobody has it"));
    }
    assert_eq!(Holder::of(&place.folder.path().join("none")), None);
}

#[test]
fn a_lock_that_is_let_go_leaves_no_name_behind() {
    let place = Place::new();
    let lock = place.take_now("a task with a long name").unwrap();
    assert_eq!(Holder::of(&place.path()).unwrap().task, "a task with a long name");
    assert!(Holder::of(&place.path()).unwrap().age().unwrap() < Duration::from_mins(1));
    drop(lock);
    assert_eq!(std::fs::read_to_string(place.path()).unwrap(), "");
    drop(place.take_now("up").unwrap());
}

#[test]
fn a_place_where_no_file_can_be_is_an_error_and_not_a_wait() {
    let place = Place::new();
    std::fs::write(place.folder.path().join(".stack"), "a file").unwrap();
    let error = place.take("up", Duration::from_hours(1), &CancelToken::never()).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
}
