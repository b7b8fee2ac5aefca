//! Tests of the whole configuration, through `load` as the server calls it.

mod backends;
mod jwt;
mod layering;
mod manual;
mod mistakes;
mod round_trip;
mod secrets;

use std::path::{Path, PathBuf};

use super::{ConfigErrors, Loaded, Overrides, load};

/// A key that is long enough.
const KEY: &str = "0123456789abcdef";

/// Loads an environment and flags, without a file.
fn load_with(env: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load(
        Overrides {
            config: None,
            set: owned(set),
        },
        owned(env),
    )
}

/// Loads a file, and an environment over it.
fn load_file(path: &Path, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load(
        Overrides {
            config: Some(path.to_owned()),
            set: Vec::new(),
        },
        owned(env),
    )
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The mistakes as a person sees them.
fn mistakes(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    result
        .expect_err("must be refused")
        .mistakes()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The only mistake.
fn mistake(result: Result<Loaded, ConfigErrors>) -> String {
    let mut all = mistakes(result);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// A folder with files for one test; it goes when dropped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    /// Writes a file that only this user can read.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file for the test");
        set_mode(&path, 0o600);
        path
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}
