//! Every action as a dry run shows it.

use super::*;
use crate::process::Record;
use crate::runner::says;

fn step() -> Step {
    Step::new("do it", "it").arg("a b").secret_env("PASSWORD", "hunter2")
}

fn path(name: &str) -> PathBuf {
    Path::new("/s").join(name)
}

fn start(log: Option<&str>) -> Action {
    Action::Start(Launch { step: step(), record: path("run/x.json"), log: log.map(path), socket: None })
}

fn stop(record: PathBuf) -> Stop {
    let signals = vec![("INT", Duration::from_secs(20)), ("KILL", Duration::from_secs(5))];
    Stop { service: "redis".to_owned(), record, signals }
}

/// Says that it is never there.
struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is there")
    }
}

impl Probe for Never {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        Err("no".to_owned().into())
    }
}

#[test]
fn each_action_reads_as_a_person_would_do_it_and_shows_no_secret() {
    let command = "PASSWORD=*** it 'a b'";
    let owner = User { name: "postgres".to_owned(), uid: 1, gid: 2 };
    let folder = |owner| Action::Folder(Folder { path: path("a b"), mode: 0o700, owner });
    let write = Write { path: path("x.conf"), text: "requirepass hunter2\nport 1\n".to_owned(), mode: 0o600 };
    let wait =
        Await { service: "x".to_owned(), probe: Box::new(Never), timeout: Duration::from_secs(90), process: None };
    let cases = [
        (Action::Run(step()), command.to_owned()),
        (Action::Follow(step(), |_| None), command.to_owned()),
        (Action::keep(step(), &Value::<u32>::new("n"), |_| None), command.to_owned()),
        (Action::Timed(Value::new("time"), Box::new(Action::Run(step()))), command.to_owned()),
        (Action::check("look at it", |_| Ok(())), "# look at it".to_owned()),
        (start(None), format!("{command} &")),
        (start(Some("x log")), format!("{command} >>'/s/x log' 2>&1 &")),
        (Action::Await(wait), "# wait until it is there, for at most 1m 30s".to_owned()),
        (Action::After("redis".to_owned()), "# wait until redis is done".to_owned()),
        (Action::Stop(stop(path("none.json"))), "# redis is not running".to_owned()),
        (Action::StopEach(stop(path("run"))), "# stop every redis that /s/run tells of".to_owned()),
        (folder(None), "mkdir -p -m 700 '/s/a b'".to_owned()),
        (folder(Some(owner)), "mkdir -p -m 700 '/s/a b' && chown postgres '/s/a b'".to_owned()),
        (Action::Write(write), "# write /s/x.conf (2 lines, mode 600)".to_owned()),
        (Action::Rename(path("a"), path("b")), "mv /s/a /s/b".to_owned()),
        (Action::Install(path("a"), path("b")), "mv -n /s/a /s/b".to_owned()),
        (Action::Links(path("l.json")), "# make the links that /s/l.json lists".to_owned()),
        (Action::Vacate(path("d")), "# wait until no process works in /s/d any more".to_owned()),
        (Action::Remove(path("it's")), r"rm -rf '/s/it'\''s'".to_owned()),
        (Action::Rotate(path("x.log")), "# cut /s/x.log if it has grown large".to_owned()),
    ];
    for (action, shown) in cases {
        assert_eq!(action.to_string(), shown);
    }
}

#[cfg(unix)]
#[test]
fn the_stop_of_a_process_names_it_and_every_signal_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("redis.json");
    let ourselves = Record::of_ourselves().unwrap();
    std::fs::write(&record, serde_json::to_string(&ourselves).unwrap()).unwrap();
    let shown = Action::Stop(stop(record)).to_string();
    assert_eq!(shown, format!("kill -INT {}  # SIGINT, 20s, then SIGKILL, 5s", ourselves.pid));
}

#[test]
fn what_cannot_be_kept_says_what_was_printed_instead() {
    let value = Value::<u16>::new("port");
    let Action::Read(step, keep) = Action::keep(step(), &value, |said| said.trim().parse().ok()) else {
        panic!("it reads")
    };
    let error = keep(&step, &says("70000\n")).unwrap_err();
    assert_eq!(error.to_string(), "cannot do it: it says \"70000\\n\"");
    assert!(value.get().is_err());
    keep(&step, &says(" 80\n")).unwrap();
    assert_eq!(*value.get().unwrap(), 80);
}
