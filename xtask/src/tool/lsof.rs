//! `lsof`, which tells who holds a port where the system has no `/proc`.

use std::time::Duration;

use crate::step::Step;

/// Asks who listens on a port.
pub fn listening_on(port: u16) -> Step {
    Step::new("ask who holds the port", "lsof")
        .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"])
        .only_reads()
        .timeout(Duration::from_secs(5))
}

/// The process and its program in lsof's output for programs: `p123`, then `cpostgres`.
pub fn parse(said: &str) -> Option<(u32, String)> {
    let pid = said.lines().find_map(|line| line.strip_prefix('p')?.parse().ok())?;
    let name = said.lines().find_map(|line| line.strip_prefix('c')).unwrap_or("unknown");
    Some((pid, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_is_the_one() {
        assert_eq!(parse("p812\ncpostgres\nf7\np900\ncother\n"), Some((812, "postgres".to_owned())));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn lines_that_say_nothing_of_a_process_are_passed_over() {
        for (said, found) in [
            ("COMMAND PID USER\n", None),
            ("px\ncname\n", None),
            ("p\n", None),
            ("p12", Some((12, "unknown".to_owned()))),
            ("f7\np12\nf7\ncdocker proxy\n", Some((12, "docker proxy".to_owned()))),
        ] {
            assert_eq!(parse(said), found, "{said}");
        }
        assert_eq!(listening_on(80).to_string(), "lsof -nP -iTCP:80 -sTCP:LISTEN -Fpc");
    }
}
