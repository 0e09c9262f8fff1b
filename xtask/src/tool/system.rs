//! The operating system: its users, its package manager, its locales and its disks.

use std::fmt;
use std::path::Path;

use crate::step::{Step, User};

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu.
    Apt,
    /// Fedora, Red Hat.
    Dnf,
    /// Arch.
    Pacman,
    /// openSUSE.
    Zypper,
    /// Alpine.
    Apk,
    /// macOS.
    Brew,
    /// Windows.
    Winget,
}

/// Something that can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// The PostgreSQL server.
    Postgres,
    /// The Redis server.
    Redis,
    /// npm, with Node.js.
    Npm,
    /// pip, with Python.
    Pip,
    /// git.
    Git,
    /// A C compiler, which is also what links Rust programs.
    Compiler,
    /// Docker with Compose.
    Docker,
    /// `psql`, PostgreSQL's client.
    Psql,
    /// `redis-cli`, Redis' client.
    RedisCli,
}

const MANAGERS: &[(Manager, &str)] = &[
    (Manager::Apt, "apt-get"),
    (Manager::Dnf, "dnf"),
    (Manager::Pacman, "pacman"),
    (Manager::Zypper, "zypper"),
    (Manager::Apk, "apk"),
    (Manager::Brew, "brew"),
    (Manager::Winget, "winget"),
];

/// The package manager of this machine.
pub fn manager() -> Option<Manager> {
    MANAGERS.iter().find(|(_, program)| which::which(program).is_ok()).map(|(manager, _)| *manager)
}

impl Manager {
    /// The command that installs a package, as this user has to type it.
    #[expect(clippy::match_same_arms, reason = "a table: a line for each system, then what most of them say")]
    pub fn install(self, package: Package, is_root: bool) -> String {
        use Package::{Compiler, Docker, Git, Npm, Pip, Postgres, Psql, Redis, RedisCli};
        let sudo = if is_root { "" } else { "sudo " };
        let names = match (self, package) {
            (Self::Apt, Postgres) => "postgresql",
            (Self::Apt | Self::Zypper, Psql) => "postgresql-client",
            (Self::Apt, Redis) => "redis-server",
            (Self::Apt, RedisCli) => "redis-tools",
            (Self::Dnf | Self::Zypper, Postgres) => "postgresql-server",
            (Self::Dnf, Redis | RedisCli) => "valkey",
            (Self::Pacman, Redis | RedisCli) => "valkey",
            (Self::Winget, Npm) => "OpenJS.NodeJS",
            (Self::Winget, Pip) => "Python.Python.3.13",
            (Self::Winget, Git) => "Git.Git",
            (Self::Winget, Compiler) => "Microsoft.VisualStudio.2022.BuildTools",
            (Self::Winget, _) => "Docker.DockerDesktop",
            (Self::Brew, Postgres | Psql) => "postgresql@15",
            (Self::Brew, Npm) => "node",
            (Self::Brew, Pip) => "python",
            (Self::Brew, Compiler) => return "xcode-select --install".to_owned(),
            (Self::Brew, Docker) => return "brew install --cask docker".to_owned(),
            (_, Postgres | Psql) => "postgresql",
            (_, Redis | RedisCli) => "redis",
            (_, Npm) => "npm",
            (Self::Pacman, Pip) => "python-pip",
            (Self::Apk, Pip) => "py3-pip",
            (_, Pip) => "python3-pip",
            (_, Git) => "git",
            (Self::Apt, Compiler) => "build-essential",
            (Self::Pacman, Compiler) => "base-devel",
            (Self::Apk, Compiler) => "build-base",
            (_, Compiler) => "gcc",
            (Self::Apt, Docker) => "docker.io docker-compose-v2",
            (Self::Apk, Docker) => "docker docker-cli-compose",
            (_, Docker) => "docker docker-compose",
        };
        match self {
            Self::Apt => format!("{sudo}apt-get install {names}"),
            Self::Dnf => format!("{sudo}dnf install {names}"),
            Self::Pacman => format!("{sudo}pacman -S {names}"),
            Self::Zypper => format!("{sudo}zypper install {names}"),
            Self::Apk => format!("{sudo}apk add {names}"),
            Self::Brew => format!("brew install {names}"),
            Self::Winget => format!("winget install {names}"),
        }
    }
}

