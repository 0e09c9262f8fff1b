//! Where the files of a stack lie.

use std::path::{Path, PathBuf};

use super::service::Service;
use super::watch::files::Files;
use crate::product::SLUG;
use crate::project::Project;
use crate::step::User;
use crate::tool::system;

/// The folder of one stack: `.stack` in a checkout, or a throw-away one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFolder {
    root: PathBuf,
    /// Where PostgreSQL's folder lies; elsewhere than `root` when its user may not go there.
    postgres: PathBuf,
}

impl StackFolder {
    /// The folder of a checkout's stack.
    pub fn of(project: &Project, user: Option<&User>) -> Self {
        Self::at(project.state(), user, &project.name())
    }

    /// A stack in `root`. `name` tells it from others where PostgreSQL's user may not go to `root`: a checkout in
    /// /root, say. Then PostgreSQL's files lie in /var/lib.
    pub fn at(root: PathBuf, user: Option<&User>, name: &str) -> Self {
        let parent = root.parent().unwrap_or(&root);
        let postgres = match user {
            Some(user) if !system::may_enter(parent, user) => {
                Path::new("/var/lib").join(format!("{SLUG}-stack")).join(name)
            }
            _ => root.join("postgres"),
        };
        Self { root, postgres }
    }

    /// Removes the folder that PostgreSQL's files share with those of other stacks, once the last of them is gone.
    pub fn remove_shared_parent(&self) {
        if self.is_split()
            && let Some(parent) = self.postgres.parent()
        {
            // While others are in it, it stays.
            drop(std::fs::remove_dir(parent));
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether PostgreSQL's files lie outside of it.
    pub fn is_split(&self) -> bool {
        !self.postgres.starts_with(&self.root)
    }

    /// What the stack is and where it listens.
    pub fn state(&self) -> PathBuf {
        self.root.join("stack.json")
    }

    /// The same once more, for the case that the other is gone.
    pub fn state_copy(&self) -> PathBuf {
        self.run().join("stack.json")
    }

    /// What tells of running processes, and what else is good for as long as there is a stack.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The settings that the stack was started with last.
    pub fn settings_copy(&self) -> PathBuf {
        self.run().join("settings")
    }

    /// Who is using or changing the stack.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Which process a service is.
    pub fn record(&self, service: Service) -> PathBuf {
        self.run().join(format!("{service}.json"))
    }

    /// What the backend's watcher keeps.
    pub fn watch(&self) -> Files {
        Files::at(self.run())
    }

    /// What a service says.
    pub fn log(&self, service: Service) -> PathBuf {
        self.root.join("logs").join(format!("{service}.log"))
    }

    /// PostgreSQL's folder, which its user owns.
    pub fn postgres(&self) -> &Path {
        &self.postgres
    }

    /// PostgreSQL's data.
    pub fn postgres_data(&self) -> PathBuf {
        self.postgres.join("data")
    }

    /// PostgreSQL's data while it is being made.
    pub fn postgres_draft(&self) -> PathBuf {
        self.postgres.join("data.new")
    }

    /// PostgreSQL's folder while it is being removed, so that data is either there or not.
    pub fn postgres_removed(&self) -> PathBuf {
        self.postgres.with_extension("removed")
    }

    /// The password that the role has, so that another one in the settings is noticed.
    pub fn postgres_password(&self) -> PathBuf {
        self.run().join("postgres.password")
    }

    /// Redis' folder.
    pub fn redis(&self) -> PathBuf {
        self.root.join("redis")
    }

    /// The folder of a service that keeps nothing for longer than it runs.
    pub fn of_service(&self, service: Service) -> PathBuf {
        self.root.join(service.name())
    }

    /// Redis' configuration.
    pub fn redis_configuration(&self) -> PathBuf {
        self.redis().join("redis.conf")
    }

    /// Redis' data. Each kind of server has its own: an older one cannot read what a newer one wrote.
    pub fn redis_data(&self, kind: &str) -> PathBuf {
        self.redis().join(kind)
    }

    /// Where throw-away stacks lie, each of which somebody may be using.
    pub fn throw_away(&self) -> PathBuf {
        self.root.join("tests")
    }

    /// Everything that a stack makes, in the order in which it is removed: what is not here, is not ours.
    pub fn everything(&self) -> Vec<PathBuf> {
        let mut all = vec![self.postgres.clone(), self.redis()];
        // Of those above these are the folders too, unless they lie elsewhere.
        let others = Service::ALL.into_iter().map(|service| self.of_service(service));
        all.extend(others.filter(|folder| !all.contains(folder)).collect::<Vec<_>>());
        all.extend([self.root.join("logs"), self.run(), self.state()]);
        all.push(self.state().with_extension("json.unreadable"));
        all
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn postgres_lies_elsewhere_only_where_its_user_may_not_go() {
        let stranger = User { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000 };
        let open = StackFolder::at(PathBuf::from("/usr/x"), Some(&stranger), "app-1");
        assert_eq!(open.postgres_data(), Path::new("/usr/x/postgres/data"));
        assert!(!open.is_split());
        // Also before there is anything: what is made and what is cleared away later have to be the same.
        let early = StackFolder::at(PathBuf::from("/usr/no/such/x"), Some(&stranger), "app-1");
        assert!(!early.is_split());

        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let inside = folder.path().join("not/yet/x");
        let closed = StackFolder::at(inside.clone(), Some(&stranger), "app-1");
        assert_eq!(closed.postgres_data(), Path::new("/var/lib").join(format!("{SLUG}-stack/app-1/data")));
        assert!(closed.is_split());
        let ours = StackFolder::at(inside, None, "app-1");
        assert!(!ours.is_split());
    }
}
