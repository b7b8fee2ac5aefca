//! The configuration file: a configuration or a list of mistakes, and what is printed of it can be read again.
#![no_main]

use std::ffi::OsString;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use notice_server::config::{Overrides, load};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a folder"));

fn read(name: &str, text: &[u8]) -> Option<String> {
    let file = FOLDER.path().join(name);
    std::fs::write(&file, text).expect("a file");
    let overrides = Overrides {
        config: Some(file),
        set: Vec::new(),
    };
    match load(overrides, [] as [(OsString, OsString); 0]) {
        Ok(loaded) => Some(loaded.effective_toml()),
        Err(errors) => {
            assert!(!errors.to_string().is_empty());
            None
        }
    }
}

fuzz_target!(|text: &[u8]| {
    // Secrets are printed as "<hidden>", which is refused as a secret.
    if let Some(printed) = read("given.toml", text)
        && !printed.contains("<hidden>")
    {
        assert!(
            read("printed.toml", printed.as_bytes()).is_some(),
            "{printed}"
        );
    }
});
