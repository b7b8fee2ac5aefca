//! A run's report: the machine, the systems, a section for each scenario, and what went wrong.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::measure::disk::{file_system, measure_appends};
use crate::measure::machine::Machine;
use crate::measure::stats::Summary;
use crate::scenario::{Lab, Section};

/// A report, growing by section.
pub(crate) struct Report {
    machine: Vec<String>,
    systems: Vec<String>,
    sections: Vec<Section>,
}

impl Report {
    /// Describes the machine and measures its disk.
    pub(crate) fn new(lab: &Lab, file_limit: u64) -> Result<Self> {
        let mut machine = Machine::describe().lines();
        machine.push(disk_line(lab.data_dir())?);
        machine.push(format!("{file_limit} open files a process at most"));
        machine.push(
            "load generator and server share the cores: take ratios, not absolutes".to_owned(),
        );
        Ok(Self {
            machine,
            systems: lab.descriptions(),
            sections: Vec::new(),
        })
    }

    /// Adds a scenario's section.
    pub(crate) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Everything that must not happen and did.
    pub(crate) fn problems(&self) -> Vec<&String> {
        self.sections
            .iter()
            .flat_map(|section| &section.problems)
            .collect()
    }
}

fn disk_line(folder: &Path) -> Result<String> {
    let Summary { p50_ms, p99_ms, .. } = measure_appends(folder, 4096, Duration::from_secs(2))?;
    let file_system = file_system(folder);
    Ok(format!(
        "data on {file_system}; append of 4 KiB and fdatasync: p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms"
    ))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Side by side\n")?;
        for line in self.machine.iter().chain(&self.systems) {
            writeln!(f, "- {line}")?;
        }
        for section in &self.sections {
            writeln!(
                f,
                "\n## {}\n\n{}\n\n{}",
                section.title, section.explanation, section.table
            )?;
            for note in &section.notes {
                writeln!(f, "- {note}")?;
            }
            for problem in &section.problems {
                writeln!(f, "- PROBLEM: {problem}")?;
            }
        }
        Ok(())
    }
}
