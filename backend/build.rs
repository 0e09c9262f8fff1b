//! Bakes the commit into the binary, and rebuilds the crate when a migration comes or goes: `sqlx::migrate!` embeds the
//! folder at compile time.

#![expect(clippy::disallowed_macros, reason = "a build script talks to cargo on stdout")]

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE_DIR");
    println!("cargo::rerun-if-env-changed=THUNDER_COMMIT");
    println!("cargo::rustc-env=THUNDER_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
}

/// What is built: as the builder says; or a file beside this one, for platforms whose builds are given neither arguments
/// nor the repository; or as the repository says.
fn commit() -> Option<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var("THUNDER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit =
        given.or_else(|| watched(&here.join("COMMIT"))).or_else(|| checked_out(&here.parent()?.join(".git")))?;
    let commit = commit.trim();
    // Files may differ from the commit.
    let hash = commit.strip_suffix("-dirty").unwrap_or(commit);
    let is_hash = (7..=64).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown", "the commit to be built is not a hash");
    Some(commit.to_owned())
}

/// A file's text, if it is there; the build is repeated when it changes. cargo takes one that is missing for changed.
fn watched(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    Some(text)
}

/// The commit that a checkout or a worktree is at.
fn checked_out(git: &Path) -> Option<String> {
    let folder = match std::fs::read_to_string(git) {
        Ok(pointer) => PathBuf::from(pointer.trim().strip_prefix("gitdir: ")?),
        Err(_) => git.to_owned(),
    };
    let head = watched(&folder.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head) };
    // A worktree has a HEAD of its own, and its branches where the repository is.
    let shared =
        std::fs::read_to_string(folder.join("commondir")).map_or(folder.clone(), |path| folder.join(path.trim()));
    watched(&shared.join(name)).or_else(|| {
        let packed = watched(&shared.join("packed-refs"))?;
        packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned))
    })
}
