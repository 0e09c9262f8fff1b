//! Rehearsed deployments in a fresh clone of HEAD: two versions in turn under load, and versions that fail.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use serde_json::Value as Json;

use crate::context::Context;
use crate::failure::{Exit, exit_code};
use crate::interrupt::CancelToken;
use crate::plan::{Access, Action, Phase, Plan, Rollout, Value};
use crate::process::Record;
use crate::product::setting::{DATABASE_URL, HOST};
use crate::product::{DATABASE, HEALTH_PATH, ROLE, RUST_IMAGE, STORED};
use crate::runner::{self, Runner};
use crate::stack::detect;
use crate::task::bench::load::Load;
use crate::task::rehearsed::{REMOVE, Versions};
use crate::terminal::NOTICE;
use crate::tool::{backend, docker, git};
use crate::wait::{self, Poll, Waited};

/// How often it is switched under load.
const SWITCHES: usize = 20;
/// How long a container that was killed may take to serve again.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);
/// A role that reads everything and writes nothing, for a version that fails its walk.
const READER: &str = "reader";
/// A role that loses its rights while it is watched, for a version whose error rate rises.
const LOSER: &str = "loser";
/// The password of both.
const PASSWORD: &str = "rehearsed";

/// The clone, and what was found out of it.
struct Rehearsals {
    versions: Versions,
    /// The two that are switched between.
    both: Value<[String; 2]>,
    /// Where the edge answers.
    port: Value<u16>,
    /// The commit that serves.
    live: Mutex<String>,
}

/// Rehearses. Without Docker that is left out, unless it was asked for by name.
pub fn run(context: &Context, is_named: bool) -> Result<u8> {
    if let Err(error) = detect::look_for_docker(&*context.runner) {
        if is_named {
            return Err(error.into());
        }
        let why = Error::from(error);
        context.terminal.note(format!("{NOTICE}skipped{NOTICE:#}, which is not the same as passed: {why:#}"));
        return Ok(0);
    }
    let folder = tempfile::Builder::new().prefix("rehearse-").tempdir()?;
    let rehearsals = Rehearsals {
        versions: Versions::below(context, &folder)?,
        both: Value::new("versions"),
        port: Value::new("port"),
        live: Mutex::default(),
    };
    Rollout::new(phases(&Arc::new(rehearsals)))?.run(context)?;
    Ok(0)
}

fn phases(all: &Arc<Rehearsals>) -> Vec<Phase> {
    let phase = |name, purpose: &str, actions: fn(&Arc<Rehearsals>) -> Vec<Action>| {
        let all = Arc::clone(all);
        Phase::new(name, purpose, move |_| Ok(Plan::of(name, actions(&all), "as promised")))
    };
    let to_remove = Arc::clone(all);
    // Nothing may be left running, however far it came.
    let remove = move || Ok(Plan::of("remove", vec![to_remove.versions.clone.task(&REMOVE)], "removed"));
    vec![
        phase("clone", "have two versions", Rehearsals::make),
        phase("first", "have one of them serve", Rehearsals::first).undo(remove),
        phase("switch", "lose no request while they take turns", Rehearsals::switch),
        phase("killed", "outlive the end of a container and of the edge", Rehearsals::killed),
        phase("unhealthy", "keep the one that serves before one that is not healthy", Rehearsals::unhealthy),
        phase("broken", "put it back after one that fails its walk", Rehearsals::broken),
        phase("failing", "put it back after one whose error rate rises", Rehearsals::failing),
        phase("back", "go back by hand", Rehearsals::back),
        phase("remove", "see that nothing is left", Rehearsals::remove),
    ]
}

impl Rehearsals {
    fn make(self: &Arc<Self>) -> Vec<Action> {
        let (all, to_commit) = (Arc::clone(self), Arc::clone(self));
        let mut actions: Vec<Action> = self.versions.make().into();
        actions.extend([
            Action::check("have versions made of that image, which overlap for a second", move |_| {
                all.versions.prepare()
            }),
            Action::check("commit two of them", move |access| {
                let all = &to_commit.versions;
                to_commit.both.set([all.commit(access.runner, "one")?, all.commit(access.runner, "two")?]);
                Ok(())
            }),
        ]);
        actions
    }

    /// Rehearses what is checked out, which has to go well.
    fn goes_well(&self, access: &Access<'_>) -> Result<Json> {
        let receipt = self.versions.goes_well(access.runner)?;
        self.set_live(receipt["commit"].as_str().unwrap_or_default());
        Ok(receipt)
    }

