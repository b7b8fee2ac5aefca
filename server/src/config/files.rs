//! The files that the configuration reads: itself, files of secrets, the host's name. Reads are
//! bounded, and every failure says which file and why, never what is in it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Overrides;
use super::file_layer::ConfigFile;
use super::layers::{CONFIG_VARIABLE, Source, Variables, text_of};
use super::mistakes::{Findings, Warning};
use super::value::one_line;

/// No configuration and no list of keys is longer.
const MOST_BYTES: u64 = 1 << 20;

/// Anyone on the machine may read.
const READABLE_BY_ALL: u32 = 0o004;

/// Reads the configuration file, if one is named.
pub(super) fn configuration(
    overrides: &Overrides,
    variables: &Variables,
    findings: &mut Findings,
) -> Option<ConfigFile> {
    let (path, named_by) = match named(overrides, variables)? {
        Ok(named) => named,
        Err(problem) => {
            let source = Source::Environment(CONFIG_VARIABLE.to_owned());
            findings.mistake(CONFIG_VARIABLE, source, problem.0, problem.1);
            findings.mark_incomplete();
            return None;
        }
    };
    match read(&path) {
        Ok((text, _)) => Some(ConfigFile { path, text }),
        Err(why) => {
            findings.mistake(
                "the configuration file",
                named_by,
                format!("{} {why}", one_line(&path.to_string_lossy())),
                "name a TOML file that this user may read",
            );
            findings.mark_incomplete();
            None
        }
    }
}

type Named = Result<(PathBuf, Source), (String, String)>;

/// The file's name and who gave it; none if nobody did.
fn named(overrides: &Overrides, variables: &Variables) -> Option<Named> {
    if let Some(path) = &overrides.config {
        return Some(Ok((path.clone(), Source::CommandLine)));
    }
    match text_of(variables.get(CONFIG_VARIABLE)?) {
        Ok("") => None,
        Ok(path) => Some(Ok((
            path.into(),
            Source::Environment(CONFIG_VARIABLE.to_owned()),
        ))),
        Err(unfit) => Some(Err(unfit)),
    }
}

/// Reads a file of secrets; the error says why it could not be read.
pub(super) fn secrets(path: &Path, findings: &mut Findings) -> Result<String, String> {
    let (text, metadata) = read(path)?;
    warn_if_readable_by_all(path, &metadata, findings);
    Ok(text)
}

/// Reads a file that holds no secret; the error says why it could not be read.
pub(super) fn open_text(path: &Path) -> Result<String, String> {
    read(path).map(|(text, _)| text)
}

/// Warns of a configuration file that holds secrets and can be read by everyone.
pub(super) fn check_mode(path: &Path, findings: &mut Findings) {
    if let Ok(metadata) = path.metadata() {
        warn_if_readable_by_all(path, &metadata, findings);
    }
}

fn warn_if_readable_by_all(path: &Path, metadata: &Metadata, findings: &mut Findings) {
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & READABLE_BY_ALL != 0 {
        findings.warn(Warning::ReadableByAll {
            path: path.to_owned(),
            mode,
        });
    }
}

fn read(path: &Path) -> Result<(String, Metadata), String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err("is a folder, not a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("is longer than {MOST_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    Ok((text, metadata))
}

/// The host's name, from the first place that knows it.
pub(super) fn host_name(variables: &Variables) -> Option<String> {
    let from_file = |path: &str| Some(read(Path::new(path)).ok()?.0);
    [
        from_file("/proc/sys/kernel/hostname"),
        from_file("/etc/hostname"),
        variables.host_name.clone(),
    ]
    .into_iter()
    .flatten()
    .map(|name| name.trim().to_owned())
    .find(|name| !name.is_empty())
}
