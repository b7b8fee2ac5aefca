//! Percentiles of latencies and medians of repetitions. Knows nothing of what was measured.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longer latencies count as this one.
const LONGEST_NS: u64 = 600_000_000_000;

/// A distribution of latencies, kept in nanoseconds to three significant digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

/// A distribution as it crosses from a worker process to its parent: value and count pairs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LatencyCounts(Vec<(u64, u64)>);

/// The figures of a distribution that reports show, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many values were recorded.
    pub(crate) count: u64,
    /// Half of the values are at most this.
    pub(crate) p50_ms: f64,
    /// 99 of 100 values are at most this.
    pub(crate) p99_ms: f64,
    /// The greatest value.
    pub(crate) max_ms: f64,
}

impl Latencies {
    /// An empty distribution.
    pub(crate) fn new() -> Result<Self> {
        let histogram =
            Histogram::new_with_bounds(1, LONGEST_NS, 3).context("could not make a histogram")?;
        Ok(Self { histogram })
    }

    /// Adds one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds one latency given in nanoseconds.
    pub(crate) fn record_ns(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
    }

    /// Forgets everything recorded.
    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
    }

    /// The pairs to send to another process.
    pub(crate) fn counts(&self) -> LatencyCounts {
        let pairs = self.histogram.iter_recorded();
        LatencyCounts(
            pairs
                .map(|v| (v.value_iterated_to(), v.count_at_value()))
                .collect(),
        )
    }

    /// Takes in what another process recorded.
    pub(crate) fn add(&mut self, counts: &LatencyCounts) {
        for &(value, count) in &counts.0 {
            self.histogram.saturating_record_n(value, count);
        }
    }

    /// The figures to report.
    pub(crate) fn summary(&self) -> Summary {
        let ms = |ns: u64| ns as f64 / 1e6;
        Summary {
            count: self.histogram.len(),
            p50_ms: ms(self.histogram.value_at_quantile(0.50)),
            p99_ms: ms(self.histogram.value_at_quantile(0.99)),
            max_ms: ms(self.histogram.max()),
        }
    }
}

/// The middle value; of an even number of values, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some((lower + upper) / 2.0)
}

/// The median of one figure over repetitions, zero where there are none.
pub(crate) fn median_of<T>(runs: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let values: Vec<f64> = runs.iter().map(figure).collect();
    median(&values).unwrap_or(0.0)
}

/// The median of each figure of the same distribution over repetitions.
pub(crate) fn median_summary<T>(runs: &[T], summary: impl Fn(&T) -> Summary) -> Summary {
    Summary {
        count: runs.iter().map(|run| summary(run).count).sum(),
        p50_ms: median_of(runs, |run| summary(run).p50_ms),
        p99_ms: median_of(runs, |run| summary(run).p99_ms),
        max_ms: median_of(runs, |run| summary(run).max_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= expected * 0.002
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_values() -> Result<()> {
        let mut latencies = Latencies::new()?;
        for ms in 1..=1000 {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1000);
        assert!(close(summary.p50_ms, 500.0), "{summary:?}");
        assert!(close(summary.p99_ms, 990.0), "{summary:?}");
        assert!(close(summary.max_ms, 1000.0), "{summary:?}");
        Ok(())
    }

    #[test]
    fn an_empty_distribution_is_all_zero() -> Result<()> {
        assert_eq!(Latencies::new()?.summary(), Summary::default());
        Ok(())
    }

    #[test]
    fn distributions_of_two_processes_add_up() -> Result<()> {
        let (mut here, mut there) = (Latencies::new()?, Latencies::new()?);
        here.record(Duration::from_millis(1));
        there.record(Duration::from_millis(9));
        here.add(&there.counts());
        let summary = here.summary();
        assert_eq!(summary.count, 2);
        assert!(close(summary.max_ms, 9.0), "{summary:?}");
        Ok(())
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
