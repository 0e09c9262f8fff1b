//! The real cargo: where builds go, and who waits for whom.

use std::fs::{File, OpenOptions};
use std::path::Path;

use crate::support::until;

/// Held by a cargo that builds with the `dev` profile, which is what builds the backend.
fn lock_of_the_backends_builds() -> File {
    let target =
        Path::new(env!("CARGO_BIN_EXE_xtask")).ancestors().nth(2).expect("a profile's folder in a target folder");
    let folder = target.join("debug");
    std::fs::create_dir_all(&folder).expect("the target folder is ours");
    let path = folder.join(".cargo-lock");
    OpenOptions::new().create(true).truncate(false).write(true).open(path).expect("the target folder is ours")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this is about cargo itself")]
fn no_task_waits_for_a_build_of_the_backend_from_whatever_directory_it_is_called() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a workspace");
    let lock = lock_of_the_backends_builds();
    lock.lock().expect("no other build goes on for ever");
    for folder in ["", "backend/src"] {
        let mut command = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let mut child =
            command.args(["xtask", "--version"]).current_dir(repository.join(folder)).spawn().expect("cargo runs");
        let mut status = None;
        until("cargo runs xtask", || {
            status = child.try_wait().expect("our own child");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()));
    }
}
