//! Writes the rows of notices that have been unread for a while (see `young`).

use super::super::group::Group;
use super::super::young::SETTLED_AFTER;
use super::{Progress, Slice};

/// Rows in one slice: they are small, and no read goes before them.
const ROWS: usize = 2048;

/// With `everything`, age does not count.
pub(super) fn slice(group: &mut Group<'_>, everything: bool) -> Slice {
    let young = &group.shared.young;
    let last = group.memory.last_order.saturating_add(1);
    let below = if everything || young.is_crowded() {
        last
    } else {
        (group.time_of_ids().saturating_sub(SETTLED_AFTER) << 16).min(last)
    };
    if below <= group.memory.settled_below {
        return Ok(Progress::Done);
    }
    let rows = young.older_than(below, ROWS);
    let all = rows.len() < ROWS;
    for (key, row) in rows {
        group.settle_unread(key, row);
    }
    if all {
        group.settled_below(below);
    }
    Ok(if all { Progress::Done } else { Progress::More })
}
