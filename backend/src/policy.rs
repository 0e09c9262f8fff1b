//! Who may do what: the one place where that is decided.

use crate::actor::Role;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See what each health check found, with the names of hosts and roles in its errors.
    ReadHealthDetails,
    /// Remove a program with its reports.
    RemoveProgram {
        /// Whether an automatic check made it.
        temporary: bool,
    },
}

/// Whether somebody in this role may do that.
pub fn permits(role: Role, action: Action) -> bool {
    match (role, action) {
        (Role::Operator, Action::ReadHealthDetails) => true,
        (Role::Anonymous, Action::ReadHealthDetails) => false,
        (_, Action::RemoveProgram { temporary }) => temporary,
    }
}
