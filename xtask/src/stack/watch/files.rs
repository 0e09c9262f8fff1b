//! Where a watcher keeps what it knows: of itself, of the servers that it started, and of how its last build went.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::product::BINARY;
use crate::stack::service::Service;

/// The files of one watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those in that folder.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which process the watcher is.
    pub fn watcher(&self) -> PathBuf {
        self.folder.join("watcher.json")
    }

    /// Which process serves.
    pub fn current(&self) -> PathBuf {
        self.folder.join(format!("{}.json", Service::Backend))
    }

    /// The folder that tells of every server which was started and has not ended: the one that serves, the one that is
    /// to be the next, and those that finish what they have begun.
    pub fn servers(&self) -> PathBuf {
        self.folder.join("servers")
    }

    /// Which process a server is.
    pub fn server(&self, number: u32) -> PathBuf {
        self.servers().join(format!("{number}.json"))
    }

    /// Where a server says that it is ready.
    pub fn notices(&self, number: u32) -> PathBuf {
        let path = self.folder.join(format!("notify-{number}"));
        // The name of a socket may have about a hundred bytes, whatever the paths of other files may have.
        if path.as_os_str().len() < 100 {
            return path;
        }
        let mut hasher = DefaultHasher::new();
        self.folder.hash(&mut hasher);
        std::env::temp_dir().join(format!("{BINARY}-{:016x}-notify-{number}", hasher.finish()))
    }

    /// The binary that serves. It is another file than the one that builds are replacing all the time.
    pub fn binary(&self) -> PathBuf {
        self.folder.join(BINARY)
    }

    /// What the servers say, where that goes to a file: in a container Docker keeps it.
    pub fn log(&self) -> PathBuf {
        self.folder.with_file_name("logs").join(format!("{}.log", Service::Backend))
    }

    /// How the watcher stands.
    pub fn report(&self) -> PathBuf {
        self.folder.join("watch.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_short_name_wherever_the_checkout_is() {
        let near = Files::at(PathBuf::from("/p/.stack/run"));
        assert_eq!(near.notices(2), Path::new("/p/.stack/run/notify-2"));
        let far = Files::at(Path::new("/p").join("long/".repeat(40)));
        assert!(far.notices(2).starts_with(std::env::temp_dir()), "{}", far.notices(2).display());
        assert_ne!(far.notices(2), far.notices(3));
    }
}
