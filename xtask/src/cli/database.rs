//! The arguments of the database's tasks.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Json, Locked};
use crate::stack::servers::Origin;

/// Which database, where it is not the local stack's.
#[derive(Debug, Default, Args)]
pub struct OtherDatabase {
    /// Another database than the stack's; - reads the URL from stdin, so that its password is no argument
    #[arg(long, value_name = "URL", conflicts_with_all = ["url_from", "environment"])]
    pub url: Option<String>,
    /// The same, with the URL in this variable of the environment
    #[arg(long, value_name = "VARIABLE", conflicts_with = "environment")]
    pub url_from: Option<String>,
    /// The database of this environment at Railway
    #[arg(short, long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The project's id; needed unless `RAILWAY_TOKEN` or infra/railway.json says it
    #[arg(long, value_name = "ID", requires = "environment")]
    pub project: Option<String>,
    /// The environment's name, instead of typing it or saying yes
    #[arg(long, value_name = "NAME", requires = "environment")]
    pub confirm: Option<String>,
}

/// `migrate run`
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Another database than the stack's is asked about first, and production's by its name. No draft is applied again there.

Examples:
  cargo xtask migrate run
  cargo xtask migrate run --environment staging --yes
  cargo xtask migrate run --url-from OTHER_DATABASE --dry-run")]
pub struct MigrateRun {
    #[command(flatten)]
    pub on: OtherDatabase,
    /// Do not ask; production is asked about all the same
    #[arg(short, long)]
    pub yes: bool,
}

/// `migrate status`
#[derive(Debug, Args)]
pub struct MigrateStatus {
    #[command(flatten)]
    pub on: OtherDatabase,
    #[command(flatten)]
    pub output: Json,
}

/// `migrate`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
`run`, `status`, `revert` and `bless` take another database than the stack's with --url or --environment.

Examples:
  cargo xtask migrate
  cargo xtask migrate status --environment production
  cargo xtask migrate add report_severity
  cargo xtask migrate lint
  cargo xtask migrate status --json"
)]
pub struct Migrate {
    #[command(flatten)]
    pub run: MigrateRun,
    /// Apply what is pending, if left out
    #[command(subcommand)]
    pub command: Option<MigrateCommand>,
}

/// `migrate …`
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is pending
    Run(MigrateRun),
    /// Write the two files of a new migration; its version is the current time
    #[command(after_help = "\
Examples:
  cargo xtask migrate add report_severity
  cargo xtask migrate add 'index reports by program'
  cargo xtask migrate add --renumber")]
    Add(MigrateAdd),
    /// Record that the file of an applied migration was changed on purpose, after showing how
    Bless(MigrateBless),
    /// Revert the newest migration with its down file as it was applied, then apply it again, after a dump of what would be lost
    Redo(MigrateRedo),
    /// Try the migrations on databases that are thrown away: up, down, up again, and the newest on one with rows
    Check(MigrateCheck),
    /// Find what a migration would do to a database that is in use
    Lint(Lint),
    /// Revert the newest migration, or several, with their down files as they were applied
    Revert(MigrateRevert),
    /// Show every migration, and whether it is compatible with the version before; exits with 5 unless all are applied
    Status(MigrateStatus),
}

/// `migrate add`
#[derive(Debug, Args)]
pub struct MigrateAdd {
    /// What it does, in a few words
    #[arg(required_unless_present = "renumber")]
    pub name: Option<String>,
    /// Put pending migrations that are older than an applied one behind it, instead of writing a new one: their files get
    /// newer time stamps
    #[arg(long, conflicts_with = "name")]
    pub renumber: bool,
}

/// `migrate bless`
#[derive(Debug, Args)]
#[command(after_help = "\
For an edit that changes nothing, such as a comment: the database is not touched, only the checksum that is recorded of \
the file. Every other database that has applied it needs the same.

Examples:
  cargo xtask migrate bless
  cargo xtask migrate bless 20261201090000 --yes
  cargo xtask migrate bless --environment production")]
