//! A cluster in miniature, for tests: pods with clients on them, a ReplicaSet that chooses as the real one does, loads
//! that are read every ten seconds, and calls that fail by chance.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

pub(super) const CAPACITY: u64 = 1000;

pub(super) fn settings() -> Settings {
    Settings {
        capacity: CAPACITY,
        connect_rate: 100,
        window: Duration::from_secs(30),
        margin: Duration::from_secs(30),
    }
}

pub(super) fn serving(name: &str, sessions: u64) -> Pod {
    Pod {
        name: name.to_owned(),
        phase: Phase::Running,
        ready: true,
        load: Some(Load {
            sessions,
            draining: false,
        }),
        marks: Marks::default(),
        cordoned: false,
        outdated: false,
        created: 1000,
    }
}

pub(super) fn observed(replicas: u32, wanted: u32, pods: &[Pod]) -> Observation {
    Observation {
        replicas,
        wanted,
        rolling: false,
        rolled_out: None,
        growth: 0,
        pods: pods.to_vec(),
    }
}

/// Chance that can be repeated.
#[derive(Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// Which of so many.
    pub(super) fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap()
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

#[derive(Debug)]
pub(super) struct ModelPod {
    pub(super) seen: Pod,
    pub(super) clients: Vec<u32>,
    /// Since when it drains, over how long, and how many it had.
    drain: Option<(u64, u64, usize)>,
    ends: Option<u64>,
    leaving: Option<String>,
    cost: Option<String>,
    pub(super) requested: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) replicas: u32,
    pub(super) wanted: u32,
    pub(super) pods: Vec<ModelPod>,
    pub(super) moves: BTreeMap<u32, u32>,
    /// Clients that were on a pod when it began to end.
    pub(super) cut: usize,
    pub(super) news: Vec<(String, News)>,
    /// One call in so many fails; 0: none.
    pub(super) failing: u64,
    pub(super) chance: Chance,
    /// Loads can't be read of pods whose number is in here.
    pub(super) silent: Vec<String>,
    made: u32,
    begun_with: u32,
    state: Drains,
}

impl Model {
    pub(super) fn new(loads: &[u64], seed: u64) -> Self {
        let mut model = Self {
            now: 100_000,
            replicas: u32::try_from(loads.len()).unwrap(),
            wanted: u32::try_from(loads.len()).unwrap(),
            pods: Vec::new(),
            moves: BTreeMap::new(),
            cut: 0,
            news: Vec::new(),
            failing: 0,
            chance: Chance(seed),
            silent: Vec::new(),
            made: 0,
            begun_with: u32::try_from(loads.len()).unwrap(),
            state: Drains::default(),
        };
        let mut client = 0;
        for &load in loads {
            let pod = model.make(Phase::Running);
            for _ in 0..load {
                pod.clients.push(client);
                client += 1;
            }
        }
        model.read_loads();
        model
    }

    fn make(&mut self, phase: Phase) -> &mut ModelPod {
        self.made += 1;
        let mut seen = serving(&format!("rides-{}", self.made), 0);
        seen.created = self.now;
        seen.phase = phase;
        seen.ready = phase == Phase::Running;
        self.pods.push(ModelPod {
            seen,
            clients: Vec::new(),
            drain: None,
            ends: None,
            leaving: None,
            cost: None,
            requested: false,
        });
        self.pods.last_mut().unwrap()
    }

    pub(super) fn pod(&mut self, name: &str) -> &mut ModelPod {
        let found = self.pods.iter_mut().find(|pod| pod.seen.name == name);
        found.unwrap_or_else(|| panic!("{name} is gone"))
    }

    /// New clients, at pods that take them.
    pub(super) fn join(&mut self, count: u32) {
        let first = 1_000_000 + u32::try_from(self.now).unwrap() * 10;
        for client in first..first + count {
            self.place(client);
        }
    }

    pub(super) fn leave(&mut self, per_pod: usize) {
        for pod in &mut self.pods {
            let left = pod.clients.len().saturating_sub(per_pod);
            pod.clients.truncate(left);
        }
    }

    fn place(&mut self, client: u32) {
        let takes = |pod: &&mut ModelPod| {
            pod.seen.ready
                && pod.drain.is_none()
                && pod.ends.is_none()
                && (pod.clients.len() as u64) < CAPACITY
        };
        let count = self.pods.iter_mut().filter(takes).count();
        assert!(count > 0, "no pod takes a client any more: {self:#?}");
        let which = self.chance.one_of(count);
        let pod = self.pods.iter_mut().filter(takes).nth(which).unwrap();
        pod.clients.push(client);
    }

