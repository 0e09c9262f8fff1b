//! The servers of a watcher: which serves, which is next, and what becomes of one that is late.

use std::sync::mpsc;

use super::*;
use crate::fixture::Fixture;
use crate::stack::watch::sources::Snapshot;
use crate::stack::watch::tests::checkout;
use crate::tool::backend::Variable;

impl Servers<'_> {
    /// The number of the server that was started last.
    pub fn last(&self) -> u32 {
        self.started
    }
}

fn prepared(name: &str) -> Prepared {
    Prepared {
        snapshot: Snapshot::default(),
        environment: vec![Variable::plain("NAME", name)],
        is_another_binary: true,
        warnings: Vec::new(),
        migrated: Vec::new(),
        metadata: Vec::new(),
    }
}

fn with_servers(check: impl FnOnce(&Fixture, Servers<'_>)) {
    let (fixture, location) = checkout();
    let (sender, _messages) = mpsc::channel();
    check(&fixture, Servers::new(&fixture.context, &location, fixture.stack().watch(), sender).unwrap());
}

#[test]
fn the_next_server_serves_once_it_is_ready_and_the_one_before_retires() {
    with_servers(|_, mut servers| {
        assert!(servers.is_empty() && !servers.is_serving());
        servers.start(prepared("one")).unwrap();
        assert!(servers.is_starting() && !servers.is_serving());
        let (one, is_reload) = servers.take_over(1).unwrap().unwrap();
        assert_eq!((one.environment[0].value.as_str(), is_reload), ("one", false));
        servers.start(prepared("two")).unwrap();
        assert!(servers.is_serving(), "the older one goes on");
        let (two, is_reload) = servers.take_over(2).unwrap().unwrap();
        assert_eq!((two.environment[0].value.as_str(), is_reload), ("two", true));
        assert!(matches!(servers.ended(1).unwrap(), Role::Retired));
        assert!(matches!(servers.ended(2).unwrap(), Role::Current(_)));
        assert!(servers.is_empty());
    });
}

#[test]
fn only_the_next_server_can_take_over() {
    with_servers(|_, mut servers| {
        servers.start(prepared("one")).unwrap();
        servers.start(prepared("two")).unwrap();
        assert!(servers.take_over(1).unwrap().is_none(), "a newer one replaced it");
        assert!(matches!(servers.ended(1).unwrap(), Role::Retired));
        assert!(servers.take_over(2).unwrap().is_some());
        assert!(servers.take_over(2).unwrap().is_none(), "it serves already");
    });
}

#[test]
fn a_next_server_is_cancelled_only_where_an_older_one_serves() {
    with_servers(|_, mut servers| {
        servers.start(prepared("one")).unwrap();
        assert!(!servers.cancel(), "an older build is better than none");
        assert!(servers.is_starting());
        servers.take_over(1).unwrap();
        servers.start(prepared("two")).unwrap();
        assert!(servers.cancel());
        assert!(!servers.is_starting() && servers.is_serving());
    });
}

#[test]
fn a_server_that_is_not_ready_in_time_is_given_up() {
    with_servers(|_, mut servers| {
        servers.start(prepared("one")).unwrap();
        assert!(!servers.tick(), "it has time");
        assert!(servers.deadline().is_some());
        servers.next.as_mut().unwrap().0.deadline = Some(Instant::now());
        assert!(servers.tick());
        assert!(!servers.is_starting() && !servers.is_empty(), "it is asked to end");
        assert!(matches!(servers.ended(1).unwrap(), Role::Retired));
    });
}

#[test]
fn a_server_that_does_not_end_is_killed_and_that_is_told() {
    with_servers(|fixture, mut servers| {
        servers.start(prepared("one")).unwrap();
        servers.take_over(1).unwrap();
        assert_eq!(servers.deadline(), None, "one that serves has no end");
        servers.retire_all();
        servers.retired[0].deadline = Some(Instant::now());
        assert!(!servers.tick());
        assert!(fixture.printed().contains("does not stop by itself; sending SIGKILL"));
        assert!(servers.deadline().is_some_and(|deadline| deadline > Instant::now()));
    });
}

#[test]
fn every_server_is_given_the_socket_that_the_watcher_holds_and_no_secret_as_an_argument() {
    with_servers(|fixture, mut servers| {
        let address = servers.location.address().unwrap();
        assert!(TcpListener::bind(address).is_err(), "held from the start, so that whoever connects waits");
        servers.start(prepared("one")).unwrap();
        let asked = fixture.runner.asked();
        assert!(
            asked[0].contains("NAME=one RUST_BACKTRACE=1 NOTIFY_SOCKET=") && asked[0].ends_with(" serve"),
            "{asked:?}"
        );
    });
}

#[test]
fn an_address_that_somebody_has_fails_the_watcher_at_once() {
    let (fixture, location) = checkout();
    let _stranger = TcpListener::bind(location.address().unwrap()).unwrap();
    let (sender, _messages) = mpsc::channel();
    let error = Servers::new(&fixture.context, &location, fixture.stack().watch(), sender).err().unwrap();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
}

#[test]
fn what_a_server_leaves_behind_goes_with_it() {
    with_servers(|fixture, mut servers| {
        servers.start(prepared("one")).unwrap();
        assert!(fixture.has(".stack/run/notify-1"));
        fixture.write(".stack/run/servers/1.json", "");
        assert!(matches!(servers.ended(1).unwrap(), Role::Next));
        assert!(!fixture.has(".stack/run/notify-1") && !fixture.has(".stack/run/servers/1.json"));
        assert!(matches!(servers.ended(77).unwrap(), Role::Retired), "one that nobody knows changes nothing");
    });
}
