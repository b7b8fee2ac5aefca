//! The machine: from what is seen to what is done next, until as many pods serve as are wanted.
//!
//! A pod that leaves is marked, drained, given the lowest deletion cost when it is empty, and only then the size is
//! lowered; each step is taken when the one before is seen to have happened, so a step that failed is simply taken
//! again. When more are wanted meanwhile, those that leave come back first, in the other order: cost, drain, mark.

use std::cmp::Reverse;
use std::time::Duration;

use super::mark::{Cause, Leaving};
use super::pace::Pace;
use super::plan::{Balance, Roles, choose, fits, moving, staying};
use super::{Action, Blocked, Drains, News, Observation, Phase, Pod, Settings};

/// What to remember and what to do, from what was remembered and what is seen at `now`, in seconds since 1970.
#[must_use]
pub fn step(
    state: Drains,
    seen: &Observation,
    settings: &Settings,
    now: u64,
) -> (Drains, Vec<Action>) {
    let mut step = Step {
        state,
        actions: Vec::new(),
        seen,
        settings,
        now,
    };
    step.catch_up();
    let marked = step.state.marked.clone();
    let mark = |pod: &Pod| pod.marks.leaving.or_else(|| marked.get(&pod.name).copied());
    let roles = Roles::of(&seen.pods, mark);
    let balance = roles.balance(seen);
    step.check_who_went(balance);
    roles.released.iter().for_each(|pod| step.undo(pod));
    step.hold(&roles);
    let mut stays = step.stop_when_full(&roles);
    if balance.surplus < 0 {
        step.grow(&roles, balance, &mut stays);
    } else if balance.surplus > 0 && stays.is_empty() {
        step.shrink(&roles, balance);
    }
    step.proceed(&roles, balance, &stays);
    (step.state, step.actions)
}

struct Step<'a> {
    state: Drains,
    actions: Vec<Action>,
    seen: &'a Observation,
    settings: &'a Settings,
    now: u64,
}

impl<'a> Step<'a> {
    /// Forgets what is seen by now, and what was of pods that are gone.
    fn catch_up(&mut self) {
        self.state.blocked = None;
        let seen = &self.seen.pods;
        let find = |name: &str| seen.iter().find(|pod| pod.name == name);
        let is_news = |name: &str| find(name).is_some_and(|pod| pod.marks.leaving.is_none());
        self.state.marked.retain(|name, _| is_news(name));
        let removing = &self.state.removing;
        self.state
            .told
            .retain(|name, _| find(name).is_some() || removing.contains_key(name));
    }

    /// The size was lowered for these pods: did they go?
    fn check_who_went(&mut self, balance: Balance) {
        for (name, size) in self.state.removing.clone() {
            let mut alive = self
                .seen
                .pods
                .iter()
                .filter(|pod| pod.phase != Phase::Ending);
            let lowered = self.seen.replicas <= size;
            let news = if !alive.any(|pod| pod.name == name) {
                News::Went
            } else if lowered && balance.doomed == 0 {
                News::AnotherWent
            } else {
                continue;
            };
            self.tell(&name, news);
            self.state.removing.remove(&name);
        }
    }

    /// Empties the pods for which a person has asked.
    fn hold(&mut self, roles: &Roles<'_>) {
        for pod in roles.held.iter().filter(|pod| pod.marks.requested) {
            let mark = pod
                .marks
                .leaving
                .or_else(|| self.state.marked.get(&pod.name).copied());
            let drains = pod.load.is_none_or(|load| load.draining);
            match mark.filter(|mark| mark.cause == Cause::Requested) {
                Some(mark) if !drains => self.drain(pod, mark),
                Some(_) => self.tell_if_empty(pod),
                None if fits(roles, &[], self.settings) => {
                    self.begin(roles, &[], &[pod], Cause::Requested);
                }
                None => self.state.blocked = Some(Blocked::NoRoom),
            }
        }
    }

