//! Secrets that may stand in a setting or in the file that a `..._file` setting names: which of both
//! it is, and what is wrong with it. Neither shows in a message.

use std::path::{Path, PathBuf};

use super::files;
use super::keys::not_printed;
use super::layers::Source;
use super::parse;
use super::reader::Reader;
use super::value::{items, one_line};

/// A secret, the path of the setting that gave it, and the file that it stands in, if it does.
pub(super) struct Given {
    pub(super) path: &'static str,
    pub(super) text: String,
    pub(super) file: Option<PathBuf>,
}

/// The text of a file and where that is.
pub(super) struct InFile {
    pub(super) text: String,
    pub(super) file: PathBuf,
}

/// The secret text of `path`, or of the file that `file_path` names; none if neither is set.
pub(super) fn text(
    reader: &mut Reader<'_>,
    path: &'static str,
    file_path: &'static str,
) -> Option<Given> {
    let text = reader.text(path);
    if !text.is_empty() {
        warn_if_readable(reader, path);
    }
    let in_file = secret(reader, (path, !text.is_empty()), file_path, not_empty);
    let (path, text, file) = match in_file {
        Some(InFile { text, file }) => (file_path, text, Some(file)),
        None => (path, text, None),
    };
    let text = without_line_ends(&text).to_owned();
    if let Err(unfit) = not_printed(&text) {
        reader.reject(path, unfit);
        return None;
    }
    (!text.is_empty()).then_some(Given { path, text, file })
}

/// What editors and `echo` put behind a secret does not belong to it.
pub(super) fn without_line_ends(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// A file of one secret must hold some.
pub(super) fn not_empty(text: &str) -> Result<(), &'static str> {
    (!text.trim().is_empty()).then_some(()).ok_or("is empty")
}

/// A file of keys must hold some.
pub(super) fn some_keys(text: &str) -> Result<(), &'static str> {
    items(text).next().map(drop).ok_or("holds no key")
}

/// The text of the file that a `..._file` setting names, if it names one: a list of keys. It must
/// hold some, and not stand beside a list (`listed`: its path, and whether it has items).
pub(super) fn keys(
    reader: &mut Reader<'_>,
    listed: (&str, bool),
    file_path: &str,
) -> Option<InFile> {
    secret(reader, listed, file_path, some_keys)
}

/// A configuration file with secrets in it is a file of secrets too.
pub(super) fn warn_if_readable(reader: &mut Reader<'_>, path: &str) {
    if let Source::File { path, .. } = reader.source(path) {
        files::check_mode(&path, reader.findings);
    }
}

/// A file of PEM that a setting names; none if it names none. What it must hold is `block`.
pub(super) fn pem(reader: &mut Reader<'_>, path: &str, block: &str) -> Option<PathBuf> {
    let file = named(reader, path)?;
    let read = if block.contains("KEY") {
        files::secrets(&file, reader.findings)
    } else {
        files::open_text(&file)
    };
    let fits = read.and_then(|text| {
        let begins = |line: &str| line.starts_with("-----BEGIN ") && line.contains(block);
        text.lines()
            .any(begins)
            .then_some(())
            .ok_or_else(|| format!("holds no PEM block \"BEGIN {block}\""))
    });
    match fits {
        Ok(()) => Some(file),
        Err(why) => refuse(reader, path, &file, &why),
    }
}

/// A file that a setting names and that can be read now; none if it names none.
pub(super) fn readable(reader: &mut Reader<'_>, path: &str) -> Option<PathBuf> {
    let file = named(reader, path)?;
    match files::open_text(&file) {
        Ok(_) => Some(file),
        Err(why) => refuse(reader, path, &file, &why),
    }
}

fn named(reader: &mut Reader<'_>, path: &str) -> Option<PathBuf> {
    let file = reader.parsed(path, PathBuf::new(), parse::file);
    (!file.as_os_str().is_empty()).then_some(file)
}

fn secret(
    reader: &mut Reader<'_>,
    (path, is_set): (&str, bool),
    file_path: &str,
    check: impl FnOnce(&str) -> Result<(), &'static str>,
) -> Option<InFile> {
    let file = named(reader, file_path)?;
    if is_set {
        let remedy = "leave one of them empty";
        reader.contradiction(&[path, file_path], "both are given", remedy);
    }
    let read = files::secrets(&file, reader.findings);
    match read.and_then(|text| check(&text).map(|()| text).map_err(str::to_owned)) {
        Ok(text) => Some(InFile { text, file }),
        Err(why) => refuse(reader, file_path, &file, &why),
    }
}

fn refuse<T>(reader: &mut Reader<'_>, path: &str, file: &Path, why: &str) -> Option<T> {
    let problem = format!("{} {why}", one_line(&file.to_string_lossy()));
    let remedy = "name a text file that this user may read".to_owned();
    reader.reject(path, (problem, remedy));
    None
}
