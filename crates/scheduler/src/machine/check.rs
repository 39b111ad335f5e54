//! Recounts every invariant from the records alone. Tests and the simulation call it after each step.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::id::WorkerId;

use super::Machine;
use super::graph::Graph;
use super::number::{GraphNo, NONE, TaskRef};
use super::task::{Edge, Phase, flag};
use super::worker::Worker;

impl Machine {
    /// The first invariant that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        let mut ready = BTreeMap::new();
        let mut unfinished = 0;
        for (no, graph) in (0..).zip(&self.graphs) {
            if let Some(graph) = graph {
                let no = GraphNo(no);
                Self::check_counts(graph)?;
                for index in 0..graph.len() {
                    let task = TaskRef { graph: no, index };
                    self.check_task(graph, task)
                        .map_err(|what| format!("task {}: {what}", graph.id_of(index)))?;
                    let record = graph.task(index);
                    unfinished += u64::from(!record.phase.is_final());
                    if record.phase == Phase::Ready {
                        *ready.entry(record.class).or_insert(0) += 1;
                    }
                }
            }
        }
        ensure(unfinished == self.unfinished, || {
            format!("{unfinished} tasks are unfinished, {} are counted", self.unfinished)
        })?;
        for (no, class) in self.classes.iter() {
            let found = ready.get(&no).copied().unwrap_or(0);
            ensure(found == class.ready, || {
                format!("class {} has {found} ready tasks, {} are counted", no.0, class.ready)
            })?;
            ensure((found > 0) == self.active.contains(&no), || {
                format!("class {} is active with {found} ready", no.0)
            })?;
        }
        for worker in self.workers.keys() {
            self.check_worker(worker).map_err(|what| format!("worker {}: {what}", worker.0))?;
        }
        self.check_nested()?;
        self.check_actors()?;
        self.check_objects()?;
        self.check_work_conserving()
    }

    fn check_counts(graph: &Graph) -> Result<(), String> {
        let mut counts = GraphCounts::default();
        for task in graph.tasks.iter() {
            *counts.of_mut(task.state()) += 1;
        }
        ensure(counts == graph.counts, || {
            format!("graph {} counts {:?}, has {counts:?}", graph.id, graph.counts)
        })
    }

    fn check_task(&self, graph: &Graph, task: TaskRef) -> Result<(), String> {
        let record = graph.task(task.index);
        let unready =
            |edges: &[Edge]| edges.iter().filter(|edge| !self.is_ready(task, edge)).count();
        let missing = u32::try_from(unready(graph.inputs(record))).unwrap_or(NONE);
        match record.phase {
            Phase::Waiting | Phase::Ahead => {
                ensure(record.missing == missing, || {
                    format!("misses {missing} inputs, {} are counted", record.missing)
                })?;
                ensure(missing > 0, || format!("is {:?} and misses nothing", record.phase))?;
            }
            Phase::Ready | Phase::Suspect => {
                ensure(missing == 0, || format!("is ready and misses {missing} inputs"))?;
            }
            Phase::Failed => ensure(graph.failures.contains_key(&task.index), || {
                "failed without a cause".to_owned()
            })?,
            _ => {}
        }
        if record.phase == Phase::Finished && graph.needs(record) {
            for output in 0..record.outputs {
                let object = graph.object(task.index, output).and_then(|no| self.objects.get(no));
                let stored = object.is_some_and(super::object::Object::is_stored);
                ensure(stored, || format!("finished, is needed, and output {output} is nowhere"))?;
            }
        }
        if record.phase.is_sent() {
            let worker = self
                .workers
                .get(WorkerId(record.worker))
                .ok_or("is sent to a worker that is gone")?;
            ensure(worker.sent.get(record.place as usize) == Some(&task), || {
                "is not where its worker has it".to_owned()
            })?;
        } else {
            let bits = record.flags & (flag::TOLD | flag::STARTED | flag::RETRACTING);
            ensure(bits == 0, || format!("is {:?} with flags {bits:#b}", record.phase))?;
        }
        let consumers = self
            .dependents_of(task)
            .iter()
            .filter(|task| !self.task(**task).phase.is_final())
            .count()
            + self.takers_of(task).len()
            + self.actor_takers(task);
        ensure(consumers == record.consumers as usize, || {
            format!("has {consumers} consumers, {} are counted", record.consumers)
        })
    }

    fn check_worker(&self, id: WorkerId) -> Result<(), String> {
        let worker = self.workers.get(id).ok_or("is gone")?;
        let (mut free, mut prefilled, mut ahead, mut retracting) =
            (self.check_actors_on(worker)?, 0, 0, 0);
        for task in &worker.sent {
            let record = self.find_task(*task).ok_or("has a task of a graph that is gone")?;
            ensure(record.worker == id.0 && record.phase.is_sent(), || {
                format!("has a task that is {:?}", record.phase)
            })?;
            match record.phase {
                Phase::Reserved => {
                    let mut need = self.classes.get(record.class).spec.resources.clone();
                    need.cpu_units = worker.cpus_of(*task, need.cpu_units);
                    ensure(free.fits(&need), || {
                        format!("holds more than it has: {need} of {free} left")
                    })?;
                    free.take(&need);
                }
                Phase::Prefilled => {
                    prefilled += 1;
                    retracting += u32::from(record.has(flag::RETRACTING));
                }
                _ => ahead += 1,
            }
        }
        ensure(free == worker.free, || format!("has {free} free, {} are counted", worker.free))?;
        let counted = (worker.prefilled, worker.ahead, worker.retracting);
        ensure(counted == (prefilled, ahead, retracting), || {
            format!(
                "has {prefilled} prefilled, {ahead} ahead, {retracting} asked back; counted {counted:?}"
            )
        })?;
        self.check_seceded(worker)?;
        if let Some(suspect) = worker.alone {
            ensure(self.suspects.get(&suspect) == Some(&Some(id)), || {
                "is set apart for a task that does not know".to_owned()
            })?;
        }
        let is_suspect = |task: &&TaskRef| self.task(**task).has(flag::SUSPECT);
        let suspect = worker.sent.iter().find(is_suspect).copied();
        ensure(suspect.is_none() || (worker.alone == suspect && worker.sent.len() == 1), || {
            format!("has a suspect among {} tasks", worker.sent.len())
        })?;
        ensure(self.crowded.contains(&id) == (prefilled > 0), || {
            "is wrongly listed as crowded".to_owned()
        })
    }

    fn check_seceded(&self, worker: &Worker) -> Result<(), String> {
        ensure(worker.seceded.iter().all(|task| worker.sent.contains(task)), || {
            "has a task that gave cpus back and was not sent there".to_owned()
        })?;
        let rejoining: BTreeSet<_> = worker.rejoining.iter().collect();
        let are_known = rejoining.iter().all(|task| worker.seceded.contains(task));
        ensure(are_known && rejoining.len() == worker.rejoining.len(), || {
            format!("{:?} want cpus again, {:?} gave them back", worker.rejoining, worker.seceded)
        })?;
        let first = worker.rejoining.front().map(|task| self.task(*task));
        let has_room = first.is_some_and(|record| {
            let need = self.classes.get(record.class).spec.resources.cpu_units;
            record.phase != Phase::Reserved || need <= worker.free.cpu_units
        });
        ensure(!has_room, || "keeps cpus from a task that wants them again".to_owned())
    }

    /// Sessions of attempts are found by the attempt's task, which is at a worker, and lie in its session.
    fn check_nested(&self) -> Result<(), String> {
        ensure(self.orphans.is_empty(), || "sessions outlive their attempt".to_owned())?;
        for (task, sessions) in &self.nested {
            let record = self.find_task(*task).filter(|record| record.phase.is_sent());
            ensure(record.is_some() && !sessions.is_empty(), || {
                format!("sessions {sessions:?} belong to no attempt")
            })?;
            let outer = self.sessions.get(&self.graph(task.graph).session);
            for id in sessions {
                let session = self.sessions.get(id);
                ensure(session.is_some_and(|session| session.parent == Some(*task)), || {
                    format!("session {} does not know its attempt", id.0)
                })?;
                let depths = session.zip(outer).map(|(inner, outer)| (inner.depth, outer.depth));
                ensure(depths.is_some_and(|(inner, outer)| inner == outer + 1), || {
                    format!("session {} is not one deeper than its attempt's: {depths:?}", id.0)
                })?;
            }
        }
        let children = self.sessions.values().filter(|session| session.parent.is_some()).count();
        let listed: usize = self.nested.values().map(Vec::len).sum();
        ensure(children == listed, || format!("{children} nested sessions, {listed} listed"))
    }

    fn check_objects(&self) -> Result<(), String> {
        let bytes: u64 = self.objects.iter().filter_map(|(_, object)| object.small_bytes()).sum();
        let counted = self.cache.bytes();
        ensure(bytes == counted, || {
            format!("small values take {bytes} bytes, {counted} are counted")
        })?;
        let mut replicas = 0;
        for (no, object) in self.objects.iter() {
            replicas += object.holders().len();
            for holder in object.holders() {
                let worker = self.workers.get(*holder);
                ensure(worker.is_some_and(|worker| worker.held.contains_key(&no)), || {
                    format!("object {} is held by {holder}, which does not know", object.id())
                })?;
            }
            if let Some(task) = object.id().task() {
                ensure(self.graph_numbers.contains_key(&task.graph), || {
                    format!("object {} outlives its graph", object.id())
                })?;
            }
            ensure(self.find_object(object.id()) == Some(no), || {
                format!("nobody knows where object {} is kept", object.id())
            })?;
        }
        let listed: usize = self.workers.values().map(|worker| worker.held.len()).sum();
        ensure(replicas == listed, || format!("{replicas} replicas, workers list {listed}"))
    }

    /// No ready task waits while a worker would run it at once.
    fn check_work_conserving(&self) -> Result<(), String> {
        for class in &self.active {
            let spec = &self.classes.get(*class).spec;
            let idle = self.workers.values().find(|worker| {
                worker.is_open() && worker.runs_now(spec) && worker.refuses(spec).is_none()
            });
            if let Some(worker) = idle {
                return Err(format!(
                    "worker {} is idle while {} tasks of class {} are ready",
                    worker.id,
                    self.classes.get(*class).ready,
                    class.0
                ));
            }
        }
        Ok(())
    }

    /// Whether every task has ended and nothing is left to be told: what a run must come to.
    pub fn is_quiet(&self) -> bool {
        self.unfinished == 0
            && self.workers.values().all(|worker| worker.outbox.is_empty())
            && self.sessions.values().all(|session| session.outbox.is_empty())
    }

    /// How many objects, graphs and classes there are: nothing, once every session has left.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.objects.len(), self.graph_numbers.len(), self.classes.iter().count())
    }

    /// How many tasks are in a state, over all graphs.
    pub fn count(&self, state: TaskState) -> u64 {
        self.graphs.iter().flatten().map(|graph| u64::from(graph.counts.of(state))).sum()
    }
}

pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