pub struct MigrateBless {
    /// Which; all that are altered, one after the other, if left out
    pub version: Option<u64>,
    #[command(flatten)]
    pub on: OtherDatabase,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `migrate revert`
#[derive(Debug, Args)]
#[command(after_help = "\
What is in their tables and columns is lost. A dump is made first, and its name printed, unless the database holds \
only the seed.

Examples:
  cargo xtask migrate revert
  cargo xtask migrate revert --to 20261201090000")]
pub struct MigrateRevert {
    /// The newest that stays applied; 0 keeps none
    #[arg(long, value_name = "VERSION")]
    pub to: Option<u64>,
    #[command(flatten)]
    pub on: OtherDatabase,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub lock: Locked,
}

/// `migrate redo`
#[derive(Debug, Args)]
pub struct MigrateRedo {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub lock: Locked,
}

/// `migrate check`
#[derive(Debug, Args)]
#[command(after_help = "\
Applies every migration from nothing, reverts them to nothing, applies them again and compares the schemas. Compares \
backend/schema.sql and the metadata of the queries. Adds the seed, reverts the newest migrations and traces them on a \
database with rows: the locks each statement takes, the tables it rewrites or reads as a whole, and where that is not \
what the lint expects. The newest are those in no commit; else those that the origin does not have; else the last one.

Examples:
  cargo xtask migrate check
  cargo xtask migrate check --fix
  cargo xtask migrate check draft.sql")]
pub struct MigrateCheck {
    /// Scripts to trace, each on a copy of a database with all migrations and the seed; nothing else is checked then
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write backend/schema.sql and the metadata of the queries where they are not fresh
    #[arg(long)]
    pub fix: bool,
    /// Where the server comes from
    #[arg(long, value_enum, default_value_t, value_name = "ORIGIN")]
    pub servers: Origin,
    #[command(flatten)]
    pub output: Json,
}

/// `migrate lint`
#[derive(Debug, Args)]
#[command(after_help = "\
Finds long locks, rewrites of tables, and changes that break the version that still runs. Asks no database. Exits \
with 1 if it finds something. A comment above a statement accepts a finding: -- accept RULE: reason.

Examples:
  cargo xtask migrate lint
  cargo xtask migrate lint draft.sql --json")]
pub struct Lint {
    /// Scripts to lint; every migration since linting began, if none is named
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub output: Json,
}

/// `db`
#[derive(Debug, Args)]
#[command(after_help = "\
Dumps lie in dumps/, which git ignores and `clean` keeps.

Examples:
  cargo xtask db shell
  cargo xtask db dump && cargo xtask db reset --seed
  cargo xtask db restore dumps/20261125T101500Z.dump")]
pub struct Db {
    /// Which
    #[command(subcommand)]
    pub command: DbCommand,
}

/// `db …`
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Open psql; for one query, cargo xtask exec postgres -- psql -c QUERY
    Shell(DbShell),
    /// Print the database's URL, with its password
    Url,
    /// Save everything in the database into a file
    Dump(DbDump),
    /// Put a dump, or the database that was replaced last, in the place of the database
    Restore(DbRestore),
    /// List the dumps, the newest first, or remove old ones
    Dumps(DbDumps),
    /// Replace the database by one that is migrated and empty, or seeded
    Reset(DbReset),
    /// Try whether a dump can be restored, in a database of its own
    Drill(DbDrill),
}

/// `db shell`
#[derive(Debug, Args)]
#[command(after_help = "\
In another database than the stack's every transaction is read-only, unless --write was given and confirmed.

Examples:
  cargo xtask db shell
  cargo xtask db shell --environment staging
  cargo xtask db shell --url-from OTHER_DATABASE --write")]
pub struct DbShell {
    #[command(flatten)]
    pub on: OtherDatabase,
    /// Be able to write into another database than the stack's, in which that is always so
    #[arg(long)]
    pub write: bool,
    /// Do not ask; production is asked about all the same
    #[arg(short, long)]
    pub yes: bool,
}

/// `db dump`
#[derive(Debug, Args)]
#[command(after_help = "\
A manifest is written beside it: server, migrations, commit, and rows and checksum of each table. No file is ever \
overwritten.

Examples:
  cargo xtask db dump
  cargo xtask db dump before-the-demo.dump")]
pub struct DbDump {
    /// The file; by default one in dumps/ that is named by the time
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub lock: Locked,
}

/// `db dumps`
#[derive(Debug, Args)]
#[command(after_help = "\
`--keep` removes all but the newest dumps, after a question that names them. A dump that you have named yourself stays, \
and so does what cannot be restored.

Examples:
  cargo xtask db dumps
  cargo xtask db dumps --keep 5")]
pub struct DbDumps {
    /// Remove all but the newest N
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub keep: Option<usize>,
    /// Do not ask
    #[arg(short, long, requires = "keep")]
    pub yes: bool,
    #[command(flatten)]
    pub output: Json,
    #[command(flatten)]
    pub lock: Locked,
}

/// `db drill`
#[derive(Debug, Args)]
#[command(after_help = "\
Restores it, compares every table with the manifest, and applies pending migrations. The stack's own database is not \
touched.

Examples:
  cargo xtask db drill
  cargo xtask db drill 20261125T101500Z.dump")]
pub struct DbDrill {
    /// The dump, or its name in dumps/; the newest, if left out
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub lock: Locked,
}

/// `db restore`
#[derive(Debug, Args)]
#[command(after_help = "\
The dump is restored into a new database and compared with its manifest. Only then the two change their names: the \
database before is kept until the next restore or reset. An older schema is migrated; a newer one is refused, unless \
`--write-migrations` writes the files that this checkout does not have.

Examples:
  cargo xtask db restore dumps/20261125T101500Z.dump
  cargo xtask db restore before-the-demo.dump --yes
  cargo xtask db restore --before")]
pub struct DbRestore {
    /// The dump, or its name in dumps/; `db dumps` lists them
    #[arg(required_unless_present = "before")]
    pub file: Option<PathBuf>,
    /// The database that the last restore or reset has kept; what is there now is kept in its place
    #[arg(long, conflicts_with = "file")]
    pub before: bool,
    /// Write the files of migrations that it has and this checkout does not, as they were applied: drafts that are gone
    #[arg(long)]
    pub write_migrations: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub lock: Locked,
}

/// `db reset`
#[derive(Debug, Args)]
#[command(after_help = "\
Copies a template that was migrated once for the migrations as they are now, which takes a fraction of a second. \
Before anything is lost, a dump is made and its name printed.

Examples:
  cargo xtask db reset
  cargo xtask db reset --seed --yes")]
pub struct DbReset {
    /// With the demo data
    #[arg(long)]
    pub seed: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub lock: Locked,
}
