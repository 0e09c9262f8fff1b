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
