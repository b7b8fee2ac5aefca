//! Writes the pushed marks of notices that are still unread.

use super::super::group::Group;
use super::{Progress, SLICE, Slice};

pub(super) fn slice(group: &mut Group<'_>) -> Slice {
    let marks = group.shared.pushed.some(SLICE);
    let last = marks.len() < SLICE;
    for (key, at) in marks {
        // Whatever happens to it below, it isn't looked at again.
        group.settle_pushed(key);
        let Some(mut row) = group.unread(key)? else {
            continue;
        };
        if row.pushed.is_none() {
            row.pushed = Some(at);
            group.update_unread(key, row);
        }
    }
    Ok(if last { Progress::Done } else { Progress::More })
}
