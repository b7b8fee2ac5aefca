//! Who leaves, who is held apart, who serves; and which of those that serve go next.

use std::cmp::Reverse;

use super::mark::{Cause, Leaving};
use super::pace::Rest;
use super::{Blocked, Observation, Phase, Pod, Settings};

/// The pods of an observation, told apart.
#[derive(Debug)]
pub(super) struct Roles<'a> {
    /// They run, or will, and are to go on.
    pub(super) serving: Vec<&'a Pod>,
    /// We empty them since there are too many.
    pub(super) leaving: Vec<(&'a Pod, Leaving)>,
    /// A person has them emptied, by asking us or by the pod's own admin listener: they don't count as serving.
    pub(super) held: Vec<&'a Pod>,
    /// A person had them emptied by us, and has changed their mind.
    pub(super) released: Vec<&'a Pod>,
}

impl<'a> Roles<'a> {
    /// `mark` tells the mark of a pod: what is seen on it, or was written a moment ago.
    pub(super) fn of(pods: &'a [Pod], mut mark: impl FnMut(&Pod) -> Option<Leaving>) -> Self {
        let mut roles = Self {
            serving: Vec::new(),
            leaving: Vec::new(),
            held: Vec::new(),
            released: Vec::new(),
        };
        for pod in pods.iter().filter(|pod| pod.phase != Phase::Ending) {
            let drains = pod.load.is_some_and(|load| load.draining);
            match mark(pod) {
                _ if pod.marks.requested => roles.held.push(pod),
                Some(leaving) if leaving.cause == Cause::ScaleIn => {
                    roles.leaving.push((pod, leaving));
                }
                Some(_) => roles.released.push(pod),
                None if drains => roles.held.push(pod),
                None => roles.serving.push(pod),
            }
        }
        roles
    }

    fn live(&self) -> usize {
        self.serving.len() + self.leaving.len() + self.held.len() + self.released.len()
    }

