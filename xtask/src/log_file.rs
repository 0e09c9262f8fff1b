//! The file that a service writes its output to: cut by size, and read from its end.
//!
//! Services keep their file open, so that it is copied and then emptied in place; they write by appending and go on at
//! the new end. Nothing of xtask runs on to do it, so it is done whenever a task looks at the stack.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A log that has grown beyond this many bytes is cut.
pub const MAXIMUM_BYTES: u64 = 10 * 1024 * 1024;
/// How many older parts are kept.
pub const KEPT_FILES: usize = 2;

/// The file that holds the part before this one, for `age` from 1 to [`KEPT_FILES`].
pub fn older(log: &Path, age: usize) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// Cuts the log if it has grown large.
pub fn rotate(log: &Path) -> Result<()> {
    rotate_above(log, MAXIMUM_BYTES)
}

fn rotate_above(log: &Path, most: u64) -> Result<()> {
    if std::fs::metadata(log).map_or(0, |log| log.len()) <= most {
        return Ok(());
    }
    for age in (1..KEPT_FILES).rev() {
        match std::fs::rename(older(log, age), older(log, age + 1)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot cut {}", log.display()));
            }
            _ => {}
        }
    }
    let cut = std::fs::copy(log, older(log, 1)).and_then(|_| File::options().write(true).open(log)?.set_len(0));
    cut.with_context(|| format!("cannot cut {}", log.display()))
}

/// What the log holds from that byte on; nothing when it cannot be read.
pub fn read_from(log: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        // Cut meanwhile: everything that is there came after.
        let start = if file.metadata()?.len() < start { 0 } else { start };
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_large_log_is_cut_and_two_older_parts_are_kept() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let log = folder.path().join("service.log");
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        for part in ["first part", "second part", "third part", "fourth part"] {
            writer.write_all(part.as_bytes()).unwrap();
            rotate_above(&log, 5).unwrap();
        }
        writer.write_all(b"now").unwrap();
        rotate_above(&log, 5).unwrap();
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(log.clone()), "now", "the writer goes on at the new end");
        assert_eq!(read(older(&log, 1)), "fourth part");
        assert_eq!(read(older(&log, 2)), "third part");
        assert!(!older(&log, 3).exists());
    }

    #[test]
    fn only_what_came_later_is_read() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let log = folder.path().join("service.log");
        std::fs::write(&log, "before\nafter\n").unwrap();
        assert_eq!(read_from(&log, 7), "after\n");
        assert_eq!(read_from(&log, 700), "before\nafter\n", "the log was cut and is shorter than it was");
        assert_eq!(read_from(&folder.path().join("none"), 0), "");
    }

    #[test]
    fn a_log_is_cut_only_beyond_the_most_and_one_that_is_not_there_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("service.log");
        rotate(&log).unwrap();
        assert!(!log.exists());
        std::fs::write(&log, "12345").unwrap();
        rotate_above(&log, 5).unwrap();
        assert!(!older(&log, 1).exists());
        rotate_above(&log, 4).unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
        assert!(older(&log, 1).ends_with("service.log.1"));
    }

    #[test]
    fn a_log_that_cannot_be_cut_is_named_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("service.log");
        std::fs::write(&log, "12345").unwrap();
        // Somebody has put a folder where the older part belongs.
        std::fs::create_dir_all(older(&log, 2).join("full")).unwrap();
        std::fs::write(older(&log, 1), "before").unwrap();
        let error = rotate_above(&log, 1).unwrap_err();
        assert!(error.to_string().starts_with("cannot cut "), "{error}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "12345");
        assert_eq!(std::fs::read_to_string(older(&log, 1)).unwrap(), "before");
    }

    #[test]
    fn bytes_that_are_no_text_are_read_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("service.log");
        std::fs::write(&log, b"caf\xc3\xa9\n\xff\n").unwrap();
        // From the middle of a letter on.
        assert_eq!(read_from(&log, 4), "\u{fffd}\n\u{fffd}\n");
        assert_eq!(read_from(&log, 8), "");
    }
}
