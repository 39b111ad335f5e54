//! Why an actor has no worker.

use bireme_core::actor::{ActorSpec, CLASS_PREFIX};
use bireme_core::graph::Runtime;
use bireme_core::id::ActorId;

use super::Machine;
use super::record::{Actor, Phase};
use crate::machine::worker::{Worker, show};

/// Reasons that are listed.
const REASONS: usize = 5;

impl Worker {
    /// Why an actor could never live here; `None` if it could.
    pub(in super::super) fn refuses_actor(&self, spec: &ActorSpec) -> Option<String> {
        if let Some((name, have, need)) = self.join.resources.lacks(&spec.resources) {
            let (have, need) = (show(name, have), show(name, need));
            return Some(format!("has {have} of {name} in all, the actor takes {need}"));
        }
        if !self.is_named_by(spec) && !spec.allow_other_workers {
            let named = spec.workers.join(", ");
            return Some(format!("is not among the workers named: {named}"));
        }
        if let Some((key, value)) =
            spec.labels.iter().find(|label| !self.join.labels.contains(label))
        {
            return Some(format!("lacks the label {key}={value}"));
        }
        match &spec.runtime {
            Runtime::External { name, .. } if !self.join.runtimes.contains(name) => {
                Some(format!("lacks the runtime {name}: start it with --runtime {name}=COMMAND"))
            }
            Runtime::Native if !self.has_class(&spec.class_name) => {
                Some(format!("lacks the actor class {}", spec.class_name))
            }
            _ => None,
        }
    }

    /// Whether it can make native actors of a class.
    fn has_class(&self, class: &str) -> bool {
        let own = |name: &String| name.strip_prefix(CLASS_PREFIX) == Some(class);
        self.join.functions.iter().any(own)
    }

    /// Why an actor that could live here does not begin now; `None` if it could.
    fn defers_actor(&self, spec: &ActorSpec) -> Option<String> {
        if self.draining {
            return Some("is draining".to_owned());
        }
        if self.heartbeat.paused {
            return Some("begins nothing while its memory is short".to_owned());
        }
        if !self.is_open() {
            return Some("takes nothing at this moment".to_owned());
        }
        let (name, free, need) = self.free.lacks(&spec.resources)?;
        let (free, need) = (show(name, free), show(name, need));
        Some(format!("has {free} of {name} free, the actor takes {need}"))
    }

    /// Why an actor does not begin here, now or ever.
    fn keeps_actor_waiting(&self, spec: &ActorSpec) -> Option<String> {
        self.refuses_actor(spec).or_else(|| self.defers_actor(spec))
    }
}

impl Machine {
    /// Why no worker that is here can ever host an actor, one line for each reason; nothing if some can.
    pub fn unplaceable(&self, id: ActorId) -> Vec<String> {
        let Some(actor) = self.actors.get(id) else { return Vec::new() };
        let spec = &actor.spec;
        let why = self.why_none(|worker| worker.refuses_actor(spec));
        match &spec.runtime {
            Runtime::Native if !why.is_empty() && !self.workers.is_empty() => {
                self.nobody_has_class(&spec.class_name).map_or(why, |nobody| vec![nobody])
            }
            _ => why,
        }
    }

    /// Why an actor that wants a worker has none, one line for each reason.
    pub fn actor_waits_for(&self, id: ActorId) -> Vec<String> {
        let Some(actor) = self.actors.get(id) else { return Vec::new() };
        match actor.phase {
            Phase::Waiting(None) => {}
            // No other will do, whatever is wrong with them.
            Phase::Waiting(Some(_)) => return self.home_waits_for(actor).into_iter().collect(),
            Phase::Pausing(_) | Phase::Starting { .. } | Phase::Alive(_) | Phase::Dead(_) => {
                return Vec::new();
            }
        }
        let unplaceable = self.unplaceable(id);
        if !unplaceable.is_empty() {
            return unplaceable;
        }
        let spec = &actor.spec;
        let full = self.why_none(|worker| worker.keeps_actor_waiting(spec));
        if !full.is_empty() {
            return full;
        }
        match spec.inputs.len() {
            inputs if inputs > 0 && !actor.has_state && actor.bound_for.is_none() => {
                vec![format!("its constructor takes {inputs} values, and not all are made yet")]
            }
            _ => Vec::new(),
        }
    }

    /// Why an actor does not begin at the worker that has its log.
    fn home_waits_for(&self, actor: &Actor) -> Option<String> {
        let home = actor.home.and_then(|home| self.worker_with(home));
        let Some(home) = home.and_then(|home| self.workers.get(home)) else {
            return Some("the worker that has its log is away".to_owned());
        };
        let why = home.keeps_actor_waiting(&actor.spec)?;
        Some(format!("{}, which has its log, {why}", home.join.name))
    }

    /// Why no worker will do: one line for each of the reasons that workers have; nothing if one has none.
    fn why_none(&self, reason: impl Fn(&Worker) -> Option<String>) -> Vec<String> {
        let mut reasons = Vec::<(String, Vec<&str>)>::new();
        for worker in self.workers.values() {
            let Some(why) = reason(worker) else { return Vec::new() };
            if let Some((_, names)) = reasons.iter_mut().find(|(reason, _)| *reason == why) {
                names.push(&worker.join.name);
            } else if reasons.len() < REASONS {
                reasons.push((why, vec![&worker.join.name]));
            }
        }
        if reasons.is_empty() {
            return vec!["there are no workers: start one".to_owned()];
        }
        let line = |(why, names): &(String, Vec<&str>)| match names.as_slice() {
            [name] => format!("{name} {why}"),
            [name, others @ ..] => format!("{name} {why}, like {} more", others.len()),
            [] => String::new(),
        };
        reasons.iter().map(line).collect()
    }
}
