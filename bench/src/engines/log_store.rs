//! The workload on a plain file, one append and one `fdatasync` a group.
//!
//! Not a candidate: it shows what the disk and the load itself cost, under every engine.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};

use super::store::{Group, Key, Presence, Store};

/// An open file.
pub(crate) struct LogStore {
    file: File,
}

impl LogStore {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        Ok(Self { file })
    }
}

impl Store for LogStore {
    fn commit(&self, group: &Group) -> Result<()> {
        let mut bytes = Vec::with_capacity(group.records.len() * 256 + group.marks.len() * 52);
        for (key, value) in &group.records {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        for (key, value) in &group.unread {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        for key in &group.read {
            bytes.extend_from_slice(key);
        }
        for (key, value) in &group.marks {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        (&self.file).write_all(&bytes)?;
        Ok(self.file.sync_data()?)
    }

    fn count_unread(&self, _account: [u8; 8]) -> Result<usize> {
        bail!("the plain log can't be queried")
    }

    fn presence(&self, _key: &Key) -> Result<Presence> {
        bail!("the plain log can't be queried")
    }
}
