//! The store's folder: whose it is, which format it has, and that one server at a time uses it.
//!
//! `FORMAT` says that the folder is a finished store of ours; it is written last. `INITIALISING` is there only
//! while a store is being made, so one that was killed then is made anew; nothing was promised to anyone yet.
//! `LOCK` is held for as long as the store is open. `CLEAN` is there while it is closed in order. `db` is the
//! engine's. Nothing else is ever removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::open_error::OpenError;

const FORMAT: &str = "FORMAT";
const INITIALISING: &str = "INITIALISING";
const CLEAN: &str = "CLEAN";
const LOCK: &str = "LOCK";
const DB: &str = "db";

/// Part of a new volume, and nobody's data.
const LOST_AND_FOUND: &str = "lost+found";

const PRODUCT: &str = "notice-server embedded store";
const FORMAT_NUMBER: u32 = 1;

/// The folder, for whoever holds its lock.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Held until the last handle of the store is gone.
    _lock: File,
}

/// What was found in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or a store that was never finished.
    Nothing,
    /// A store of the present format.
    Store,
}

impl Folder {
    /// Takes the folder, which is made when it isn't there.
    pub(super) fn take(dir: &Path) -> Result<(Self, Found), OpenError> {
        make(dir)?;
        let found = look(dir)?;
        let lock = lock(dir)?;
        // Another server may have finished making the store before we had the lock.
        let found = if found == Found::Nothing {
            look(dir)?
        } else {
            found
        };
        Ok((
            Self {
                dir: dir.to_owned(),
                _lock: lock,
            },
            found,
        ))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn db(&self) -> PathBuf {
        self.dir.join(DB)
    }

    /// Clears what an interrupted creation left, and says that another begins.
    pub(super) fn begin(&self) -> Result<(), OpenError> {
        let io = |error| OpenError::from_io(&self.dir, error);
        let db = self.db();
        if db.try_exists().map_err(io)? {
            fs::remove_dir_all(&db).map_err(io)?;
        }
        write_synced(&self.dir.join(INITIALISING), "").map_err(io)?;
        sync_dir(&self.dir).map_err(io)
    }

    /// Whether the store was closed in order.
    pub(super) fn is_clean(&self) -> Result<bool, OpenError> {
        self.dir
            .join(CLEAN)
            .try_exists()
            .map_err(|error| OpenError::from_io(&self.dir, error))
    }

    /// Says that the store is closed in order, with all that it holds on the disk.
    pub(super) fn set_clean(&self) -> std::io::Result<()> {
        write_synced(&self.dir.join(CLEAN), "")?;
        sync_dir(&self.dir)
    }

    /// Says that the store is open: from now on its end may be a crash.
    pub(super) fn set_dirty(&self) -> Result<(), OpenError> {
        let set_dirty = || match fs::remove_file(self.dir.join(CLEAN)) {
            Ok(()) => sync_dir(&self.dir),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        set_dirty().map_err(|error| OpenError::from_io(&self.dir, error))
    }

    /// Says that the store is complete.
    pub(super) fn finish(&self) -> Result<(), OpenError> {
        let text = format!("{PRODUCT}\nformat {FORMAT_NUMBER}\n");
        let draft = self.dir.join("FORMAT.new");
        let finish = || {
            write_synced(&draft, &text)?;
            fs::rename(&draft, self.dir.join(FORMAT))?;
            sync_dir(&self.dir)?;
            fs::remove_file(self.dir.join(INITIALISING))
        };
        finish().map_err(|error| OpenError::from_io(&self.dir, error))
    }
}

fn make(dir: &Path) -> Result<(), OpenError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(OpenError::NotADirectory {
            dir: dir.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(|error| OpenError::from_io(dir, error))?;
            // So that the folder itself outlasts a power cut.
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.map_or(Ok(()), |parent| {
                sync_dir(parent).map_err(|error| OpenError::from_io(parent, error))
            })
        }
        Err(error) => Err(OpenError::from_io(dir, error)),
    }
}

fn look(dir: &Path) -> Result<Found, OpenError> {
    let path = dir.join(FORMAT);
    match fs::read_to_string(&path) {
        Ok(text) => check_format(dir, &text).map(|()| Found::Store),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            check_unfinished(dir).map(|()| Found::Nothing)
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(OpenError::damaged(&path, "it is not text"))
        }
        Err(error) => Err(OpenError::from_io(&path, error)),
    }
}

fn check_format(dir: &Path, text: &str) -> Result<(), OpenError> {
    let mut lines = text.lines();
    if lines.next() != Some(PRODUCT) {
        return Err(OpenError::NotOurs {
            dir: dir.to_owned(),
            found: FORMAT.to_owned(),
        });
    }
    let number = lines
        .next()
        .and_then(|line| line.strip_prefix("format ")?.parse::<u32>().ok());
    match number {
        Some(FORMAT_NUMBER) => Ok(()),
        Some(found) => Err(OpenError::OtherFormat {
            dir: dir.to_owned(),
            found,
            ours: FORMAT_NUMBER,
        }),
        None => Err(OpenError::damaged(&dir.join(FORMAT), "it names no format")),
    }
}

/// A folder without `FORMAT` may be used when nothing of anyone's is in it.
fn check_unfinished(dir: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::from_io(dir, error);
    let begun = dir.join(INITIALISING).try_exists().map_err(io)?;
    for entry in fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let expected = name == LOCK
            || name == LOST_AND_FOUND
            || (begun && (name == DB || name == INITIALISING || name == "FORMAT.new"));
        if !expected {
            let found = name.to_string_lossy().into_owned();
            return Err(OpenError::NotOurs {
                dir: dir.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let io = |error| OpenError::from_io(dir, error);
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only to name the other: that it can't be read must not hide that there is one.
            let _ = file.read_to_string(&mut holder);
            return Err(OpenError::InUse {
                dir: dir.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    let mut note = || {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(format!("process {}\n", std::process::id()).as_bytes())
    };
    note().map_err(io)?;
    Ok(file)
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes a folder's entries outlast a power cut.
pub(super) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}