    /// How the numbers stand.
    pub(super) fn balance(&self, seen: &Observation) -> Balance {
        let replicas = i64::from(seen.replicas);
        // In a rollout there are more than wanted for another reason.
        let doomed = if seen.rolling {
            0
        } else {
            (count(self.live()) - replicas).max(0)
        };
        let preferred = self.leaving.iter().filter(|it| it.0.marks.preferred);
        let going = doomed.min(count(preferred.count()));
        let leaving = count(self.leaving.len()) - going;
        let serving = replicas - count(self.held.len()) - leaving;
        Balance {
            doomed,
            surplus: serving - i64::from(seen.wanted),
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How the numbers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Balance {
    /// Pods that the ReplicaSet has yet to delete.
    pub(super) doomed: i64,
    /// So many more serve, or will, than are wanted; below zero: so many are missing.
    pub(super) surplus: i64,
}

/// Those that go next, at most `surplus` of them and as many as the others have room for; all at once, so that whoever
/// moves moves to a pod that stays.
///
/// First those on nodes that are being drained, then those of an older revision (the newest surge stays), then those
/// with the fewest sessions; of equal ones the newest.
pub(super) fn choose<'a>(
    roles: &Roles<'a>,
    surplus: usize,
    settings: &Settings,
) -> Result<Vec<&'a Pod>, Blocked> {
    let mut candidates: Vec<_> = roles.serving.iter().copied().filter(can_go).collect();
    candidates.sort_by_key(|pod| {
        let sessions = pod.load.map_or(0, |load| load.sessions);
        (
            !pod.cordoned,
            !pod.outdated,
            sessions,
            Reverse(pod.created),
            pod.name.clone(),
        )
    });
    if candidates.is_empty() {
        return Err(Blocked::LoadUnknown);
    }
    let most = surplus.min(candidates.len());
    let fitting = (1..=most)
        .rev()
        .find(|&count| fits(roles, &candidates[..count], settings));
    let count = fitting.ok_or(Blocked::NoRoom)?;
    candidates.truncate(count);
    Ok(candidates)
}

fn can_go(pod: &&Pod) -> bool {
    pod.phase == Phase::Running && pod.load.is_some()
}

/// Whether those that stay have room when these leave too.
pub(super) fn fits(roles: &Roles<'_>, these: &[&Pod], settings: &Settings) -> bool {
    let moving = moving(roles, these);
    moving == 0 || moving <= staying(roles, these).room_to_begin(settings)
}

/// Those that stay when these leave.
pub(super) fn staying(roles: &Roles<'_>, these: &[&Pod]) -> Rest {
    let leaves = |pod: &&Pod| these.iter().any(|it| it.name == pod.name);
    Rest::of(roles.serving.iter().copied().filter(|pod| !leaves(pod)))
}

/// The sessions that move when these leave, those under way included.
pub(super) fn moving(roles: &Roles<'_>, these: &[&Pod]) -> u64 {
    let leaving = roles.leaving.iter().map(|it| it.0);
    let all = leaving
        .chain(roles.held.iter().copied())
        .chain(these.iter().copied());
    let sessions = all.filter_map(|pod| pod.load).map(|load| load.sessions);
    sessions.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::super::model::{observed, serving, settings};
    use super::*;

    fn chosen(pods: &[Pod], surplus: usize) -> Result<Vec<&str>, Blocked> {
        let roles = Roles::of(pods, |pod| pod.marks.leaving);
        let chosen = choose(&roles, surplus, &settings())?;
        Ok(chosen.iter().map(|pod| pod.name.as_str()).collect())
    }

    #[test]
    fn the_pods_with_the_fewest_sessions_go() {
        let pods = [serving("a", 600), serving("b", 50), serving("c", 200)];
        assert_eq!(chosen(&pods, 1), Ok(vec!["b"]));
        assert_eq!(chosen(&pods, 2), Ok(vec!["b", "c"]));
    }

    #[test]
    fn a_node_that_is_being_drained_comes_first_and_then_the_older_revision() {
        let mut pods = [
            serving("new", 0),
            serving("old", 200),
            serving("cordoned", 600),
        ];
        pods[1].outdated = true;
        pods[2].cordoned = true;
        assert_eq!(chosen(&pods, 1), Ok(vec!["cordoned"]));
        assert_eq!(chosen(&pods, 2), Ok(vec!["cordoned", "old"]));
    }

    #[test]
    fn of_equal_ones_the_newest_goes() {
        let mut pods = [serving("a", 10), serving("b", 10), serving("c", 10)];
        pods[1].created += 100;
        assert_eq!(chosen(&pods, 1), Ok(vec!["b"]));
    }

    #[test]
    fn only_as_many_go_as_the_others_have_room_for() {
        let pods = [
            serving("a", 800),
            serving("b", 800),
            serving("c", 50),
            serving("d", 50),
        ];
        // Two of 1,000 have room for 200 more, up to nine tenths.
        assert_eq!(chosen(&pods, 3), Ok(vec!["c", "d"]));
        let full = [serving("a", 900), serving("b", 900)];
        assert_eq!(chosen(&full, 1), Err(Blocked::NoRoom));
    }

    #[test]
    fn a_pod_that_does_not_answer_is_not_chosen() {
        let mut pods = [serving("a", 900), serving("silent", 0)];
        pods[1].load = None;
        pods[1].cordoned = true;
        assert_eq!(chosen(&pods[1..], 1), Err(Blocked::LoadUnknown));
        // And takes nothing either.
        assert_eq!(chosen(&pods, 1), Err(Blocked::NoRoom));
    }

    #[test]
    fn the_numbers_tell_what_is_too_many_and_what_is_on_its_way_out() {
        let mut pods = vec![serving("a", 1), serving("b", 1), serving("c", 0)];
        let surplus = |pods: &[Pod], replicas, wanted| {
            let roles = Roles::of(pods, |pod| pod.marks.leaving);
            let balance = roles.balance(&observed(replicas, wanted, pods));
            (balance.surplus, balance.doomed)
        };
        assert_eq!(surplus(&pods, 3, 2), (1, 0));
        assert_eq!(surplus(&pods, 3, 5), (-2, 0));
        pods[2].marks.leaving = Some(Leaving {
            cause: Cause::ScaleIn,
            since: 0,
            window: 60,
            sessions: 0,
        });
        assert_eq!(surplus(&pods, 3, 2), (0, 0), "it leaves");
        pods[2].marks.preferred = true;
        assert_eq!(
            surplus(&pods, 2, 2),
            (0, 1),
            "the ReplicaSet has yet to delete it"
        );
        assert_eq!(surplus(&pods[..2], 2, 2), (0, 0), "it went");
        pods[0].marks.requested = true;
        assert_eq!(
            surplus(&pods[..2], 2, 2),
            (-1, 0),
            "one is held for a person"
        );
    }
}
