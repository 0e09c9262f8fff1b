//! How a database is reached, whatever runs it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{recorded, survey};
use crate::product::DATABASE;
use crate::step::{Stdin, Step};
use crate::tool::backend::Program;
use crate::tool::postgres_clients::{self, identifier, literal};

/// The database that is always there, to make and rename others from.
const MAINTENANCE: &str = "postgres";
/// How long a dump or a restore may take.
const COPY_TIMEOUT: Duration = Duration::from_hours(2);
/// What ends the name of the database that was replaced last; it is kept until the next time.
const BEFORE: &str = "_before";

/// Gives the step that runs a client of PostgreSQL with these words: its address and password are in the environment.
pub type Client<'t> = Box<dyn Fn(&[String]) -> Result<Step> + 't>;
/// Gives the backend's own program with that database.
pub type ProgramFor<'t> = Box<dyn Fn(&str) -> Result<Program> + 't>;

/// A server and the database in it that the backend uses.
pub struct Target<'t> {
    /// The database's name.
    pub database: String,
    /// Runs a client.
    pub client: Client<'t>,
    /// Runs the backend's program.
    pub program: ProgramFor<'t>,
}

/// The database that was replaced last.
pub fn before() -> String {
    format!("{DATABASE}{BEFORE}")
}

impl Target<'_> {
    /// Runs a script that only asks.
    fn ask(&self, purpose: &str, database: &str, script: &str) -> Result<Step> {
        let step = (self.client)(&postgres_clients::script(database))?;
        Ok(step.with_purpose(purpose).stdin(Stdin::Text(script.to_owned())).only_reads().timeout(COPY_TIMEOUT))
    }

    /// Runs statements in the database that is always there.
    fn change(&self, purpose: impl Into<String>, statements: &[String]) -> Result<Step> {
        Ok((self.client)(&postgres_clients::psql(MAINTENANCE, statements))?.with_purpose(purpose))
    }

    /// Writes everything that the database holds into a file.
    pub fn dump(&self, into: &Path) -> Result<Step> {
        let step = (self.client)(&postgres_clients::pg_dump(&self.database))?;
        Ok(step.with_purpose("dump the database").into_file(into).timeout(COPY_TIMEOUT))
    }

    /// Fills an empty database from a file.
    pub fn restore(&self, database: &str, from: &Path) -> Result<Step> {
        let step = (self.client)(&postgres_clients::pg_restore(database))?;
        Ok(step.with_purpose("restore the dump").stdin(Stdin::File(from.to_owned())).timeout(COPY_TIMEOUT))
    }

    /// Prints the statements that make everything in it but the rows.
    pub fn schema(&self, database: &str) -> Result<Step> {
        let step = (self.client)(&postgres_clients::pg_dump_schema(database))?;
        Ok(step.with_purpose(format!("read the schema of {database}")).only_reads().timeout(COPY_TIMEOUT))
    }

    /// Prints what a dump tells of the migrations in it; [`recorded::parse`] reads the answer.
    pub fn recorded_in(&self, dump: &Path) -> Result<Step> {
        let step = (self.client)(&postgres_clients::pg_restore_rows(&recorded::TABLES))?;
        let step = step.with_purpose("read the migrations in the dump").stdin(Stdin::File(dump.to_owned()));
        Ok(step.only_reads().timeout(COPY_TIMEOUT))
    }

    /// The same of a database.
    pub fn recorded_of(&self, database: &str) -> Result<Step> {
        let step = (self.client)(&postgres_clients::pg_dump_rows(database, &recorded::TABLES))?;
        Ok(step.with_purpose(format!("read the migrations of {database}")).only_reads())
    }

    /// Runs a script that changes a database, whole or not at all if that is wanted.
    pub fn apply(&self, purpose: String, database: &str, script: &str, is_whole: bool) -> Result<Step> {
        let mut words = postgres_clients::script(database);
        words.extend(is_whole.then(|| "--single-transaction".to_owned()));
        let step = (self.client)(&words)?.with_purpose(purpose);
        Ok(step.stdin(Stdin::Text(script.to_owned())).timeout(COPY_TIMEOUT))
    }

    /// Makes an empty database, or a copy of another that nobody uses. One that is left from a task that was killed goes.
    pub fn create(&self, database: &str, template: Option<&str>) -> Result<Step> {
        let from = template.map_or_else(String::new, |template| format!(" TEMPLATE {}", identifier(template)));
        self.change(
            format!("make the database {database}"),
            &[drop_statement(database), format!("CREATE DATABASE {}{from}", identifier(database))],
        )
    }

    /// Removes a database, if it is there.
    pub fn remove(&self, databases: &[String]) -> Result<Step> {
        let statements: Vec<String> = databases.iter().map(|database| drop_statement(database)).collect();
        self.change(format!("remove {}", databases.join(", ")), &statements)
    }

    /// Gives a database another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<Step> {
        let statement = format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to));
        self.change(format!("name the database {to}"), &[drop_statement(to), statement])
    }

    /// Puts a database in the place of the one that the backend uses, which is kept as [`before`]: both at once, or
    /// neither. Whoever is connected is disconnected, and finds the new one.
    pub fn swap(&self, new: &str) -> Result<Step> {
        let (before, old) = (before(), format!("{}_old", before()));
        let renames = [(before.as_str(), old.as_str()), (DATABASE, before.as_str()), (new, DATABASE)];
        // The one before goes only when another has taken its place.
        let statements = [drop_statement(&old), rename_statement(&renames), drop_statement(&old)];
        Ok(self.change(format!("put {new} in the place of {DATABASE}"), &statements)?.indivisible())
    }

    /// Exchanges the database that the backend uses and [`before`]: both at once, or neither.
    pub fn exchange(&self) -> Result<Step> {
        let aside = format!("{DATABASE}_exchanged");
        let renames = [(DATABASE, aside.as_str()), (&before(), DATABASE), (&aside, &before())];
        let statements = [rename_statement(&renames)];
        Ok(self.change(format!("exchange {DATABASE} and {}", before()), &statements)?.indivisible())
    }

    /// Asks what a database holds; [`survey::Survey::parse`] reads the answer.
    pub fn survey(&self, database: &str) -> Result<Step> {
        self.ask(&format!("count what {database} holds"), database, &survey::script(false))
    }

    /// The same, with sums as older manifests have them.
    pub fn survey_by_text(&self, database: &str) -> Result<Step> {
        self.ask(&format!("count what {database} holds"), database, &survey::script(true))
    }

    /// Asks for the moment that it is; [`survey::Mark::parse`] reads the answer.
    pub fn mark(&self) -> Result<Step> {
        self.ask("ask whether somebody writes", &self.database, &survey::mark_script())
    }

    /// Asks for the server's version, such as `15.18`.
    pub fn version(&self) -> Result<Step> {
        self.ask("ask for the server's version", MAINTENANCE, "SHOW server_version;")
    }

    /// Asks for the names of all databases, a line each.
    pub fn databases(&self) -> Result<Step> {
        self.ask("list the databases", MAINTENANCE, "SELECT datname FROM pg_database ORDER BY 1;")
    }
}

