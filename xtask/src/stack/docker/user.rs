//! Whom the backend's development container runs as: as the person who runs the stack, and not as root, where the
//! platform allows it.

use std::path::Path;

use anyhow::Result;

use crate::runner::Runner;
use crate::stack::detect;

/// Root, inside of the container.
pub const ROOT: &str = "0:0";

/// The numbers of the user and the group: those of whoever owns the settings, which nobody else can read.
///
/// Where Docker is rootless, root in a container is the person who runs it, and everybody else is a stranger to the
/// files; the same may be true of Podman. On other systems than Linux, Docker's own machine maps users.
pub fn choose(runner: &dyn Runner, settings: &Path) -> Result<String> {
    if !cfg!(target_os = "linux") || detect::look_for_docker(runner)?.kind.is_some() {
        return Ok(ROOT.to_owned());
    }
    Ok(owner(settings))
}

#[cfg(unix)]
fn owner(settings: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(settings) {
        Ok(found) => format!("{}:{}", found.uid(), found.gid()),
        // The first start is about to write them.
        Err(_) => format!("{}:{}", nix::unistd::geteuid(), nix::unistd::getegid()),
    }
}

#[cfg(not(unix))]
fn owner(_: &Path) -> String {
    ROOT.to_owned()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::runner::says;

    fn chosen(fixture: &Fixture) -> String {
        choose(&*fixture.context.runner, &fixture.context.project.settings()).unwrap()
    }

    #[test]
    fn it_is_whoever_owns_the_settings_or_is_about_to_write_them() {
        let (fixture, _daemon) = Fixture::with_docker();
        let ourselves = format!("{}:{}", nix::unistd::geteuid(), nix::unistd::getegid());
        assert_eq!(chosen(&fixture), ourselves);
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(fixture.context.project.settings(), Some(12_345), Some(54_321)).unwrap();
            assert_eq!(chosen(&fixture), "12345:54321");
        }
        std::fs::remove_file(fixture.context.project.settings()).unwrap();
        assert_eq!(chosen(&fixture), ourselves);
    }

    #[test]
    fn where_root_in_a_container_is_the_person_it_stays_root() {
        let (fixture, _daemon) = Fixture::with_docker();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(fixture.context.project.settings(), Some(12_345), None).unwrap();
        }
        fixture.runner.on("docker info", says(r#"["name=seccomp,profile=default","name=rootless"]"#));
        assert_eq!(chosen(&fixture), ROOT);
    }
}
