//! A scrape of the admin listener's metrics.

use std::collections::BTreeMap;

/// Every sample by its name and labels as the text has them, such as `notice_staged_total{source="service"}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape {
    samples: BTreeMap<String, f64>,
    /// Family names with their types.
    pub families: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads Prometheus text.
    pub fn read(text: &str) -> Self {
        let mut scrape = Self {
            samples: BTreeMap::new(),
            families: BTreeMap::new(),
        };
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect("a type");
                scrape.families.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                let (name, value) = line.rsplit_once(' ').expect("a sample");
                let value = value.parse().expect("a number");
                scrape.samples.insert(name.to_owned(), value);
            }
        }
        scrape
    }

    /// The value of a sample that must be there.
    #[track_caller]
    pub fn value(&self, sample: &str) -> f64 {
        let value = self.samples.get(sample);
        *value.unwrap_or_else(|| panic!("no sample {sample} in {:#?}", self.samples))
    }

    /// The samples of a family, histograms' parts left out.
    pub fn samples(&self, family: &str) -> Vec<(&str, f64)> {
        let of_family = |name: &str| {
            name.strip_prefix(family)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        let samples = self.samples.iter().filter(|(name, _)| of_family(name));
        samples
            .map(|(name, value)| (name.as_str(), *value))
            .collect()
    }

    /// The sum of a family's samples.
    pub fn sum(&self, family: &str) -> f64 {
        self.samples(family).iter().map(|(_, value)| value).sum()
    }
}
