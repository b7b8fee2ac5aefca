//! A description of the machine, so that figures can be compared with sense.

use std::fs;

/// Cores, processor, memory and kernel of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_gib: f64,
    kernel: String,
}

impl Machine {
    /// Reads the description; what can't be read is called unknown.
    pub(crate) fn describe() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: f64 = value_of(&meminfo, "MemTotal")
            .and_then(first_number)
            .unwrap_or(0.0);
        let uname = rustix::system::uname();
        Self {
            cores,
            processor: value_of(&cpuinfo, "model name")
                .unwrap_or("unknown processor")
                .to_owned(),
            memory_gib: kib / (1024.0 * 1024.0),
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
        }
    }

    /// The description as lines of a Markdown list.
    pub(crate) fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "{} cores ({}), {:.1} GiB of memory",
                self.cores, self.processor, self.memory_gib
            ),
            format!("kernel {}", self.kernel),
        ]
    }
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(name, _)| name.trim() == key);
    values.next().map(|(_, value)| value.trim())
}

fn first_number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: A: B\nMemTotal:  2048 kB\n";
        assert_eq!(value_of(text, "model name"), Some("A: B"));
        assert_eq!(
            value_of(text, "MemTotal").and_then(first_number),
            Some(2048.0)
        );
        assert_eq!(value_of(text, "none"), None);
    }
}
