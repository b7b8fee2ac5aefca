//! Secrets that may stand in a setting or in the file that a `..._file` setting names: which of both
//! it is, and what is wrong with it. Neither shows in a message.

use std::path::{Path, PathBuf};

use super::files;
use super::keys::not_printed;
use super::layers::Source;
use super::parse;
use super::reader::Reader;
use super::value::{items, one_line};

/// A secret and the path of the setting that gave it.
pub(super) struct Given {
    pub(super) path: &'static str,
    pub(super) text: String,
}

/// The secret text of `path`, or of the file that `file_path` names; none if neither is set. Line
/// ends behind it do not belong to it: editors and `echo` put them there.
pub(super) fn text(
    reader: &mut Reader<'_>,
    path: &'static str,
    file_path: &'static str,
) -> Option<Given> {
    let text = reader.text(path);
    if !text.is_empty() {
        warn_if_readable(reader, path);
    }
    let in_file = secret(reader, (path, !text.is_empty()), file_path, |text| {
        (!text.trim().is_empty()).then_some(()).ok_or("is empty")
    });
    let given = match in_file {
        Some(text) => Given {
            path: file_path,
            text,
        },
        None => Given { path, text },
    };
    let text = given.text.trim_end_matches(['\r', '\n']);
    if let Err(unfit) = not_printed(text) {
        reader.reject(given.path, unfit);
        return None;
    }
    (!text.is_empty()).then(|| Given {
        path: given.path,
        text: text.to_owned(),
    })
}

/// The text of the file that a `..._file` setting names, if it names one: a list of keys. It must
/// hold some, and not stand beside a list (`listed`: its path, and whether it has items).
pub(super) fn keys(
    reader: &mut Reader<'_>,
    listed: (&str, bool),
    file_path: &str,
) -> Option<String> {
    secret(reader, listed, file_path, |text| {
        items(text).next().map(drop).ok_or("holds no key")
    })
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
) -> Option<String> {
    let file = named(reader, file_path)?;
    if is_set {
        let remedy = "leave one of them empty";
        reader.contradiction(&[path, file_path], "both are given", remedy);
    }
    let read = files::secrets(&file, reader.findings);
    match read.and_then(|text| check(&text).map(|()| text).map_err(str::to_owned)) {
        Ok(text) => Some(text),
        Err(why) => refuse(reader, file_path, &file, &why),
    }
}

fn refuse<T>(reader: &mut Reader<'_>, path: &str, file: &Path, why: &str) -> Option<T> {
    let problem = format!("{} {why}", one_line(&file.to_string_lossy()));
    let remedy = "name a text file that this user may read".to_owned();
    reader.reject(path, (problem, remedy));
    None
}
