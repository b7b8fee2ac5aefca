//! The comparison of engines as Markdown.

use std::fmt;

use super::child::{CommitCost, Filled, Verified};
use super::store::Engine;
use crate::measure::disk::NOTICE_BYTES;
use crate::measure::machine::Machine;
use crate::measure::stats::{Summary, median_of, median_summary};
use crate::measure::table::Table;

/// Sizes of the appends that show what the disk does.
pub(crate) const APPEND_SIZES: [usize; 4] = [
    NOTICE_BYTES,
    16 * NOTICE_BYTES,
    100 * NOTICE_BYTES,
    1000 * NOTICE_BYTES,
];

/// Everything measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    file_system: String,
    /// Plain appends of each size.
    pub(crate) appends: Vec<(usize, Summary)>,
    commits: Vec<(u64, Engine, Vec<CommitCost>)>,
    /// Filled databases.
    pub(crate) filled: Vec<(Engine, Filled)>,
    /// What was found after each kill.
    pub(crate) verified: Vec<(Engine, Verified)>,
    /// Disk space at the end of the crash test.
    pub(crate) left_bytes: Vec<(Engine, u64)>,
}

impl Report {
    /// An empty report on a disk.
    pub(crate) fn new(file_system: String) -> Self {
        Self {
            file_system,
            ..Self::default()
        }
    }

    /// Adds one repetition.
    pub(crate) fn add_commits(&mut self, engine: Engine, group: u64, cost: CommitCost) {
        let of =
            |entry: &&mut (u64, Engine, Vec<CommitCost>)| (entry.0, entry.1) == (group, engine);
        match self.commits.iter_mut().find(of) {
            Some((_, _, runs)) => runs.push(cost),
            None => self.commits.push((group, engine, vec![cost])),
        }
    }

    fn appends_table(&self) -> Table {
        let mut table = Table::new(["bytes appended", "p50 ms", "p99 ms", "max ms"]);
        for (bytes, cost) in &self.appends {
            table.row([
                bytes.to_string(),
                ms(cost.p50_ms),
                ms(cost.p99_ms),
                ms(cost.max_ms),
            ]);
        }
        table
    }

    fn commits_table(&self) -> Table {
        let titles = [
            "group",
            "engine",
            "groups/s",
            "notices/s",
            "CPU us/notice",
            "commit p50 ms",
            "p99 ms",
            "max ms",
        ];
        let mut table = Table::new(titles);
        let mut commits: Vec<_> = self.commits.iter().collect();
        commits.sort_by_key(|(group, ..)| *group);
        for (group, engine, runs) in commits {
            let commit = median_summary(runs, |run| run.commit);
            table.row([
                group.to_string(),
                engine.name().to_owned(),
                format!(
                    "{:.0}",
                    median_of(runs, |run| run.groups as f64 / run.seconds)
                ),
                format!(
                    "{:.0}",
                    median_of(runs, |run| run.notices as f64 / run.seconds)
                ),
                format!("{:.2}", median_of(runs, |run| run.cpu_us_per_notice)),
                ms(commit.p50_ms),
                ms(commit.p99_ms),
                ms(commit.max_ms),
            ]);
        }
        table
    }

    fn filled_table(&self) -> Table {
        let titles = [
            "engine",
            "notices",
            "notices/s",
            "CPU us/notice",
            "commit p99 ms",
            "disk MB",
            "RSS MB",
            "peak RSS MB",
            "100 unread p50 us",
            "p99 us",
        ];
        let mut table = Table::new(titles);
        for (engine, filled) in &self.filled {
            let cost = &filled.cost;
            table.row([
                engine.name().to_owned(),
                cost.notices.to_string(),
                format!("{:.0}", cost.notices as f64 / cost.seconds),
                format!("{:.2}", cost.cpu_us_per_notice),
                ms(cost.commit.p99_ms),
                mb(filled.disk_bytes),
                mb(filled.resident_bytes),
                mb(filled.peak_bytes),
                format!("{:.1}", filled.prefix_read.p50_ms * 1e3),
                format!("{:.1}", filled.prefix_read.p99_ms * 1e3),
            ]);
        }
        table
    }

    fn crash_table(&self) -> Table {
        let titles = [
            "engine",
            "answered",
            "missing or wrong",
            "open ms",
            "RSS MB when open",
        ];
        let mut table = Table::new(titles);
        for (engine, found) in &self.verified {
            table.row([
                engine.name().to_owned(),
                found.answered.to_string(),
                found.wrong.to_string(),
                format!("{:.0}", found.open_ms),
                mb(found.resident_bytes),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Storage engines on the work of a durable inbox\n")?;
        for line in Machine::describe().lines() {
            writeln!(f, "- {line}")?;
        }
        writeln!(f, "- databases on {}", self.file_system)?;
        writeln!(f, "- {ENGINES}\n\n{WORK}\n")?;
        writeln!(
            f,
            "## The disk: append and fdatasync\n\n{}",
            self.appends_table()
        )?;
        writeln!(
            f,
            "## Group commits into an empty database\n\n{COMMITS}\n\n{}",
            self.commits_table()
        )?;
        writeln!(
            f,
            "## Filled, in groups of 1,000\n\n{FILLED}\n\n{}",
            self.filled_table()
        )?;
        writeln!(
            f,
            "## After kill -9 in the middle of writing\n\n{CRASH}\n\n{}",
            self.crash_table()
        )?;
        for (engine, bytes) in &self.left_bytes {
            writeln!(
                f,
                "- disk of {} after the last kill and reopening: {} MB",
                engine.name(),
                mb(*bytes)
            )?;
        }
        Ok(())
    }
}

const ENGINES: &str = "fjall 3.1.13 (manual journal persist, batch with `SyncData`; `fjall-small` with \
64 MiB of journals, 8 MiB memtables and 16 MiB of cache), redb 4.6.0 \
(`Durability::Immediate`, cache 64 MiB; `redb-quick` with quick repair), `log`: a plain file, \
appended and synced, which is no candidate but the floor";

const WORK: &str = "One thread. For each group of G notices: G records of 150 bytes under 16-byte \
keys (8 account hash, 6 time, 2 counter; 10,000 accounts), G entries of 8 bytes in the index of \
unread notices, the G notices of the group before leave that index and get a mark of 20 bytes, \
then a commit that is on the disk when it returns. CPU is the whole process's, background threads \
and the making of the groups included (the floor has that too).";

const COMMITS: &str = "Medians of the repetitions; engines take turns.";

const FILLED: &str = "Disk and memory are read right after the last commit. `100 unread` is one \
prefix read of an account with 100 unread notices, keys and values.";

const CRASH: &str = "The writer (groups of 100) prints what was answered and is killed; another \
process opens the database and looks every answered notice up: record there, out of the index, \
mark there. A kill leaves the page cache, so this shows that recovery is consistent, not that the \
disk keeps its word.";

fn ms(value: f64) -> String {
    format!("{value:.2}")
}

fn mb(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_of_one_engine_become_one_row_with_the_median() {
        let mut report = Report::new("ext4 on /".to_owned());
        for groups in [100, 300, 200] {
            let cost = CommitCost {
                groups,
                notices: groups,
                seconds: 1.0,
                cpu_us_per_notice: 1.0,
                commit: Summary::default(),
            };
            report.add_commits(Engine::Fjall, 1, cost);
        }
        let table = report.commits_table().to_string();
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("| 200 "), "{table}");
    }
}
