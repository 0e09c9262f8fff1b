//! Files and folders: written whole or not at all, owned by whom they should be.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::interrupt::CancelToken;
use crate::process;
use crate::wait::{self, Poll, Waited};

use crate::step::User;

/// How long a folder may go on filling while it is removed.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// What the names of half-written files end with, after the number of the process that writes them; git ignores them.
const DRAFT: &str = ".draft";

/// Removes the half-written files that killed tasks have left in the folder.
pub fn remove_drafts(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix('.').and_then(|name| name.strip_suffix(DRAFT)?.rsplit('.').next()?.parse().ok());
        if pid.is_some_and(|pid| process::started(pid).is_none()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file so that whoever reads it, also after a crash, finds the old text or the new and nothing between.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let draft = draft_of(path);
        let outcome = create_file(&draft, mode).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&draft, path)
        });
        if outcome.is_err() {
            // A full disk leaves a draft behind that nobody needs; the error that counts is the first.
            drop(std::fs::remove_file(&draft));
        }
        outcome
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The name of a half-written file that becomes this one.
pub fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}{DRAFT}", std::process::id()))
}

/// A new file that only we can read.
pub fn create_private(path: &Path) -> Result<std::fs::File> {
    create_file(path, 0o600).with_context(|| format!("cannot write {}", path.display()))
}

/// The same, which fails where there is something of that name.
pub fn create_new_private(path: &Path) -> std::io::Result<std::fs::File> {
    options(0o600).create_new(true).open(path)
}

/// A new file that nobody could open before its permissions were right.
fn create_file(path: &Path, mode: u32) -> std::io::Result<std::fs::File> {
    options(mode).create(true).truncate(true).open(path)
}

/// A file to write that has these permissions from the beginning.
fn options(mode: u32) -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _unused = mode;
    options
}

/// Makes a folder with those above it.
pub fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Removes a file, a link, or a folder with all that is in it; links inside are removed and not followed.
pub fn remove(path: &Path) -> Result<()> {
    let waited = wait::until(LOCK_TIMEOUT, &CancelToken::never(), || {
        let outcome = match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => Ok(Poll::Ready(())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Poll::Ready(())),
            // Somebody who is about to end still writes into it.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(Poll::Pending(error.to_string())),
            Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
        }
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::TimedOut(seen) => bail!("cannot remove {}: {seen}", path.display()),
    }
}

/// Whether somebody besides the owner may read the file.
pub fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _unused = path;
        false
    }
}

/// Sets permissions, where the system has them.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the permissions of {}", path.display()))?;
    }
    #[cfg(not(unix))]
    let _unused = (path, mode);
    Ok(())
}

/// Gives a file or folder to a user.
pub fn give_to(path: &Path, user: Option<&User>) -> Result<()> {
    #[cfg(unix)]
    if let Some(user) = user {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("cannot give {} to {}", path.display(), user.name))?;
    }
    #[cfg(not(unix))]
    let _unused = (path, user);
    Ok(())
}

/// The number of bytes in a file or in everything below a folder.
pub fn size(path: &Path) -> u64 {
    let Ok(found) = std::fs::symlink_metadata(path) else { return 0 };
    if !found.is_dir() {
        return found.len();
    }
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

/// Bytes as a person reads them.
pub fn human_size(bytes: u64) -> String {
    let megabytes = bytes / 1_000_000;
    if megabytes > 0 { format!("{megabytes} MB") } else { format!("{} kB", bytes.div_ceil(1000)) }
}

#[cfg(test)]
mod tests;
