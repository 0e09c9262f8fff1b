//! What tests of whole tasks are given: a checkout in a folder of its own, a recorded runner, and a terminal that keeps
//! what is printed.

mod servers;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::context::Context;
use crate::file;
use crate::interrupt::{CancelToken, Interrupt};
use crate::project::Project;
use crate::runner::Recorded;
use crate::terminal::Terminal;

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
    _folder: TempDir,
}

impl Fixture {
    /// A checkout with the files that every one has, in which these programs are on PATH.
    pub fn new(programs: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // PostgreSQL's user has to get in, where that is not whoever runs the tests.
        file::set_mode(folder.path(), 0o755).expect("an open folder");
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
        };
        Self { context, runner, _folder: folder }
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
        write(self.root(), name, text);
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

    /// What was printed on stdout, with the checkout's own folder and names replaced.
    pub fn printed(&self) -> String {
        self.anonymous(&self.context.terminal.printed().0)
    }

    /// The same of stderr.
    pub fn said(&self) -> String {
        self.anonymous(&self.context.terminal.printed().1)
    }

    fn anonymous(&self, text: &str) -> String {
        text.replace(&self.root().display().to_string(), "ROOT").replace(&self.context.project.name(), "PROJECT")
    }
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