/// The command that installs a package here, or where to look.
pub fn install_command(package: Package) -> String {
    manager().map_or_else(|| format!("install {package} from its makers"), |here| here.install(package, is_root()))
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Npm => "npm",
            Self::Pip => "pip",
            Self::Git => "git",
            Self::Compiler => "a C compiler",
            Self::Docker => "Docker",
            Self::Psql => "psql",
            Self::RedisCli => "redis-cli",
        })
    }
}

/// Asks which locales there are.
pub fn locales() -> Step {
    Step::new("ask for the locales", "locale").arg("-a").isolated().only_reads()
}

/// The locale to sort text by: managed PostgreSQL has `en_US.UTF-8`; the others are there where that is not.
pub fn choose_locale(installed: &str) -> &'static str {
    let has = |wanted: &str| installed.lines().any(|line| line.replace('-', "").eq_ignore_ascii_case(wanted));
    if has("en_US.utf8") {
        "en_US.UTF-8"
    } else if has("C.utf8") {
        "C.UTF-8"
    } else {
        "C"
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::MetadataExt;

    use super::{Path, User};

    /// Whether we may do anything.
    pub fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    /// The user that PostgreSQL runs as when we are root, because it refuses to be: its own or, failing that, nobody.
    pub fn service_user() -> Option<User> {
        ["postgres", "nobody"].iter().find_map(|name| {
            let user = nix::unistd::User::from_name(name).ok()??;
            Some(User { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        })
    }

    /// The name of the user with that number.
    pub fn user_name(uid: u32) -> String {
        let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        user.map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// Whether the user may go into the folder: every folder on the way has to let them pass. Those that are not there
    /// yet are going to be ours, and do.
    pub fn may_enter(folder: &Path, user: &User) -> bool {
        folder.ancestors().skip_while(|folder| !folder.exists()).all(|folder| permits(folder, user, 0o1))
    }

    /// Whether the user may read and execute the file, and go to where it is.
    pub fn may_execute(file: &Path, user: &User) -> bool {
        permits(file, user, 0o5) && file.parent().is_some_and(|folder| may_enter(folder, user))
    }

    fn permits(path: &Path, user: &User, wanted: u32) -> bool {
        let Ok(found) = std::fs::metadata(path) else { return false };
        let shift = if found.uid() == user.uid {
            6
        } else if found.gid() == user.gid {
            3
        } else {
            0
        };
        (found.mode() >> shift) & wanted == wanted
    }

    /// The user number that a file or folder belongs to.
    pub fn owner(path: &Path) -> Option<u32> {
        std::fs::metadata(path).ok().map(|found| found.uid())
    }

    /// Our own user number.
    pub fn own_uid() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    /// The bytes that may still be written where the folder is, or would be.
    pub fn free_space(folder: &Path) -> Option<u64> {
        let existing = folder.ancestors().find(|folder| folder.exists())?;
        let disk = nix::sys::statvfs::statvfs(existing).ok()?;
        let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
        Some(free)
    }
}

#[cfg(not(unix))]
mod unix {
    use super::{Path, User};

    pub fn is_root() -> bool {
        false
    }

    pub fn service_user() -> Option<User> {
        None
    }

    pub fn user_name(uid: u32) -> String {
        uid.to_string()
    }

    pub fn may_enter(_: &Path, _: &User) -> bool {
        true
    }

    pub fn may_execute(_: &Path, _: &User) -> bool {
        true
    }

    pub fn owner(_: &Path) -> Option<u32> {
        None
    }

    pub fn own_uid() -> u32 {
        0
    }

    pub fn free_space(_: &Path) -> Option<u64> {
        None
    }
}

pub use unix::{free_space, is_root, may_enter, may_execute, own_uid, owner, service_user, user_name};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_is_told_its_own_command() {
        assert_eq!(Manager::Apt.install(Package::Postgres, false), "sudo apt-get install postgresql");
        assert_eq!(Manager::Apt.install(Package::Redis, true), "apt-get install redis-server");
        assert_eq!(Manager::Dnf.install(Package::Postgres, false), "sudo dnf install postgresql-server");
        assert_eq!(Manager::Pacman.install(Package::Pip, false), "sudo pacman -S python-pip");
        assert_eq!(Manager::Brew.install(Package::Postgres, false), "brew install postgresql@15");
        assert_eq!(Manager::Winget.install(Package::Postgres, false), "winget install Docker.DockerDesktop");
    }

    #[test]
    fn the_locale_of_managed_postgresql_is_taken_where_it_is_installed() {
        assert_eq!(choose_locale("C\nC.utf8\nen_US.utf8\nPOSIX\n"), "en_US.UTF-8");
        assert_eq!(choose_locale("C\nen_US.UTF-8\n"), "en_US.UTF-8");
        assert_eq!(choose_locale("C\nC.utf8\nPOSIX\n"), "C.UTF-8");
        assert_eq!(choose_locale(""), "C");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_only_its_owner_enters_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let stranger = User { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000 };
        let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        open(&inner, 0o755);
        open(folder.path(), 0o755);
        assert!(may_enter(&inner, &stranger));
        open(folder.path(), 0o700);
        assert!(!may_enter(&inner, &stranger));
    }

    const ALL: [Package; 9] = [
        Package::Postgres,
        Package::Redis,
        Package::Npm,
        Package::Pip,
        Package::Git,
        Package::Compiler,
        Package::Docker,
        Package::Psql,
        Package::RedisCli,
    ];

    #[test]
    fn whoever_is_root_needs_no_sudo_and_brew_never_does() {
        for (manager, _) in MANAGERS {
            for package in ALL {
                let (root, user) = (manager.install(package, true), manager.install(package, false));
                assert!(!root.contains("sudo"), "{root}");
                let needs_sudo = !matches!(manager, Manager::Brew | Manager::Winget);
                assert_eq!(user, if needs_sudo { format!("sudo {root}") } else { root });
            }
        }
    }

    #[test]
    fn each_thing_has_a_name_for_people() {
        let mut names: Vec<String> = ALL.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[cfg(unix)]
    #[test]
    fn a_program_counts_where_its_user_may_read_it_and_gets_to_it() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("postgres");
        std::fs::write(&program, "").unwrap();
        let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        open(folder.path(), 0o755);
        let found = std::fs::metadata(&program).unwrap();
        let user = |uid, gid| User { name: "x".to_owned(), uid, gid };
        let (owner, group) = (user(found.uid(), 4_000_000), user(4_000_000, found.gid()));
        let stranger = user(4_000_000, 4_000_000);
        // Its permissions, and whether owner, group and strangers may run it.
        for (mode, expected) in [
            (0o755, [true; 3]),
            (0o700, [true, false, false]),
            (0o750, [true, true, false]),
            (0o711, [true, false, false]),
        ] {
            open(&program, mode);
            assert_eq!([&owner, &group, &stranger].map(|user| may_execute(&program, user)), expected, "{mode:o}");
        }
        assert!(!may_execute(&folder.path().join("none"), &owner));
        assert_eq!(owner_of(&program), Some(found.uid()));
        assert_eq!(owner_of(Path::new("/none")), None);
    }

    #[cfg(unix)]
    fn owner_of(path: &Path) -> Option<u32> {
        super::owner(path)
    }

    #[cfg(unix)]
    #[test]
    fn the_room_of_a_folder_that_is_not_there_yet_is_that_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_space(&folder.path().join("not/there")).unwrap() > 0);
        assert_eq!(free_space(Path::new("")), None);
    }
}
