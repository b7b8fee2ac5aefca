//! Whether there is room for more notices.

use std::io;

use super::super::folder::Folder;
use super::super::shared::Limits;
use super::super::tables::Tables;

/// Why there is no room, if there is none.
pub(super) fn why_full(
    limits: &Limits,
    tables: &Tables,
    folder: &Folder,
) -> fjall::Result<Option<String>> {
    let used = tables.disk_space() + journals(folder)?;
    if used >= limits.max_bytes {
        return Ok(Some(format!(
            "it takes {used} bytes, and {} are allowed",
            limits.max_bytes
        )));
    }
    let volume = rustix::fs::statvfs(folder.dir()).map_err(io::Error::from)?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    if free < limits.min_free_bytes {
        let reserve = limits.min_free_bytes;
        return Ok(Some(format!(
            "{free} bytes are free on its volume, and {reserve} must stay free"
        )));
    }
    Ok(None)
}

/// What the engine's journals really take: they are made at their full length, but sparse.
fn journals(folder: &Folder) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder.db())? {
        // A journal may go away between the two calls.
        if let Ok(entry) = entry?.metadata()
            && entry.is_file()
        {
            bytes += entry.blocks() * 512;
        }
    }
    Ok(bytes)
}
