//! How a report gets from one state to another.

use super::types::ReportState;
use ReportState::{Duplicate, Informative, New, Rejected, Resolved, Triaged};

/// From which state to which others. Who may move a report at all stands in [`crate::policy`].
pub const TABLE: [(ReportState, &[ReportState]); 6] = [
    (New, &[Triaged, Duplicate, Informative, Rejected]),
    (Triaged, &[Resolved, Duplicate, Informative, Rejected]),
    // What was closed can turn out to be open.
    (Resolved, &[Triaged]),
    (Duplicate, &[Triaged]),
    (Informative, &[Triaged]),
    (Rejected, &[Triaged]),
];

/// Whether a report gets from one state to another.
pub fn leads(from: ReportState, to: ReportState) -> bool {
    TABLE.iter().any(|(state, others)| *state == from && others.contains(&to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::rules::Words as _;

    #[test]
    fn every_state_is_reached_and_left_and_none_leads_to_itself() {
        for (_, state) in ReportState::WORDS {
            assert!(ReportState::WORDS.iter().any(|(_, to)| leads(*state, *to)), "{state:?} is left");
            assert!(
                *state == New || ReportState::WORDS.iter().any(|(_, from)| leads(*from, *state)),
                "{state:?} is reached"
            );
            assert!(!leads(*state, *state) && !leads(*state, New), "{state:?}");
        }
        assert!(!leads(New, Resolved), "nobody resolves what nobody has triaged");
    }
}
