//! How actors leave their processes, and processes end.
//!
//! A process of one actor ends with it. Of those who share one, nobody pays for another: an actor that has to end is taken out,
//! and its code, where that does not return, lingers in the process until it does, with all that it was given. Such a process
//! takes nobody new, and ends when nobody else lives in it.

use bireme_core::actor::host::{Event, Reached, RunNo};
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::{ErrorClass, Reason, TaskError, Time, limits};
use bireme_proto::pb::executor_order::{ActorDrop, Order, ShutdownExecutor};
use rustix::process::Signal;

use super::{Crew, Lingering, Process, Table, Turn, Use};
use crate::executor::process::ends::{Death, how};
use crate::failure::failure;

impl Process {
    /// Whether nobody lives in it but `actor`.
    fn is_only_of(&self, actor: ActorId) -> bool {
        self.is_of_one() || self.actors.iter().all(|other| *other == actor)
    }
}

impl Turn<'_> {
    /// An incarnation is over: takes it out of its process, which ends if nobody else is to live in it.
    pub(in crate::actors) fn leave_process(&mut self, actor: ActorId, number: u64, by_force: bool) {
        let Some(process) = self.table.crew.processes.get_mut(&number) else {
            return self.buried(actor);
        };
        let is_ready = process.orders.is_some();
        if !is_ready && !process.is_only_of(actor) {
            process.actors.remove(&actor);
            return self.buried(actor);
        }
        if !is_ready || (by_force && process.is_of_one()) {
            return self.table.crew.signal(number, Signal::KILL);
        }
        process.doomed |= process.is_of_one();
        self.say_drop(actor, number, by_force);
        if let Some(entry) = self.table.entries.get_mut(&actor) {
            entry.leaves_by = Some(self.now + limits::ACTOR_DROP);
        }
    }

    /// Whether code of an actor that has ended still runs in a process.
    pub(in crate::actors) fn lingers_in(&self, number: u64, actor: ActorId) -> bool {
        let process = self.table.crew.processes.get(&number);
        process.is_some_and(|process| process.lingering.contains_key(&actor))
    }

    fn say_drop(&self, actor: ActorId, number: u64, by_force: bool) {
        let Some(entry) = self.table.entries.get(&actor) else { return };
        let order = ActorDrop {
            actor: Some(actor.into()),
            incarnation: entry.hosting.incarnation.0,
            // 0 asks calls that run to return.
            grace_us: if by_force { 0 } else { limits::ACTOR_DROP.0 },
            reason: String::new(),
        };
        self.say_to(number, Order::ActorDrop(order));
    }

    /// A process does not let go of an actor: ends it, unless others live in it. Then only the actor ends, for that reason where
    /// it has not ended yet.
    pub(in crate::actors) fn evict(&mut self, actor: ActorId, number: u64, error: Box<TaskError>) {
        let Table { crew, entries, .. } = &mut *self.table;
        let Some(process) = crew.processes.get_mut(&number) else { return };
        if process.is_only_of(actor) {
            return crew.signal(number, Signal::KILL);
        }
        let Some(entry) = entries.get_mut(&actor) else { return };
        tracing::warn!(
            ?actor,
            executor = number,
            "code of an actor does not return and lingers in the process that it shares"
        );
        let incarnation = entry.hosting.incarnation;
        process.actors.remove(&actor);
        process.lingering.insert(actor, Lingering { incarnation, _means: entry.take_means() });
        let is_over = entry.over.is_some();
        if !is_over {
            self.say_drop(actor, number, true);
        }
        self.lose_process(actor, None, error);
    }

    /// No process has an actor any more.
    fn lose_process(&mut self, actor: ActorId, reached: Option<Reached>, error: Box<TaskError>) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        entry.process = None;
        entry.runs.clear();
        entry.stops.clear();
        let is_over = entry.over.is_some();
        if is_over || !self.table.closed {
            for run in self.take_back_held(actor) {
                self.feed(actor, Event::NotBegun(run));
            }
            self.feed(actor, Event::ProcessLost { reached, error });
        }
        if is_over {
            self.buried(actor);
        }
    }

    /// A process says that nothing is left of an incarnation in it.
    pub(in crate::actors) fn dropped(
        &mut self,
        number: u64,
        actor: ActorId,
        incarnation: Incarnation,
    ) {
        let Some(process) = self.table.crew.processes.get_mut(&number) else { return };
        if process.lingering.get(&actor).is_some_and(|it| it.incarnation == incarnation) {
            process.lingering.remove(&actor);
            return;
        }
        if !self.is_it(number, actor, incarnation.0) {
            return;
        }
        self.out_of(number, actor);
        match self.table.entries.get(&actor).map(|entry| entry.over.is_some()) {
            Some(true) => self.buried(actor),
            // Nobody asked for it: the actor has ended itself. One that waits for its log is over when that is written.
            Some(false) => self.feed(actor, Event::Exited),
            None => {}
        }
    }

    /// Nothing of an actor is left in the process that had it. One that is nobody's any more ends.
    pub(in crate::actors) fn out_of(&mut self, number: u64, actor: ActorId) {
        if let Some(entry) = self.table.entries.get_mut(&actor) {
            entry.process = None;
        }
        let Some(process) = self.table.crew.processes.get_mut(&number) else { return };
        process.actors.remove(&actor);
        if process.is_of_one() {
            process.doomed = true;
            self.say_to(number, Order::Shutdown(ShutdownExecutor::default()));
        } else if process.actors.is_empty() && !process.lingering.is_empty() {
            self.table.crew.signal(number, Signal::KILL);
        }
    }

    /// A process is gone and all that it said has been heard: its actors are lost.
    pub(super) fn process_lost(&mut self, number: u64, death: Death) {
        let Some(process) = self.table.crew.processes.remove(&number) else { return };
        self.shared.place.dismiss(number);
        let unborn = process.orders.is_none();
        let mut error = process.bloat.map_or_else(
            || lost(&death, &process),
            |bloat| bloat.error("the process of the actor"),
        );
        error.exit = death.exit.as_ref().ok().copied();
        error.last_lines.clone_from(&death.last_lines);
        // One that was ended because nobody wants it any more says nothing about those to come.
        if unborn && !process.doomed && !self.table.closed {
            tracing::warn!(executor = number, %error, "process of an actor could not be started");
            self.table.crew.set_back(&process.runtime, error.clone(), self.now);
        }
        // Of several actors in one process nobody can tell which one it died of.
        let reached = death.reached.filter(|_| process.use_ == Use::Own);
        let reached =
            reached.map(|reached| Reached { started: RunNo(reached.started), runs: reached.runs });
        for actor in process.actors {
            if self.is_in(number, actor) {
                self.lose_process(actor, reached, error.clone());
            }
        }
        self.release_program(&process.runtime);
        self.shared.left.notify_one();
    }
}

impl Crew {
    /// Another process of a runtime could not be started.
    fn set_back(&mut self, runtime: &str, error: Box<TaskError>, now: Time) {
        if self.setbacks.len() >= limits::RUNTIMES + limits::VARIANTS {
            // What is not recent holds nobody up; how long the pause was that is over is no loss.
            self.setbacks.retain(|_, setbacks| setbacks.recent(now).is_some());
        }
        if self.setbacks.len() >= limits::RUNTIMES + limits::VARIANTS {
            self.setbacks.pop_first();
        }
        self.setbacks.entry(runtime.to_owned()).or_default().add(error, now);
    }
}

fn lost(death: &Death, process: &Process) -> Box<TaskError> {
    let how = death.exit.as_ref().map_or_else(String::clone, |exit| how(*exit));
    let what = if process.use_ == Use::Inside { "" } else { "the process of the actor " };
    let when = if process.orders.is_none() { " before it was ready" } else { "" };
    let message = format!("{what}{how}{when}");
    failure(ErrorClass::ProcessDied, Reason::ProcessDied, message)
}
