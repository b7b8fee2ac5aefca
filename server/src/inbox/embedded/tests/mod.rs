//! Tests of the store as a whole.

mod bounds;
mod conformance;
mod crash;
mod damage;
mod failure;
mod model;
mod reference;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::{EmbeddedStore, OpenError, Options};
use crate::clock::Clock;
use crate::domain::NoticeId;
use crate::inbox::conformance::{Recorder, account};
use crate::inbox::{Inbox, InboxError};

fn open(dir: &Path) -> Result<Arc<EmbeddedStore>, OpenError> {
    EmbeddedStore::open(
        Options::new(dir),
        Clock::System,
        Arc::new(Recorder::default()),
    )
}

async fn unread(store: &EmbeddedStore, who: &str) -> Result<BTreeSet<NoticeId>, InboxError> {
    let page = store.unread(&account(who), &[], usize::MAX).await?;
    Ok(page.items.iter().map(|unread| unread.notice.id).collect())
}

/// This test binary once more, to run one ignored test of `module` in a process of its own.
fn child_of(module: &str, test: &str) -> String {
    let (_, module) = module.split_once("::").expect("a module within the crate");
    let program = std::env::current_exe().expect("a program");
    format!(
        "{} --ignored --exact --nocapture {module}::{test}",
        program.display()
    )
}

/// A shell that becomes the child.
fn shell(before: &str, child: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{before} exec {child}"));
    command
}
