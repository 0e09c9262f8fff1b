//! Who may do what: the one table where that is decided.

use crate::actor::Role;
use crate::problem::{Kind, Problem};

/// The relation of a user to a program or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// No user is signed in.
    Anonymous,
    /// A researcher without a relation to it.
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
    /// Every relation, in the order of the table's columns.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::Researcher, Self::Reporter, Self::Triager, Self::Member, Self::Admin];

    /// The relation of a user in this role, who may be a member of the program and the reporter of the report.
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

/// What a user wants to do.
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
    TransitionReport,
    /// Comment on a report.
    Comment,
    /// Read and write comments that its sender does not see.
    CommentInternally,
}

/// The answer to a user who wants to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Allowed,
    /// 401: who asks has to sign in.
    Unauthenticated,
    /// 403: who asks may know of it, and not do this.
    Forbidden,
    /// 404: who asks may not know of it.
    NotFound,
}

use Verdict::{Allowed, Forbidden, NotFound, Unauthenticated};

impl Action {
    /// Every action.
    pub const ALL: [Self; 13] = [
        Self::ListUsers,
        Self::ChangeUser,
        Self::ReadProgram,
        Self::ReadDraft,
        Self::CreateProgram,
        Self::ChangeProgram,
        Self::ChangeMembers,
        Self::CreateReport,
        Self::ReadReport,
        Self::ChangeReport,
        Self::TransitionReport,
        Self::Comment,
        Self::CommentInternally,
    ];

    /// The row of the table: the verdict for each subject, in the order of [`Subject::ALL`].
    #[rustfmt::skip]
    #[expect(clippy::match_same_arms, reason = "each action has a row of its own")]
    pub const fn verdicts(self) -> [Verdict; 6] {
        match self {
            //                                       nobody            researcher  reporter    triager     member      admin
            Self::ListUsers | Self::ChangeUser  => [Unauthenticated,  Forbidden,  Forbidden,  Forbidden,  Forbidden,  Allowed],
            Self::ReadProgram                   => [Allowed,          Allowed,    Allowed,    Allowed,    Allowed,    Allowed],
            Self::ReadDraft                     => [NotFound,         NotFound,   NotFound,   NotFound,   Allowed,    Allowed],
            Self::CreateProgram                 => [Unauthenticated,  Forbidden,  Forbidden,  Allowed,    Allowed,    Allowed],
            Self::ChangeProgram                 => [Unauthenticated,  Forbidden,  Forbidden,  Forbidden,  Allowed,    Allowed],
            Self::ChangeMembers                 => [Unauthenticated,  Forbidden,  Forbidden,  Forbidden,  Forbidden,  Allowed],
            Self::CreateReport                  => [Unauthenticated,  Allowed,    Allowed,    Allowed,    Allowed,    Allowed],
            Self::ReadReport | Self::Comment    => [Unauthenticated,  NotFound,   Allowed,    NotFound,   Allowed,    Allowed],
            // Of the sender's, only those that are new: see `reports::changes`.
            Self::ChangeReport                  => [Unauthenticated,  NotFound,   Allowed,    NotFound,   Allowed,    Allowed],
            Self::TransitionReport              => [Unauthenticated,  NotFound,   Forbidden,  NotFound,   Allowed,    Allowed],
            Self::CommentInternally             => [Unauthenticated,  NotFound,   Forbidden,  NotFound,   Allowed,    Allowed],
        }
    }
}

/// What the table says.
pub fn verdict(subject: Subject, action: Action) -> Verdict {
    action.verdicts()[subject as usize]
}

/// Returns an error unless the table allows it. `what` names the thing in a 404.
pub fn require(subject: Subject, action: Action, what: &str) -> Result<(), Problem> {
    match verdict(subject, action) {
        Verdict::Allowed => Ok(()),
        Verdict::Unauthenticated => Err(Problem::sign_in_required()),
        Verdict::Forbidden => Err(Problem::from(Kind::Forbidden)),
        Verdict::NotFound => Err(Problem::not_found(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_and_every_subject_stands_at_its_own_place() {
        for (place, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, place);
        }
        assert_eq!(Subject::ALL.map(|subject| subject as usize), [0, 1, 2, 3, 4, 5]);
        assert_eq!(verdict(Subject::Researcher, Action::ReadReport), NotFound);
        assert_eq!(verdict(Subject::Reporter, Action::ReadReport), Allowed);
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
