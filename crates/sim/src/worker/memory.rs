//! How full a worker's memory is, what gives way, and what goes wrong with its store.

use bireme_core::{ObjectId, Span};
use bireme_worker::machine::Event;

use super::Worker;
use crate::coverage::Moment;
use crate::world::{Item, World};

impl Worker {
    /// Tells the machine when memory fills up, and when it does no more. Well before, has values moved to disk.
    pub(super) fn judge_memory(&mut self, world: &mut World) {
        if self.store.is_tight() && !self.relieves && self.store.can_relieve(&self.pinned()) {
            self.relieves = true;
            world.soon(100, 10_000, Item::Relieved(self.me));
        }
        let is_full = self.store.is_full();
        let paused = is_full || self.is_crowded;
        if paused == self.is_paused || self.has_left {
            return;
        }
        if is_full {
            world.coverage.saw(&Moment::MemoryFull);
        }
        self.is_paused = paused;
        self.handle(world, Event::Paused(paused));
    }

    /// Values that nobody uses have moved to disk.
    pub(crate) fn on_relieved(&mut self, world: &mut World) {
        self.relieves = false;
        let spilled = self.store.relieve(&self.pinned());
        if !spilled.is_empty() {
            world.coverage.saw(&Moment::Spilled);
            let now = world.now();
            world.trace.line(now, || format!("{} spills {spilled:?}", self.name()));
        }
        self.judge_memory(world);
    }

    /// Inputs of attempts that run or are about to.
    fn pinned(&self) -> std::collections::BTreeSet<ObjectId> {
        self.executor.inputs().collect()
    }

    /// Something else than values fills the memory for a while.
    pub(crate) fn crowd(&mut self, world: &mut World, span: Span) {
        self.is_crowded = true;
        self.judge_memory(world);
        world.agenda.after(span, Item::Resume(self.me));
    }

    pub(crate) fn resume(&mut self, world: &mut World) {
        self.is_crowded = false;
        self.judge_memory(world);
    }

    /// Neither memory nor disk has room for large values for a while.
    pub(crate) fn fill(&mut self, world: &World, span: Span) {
        self.full_until = world.now() + span;
    }

    /// Values are gone from the store, and it has noticed. What is told of later came later.
    pub(crate) fn lose_some(&mut self, world: &mut World) {
        if !self.inbox.is_empty() {
            return;
        }
        for object in self.some(world) {
            self.store.remove(object);
            self.handle(world, Event::Lost(object));
        }
    }

    /// The files of values are cut, and nobody notices before they are read.
    pub(crate) fn cut_some(&mut self, world: &mut World) {
        for object in self.some(world) {
            self.store.cut(object);
        }
    }

    fn some(&self, world: &mut World) -> Vec<ObjectId> {
        world.has_lost = true;
        let percent = *world.rng.pick(&[10, 50, 100]);
        self.store.objects().filter(|_| world.rng.chance(percent)).collect()
    }

    /// Somebody has read a value whose file was cut.
    pub(crate) fn find_cut(&mut self, world: &mut World, object: ObjectId) {
        self.store.remove(object);
        self.tell(world, Event::Lost(object));
    }
}
