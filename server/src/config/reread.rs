//! Files of credentials, read again while the server runs: by the rules of the start. What is wrong
//! with one is a sentence for the log; nothing that stands in the file is in it.

use std::path::Path;

use super::keys::{ApiKeys, ReadKeys};
use super::value::{Unfit, items};
use super::{DrainKey, JwtAlgorithm, JwtKeys, Warning, drain_keys, files, jwt, secret_files};

/// What stands in a file that a `..._file` setting names. Blocks for the time of a read.
///
/// # Errors
/// Why it can't be read.
pub fn read(path: &Path) -> Result<String, String> {
    files::open_text(path)
}

/// The keys of services in a text, and what is odd about them.
///
/// # Errors
/// What is wrong with the first one that is none.
pub fn api_keys(text: &str) -> Result<(ApiKeys, Vec<Warning>), String> {
    secret_files::some_keys(text)?;
    let ReadKeys { keys, short, unfit } = ApiKeys::read(items(text));
    if let Some(unfit) = unfit.into_iter().next() {
        return Err(sentence(unfit));
    }
    let short = short.into_iter();
    let warnings = short.map(|number| Warning::ShortSecret { number });
    Ok((keys, warnings.collect()))
}

/// The public keys in a text whose signature allows a drain.
///
/// # Errors
/// What is wrong with them.
pub fn drain_keys(text: &str) -> Result<Vec<DrainKey>, String> {
    secret_files::some_keys(text)?;
    drain_keys::read(text).map_err(sentence)
}

/// The one key of JWTs in a text.
///
/// # Errors
/// Why it is none for these algorithms.
pub fn jwt_key(text: &str, algorithms: &[JwtAlgorithm]) -> Result<JwtKeys, String> {
    secret_files::not_empty(text)?;
    jwt::reread(text, algorithms).map_err(sentence)
}

fn sentence((problem, remedy): Unfit) -> String {
    format!("{problem}: {remedy}")
}
