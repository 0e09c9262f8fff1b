//! What tests of whole tasks are given: a checkout in a folder of its own, a recorded runner, and a terminal that keeps
//! what is printed.

pub mod docker;
pub mod host;
mod installed;
pub mod platform;
pub mod railway;
mod ran;
pub mod rehearsal;
pub mod servers;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use tempfile::TempDir;

use crate::cli::Cli;
use crate::context::Context;
use crate::interrupt::{CancelToken, Interrupt};
use crate::product::{NAME, SLUG};
use crate::project::Project;
use crate::runner::Recorded;
use crate::stack::folder::StackFolder;
use crate::stack::state::State;
use crate::terminal::Terminal;
use crate::tool::cargo;

pub use self::ran::Ran;

/// What the tasks read of a checkout.
const FILES: [&str; 6] = [
    ".env.docker.example",
    "infra/Dockerfile",
    "infra/compose.yaml",
    "infra/servers/clients.txt",
    "infra/servers/package-lock.json",
    "infra/servers/requirements.txt",
];

/// A checkout, and what a task is given in it.
pub struct Fixture {
    /// What the task is given.
    pub context: Context,
    /// What answers its commands.
    pub runner: Recorded,
    folder: TempDir,
    /// The first of its stack's ports.
    block: Cell<Option<u16>>,
}

impl Fixture {
    /// A checkout with the files that every one has, in which these programs are on PATH.
    pub fn new(programs: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Another user, whom PostgreSQL runs as where we are root, goes to it.
        crate::file::set_mode(folder.path(), 0o755).expect("our own folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        for file in FILES {
            let text = std::fs::read_to_string(root.join(file)).expect("a file of the workspace");
            write(folder.path(), file, &text);
        }
        write(folder.path(), "xtask/Cargo.toml", "");
        let runner = Recorded::with(programs);
        let interrupt = Interrupt::default();
        runner.listen_to(CancelToken::on(&interrupt));
        let context = Context {
            terminal: Arc::new(Terminal::kept()),
            project: Project::at(folder.path()).expect("a project"),
            runner: Box::new(runner.clone()),
            interrupt,
            dry_run: false,
            task: "test".to_owned(),
            variables: std::collections::BTreeMap::new(),
        };
        Self { context, runner, folder, block: Cell::new(None) }
    }

    /// The same, in a dry run.
    pub fn dry(programs: &[&str]) -> Self {
        let mut fixture = Self::new(programs);
        fixture.context.dry_run = true;
        fixture
    }

    /// The checkout's folder.
    pub fn root(&self) -> &Path {
        self.context.project.root()
    }

    /// Writes a file of the checkout.
    pub fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    /// What a file of the checkout holds; nothing where it is not there.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root().join(name)).unwrap_or_default()
    }

    /// Forgets what was asked and printed so far, before a test looks at what comes next.
    pub fn forget(&self) {
        self.runner.forget();
        self.context.terminal.forget();
    }

    /// Whether there is such a file or folder in the checkout.
    pub fn has(&self, name: &str) -> bool {
        self.root().join(name).exists()
    }

    /// Where the checkout's stack keeps its files.
    pub fn stack(&self) -> StackFolder {
        StackFolder::of(&self.context.project, None)
    }

    /// What the stack is, as its files say.
    #[track_caller]
    pub fn state(&self) -> State {
        State::load(&self.stack()).expect("a state that can be read").expect("a state")
    }

    /// Does a task as a person types it, to its end. Nobody answers questions.
    #[track_caller]
    pub fn xtask(&mut self, words: &[&str]) -> Ran {
        self.xtask_answered(words, None)
    }

    /// The same, where somebody types this at each question.
    #[track_caller]
    pub fn xtask_answered(&mut self, words: &[&str], typed: Option<&'static str>) -> Ran {
        let cli = Cli::try_parse_from(std::iter::once(&"xtask").chain(words)).expect("words that make sense");
        self.context.terminal = Arc::new(Terminal::answered(typed));
        self.context.dry_run = cli.dry_run;
        words.first().copied().unwrap_or_default().clone_into(&mut self.context.task);
        self.runner.forget();
        let is_dry = cli.dry_run;
        let code = match crate::task::run(&self.context, cli.task) {
            Ok(code) => code,
            Err(error) => {
                self.context.terminal.failure(&error);
                crate::failure::exit_code(&error)
            }
        };
        let changes = self.runner.changes();
        assert!(!is_dry || changes.is_empty(), "a dry run did {changes:?}");
        Ran { code, stdout: self.printed(), stderr: self.said() }
    }

    /// What was printed on stdout, with the checkout's own folder and names replaced.
    pub fn printed(&self) -> String {
        self.anonymous(&self.context.terminal.printed().0)
    }

    /// The same of stderr.
    pub fn said(&self) -> String {
        self.anonymous(&self.context.terminal.printed().1)
    }

    /// The text without what differs from checkout to checkout, machine to machine and product to product.
    pub fn anonymous(&self, text: &str) -> String {
        let path = |path: &Path| path.display().to_string();
        let mut text = text.replace(&path(self.root()), "ROOT").replace(&self.context.project.name(), "PROJECT");
        if let (Ok(ourselves), Ok(binary)) = (std::env::current_exe(), crate::stack::host::binary()) {
            text = text.replace(&path(&ourselves), "XTASK").replace(&path(&binary), "BINARY");
        }
        // The ports as everybody knows them.
        for (place, usual) in ["3000", "5432", "6379"].into_iter().enumerate() {
            let Some(block) = self.block.get() else { break };
            text = with_number_replaced(&text, &(usize::from(block) + place).to_string(), usual);
        }
        text = text.replace(&path(&cargo::program()), "cargo").replace(SLUG, "product").replace(NAME, "Product");
        let Ok(Some(user)) = crate::stack::host::service_user() else { return text };
        let chown = format!(" && chown {} ", user.name);
        let lines = text.split('\n').map(|line| line.split(&chown).next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n").replace(&format!("runuser -u {} -- ", user.name), "")
    }
}

/// The text with one number in place of another, where it is a number of its own: a port of five digits may stand inside a
/// migration's version.
fn with_number_replaced(text: &str, number: &str, by: &str) -> String {
    let mut pieces = text.split(number).peekable();
    let mut replaced = String::new();
    while let Some(piece) = pieces.next() {
        replaced.push_str(piece);
        let Some(next) = pieces.peek() else { break };
        let is_longer =
            replaced.ends_with(|c: char| c.is_ascii_digit()) || next.starts_with(|c: char| c.is_ascii_digit());
        replaced.push_str(if is_longer { number } else { by });
    }
    replaced
}

#[test]
fn a_port_is_not_replaced_inside_of_a_longer_number() {
    let text = with_number_replaced("127.0.0.1:10300 --draft 20260103000000, 10300", "10300", "3000");
    assert_eq!(text, "127.0.0.1:3000 --draft 20260103000000, 3000");
}

/// A file's text without the line of that setting.
pub fn without(text: &str, name: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(&format!("{name}="))).collect()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}
