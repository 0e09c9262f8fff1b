//! tar, which every system that has Docker has, and which knows by itself how an archive is compressed.

use std::path::Path;

use crate::step::Step;

/// Unpacks an archive into a folder that is there, as files of our own.
pub fn unpack(archive: &Path, into: &Path) -> Step {
    Step::new("unpack an image", "tar").arg("-xf").arg(archive).arg("-C").arg(into).arg("--no-same-owner")
}
