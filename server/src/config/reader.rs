//! Reads settings as what they mean. What does not fit becomes a mistake and reads as a stand-in,
//! so that the reading goes on and all mistakes come to light; a configuration with a mistake is
//! never handed out.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::layers::{Settings, Source};
use super::mistakes::{Findings, Place};
use super::value::{Unfit, Value};

/// The settings while they are read.
pub(super) struct Reader<'a> {
    pub(super) settings: &'a mut Settings,
    pub(super) findings: &'a mut Findings,
    /// The paths read so far: a test holds them against the manual.
    #[cfg(test)]
    pub(super) read: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a mut Settings, findings: &'a mut Findings) -> Self {
        Self {
            settings,
            findings,
            #[cfg(test)]
            read: Vec::new(),
        }
    }

    /// The value of a path. That the manual lacks it, or has another kind of value, is a mistake of
    /// ours.
    fn value<T>(&mut self, path: &str, take: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        #[cfg(test)]
        self.read.push(path.to_owned());
        let value = self
            .settings
            .get(path)
            .and_then(|setting| take(&setting.value));
        if value.is_none() {
            let problem = "the built-in manual does not fit this program";
            self.findings
                .mistake(path, Source::Default, problem, "report this as a bug");
        }
        value
    }

    /// Notes what is wrong with a setting's value.
    pub(super) fn reject(&mut self, path: &str, (problem, remedy): Unfit) {
        if let Some(setting) = self.settings.get_mut(path) {
            setting.reject(setting.source.clone(), problem, remedy, self.findings);
        }
    }

    /// Whether a text is not empty.
    pub(super) fn is_given(&self, path: &str) -> bool {
        let setting = self.settings.get(path);
        setting.is_some_and(|setting| !setting.value.as_text().is_empty())
    }

    /// Where a setting's value was given.
    pub(super) fn source(&self, path: &str) -> Source {
        let setting = self.settings.get(path);
        setting.map_or(Source::Default, |setting| setting.source.clone())
    }

    /// Notes that settings, each fine by itself, do not go together. Silent if one of them has been
    /// rejected or may be missing: then nobody knows.
    pub(super) fn contradiction(&mut self, paths: &[&str], problem: &str, remedy: &str) {
        let settings: Vec<_> = paths
            .iter()
            .filter_map(|path| self.settings.get(path))
            .collect();
        if self.findings.is_incomplete() || settings.iter().any(|setting| setting.rejected) {
            return;
        }
        let places = settings.into_iter().map(|setting| Place {
            subject: setting.path.clone(),
            source: setting.source.clone(),
        });
        self.findings
            .contradiction(places.collect(), problem, remedy);
    }

    /// A number in a range.
    pub(super) fn integer(&mut self, path: &str, range: RangeInclusive<i64>) -> i64 {
        let take = |value: &Value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        let (least, most) = (*range.start(), *range.end());
        match self.value(path, take) {
            Some(number) if range.contains(&number) => number,
            Some(number) => {
                let remedy = format!("write a number from {least} to {most}");
                self.reject(path, (format!("{number} is out of range"), remedy));
                least
            }
            None => least,
        }
    }

    /// A number in a range that the type holds.
    pub(super) fn number<T: TryFrom<i64> + Default>(
        &mut self,
        path: &str,
        range: RangeInclusive<i64>,
    ) -> T {
        T::try_from(self.integer(path, range)).unwrap_or_else(|_| {
            self.reject(
                path,
                (
                    "this machine can't count so far".to_owned(),
                    "write less".to_owned(),
                ),
            );
            T::default()
        })
    }

    /// A time, given in units of so many seconds.
    pub(super) fn time(&mut self, path: &str, range: RangeInclusive<i64>, unit: u64) -> Duration {
        Duration::from_secs(self.number::<u64>(path, range) * unit)
    }

    /// A time, given in milliseconds.
    pub(super) fn millis(&mut self, path: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_millis(self.number(path, range))
    }

    /// true or false.
    pub(super) fn switch(&mut self, path: &str) -> bool {
        let take = |value: &Value| match value {
            Value::Switch(on) => Some(*on),
            _ => None,
        };
        self.value(path, take).unwrap_or_default()
    }

    /// A text as it is.
    pub(super) fn text(&mut self, path: &str) -> String {
        let take = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.value(path, take).unwrap_or_default()
    }

    /// A text that means something.
    pub(super) fn parsed<T>(
        &mut self,
        path: &str,
        stand_in: T,
        parse: impl FnOnce(&str) -> Result<T, Unfit>,
    ) -> T {
        let text = self.text(path);
        parse(&text).unwrap_or_else(|unfit| {
            self.reject(path, unfit);
            stand_in
        })
    }

    /// The texts of a list.
    pub(super) fn list(&mut self, path: &str) -> Vec<String> {
        let take = |value: &Value| match value {
            Value::List(items) => Some(items.clone()),
            _ => None,
        };
        self.value(path, take).unwrap_or_default()
    }

    /// A list of texts that mean something; each that does not is a mistake of its own.
    pub(super) fn parsed_list<T>(
        &mut self,
        path: &str,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Vec<T> {
        let mut parsed = Vec::new();
        for item in self.list(path) {
            match parse(&item) {
                Ok(value) => parsed.push(value),
                Err(unfit) => self.reject(path, unfit),
            }
        }
        parsed
    }
}
