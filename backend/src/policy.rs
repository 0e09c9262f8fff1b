//! Who may do what: the one table where that is decided.

use crate::actor::Role;
use crate::problem::{Kind, Problem};

/// What somebody is to the thing that they want to do something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Nobody is signed in.
    Anonymous,
    /// A researcher who has nothing to do with it.
    Researcher,
    /// Whoever sent the report.
    Reporter,
    /// A triager of other programs.
    Triager,
    /// A triager of the program.
    Member,
    /// An administrator.
    Admin,
}

impl Subject {
    /// Everybody, in the order of the table's columns.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::Researcher, Self::Reporter, Self::Triager, Self::Member, Self::Admin];

    /// What somebody in this role is to a thing of which they are, or are not, a member and the reporter.
    pub fn of(role: Option<Role>, is_member: bool, is_reporter: bool) -> Self {
        match role {
            None => Self::Anonymous,
            Some(Role::Admin) => Self::Admin,
            Some(Role::Triager) if is_member => Self::Member,
            _ if is_reporter => Self::Reporter,
            Some(Role::Triager) => Self::Triager,
            Some(Role::Researcher) => Self::Researcher,
        }
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// List the users of the platform.
    ListUsers,
    /// Change what a user may do.
    ChangeUser,
    /// Read a program that is announced.
    ReadProgram,
    /// Read a program that is still being written.
    ReadDraft,
    /// Make a program.
    CreateProgram,
    /// Change a program, or remove one that an automatic check made.
    ChangeProgram,
    /// Say who triages a program.
    ChangeMembers,
    /// Send a report to a program.
    CreateReport,
    /// Read a report, its events and its comments.
    ReadReport,
    /// Change what a report says.
    ChangeReport,
    /// Move a report to another state.
    MoveReport,
    /// Comment on a report.
    Comment,
    /// Read and write comments that its sender does not see.
    CommentInternally,
}

/// What is said to somebody who wants to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Yes,
    /// 401: who is it?
    Who,
    /// 403: they may know of it, and not do this.
    No,
    /// 404: they may not know of it.
    Hidden,
}

use Verdict::{Hidden, No, Who, Yes};

/// A row for each action, and in it a column for each subject in the order of [`Subject::ALL`].
#[rustfmt::skip]
pub const TABLE: [(Action, [Verdict; 6]); 13] = [
    //                           nobody  researcher  reporter  triager  member  admin
    (Action::ListUsers,         [Who,    No,         No,       No,      No,     Yes]),
    (Action::ChangeUser,        [Who,    No,         No,       No,      No,     Yes]),
    (Action::ReadProgram,       [Yes,    Yes,        Yes,      Yes,     Yes,    Yes]),
    (Action::ReadDraft,         [Hidden, Hidden,     Hidden,   Hidden,  Yes,    Yes]),
    (Action::CreateProgram,     [Who,    No,         No,       Yes,     Yes,    Yes]),
    (Action::ChangeProgram,     [Who,    No,         No,       No,      Yes,    Yes]),
    (Action::ChangeMembers,     [Who,    No,         No,       No,      No,     Yes]),
    (Action::CreateReport,      [Who,    Yes,        Yes,      Yes,     Yes,    Yes]),
    (Action::ReadReport,        [Who,    Hidden,     Yes,      Hidden,  Yes,    Yes]),
    (Action::ChangeReport,      [Who,    Hidden,     Yes,      Hidden,  Yes,    Yes]),
    (Action::MoveReport,        [Who,    Hidden,     No,       Hidden,  Yes,    Yes]),
    (Action::Comment,           [Who,    Hidden,     Yes,      Hidden,  Yes,    Yes]),
    (Action::CommentInternally, [Who,    Hidden,     No,       Hidden,  Yes,    Yes]),
];

/// What the table says.
pub fn verdict(subject: Subject, action: Action) -> Verdict {
    let row = TABLE.iter().find(|(known, _)| *known == action);
    // What is not in the table is nobody's to do.
    row.map_or(Verdict::Hidden, |(_, verdicts)| verdicts[subject as usize])
}

/// Lets pass whoever may do it; the others get the answer that the table has for them. `what` is the name of the thing.
pub fn require(subject: Subject, action: Action, what: &str) -> Result<(), Problem> {
    match verdict(subject, action) {
        Verdict::Yes => Ok(()),
        Verdict::Who => Err(Problem::sign_in_required()),
        Verdict::No => Err(Problem::from(Kind::Forbidden)),
        Verdict::Hidden => Err(Problem::not_found(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_row_and_nobody_does_anything_unless_it_says_so() {
        for (action, verdicts) in TABLE {
            assert_eq!(TABLE.iter().filter(|(other, _)| *other == action).count(), 1, "{action:?}");
            for (subject, expected) in Subject::ALL.into_iter().zip(verdicts) {
                assert_eq!(verdict(subject, action), expected);
            }
        }
        assert_eq!(Subject::ALL.map(|subject| subject as usize), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_subject_is_the_most_that_somebody_is() {
        for (role, is_member, is_reporter, expected) in [
            (None, true, true, Subject::Anonymous),
            (Some(Role::Researcher), false, false, Subject::Researcher),
            (Some(Role::Researcher), false, true, Subject::Reporter),
            (Some(Role::Researcher), true, false, Subject::Researcher),
            (Some(Role::Triager), false, false, Subject::Triager),
            (Some(Role::Triager), false, true, Subject::Reporter),
            (Some(Role::Triager), true, true, Subject::Member),
            (Some(Role::Admin), false, true, Subject::Admin),
        ] {
            assert_eq!(Subject::of(role, is_member, is_reporter), expected, "{role:?} {is_member} {is_reporter}");
        }
    }
}