    /// Takes drains back that the others can no longer take, the fullest first.
    fn stop_when_full(&mut self, roles: &Roles<'a>) -> Vec<&'a Pod> {
        let known = |pod: &&Pod| pod.phase != Phase::Running || pod.load.is_some();
        if !roles.serving.iter().all(known) {
            return Vec::new();
        }
        let mut over = moving(roles, &[]);
        let mut room = staying(roles, &[]).room(self.settings);
        let mut stays = Vec::new();
        for pod in fullest_first(roles) {
            let sessions = pod.load.map_or(0, |load| load.sessions);
            if over <= room || sessions == 0 {
                break;
            }
            over -= sessions;
            room += self.settings.capacity.saturating_sub(sessions);
            self.tell(&pod.name, News::NoRoom);
            self.undo(pod);
            stays.push(pod);
        }
        stays
    }

    /// More are wanted: those that leave come back, then new ones are made.
    fn grow(&mut self, roles: &Roles<'a>, balance: Balance, stays: &mut Vec<&'a Pod>) {
        let mut short = balance.surplus.unsigned_abs();
        short = short.saturating_sub(stays.len() as u64);
        let mut doomed = balance.doomed;
        for pod in fullest_first(roles) {
            if short == 0 {
                return;
            }
            if stays.iter().any(|it| it.name == pod.name) {
                continue;
            }
            if pod.marks.preferred && doomed > 0 {
                // The ReplicaSet deletes it at any moment.
                doomed -= 1;
                continue;
            }
            self.tell(&pod.name, News::Stopped);
            self.undo(pod);
            stays.push(pod);
            short -= 1;
        }
        if short > 0 {
            self.state.removing.clear();
            let more = u32::try_from(short).unwrap_or(u32::MAX);
            self.resize(self.seen.replicas.saturating_add(more));
        }
    }

    /// Fewer are wanted: those that never served go at once, then others are chosen and begin to leave.
    fn shrink(&mut self, roles: &Roles<'_>, balance: Balance) {
        if self.seen.rolling {
            self.state.blocked = Some(Blocked::Rolling);
            return;
        }
        if balance.doomed > 0 {
            return;
        }
        let surplus = u32::try_from(balance.surplus).unwrap_or(u32::MAX);
        let unborn = self.unborn(roles).min(surplus);
        if unborn > 0 {
            // A ReplicaSet deletes those first, whatever the others' cost.
            self.resize(self.seen.replicas - unborn);
            return;
        }
        match choose(roles, surplus as usize, self.settings) {
            Ok(pods) => self.begin(roles, &pods, &pods, Cause::ScaleIn),
            Err(blocked) => self.state.blocked = Some(blocked),
        }
    }

    /// Pods that are not made yet, or do not run.
    fn unborn(&self, roles: &Roles<'_>) -> u32 {
        let pending = roles
            .serving
            .iter()
            .filter(|pod| pod.phase == Phase::Pending);
        let live = self
            .seen
            .pods
            .iter()
            .filter(|pod| pod.phase != Phase::Ending);
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let unmade = self.seen.replicas.saturating_sub(count(live.count()));
        unmade.saturating_add(count(pending.count()))
    }

    fn begin(&mut self, roles: &Roles<'_>, leaving: &[&Pod], pods: &[&Pod], cause: Cause) {
        let rest = staying(roles, leaving);
        let pace = Pace::of(
            moving(roles, leaving),
            &rest,
            self.settings,
            self.seen.growth,
        );
        for pod in pods {
            let mark = Leaving {
                cause,
                since: self.now,
                window: pace.window.as_secs(),
                sessions: pod.load.map_or(0, |load| load.sessions),
            };
            self.state.marked.insert(pod.name.clone(), mark);
            if pod.marks.preferred {
                self.actions.push(Action::Unprefer(pod.name.clone()));
            }
            self.tell(&pod.name, News::Started);
            self.drain(pod, mark);
        }
    }

    /// Asks for the drain, over what is left of its window; before that the mark is written, until it is seen.
    fn drain(&mut self, pod: &Pod, mark: Leaving) {
        if pod.marks.leaving != Some(mark) {
            self.actions.push(Action::Mark(pod.name.clone(), mark));
        }
        let left = Duration::from_secs(mark.eta().saturating_sub(self.now));
        self.actions.push(Action::Drain(pod.name.clone(), left));
    }

    /// Brings those that leave one step further.
    fn proceed(&mut self, roles: &Roles<'_>, balance: Balance, stays: &[&Pod]) {
        let mut gone = Vec::new();
        for (pod, mark) in &roles.leaving {
            let stays = stays.iter().any(|it| it.name == pod.name);
            let begins = self.begins(pod);
            if !stays && !begins && self.advance(pod, *mark) {
                gone.push(*pod);
            }
        }
        let may_lower = balance.doomed == 0 && !self.seen.rolling && balance.surplus >= 0;
        let resized = self
            .actions
            .iter()
            .any(|it| matches!(it, Action::Resize(_)));
        if may_lower && !resized && !gone.is_empty() {
            let count = u32::try_from(gone.len()).unwrap_or(u32::MAX);
            let size = self
                .seen
                .replicas
                .saturating_sub(count)
                .max(self.seen.wanted);
            for pod in gone {
                self.state.removing.insert(pod.name.clone(), size);
            }
            self.resize(size);
        }
    }

    fn begins(&self, pod: &Pod) -> bool {
        let is_its_mark = |it: &Action| matches!(it, Action::Mark(name, _) if *name == pod.name);
        self.actions.iter().any(is_its_mark)
    }

    /// True when nothing is left to do for the pod but to lower the size.
    fn advance(&mut self, pod: &Pod, mark: Leaving) -> bool {
        let deadline = mark.eta().saturating_add(self.settings.margin.as_secs());
        let overdue = self.now >= deadline;
        let drains = pod.load.is_none_or(|load| load.draining);
        if !is_empty(pod) && !overdue {
            if !drains {
                self.drain(pod, mark);
            }
            return false;
        }
        let emptied = is_empty(pod);
        self.tell(
            &pod.name,
            if emptied {
                News::Emptied
            } else {
                News::DeadlinePassed
            },
        );
        if !pod.marks.preferred {
            self.actions.push(Action::Prefer(pod.name.clone()));
            return false;
        }
        // Among pods that are ready and others, a ReplicaSet takes the others first.
        overdue || !pod.ready
    }

    /// Takes back what was done to a pod; true when nothing is left to take back.
    fn undo(&mut self, pod: &Pod) {
        if pod.marks.preferred {
            self.actions.push(Action::Unprefer(pod.name.clone()));
        }
        if pod.load.is_none_or(|load| load.draining) {
            self.actions.push(Action::Undrain(pod.name.clone()));
        } else if !pod.marks.preferred {
            self.actions.push(Action::Unmark(pod.name.clone()));
            self.state.marked.remove(&pod.name);
            self.state.told.remove(&pod.name);
        }
    }

    fn tell_if_empty(&mut self, pod: &Pod) {
        if is_empty(pod) {
            self.tell(&pod.name, News::Emptied);
        }
    }

    fn resize(&mut self, replicas: u32) {
        if replicas != self.seen.replicas {
            self.actions.push(Action::Resize(replicas));
        }
    }

    fn tell(&mut self, pod: &str, news: News) {
        let told = self.state.told.entry(pod.to_owned()).or_default();
        if told.insert(news) {
            self.actions.push(Action::Tell(pod.to_owned(), news));
        }
    }
}

fn is_empty(pod: &Pod) -> bool {
    pod.load
        .is_some_and(|load| load.draining && load.sessions == 0)
}

/// Those that leave, with the most sessions first: bringing those back moves the fewest clients.
fn fullest_first<'a>(roles: &Roles<'a>) -> Vec<&'a Pod> {
    let mut pods: Vec<_> = roles.leaving.iter().map(|it| it.0).collect();
    pods.sort_by_key(|pod| {
        (
            Reverse(pod.load.map_or(0, |load| load.sessions)),
            pod.name.clone(),
        )
    });
    pods
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
