//! The line about the stack below the list of tasks.

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::stack::service::Service::Redis;

/// The line about the stack, which comes before the last.
#[track_caller]
fn line(fixture: &mut Fixture) -> String {
    let ran = fixture.xtask(&[]).expect(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.last(), Some(&"Each task explains itself with --help."));
    lines[lines.len() - 2].to_owned()
}

#[test]
fn the_overview_lists_every_group_and_says_how_the_stack_is() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&[]).expect(0);
    ran.says(&["cargo xtask <task>", "\nSet-up\n", "\nStack\n", "\nDevelop\n", "\nDatabase\n", "\nShip\n", "  up "]);
    assert_eq!(line(&mut fixture), "The stack is down: cargo xtask up");
    fixture.xtask(&["up", "redis"]).expect(0);
    assert_eq!(line(&mut fixture), "The stack is up, without the backend.");
    fixture.xtask(&["up"]).expect(0);
    assert_eq!(line(&mut fixture), "The stack is up on http://127.0.0.1:3000.");
    daemon.put(Redis, "exited");
    assert_eq!(line(&mut fixture), "The stack is not well: cargo xtask status");
}

#[test]
fn a_stack_that_cannot_be_looked_at_is_no_failure_of_the_overview() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    Daemon::fall_silent(&fixture);
    assert!(line(&mut fixture).starts_with("The stack cannot be looked at: cannot look at the containers: "));
}
