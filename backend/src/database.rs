//! What an error of the database means, whoever asked.

/// Why a query failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The database is away, restarting, overloaded or refused to decide between two transactions: the same query may
    /// succeed soon.
    Passing,
    /// A text holds a character that PostgreSQL cannot store.
    Text,
    /// The query is wrong, or the data are.
    Fault,
}

/// Finds out why a query failed.
pub fn cause(error: &sqlx::Error) -> Cause {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            Cause::Passing
        }
        sqlx::Error::Database(error) => error.code().map_or(Cause::Fault, |code| cause_of_state(&code)),
        _ => Cause::Fault,
    }
}

/// What an SQLSTATE means (PostgreSQL's documentation, appendix A).
fn cause_of_state(state: &str) -> Cause {
    // A connection that broke or was refused; too many of them, a full disk, no memory; an operator at work, a database
    // that takes no connections, a lock that was not got in time.
    const CLASSES: [&str; 7] = ["08", "28", "3D", "53", "55", "57", "58"];
    // Read-only since a failover; a transaction that stood still for too long; two that stood in each other's way.
    const STATES: [&str; 4] = ["25006", "25P03", "40001", "40P01"];
    if state == "22021" {
        Cause::Text
    } else if CLASSES.iter().any(|class| state.starts_with(class)) || STATES.contains(&state) {
        Cause::Passing
    } else {
        Cause::Fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for state in ["57P01", "25006", "40001", "40P01", "57014", "28P01", "53300", "08006", "3D000"] {
            assert_eq!(cause_of_state(state), Cause::Passing, "{state}");
        }
        for state in ["42P01", "23505", "22012", "XX000", "40002"] {
            assert_eq!(cause_of_state(state), Cause::Fault, "{state}");
        }
        assert_eq!(cause_of_state("22021"), Cause::Text);
    }
}
