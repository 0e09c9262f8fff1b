//! A database that is not the stack's: reached by clients and by the backend's program of this machine.

use anyhow::{Context as _, Result};

use super::host::{Host, binary, clients, service_user};
use super::service::Service;
use super::{DATABASE_CLIENTS, environment};
use crate::context::Context;
use crate::database::address::Address;
use crate::database::target::Target;
use crate::plan::Plan;
use crate::step::Step;
use crate::tool::backend::Program;

/// Makes each transaction of a client one that cannot write, unless somebody says otherwise in it.
const READ_ONLY: &str = "-c default_transaction_read_only=on";

/// A database that is not the stack's.
pub struct Elsewhere<'a> {
    context: &'a Context,
    /// Where it is.
    pub address: Address,
}

impl<'a> Elsewhere<'a> {
    /// At that URL, of which nothing secret is shown from now on.
    pub fn at(context: &'a Context, url: &str) -> Result<Self> {
        context.terminal.hide(url.trim());
        let address = Address::parse(url)?;
        address.secrets().into_iter().for_each(|secret| context.terminal.hide(secret));
        Ok(Self { context, address })
    }

    /// The backend's own program with that database, and what makes it first.
    pub fn program(&self) -> Result<(Program, Plan)> {
        let program = Program::with(&binary()?, &environment::elsewhere(self.address.url())?);
        Ok((program, Host::open(self.context).build()?))
    }

    /// Its client, in which every transaction is read-only unless something is to be written, and what has to be fetched
    /// first.
    pub fn shell(&self, with_writes: bool) -> Result<(Step, Plan)> {
        let user = service_user().unwrap_or_default();
        let folders = clients::folders(self.context, user.as_ref(), None)?;
        let client = Service::Postgres.definition().client().context("PostgreSQL has a client")?;
        let (name, fetch) = clients::find(self.context, user.as_ref(), &folders, Service::Postgres, &client)?;
        let program = clients::program(self.context, &folders, name);
        let step = Step::new(format!("run {name}"), program).arg(format!("--dbname={}", self.address.database));
        let step = self.address.variables().iter().fold(step, |step, variable| variable.give_to(step));
        Ok((if with_writes { step } else { step.env("PGOPTIONS", READ_ONLY) }, fetch))
    }

    /// What reaches it with PostgreSQL's clients, and what has to be fetched first.
    pub fn database(&self) -> Result<(Target<'_>, Plan)> {
        let user = service_user().unwrap_or_default();
        let folders = clients::folders(self.context, user.as_ref(), None)?;
        let (_, fetch) = clients::find(self.context, user.as_ref(), &folders, Service::Postgres, &DATABASE_CLIENTS)?;
        let client = move |words: &[String]| {
            let folders = clients::folders(self.context, user.as_ref(), None)?;
            let program = clients::program(self.context, &folders, &words[0]);
            let step = Step::new(format!("run {}", words[0]), program).args(&words[1..]);
            Ok(self.address.variables().iter().fold(step, |step, variable| variable.give_to(step)))
        };
        let program = |_: &str| self.program().map(|(program, _)| program);
        let database = self.address.database.clone();
        Ok((Target { database, client: Box::new(client), program: Box::new(program) }, fetch))
    }
}
