//! What an asked-for end means for whoever looks.

use super::*;
use crate::failure::exit_code;

#[test]
fn each_signal_ends_with_its_own_code_and_word_in_every_clone() {
    for (exit, word) in [(Exit::Interrupted, "interrupted"), (Exit::Terminated, "terminated")] {
        let interrupt = Interrupt::default();
        let clone = interrupt.clone();
        assert!(clone.check().is_ok() && !clone.is_requested());
        interrupt.request(exit);
        let error = clone.check().unwrap_err();
        assert_eq!((exit_code(&error), error.to_string().as_str()), (exit as u8, word));
        assert!(clone.is_requested());
    }
}

#[test]
fn a_task_that_only_looks_ends_without_a_word() {
    let interrupt = Interrupt::default();
    interrupt.request(Exit::Interrupted);
    let guard = interrupt.react(Reaction::EndQuietly);
    let failure = interrupt.check().unwrap_err().downcast::<Failure>().unwrap();
    assert!(failure.is_silent());
    assert_eq!(failure.code(), 130);
    drop(guard);
    assert_eq!(interrupt.check().unwrap_err().to_string(), "interrupted");
}

#[test]
fn a_signal_that_was_announced_is_never_an_exit_code_of_0() {
    for (exit, word) in [(Exit::Interrupted, "interrupted"), (Exit::Terminated, "terminated")] {
        let (interrupt, terminal) = (Interrupt::default(), Terminal::kept());
        assert!(!interrupt.hear(exit, &terminal));
        assert!(terminal.printed().1.contains("ending what this task has begun"));
        let error = interrupt.finish().unwrap_err();
        assert_eq!(exit_code(&error), exit as u8);
        assert_eq!(error.to_string(), format!("{word} too late: everything was done by then, and is not taken back"));
        assert!(interrupt.hear(exit, &terminal), "the second one still leaves at once");
    }
}

#[test]
fn a_signal_after_the_end_or_while_looking_is_not_announced_and_fails_nothing() {
    let (interrupt, terminal) = (Interrupt::default(), Terminal::kept());
    assert!(interrupt.finish().is_ok());
    assert!(!interrupt.hear(Exit::Interrupted, &terminal));
    let looking = Interrupt::default();
    let guard = looking.react(Reaction::EndQuietly);
    assert!(!looking.hear(Exit::Interrupted, &terminal));
    drop(guard);
    assert!(looking.finish().is_ok());
    assert_eq!(terminal.printed().1, "");
}

#[test]
fn a_reaction_holds_as_long_as_its_guard_and_then_the_one_before_is_back() {
    let interrupt = Interrupt::default();
    let now = || *lock(&interrupt.reaction);
    let outer = interrupt.react(Reaction::EndQuietly);
    let inner = interrupt.clone().react(Reaction::Abort);
    assert_eq!(now(), Reaction::Abort, "clones share it");
    drop(inner);
    assert_eq!(now(), Reaction::EndQuietly);
    drop(outer);
    assert_eq!(now(), Reaction::EndInOrder);
}

#[test]
fn a_failure_beside_it_stops_work_and_is_told_by_whom_it_happened_to() {
    let interrupt = Interrupt::default();
    let (cancel, other) = (CancelToken::on(&interrupt), CancelToken::on(&interrupt));
    cancel.clone().cancel();
    assert!(cancel.is_cancelled() && !other.is_cancelled());
    let error = cancel.check().unwrap_err();
    assert_eq!((exit_code(&error), error.to_string().as_str()), (1, "stopped, because something beside it failed"));
    // What the user wants comes first.
    interrupt.request(Exit::Interrupted);
    assert_eq!(exit_code(&cancel.check().unwrap_err()), 130);
    assert!(other.is_cancelled());
}

#[test]
fn a_clean_up_is_not_cut_short_by_the_user() {
    let interrupt = Interrupt::default();
    interrupt.request(Exit::Interrupted);
    let clean_up = CancelToken::never();
    assert!(clean_up.check().is_ok() && !clean_up.is_cancelled());
}
