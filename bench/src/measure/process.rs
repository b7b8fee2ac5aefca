//! CPU time and memory of a process, read from the kernel's `/proc`.
//!
//! CPU time is the sum of `se.sum_exec_runtime` over the process's threads, in nanoseconds, as
//! `/proc/PID/task/*/schedstat` gives it. A thread that ended in between takes its time with it,
//! so the tick counters of `/proc/PID/stat` (10 ms each, threads that ended included) are the
//! floor: the greater of the two differences counts.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time taken by a process until now, by both of the kernel's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTime {
    threads: Duration,
    ticks: Duration,
}

impl CpuTime {
    /// The time taken by the process with this id.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = read(pid, "stat")?;
        let ticks = parse_stat_ticks(&stat)
            .with_context(|| format!("/proc/{pid}/stat has an unknown form: {stat}"))?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let ticks = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Self {
            threads: threads_time(pid)?,
            ticks,
        })
    }

    /// The time taken since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let threads = self.threads.saturating_sub(earlier.threads);
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        // One tick may belong to the time before the earlier reading.
        threads.max(ticks.saturating_sub(Duration::from_millis(20)))
    }
}

/// CPU time taken by this process until now, with the threads that ended.
pub(crate) fn own_cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = read(pid, "status")?;
    parse_status_kib(&status, "VmRSS")
        .map(|kib| kib * 1024)
        .with_context(|| format!("/proc/{pid}/status has no VmRSS line"))
}

/// The greatest resident memory so far in bytes.
pub(crate) fn peak_resident_bytes(pid: u32) -> Result<u64> {
    let status = read(pid, "status")?;
    parse_status_kib(&status, "VmHWM")
        .map(|kib| kib * 1024)
        .with_context(|| format!("/proc/{pid}/status has no VmHWM line"))
}

/// How many files the process holds open.
pub(crate) fn open_files(pid: u32) -> Result<usize> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = fs::read_dir(&folder).with_context(|| {
        format!(
            "could not list {}: did process {pid} end?",
            folder.display()
        )
    })?;
    Ok(entries.count())
}

fn read(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path)
        .with_context(|| format!("could not read {path}: did process {pid} end?"))
}

fn threads_time(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder)
        .with_context(|| format!("could not list {folder}: did process {pid} end?"))?;
    let mut total = 0;
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        total += parse_schedstat_ns(&text).unwrap_or(0);
    }
    Ok(Duration::from_nanos(total))
}

/// `utime + stime` of a `/proc/PID/stat` line; the name in it may hold spaces and parentheses.
fn parse_stat_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_schedstat_ns(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_status_kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find(|line| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with(':'))
    })?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a b) (c)) S 1 42 42 0 -1 4194560 100 0 0 0 17 25 0 0 20 0 3 0 9 1000 50";
        assert_eq!(parse_stat_ticks(stat), Some(42));
        assert_eq!(parse_stat_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn schedstat_gives_its_first_field() {
        assert_eq!(
            parse_schedstat_ns("512503543 64060698 205\n"),
            Some(512_503_543)
        );
        assert_eq!(parse_schedstat_ns(""), None);
    }

    #[test]
    fn status_values_are_found_by_their_whole_name() {
        let status = "VmRSSx:\t9 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\n";
        assert_eq!(parse_status_kib(status, "VmRSS"), Some(200));
        assert_eq!(parse_status_kib(status, "VmHWM"), Some(300));
        assert_eq!(parse_status_kib(status, "VmPTE"), None);
    }

    #[test]
    fn this_process_has_cpu_time_memory_and_files() -> Result<()> {
        let pid = std::process::id();
        let before = CpuTime::of(pid)?;
        let spin = own_cpu_time() + Duration::from_millis(30);
        while own_cpu_time() < spin {}
        assert!(CpuTime::of(pid)?.since(before) >= Duration::from_millis(10));
        assert!(resident_bytes(pid)? > 0);
        assert!(peak_resident_bytes(pid)? >= resident_bytes(pid)? / 2);
        assert!(open_files(pid)? > 0);
        Ok(())
    }

    #[test]
    fn the_error_for_a_process_that_ended_names_it() {
        let error = CpuTime::of(u32::MAX)
            .err()
            .map(|e| format!("{e:#}"))
            .unwrap_or_default();
        assert!(error.contains("did process 4294967295 end?"), "{error}");
    }
}
