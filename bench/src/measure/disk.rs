//! What one append with fsync costs on a disk: the floor under every durable answer.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::stats::{Latencies, Summary};

/// Bytes that one notice takes in a group: a record and its index entry, with their keys.
pub(crate) const NOTICE_BYTES: usize = 16 + 150 + 16 + 8;

/// Measures appends of `bytes` with `fdatasync` in a file below `folder`, for `time`.
pub(crate) fn measure_appends(folder: &Path, bytes: usize, time: Duration) -> Result<Summary> {
    let path = folder.join(format!("fsync-probe-{}", std::process::id()));
    let result = append_repeatedly(&path, bytes, time)
        .with_context(|| format!("could not measure fsync in {}", folder.display()));
    // The probe's file is of no use any more; that it stays behind would be no failure.
    let _ = fs::remove_file(&path);
    result
}

fn append_repeatedly(path: &Path, bytes: usize, time: Duration) -> Result<Summary> {
    let mut file = File::create(path)?;
    let block = vec![0xA5_u8; bytes];
    let mut latencies = Latencies::new()?;
    let end = Instant::now() + time;
    while Instant::now() < end {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.record(start.elapsed());
    }
    Ok(latencies.summary())
}

/// Bytes that a folder's files take on the disk, holes not counted.
pub(crate) fn allocated_bytes(folder: &Path) -> Result<u64> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut total = 0;
    for entry in entries {
        let entry = entry?;
        // A file that a compaction removed meanwhile takes no space.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        total += if metadata.is_dir() {
            allocated_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(total)
}

/// The file system that holds a folder, as `ext4 on /`.
pub(crate) fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folder = folder
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from(folder));
    find_mount(&mounts, &folder).unwrap_or_else(|| "unknown".to_owned())
}

fn find_mount(mounts: &str, folder: &Path) -> Option<String> {
    let points = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = points.filter(|(point, _)| folder.starts_with(point));
    let (point, kind) = holding.max_by_key(|(point, _)| point.len())?;
    Some(format!("{kind} on {point}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_that_holds_the_folder_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        let of = |folder: &str| find_mount(mounts, Path::new(folder));
        assert_eq!(of("/home"), Some("ext4 on /".to_owned()));
        assert_eq!(of("/tmp/xy"), Some("tmpfs on /tmp".to_owned()));
        assert_eq!(of("/tmp/x/y"), Some("xfs on /tmp/x".to_owned()));
        assert_eq!(find_mount("", Path::new("/")), None);
    }

    #[test]
    fn appends_are_counted_and_leave_no_file() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let summary = measure_appends(folder.path(), 100, Duration::from_millis(20))?;
        assert!(summary.count > 0);
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }

    #[test]
    fn allocated_bytes_include_folders_below() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("below"))?;
        let mut file = File::create(folder.path().join("below/file"))?;
        file.write_all(&[1; 5000])?;
        file.sync_all()?;
        assert!(allocated_bytes(folder.path())? >= 5000);
        Ok(())
    }
}
