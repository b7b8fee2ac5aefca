//! Why the store could not be opened: what is wrong, where, and what to do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why the store could not be opened. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it open.
    #[error(
        "the store in {dir} is in use by another server ({holder}): stop that one, or give this one a folder of its own",
        dir = .dir.display(),
        holder = if .holder.is_empty() { "its process is not known" } else { .holder },
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who holds it, as far as it said.
        holder: String,
    },
    /// It has a format that this server doesn't know.
    #[error(
        "the store in {dir} has format {found}, and this server knows format {ours}: start the version that wrote it",
        dir = .dir.display(),
    )]
    OtherFormat {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The format that this server knows.
        ours: u32,
    },
    /// The folder belongs to something else.
    #[error(
        "{dir} is not empty and not a store (there is {found:?}): name an empty folder, or one that does not exist yet",
        dir = .dir.display(),
    )]
    NotOurs {
        /// The folder.
        dir: PathBuf,
        /// Something that was found there.
        found: String,
    },
    /// There is a file, or something else that isn't a folder.
    #[error("{dir} is not a folder: name another place for the store", dir = .dir.display())]
    NotADirectory {
        /// The place.
        dir: PathBuf,
    },
    /// Writing is not allowed there.
    #[error("{path} can not be written ({why}): check its owner, its mode and the volume's", path = .path.display())]
    NotWritable {
        /// The place.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The disk is full.
    #[error("there is no room for the store in {path} ({why}): free some, or enlarge the volume", path = .path.display())]
    NoSpace {
        /// The place.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Some of its data is missing or broken. Nothing is repaired by guessing, as that could drop notices
    /// that were promised.
    #[error(
        "the store is damaged at {path}: {what}. Nothing was changed. Restore the folder from a backup, or move it away to start empty",
        path = .path.display(),
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Something else failed.
    #[error("the store in {path} can not be opened: {why}", path = .path.display())]
    Io {
        /// The place.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

impl OpenError {
    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn from_io(path: &Path, why: io::Error) -> Self {
        let path = path.to_owned();
        match why.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, why }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { path, why },
            ErrorKind::NotADirectory => Self::NotADirectory { dir: path },
            _ => Self::Io { path, why },
        }
    }

    pub(super) fn from_engine(path: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(why) | fjall::Error::Storage(fjall::LsmError::Io(why))
                // A file that ends too early, or isn't there, was once complete.
                if !matches!(why.kind(), ErrorKind::UnexpectedEof | ErrorKind::NotFound) =>
            {
                Self::from_io(path, why)
            }
            fjall::Error::Locked => {
                Self::InUse { dir: path.to_owned(), holder: "the engine's own lock is held".to_owned() }
            }
            other => Self::damaged(path, super::tables::describe(&other)),
        }
    }
}