    fn set_live(&self, commit: &str) {
        commit.clone_into(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Fails where another commit answers than the one that has to.
    fn still_serves(&self) -> Result<()> {
        let answer = backend::health(SocketAddr::from((Ipv4Addr::LOCALHOST, *self.port.get()?)), HEALTH_PATH);
        let health = answer.map_err(|seen| anyhow!("the one that serves is not healthy: {seen}"))?;
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(health.commit == live, "{live} has to answer, and {} does", health.commit);
        Ok(())
    }

    fn first(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![Action::check("rehearse the second of them", move |access| {
            let receipt = all.goes_well(access)?;
            let url = receipt["urls"]["backend"].as_str().context("the receipt has no address")?;
            let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            all.port.set(port.with_context(|| format!("{url} has no port"))?);
            all.still_serves()
        })]
    }

    fn switch(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![Action::check(format!("switch {SWITCHES} times while clients ask without a pause"), move |access| {
            let load = Load::on(*all.port.get()?);
            let switched = (0..SWITCHES).try_for_each(|turn| {
                access.line.detail(&format!("{} of {SWITCHES}", turn + 1));
                let commit = &all.both.get()?[turn % 2];
                runner::read_well(access.runner, &git::switch_to(&all.versions.clone.root, commit))?;
                all.goes_well(access)?;
                all.still_serves()
            });
            let (answers, failures) = load.end();
            switched?;
            ensure!(failures.is_empty(), "{} of {answers} requests failed: {:?}", failures.len(), &failures[..1]);
            access.context.terminal.note(format!("  {SWITCHES} switches, {answers} requests, none failed"));
            all.all_ended_by_themselves()
        })]
    }

    /// Each version that was left has ended by itself after SIGTERM.
    fn all_ended_by_themselves(&self) -> Result<()> {
        let deployments = self.versions.deployments()?;
        let ended: Vec<_> = deployments.iter().flat_map(|one| &one.ended).collect();
        ensure!(ended.len() > 5, "only {} containers have ended", ended.len());
        match ended.iter().find(|ended| ended.code != 0) {
            Some(ended) => bail!("a container ended with {} after {} ms", ended.code, ended.milliseconds),
            None => Ok(()),
        }
    }

    /// Rehearses a new version with these variables, which has to end with that code and say these words.
    fn fails(
        &self,
        access: &Access<'_>,
        name: &str,
        variables: &str,
        (code, words): (Exit, &str),
        watch: &str,
        heard: &dyn Fn(&str),
    ) -> Result<()> {
        self.versions.set_variables(variables)?;
        self.versions.commit(access.runner, name)?;
        let said = Mutex::new(String::new());
        let outcome = access.runner.run(&self.versions.rehearse(watch), access.cancel, &|_, line| {
            heard(line);
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(line);
            said.push('\n');
        });
        self.versions.set_variables("")?;
        let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = outcome else { bail!("a version that is {name} was taken for a good one:\n{said}") };
        ensure!(
            exit_code(&error) == code as u8,
            "it ended with {} and not with {}:\n{said}",
            exit_code(&error),
            code as u8
        );
        ensure!(said.contains(words), "it does not say {words:?}:\n{said}");
        self.still_serves()
    }

    fn sql(&self, runner: &dyn Runner, sql: &str) -> Result<()> {
        let words = ["psql", "--quiet", "--username", ROLE, "--dbname", DATABASE, "--set=ON_ERROR_STOP=1", "--command"];
        let step = docker::exec(&self.versions.name("postgres"), &[&words[..], &[sql]].concat());
        runner::read_well(runner, &step).map(drop)
    }

    /// Kills what serves, and what stands in front of it.
    fn killed(self: &Arc<Self>) -> Vec<Action> {
        let (container, edge) = (Arc::clone(self), Arc::clone(self));
        vec![
            Action::check("kill the program in the container that serves", move |access| {
                let serving = container.versions.deployments()?.into_iter().find(|one| one.status == "SUCCESS");
                let serving = serving.context("nothing serves")?.containers.pop().context("it has no container")?;
                // By its process, which may be another machine's: one that docker is told to kill is not started again.
                let pid = runner::read_well(access.runner, &docker::process_of(&serving))?;
                let kill = format!("kill -KILL {}", pid.trim());
                let (name, flags) = (container.versions.name("kill"), ["--rm", "--pid", "host"]);
                let step = docker::run("kill a process", &name, &flags, &[], RUST_IMAGE, &["sh", "-c", &kill]);
                runner::read_well(access.runner, &step)?;
                let waited = wait::until(RESTART_TIMEOUT, access.cancel, || {
                    let restarts = runner::read_well(access.runner, &docker::restarts_of(&serving))?;
                    if restarts.trim() == "0" {
                        return Ok(Poll::Pending("docker has not started it again".to_owned()));
                    }
                    Ok(container.still_serves().map_or_else(|error| Poll::Pending(format!("{error:#}")), Poll::Ready))
                })?;
                match waited {
                    Waited::Done(()) => Ok(()),
                    Waited::TimedOut(seen) => bail!("the container does not serve again: {seen}"),
                }
            }),
            Action::check("kill the edge, and rehearse again at the same address", move |access| {
                let record = Record::load(&edge.versions.clone.path(".stack/rehearsal/edge.json"));
                record.context("the edge has no record")?.signal("KILL")?;
                edge.goes_well(access)?;
                edge.still_serves()
            }),
        ]
    }

    fn unhealthy(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![Action::check("rehearse one that nobody reaches", move |access| {
            let expected = (Exit::StillLive, "is still live");
            all.fails(access, "unhealthy", &format!("{HOST}=127.0.0.1\n"), expected, "0s", &|_| ())
        })]
    }

    /// The variables of a version that is another role to the database.
    fn as_role(role: &str) -> String {
        format!("{DATABASE_URL}=postgres://{role}:{PASSWORD}@postgres:5432/{DATABASE}\n")
    }

    fn broken(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![Action::check("rehearse one that cannot write", move |access| {
            let sql = format!(
                "CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data; \
                 GRANT CREATE ON SCHEMA public TO {READER}"
            );
            all.sql(access.runner, &sql)?;
            let expected = (Exit::PutBack, "was put back");
            all.fails(access, "broken", &Self::as_role(READER), expected, "0s", &|_| ())
        })]
    }

    fn failing(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![Action::check("rehearse one that loses its rights while it is watched", move |access| {
            all.sql(access.runner, &format!("CREATE ROLE {LOSER} LOGIN PASSWORD '{PASSWORD}' IN ROLE {ROLE}"))?;
            let load = Load::of(*all.port.get()?, STORED.0);
            let revoked = Mutex::new(None);
            let outcome = all.fails(
                access,
                "failing",
                &Self::as_role(LOSER),
                (Exit::PutBack, "of requests with 5xx"),
                "5s",
                &|line| {
                    let mut revoked = revoked.lock().unwrap_or_else(PoisonError::into_inner);
                    if revoked.is_none() && line.contains("compare the share of 5xx") {
                        *revoked = Some(all.sql(access.runner, &format!("REVOKE {ROLE} FROM {LOSER}")));
                    }
                },
            );
            let (_, failures) = load.end();
            revoked.into_inner().unwrap_or_else(PoisonError::into_inner).context("it was never watched")??;
            ensure!(!failures.is_empty(), "no request failed while it had no rights");
            outcome
        })]
    }

    fn back(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![
            self.versions.clone.expect(&["rollback", "--rehearse", "--without-check"], 0, |_| Ok(())),
            Action::check("see that the other of the two answers", move |_| {
                let live = all.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let other = all.both.get()?.iter().find(|one| **one != live).context("there is no other")?;
                all.set_live(other);
                all.still_serves()
            }),
            self.versions.clone.expect(&["releases", "--rehearse"], 0, |output| {
                for words in ["live", "failed, put back", "rolled back to"] {
                    ensure!(output.stdout.contains(words), "{words:?} is not in {}", output.stdout);
                }
                Ok(())
            }),
        ]
    }

    fn remove(self: &Arc<Self>) -> Vec<Action> {
        let all = Arc::clone(self);
        vec![
            self.versions.clone.task(&REMOVE),
            Action::check("see that nothing is left", move |access| {
                let name = all.versions.name("");
                let project = name.trim_end_matches('-');
                for kind in docker::Kind::ALL {
                    let left = runner::lines(access.runner, &docker::resources(kind, project))?;
                    ensure!(left.is_empty(), "the {} {} is left", kind.name(), left.join(", "));
                }
                ensure!(!all.versions.clone.path(".stack/rehearsal").exists(), "its folder is left");
                CancelToken::on(&access.context.interrupt).check()
            }),
        ]
    }
}