fn drop_statement(database: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(database))
}

/// A database can be renamed while nobody is connected. A pool that connects again at once may be faster than the
/// rename, which is why it is tried again.
fn rename_statement(renames: &[(&str, &str)]) -> String {
    let rename = |(from, to): &(&str, &str)| {
        let statement = format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to));
        let rename = format!("EXECUTE {}; ", literal(&statement));
        // There is none before the first time.
        let is_optional = *from == before() && *to != DATABASE;
        let exists = format!("EXISTS (SELECT FROM pg_database WHERE datname = {})", literal(from));
        if is_optional { format!("IF {exists} THEN {rename}END IF; ") } else { rename }
    };
    let names = renames.iter().map(|(from, _)| literal(from)).collect::<Vec<_>>().join(", ");
    format!(
        "DO $swap$ BEGIN FOR attempt IN 1..5 LOOP BEGIN \
         PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({names}) AND usename = \
         current_user; {}RETURN; \
         EXCEPTION WHEN object_in_use THEN IF attempt = 5 THEN RAISE; END IF; END; END LOOP; END $swap$",
        renames.iter().map(rename).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_before_is_there_until_another_has_its_name() {
        let client = |words: &[String]| Ok(Step::new("x", "psql").args(words));
        let program = |_: &str| -> Result<Program> { anyhow::bail!("no program is needed") };
        let target = Target { database: DATABASE.to_owned(), client: Box::new(client), program: Box::new(program) };
        let said = target.swap("new").unwrap().to_string();
        let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("{words} is not in {said}"));
        let (before, old) = (identifier(&before()), identifier(&format!("{}_old", before())));
        assert!(!said.contains(&format!("DROP DATABASE IF EXISTS {before}")), "{said}");
        let (aside, kept) = (format!("{before} RENAME TO {old}"), format!("RENAME TO {before}"));
        assert!(place(&aside) < place(&kept) && place(&kept) < place("\"new\" RENAME TO"), "{said}");
        assert!(said.rfind(&format!("DROP DATABASE IF EXISTS {old}")) > said.find("END $swap$"), "{said}");
        assert!(!target.exchange().unwrap().to_string().contains("IF EXISTS"), "an exchange needs both");
    }
}
