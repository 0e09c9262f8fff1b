//! Files that are whole or not there, and removals that go no further than they should.

use std::path::PathBuf;

use super::*;

/// A folder, and a path in it for each name.
fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    (folder, move |name: &str| root.join(name))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_with_the_folders_above_it_and_leaves_no_draft() {
    let (_folder, path) = folder();
    write(&path("a/b/file"), b"text", 0o600).unwrap();
    assert_eq!(std::fs::read_to_string(path("a/b/file")).unwrap(), "text");
    assert_eq!(names(&path("a/b")), ["file"]);
}

#[cfg(unix)]
#[test]
fn a_secret_that_takes_the_place_of_an_open_file_is_closed() {
    let (_folder, path) = folder();
    write(&path("file"), b"old", 0o644).unwrap();
    assert!(is_open_to_others(&path("file")));
    write(&path("file"), b"hunter2", 0o600).unwrap();
    assert!(!is_open_to_others(&path("file")));
    set_mode(&path("file"), 0o640).unwrap();
    assert!(is_open_to_others(&path("file")), "a group is somebody else too");
    assert!(!is_open_to_others(&path("none")));
}

#[test]
fn whoever_has_the_old_file_open_goes_on_reading_the_old_text_whole() {
    let (_folder, path) = folder();
    write(&path("file"), b"the old text", 0o644).unwrap();
    let mut reader = std::fs::File::open(path("file")).unwrap();
    write(&path("file"), b"new", 0o644).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, "the old text");
}

#[test]
fn a_write_that_fails_changes_nothing_and_leaves_no_draft() {
    let (_folder, path) = folder();
    write(&path("place/inside"), b"kept", 0o644).unwrap();
    // A folder cannot be replaced by a file.
    let error = write(&path("place"), b"text", 0o644).unwrap_err();
    assert!(error.to_string().starts_with("cannot write ") && error.to_string().ends_with("place"), "{error}");
    assert_eq!(names(&path("")), ["place"]);
    assert_eq!(std::fs::read_to_string(path("place/inside")).unwrap(), "kept");
    assert!(write(&path("place/inside/below"), b"x", 0o644).is_err());
}

#[test]
fn only_the_drafts_of_tasks_that_are_gone_are_removed() {
    let (_folder, path) = folder();
    let dead = i32::MAX - 1;
    let stays = [
        format!(".file.{}.draft", std::process::id()),
        ".file.draft".to_owned(),
        ".file.x.draft".to_owned(),
        format!("file.{dead}.draft"),
        format!(".file.{dead}"),
    ];
    let goes = [format!(".file.{dead}.draft"), format!(".env.docker.{dead}.draft")];
    for name in stays.iter().chain(&goes) {
        std::fs::write(path(name), "half").unwrap();
    }
    remove_drafts(&path("")).unwrap();
    let mut stays = stays;
    stays.sort();
    assert_eq!(names(&path("")), stays);
    remove_drafts(&path("none")).unwrap();
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_neither_removed_nor_counted() {
    let (_folder, path) = folder();
    write(&path("theirs/file"), b"123456789", 0o644).unwrap();
    write(&path("ours/below/file"), b"1234", 0o644).unwrap();
    std::os::unix::fs::symlink(path("theirs"), path("ours/link")).unwrap();
    std::os::unix::fs::symlink(path("none"), path("dangling")).unwrap();
    let link = std::fs::symlink_metadata(path("ours/link")).unwrap().len();
    assert_eq!(size(&path("ours")), 4 + link);
    for name in ["ours", "dangling", "ours", "none"] {
        remove(&path(name)).unwrap();
    }
    assert_eq!(names(&path("")), ["theirs"]);
    assert_eq!(size(&path("theirs")), 9);
    assert_eq!(size(&path("none")), 0);
}

#[test]
fn what_cannot_be_removed_is_named() {
    let (_folder, path) = folder();
    std::fs::write(path("file"), "").unwrap();
    let error = remove(&path("file/below")).unwrap_err();
    assert!(error.to_string().starts_with("cannot remove "), "{error}");
    let error = create(&path("file/below")).unwrap_err();
    assert!(error.to_string().starts_with("cannot create "), "{error}");
}

#[test]
fn sizes_are_what_a_person_reads() {
    for (bytes, shown) in [
        (0, "0 kB"),
        (1, "1 kB"),
        (1000, "1 kB"),
        (1001, "2 kB"),
        (999_999, "1000 kB"),
        (1_000_000, "1 MB"),
        (14_999_999, "14 MB"),
    ] {
        assert_eq!(human_size(bytes), shown);
    }
}
