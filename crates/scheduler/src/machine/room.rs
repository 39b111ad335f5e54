//! Which workers have room for a class, found without looking at all of them.
//!
//! Workers that no class can tell apart, except by name or memory, are of one kind. Each kind keeps its workers with room
//! sorted by load; a class knows which kinds could run it. So choosing costs a look at the front of a few lists, whether
//! there are ten workers or ten thousand.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::graph::{Runtime, TaskClass};
use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::protocol::Join;

use super::Machine;
use super::number::{ClassNo, KindNo};
use super::task::Phase;
use super::worker::Worker;

/// Workers of a kind that are looked at, in order of load, for one that would run a task at once.
const LOOK: usize = 16;

/// What a class can tell of a worker, but for its name and memory: cpus, other resources, labels, functions,
/// runtimes.
type Traits = (u64, Vec<(String, u64)>, Vec<(String, String)>, Vec<String>, Vec<String>);

/// All kinds of workers there ever were.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    numbers: BTreeMap<Traits, KindNo>,
    slots: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    /// Some worker of this kind, to ask which classes it could run.
    example: Join,
    /// Its open workers with room. A load may be too low: it is put right when its turn comes.
    roomy: BTreeSet<(u64, WorkerId)>,
}

impl Kinds {
    /// The kind of a worker.
    pub(super) fn of(&mut self, join: &Join) -> KindNo {
        let others =
            join.resources.others().map(|(name, units)| (name.to_owned(), units)).collect();
        let (labels, functions) = (join.labels.clone(), join.functions.clone());
        let runtimes = join.runtimes.clone();
        let traits = (join.resources.cpu_units, others, labels, functions, runtimes);
        *self.numbers.entry(traits).or_insert_with(|| {
            self.slots.push(Kind { example: join.clone(), roomy: BTreeSet::new() });
            KindNo(u32::try_from(self.slots.len() - 1).expect("limits::WORKERS is below 2^32"))
        })
    }

    fn get(&self, no: KindNo) -> &Kind {
        self.slots.get(no.0 as usize).expect("kinds stay")
    }

    fn get_mut(&mut self, no: KindNo) -> &mut Kind {
        self.slots.get_mut(no.0 as usize).expect("kinds stay")
    }

    /// The functions of all kinds, each once.
    pub(super) fn functions(&self) -> BTreeSet<&str> {
        self.slots.iter().flat_map(|kind| &kind.example.functions).map(String::as_str).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The kinds whose workers could run a class, as far as memory allows.
    pub(super) fn able(&self, class: &TaskClass) -> Vec<KindNo> {
        let is_able = |join: &Join| {
            let mut need = class.resources.clone();
            need.memory_bytes = 0;
            join.resources.fits(&need)
                && class.labels.iter().all(|label| join.labels.contains(label))
                && class.function.as_ref().is_none_or(|name| join.functions.contains(name))
                && lacks_runtime(join, class).is_none()
        };
        (0..)
            .zip(&self.slots)
            .filter(|(_, kind)| is_able(&kind.example))
            .map(|(no, _)| KindNo(no))
            .collect()
    }

    /// Workers with a cpu free going by the load they are listed under, least loaded first within each kind.
    pub(super) fn idle(&self) -> impl Iterator<Item = WorkerId> {
        self.slots
            .iter()
            .flat_map(|kind| kind.roomy.iter().take_while(|(load, _)| *load < 1_000))
            .map(|(_, worker)| *worker)
    }

    /// Whether no worker has room.
    pub(super) fn are_full(&self) -> bool {
        self.slots.iter().all(|kind| kind.roomy.is_empty())
    }
}

impl Machine {
    /// Lists a worker under its load if it is open and has room, and takes it off the list otherwise.
    pub(super) fn touch(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let load = (worker.is_open() && worker.has_room()).then(|| worker.load());
        if worker.listed != load {
            let kind = self.kinds.get_mut(worker.kind);
            if let Some(old) = std::mem::replace(&mut worker.listed, load) {
                kind.roomy.remove(&(old, id));
            }
            if let Some(load) = load {
                kind.roomy.insert((load, id));
            }
        }
    }