    pub(super) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second();
        }
    }

    fn second(&mut self) {
        self.now += 1;
        self.move_clients();
        self.replica_set();
        if self.now.is_multiple_of(10) {
            self.read_loads();
        }
        if self.now.is_multiple_of(5) {
            self.operate();
        }
    }

    fn move_clients(&mut self) {
        let mut moved = Vec::new();
        for pod in &mut self.pods {
            if let Some((since, window, had)) = pod.drain {
                let passed = self.now - since;
                let left = if passed >= window {
                    0
                } else {
                    had - had * size(passed) / size(window)
                };
                while pod.clients.len() > left {
                    moved.push(pod.clients.pop().unwrap());
                }
            }
        }
        for client in moved {
            *self.moves.entry(client).or_default() += 1;
            self.place(client);
        }
    }

    /// Readiness follows, pods start and end, and the ReplicaSet makes and deletes them.
    fn replica_set(&mut self) {
        let now = self.now;
        for pod in &mut self.pods {
            if pod.seen.phase == Phase::Pending && now >= pod.seen.created + 20 {
                pod.seen.phase = Phase::Running;
            }
            let since = pod.drain.map_or(now, |drain| drain.0);
            pod.seen.ready =
                pod.seen.phase == Phase::Running && (pod.drain.is_none() || now < since + 3);
        }
        self.pods.retain(|pod| pod.ends.is_none_or(|at| now < at));
        let live = self.pods.iter().filter(|pod| pod.ends.is_none()).count();
        for _ in live..self.replicas as usize {
            self.make(Phase::Pending);
        }
        for _ in self.replicas as usize..live {
            self.delete_one();
        }
    }

    /// Pending ones first, then those that are not ready, then by cost, then the newest: as upstream's
    /// `ActivePodsWithRanks`.
    fn delete_one(&mut self) {
        let rank = |pod: &&mut ModelPod| {
            let cost = pod
                .cost
                .as_ref()
                .map_or(0, |cost| cost.parse::<i64>().unwrap());
            let newest = u64::MAX - pod.seen.created;
            (
                pod.seen.phase != Phase::Pending,
                pod.seen.ready,
                cost,
                newest,
            )
        };
        let live = self.pods.iter_mut().filter(|pod| pod.ends.is_none());
        let victim = live.min_by_key(rank).unwrap();
        victim.ends = Some(self.now + 5);
        victim.seen.phase = Phase::Ending;
        victim.seen.ready = false;
        self.cut += victim.clients.len();
        for client in std::mem::take(&mut victim.clients) {
            self.place(client);
        }
    }

    pub(super) fn read_loads(&mut self) {
        for pod in &mut self.pods {
            pod.read();
        }
        for name in self.silent.clone() {
            if let Some(pod) = self.pods.iter_mut().find(|pod| pod.seen.name == name) {
                pod.seen.load = None;
            }
        }
    }

    pub(super) fn observe(&self) -> Observation {
        let pods = self.pods.iter().map(|pod| {
            let marks = [(LEAVING, &pod.leaving), (DELETION_COST, &pod.cost)];
            let marks = marks
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_deref()?)));
            let requested = pod.requested.then_some((DRAIN_REQUEST, "true"));
            Pod {
                marks: Marks::of(marks.chain(requested), self.now),
                ..pod.seen.clone()
            }
        });
        observed(self.replicas, self.wanted, &pods.collect::<Vec<_>>())
    }

    fn operate(&mut self) {
        let state = std::mem::take(&mut self.state);
        let (state, actions) = step(state, &self.observe(), &settings(), self.now);
        self.state = state;
        let mut failed = Vec::new();
        for action in actions {
            let pod = action.pod().unwrap_or_default().to_owned();
            let fails = self.failing > 0 && self.chance.below(self.failing) == 0;
            if fails || failed.contains(&pod) {
                failed.push(pod);
            } else {
                self.execute(action);
            }
        }
    }

    /// Another operator takes over, which remembers nothing.
    pub(super) fn take_over(&mut self) {
        self.state = Drains::default();
    }

    fn execute(&mut self, action: Action) {
        let (now, replicas) = (self.now, self.replicas);
        match action {
            Action::Mark(name, leaving) => self.pod(&name).leaving = Some(leaving.to_string()),
            Action::Unmark(name) => {
                let pod = self.pod(&name);
                assert!(
                    pod.drain.is_none() && pod.cost.is_none(),
                    "forgotten too early: {pod:?}"
                );
                pod.leaving = None;
            }
            Action::Drain(name, window) => {
                let pod = self.pod(&name);
                assert!(pod.leaving.is_some(), "drained without a mark: {pod:?}");
                let had = pod.clients.len();
                pod.drain.get_or_insert((now, window.as_secs(), had));
                pod.read();
            }
            Action::Undrain(name) => {
                let pod = self.pod(&name);
                pod.drain = None;
                pod.read();
            }
            Action::Prefer(name) => self.pod(&name).cost = Some(LEAVING_COST.to_string()),
            Action::Unprefer(name) => self.pod(&name).cost = None,
            Action::Resize(to) if to < replicas => {
                let chosen = self
                    .pods
                    .iter()
                    .filter(|pod| pod.cost.is_some() && pod.ends.is_none());
                let pending = self
                    .pods
                    .iter()
                    .filter(|pod| pod.seen.phase == Phase::Pending);
                let unmade = (replicas as usize).saturating_sub(self.pods.len());
                assert!(chosen.count() + pending.count() + unmade >= (replicas - to) as usize);
                assert!(to >= self.wanted, "{to} of {}", self.wanted);
                self.replicas = to;
            }
            Action::Resize(to) => self.replicas = to,
            Action::Tell(name, news) => self.news.push((name, news)),
        }
    }

    /// Pods that were made after those of the beginning.
    pub(super) fn made_since_start(&self) -> u32 {
        self.made - self.begun_with
    }

    pub(super) fn live(&self) -> usize {
        self.pods.iter().filter(|pod| pod.ends.is_none()).count()
    }

    pub(super) fn clients(&self) -> usize {
        self.pods.iter().map(|pod| pod.clients.len()).sum()
    }

    pub(super) fn assert_at_rest(&self) {
        for pod in &self.pods {
            let held = pod.requested;
            assert_eq!(pod.leaving.is_some(), held, "{pod:?}");
            assert_eq!(pod.drain.is_some(), held, "{pod:?}");
            assert_eq!(pod.cost, None, "{pod:?}");
        }
        let held = self.pods.iter().filter(|pod| pod.requested).count();
        assert_eq!(self.live(), self.wanted as usize + held);
    }
}

impl ModelPod {
    fn read(&mut self) {
        self.seen.load = (self.seen.phase == Phase::Running).then_some(Load {
            sessions: self.clients.len() as u64,
            draining: self.drain.is_some(),
        });
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