    /// The worker for a task of a class that has no preference, and whether it would run there at once or wait.
    pub(super) fn least_loaded(&mut self, class: ClassNo) -> Option<(WorkerId, Phase)> {
        self.classes.refresh_kinds(class, &self.kinds);
        let spec = std::sync::Arc::clone(&self.classes.get(class).spec);
        if !spec.workers.is_empty() {
            let named = self.named_worker(&spec);
            if named.is_some() || !spec.allow_other_workers {
                return named;
            }
        }
        if spec.resources.cpu_units == 0 {
            return self.anywhere(&spec);
        }
        let mut waits: Option<(u64, WorkerId)> = None;
        let mut runs: Option<(u64, WorkerId)> = None;
        for at in 0..self.classes.get(class).kinds.len() {
            let Some(kind) = self.classes.get(class).kinds.get(at).copied() else { break };
            self.freshen(kind);
            for (looked, &(load, id)) in self.kinds.get(kind).roomy.iter().enumerate() {
                if looked >= LOOK && (runs.is_some() || waits.is_some()) {
                    break;
                }
                let Some(worker) = self.workers.get(id) else { continue };
                if worker.join.resources.memory_bytes < spec.resources.memory_bytes {
                    continue;
                }
                if worker.runs_now(&spec) {
                    runs = runs.into_iter().chain([(load, id)]).min();
                    break;
                }
                if worker.has_prefill() {
                    waits = waits.into_iter().chain([(load, id)]).min();
                    if load >= 1_000 {
                        break; // Nobody after this one has a cpu free either.
                    }
                }
            }
        }
        let runs = runs.map(|(_, id)| (id, Phase::Reserved));
        runs.or(waits.map(|(_, id)| (id, Phase::Prefilled)))
    }

    /// Puts the loads at the front of a kind's list right, until the first is.
    fn freshen(&mut self, kind: KindNo) {
        while let Some(&(load, id)) = self.kinds.get(kind).roomy.first() {
            self.touch(id);
            if self.kinds.get(kind).roomy.first() == Some(&(load, id)) {
                return;
            }
        }
    }

    /// The least loaded of the workers that a class names.
    fn named_worker(&self, spec: &TaskClass) -> Option<(WorkerId, Phase)> {
        let named =
            spec.workers.iter().filter_map(|name| self.workers.get(*self.worker_names.get(name)?));
        let able = named.filter(|worker| worker.is_open() && could_run(worker, spec));
        let free = able.filter(|worker| worker.runs_now(spec) || worker.has_prefill());
        let least = free.min_by_key(|worker| (!worker.runs_now(spec), worker.load(), worker.id))?;
        Some((least.id, if least.runs_now(spec) { Phase::Reserved } else { Phase::Prefilled }))
    }

    /// The worker with fewest tasks, for a class that takes no cpus: full workers have room for it too.
    fn anywhere(&self, spec: &TaskClass) -> Option<(WorkerId, Phase)> {
        let open =
            self.workers.values().filter(|worker| worker.is_open() && could_run(worker, spec));
        let free = open.filter(|worker| worker.free.fits(&spec.resources));
        let least = free.min_by_key(|worker| (worker.sent.len(), worker.id))?;
        (least.sent.len() < limits::WORKER_SENT).then_some((least.id, Phase::Reserved))
    }
}

/// The language runtime of a class, where a worker does not have it.
pub(super) fn lacks_runtime<'a>(join: &Join, class: &'a TaskClass) -> Option<&'a str> {
    let runtime = &class.runtime;
    let is_asked_for = matches!(runtime, Runtime::External { .. } | Runtime::Wasm);
    let has = |name| join.runtimes.iter().any(|has| has == name);
    (is_asked_for && !has(runtime.name())).then(|| runtime.name())
}

/// Whether tasks of a class could ever run on a worker.
pub(super) fn could_run(worker: &Worker, class: &TaskClass) -> bool {
    let is_plain = class.workers.is_empty()
        && class.labels.is_empty()
        && class.function.is_none()
        && !matches!(class.runtime, Runtime::External { .. } | Runtime::Wasm);
    if is_plain {
        worker.join.resources.fits(&class.resources)
    } else {
        worker.refuses(class).is_none()
    }
}
