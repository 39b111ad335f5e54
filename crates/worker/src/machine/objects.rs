//! The objects a worker holds, and those it looks for.

use std::collections::{BTreeSet, VecDeque};

use bireme_core::ObjectId;
use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::{AttemptNo, WorkerId};
use bireme_core::protocol::Input;
use smallvec::SmallVec;

use super::Effect;
use super::fetching::Fetching;
use super::gathering::Waiter;

/// A stored object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stored {
    /// In bytes.
    pub(super) size: u64,
    /// How often attempts that have not ended, and whoever else it is gathered for, name it as an input.
    pub(super) users: usize,
    /// It goes when its last user does.
    pub(super) released: bool,
    /// The attempt that made it here.
    pub(super) made_by: Option<AttemptNo>,
}

/// An object that is not here and that somebody wants here.
#[expect(clippy::struct_excessive_bools, reason = "each is told of by itself")]
#[derive(Debug, Default)]
pub(super) struct Sought {
    /// Who waits for it, as often as they name it.
    pub(super) waiters: Vec<Waiter>,
    /// The scheduler wants a replica here.
    pub(super) replicate: bool,
    /// As [`Stored::released`], once it is here.
    pub(super) released: bool,
    /// Who can be asked for it and has not been.
    pub(super) holders: SmallVec<[WorkerId; 2]>,
    /// In bytes, where known.
    pub(super) size: u64,
    /// The attempt that made what `holders` have.
    pub(super) made_by: Option<AttemptNo>,
    /// The same of those that are being asked.
    asked_for: Option<AttemptNo>,
    /// Nobody named could give it.
    pub(super) missing: Option<Missing>,
    /// That is marked, and not told yet.
    pub(super) marked: bool,
    /// It waits in [`Objects::queue`].
    pub(super) is_queued: bool,
}

/// In vain.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing {
    /// These were asked.
    pub(super) asked: SmallVec<[WorkerId; 2]>,
    /// The attempt that made what they were said to have.
    pub(super) made_by: Option<AttemptNo>,
}

/// All objects. None is both stored and sought.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) stored: IdMap<ObjectId, Stored>,
    pub(super) sought: IdMap<ObjectId, Sought>,
    /// Fetches under way. One goes on when nobody wants its object any more.
    pub(super) fetching: Fetching,
    /// Those that wait for one of them to end; the objects say so too.
    pub(super) queue: VecDeque<ObjectId>,
    /// Objects that nobody wants but an attempt here makes or a fetch brings: dropping one now could hit what has just been
    /// put into the store. Each is dropped when the last of those has ended, unless it is wanted again.
    pub(super) held_back: BTreeSet<ObjectId>,
    /// Sum of the sizes of stored objects.
    pub(super) bytes: u64,
    /// Something was lost. That may cross an order which brings the same value again, so from then on the scheduler is told
    /// of all that its orders bring.
    pub(super) is_leaky: bool,
}

impl Objects {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            stored: IdMap::with_hasher(Seeded::new(seed)),
            sought: IdMap::with_hasher(Seeded::new(seed)),
            fetching: Fetching::default(),
            queue: VecDeque::new(),
            held_back: BTreeSet::new(),
            bytes: 0,
            is_leaky: false,
        }
    }

    pub(super) fn is_stored(&self, object: ObjectId) -> bool {
        self.stored.contains_key(&object)
    }

    /// Makes note of an object that is in the store. Returns who waited for it.
    pub(super) fn arrive(&mut self, object: ObjectId, size: u64) -> Vec<Waiter> {
        if let Some(stored) = self.stored.get_mut(&object) {
            self.bytes = self.bytes - stored.size + size;
            stored.size = size;
            return Vec::new();
        }
        let sought = if self.sought.is_empty() { None } else { self.sought.remove(&object) };
        let Sought { waiters, released, is_queued, .. } = sought.unwrap_or_default();
        self.unqueue(object, is_queued);
        self.held_back.remove(&object);
        self.bytes += size;
        let stored = Stored { size, users: waiters.len(), released, made_by: None };
        self.stored.insert(object, stored);
        waiters
    }

    /// Makes note of the attempt that made a stored object here.
    pub(super) fn made(&mut self, object: ObjectId, by: AttemptNo) {
        if let Some(stored) = self.stored.get_mut(&object) {
            stored.made_by = Some(by);
        }
    }

    /// Pins an object for somebody. Returns whether it is here; if not, that one waits for it.
    pub(super) fn pin(&mut self, object: ObjectId, waiter: Waiter) -> bool {
        if let Some(stored) = self.stored.get_mut(&object) {
            stored.users += 1;
            return true;
        }
        self.sought.entry(object).or_default().waiters.push(waiter);
        false
    }

    /// Ends one pin. Returns whether the object is released and unused by now.
    pub(super) fn unpin(&mut self, object: ObjectId, whose: Waiter) -> bool {
        if let Some(stored) = self.stored.get_mut(&object) {
            stored.users -= 1;
            return stored.released && stored.users == 0;
        }
        if let Some(sought) = self.sought.get_mut(&object) {
            let at = sought.waiters.iter().position(|waiter| *waiter == whose);
            at.map(|at| sought.waiters.swap_remove(at));
            self.forget_unwanted(object);
        }
        false
    }

    /// Gives up a replica, now or when its last user ends. Returns whether the object is unused.
    pub(super) fn release(&mut self, object: ObjectId) -> bool {
        if let Some(stored) = self.stored.get_mut(&object) {
            stored.released = true;
            return stored.users == 0;
        }
        if let Some(sought) = self.sought.get_mut(&object) {
            (sought.released, sought.replicate) = (true, false);
            self.forget_unwanted(object);
        }
        false
    }

    /// Takes back a release that was not carried out. Returns whether there was one.
    pub(super) fn revive(&mut self, object: ObjectId) -> bool {
        if !self.held_back.is_empty() && self.is_stored(object) {
            self.held_back.remove(&object);
        }
        let stored = self.stored.get_mut(&object).map(|stored| &mut stored.released);
        let released = stored.or_else(|| Some(&mut self.sought.get_mut(&object)?.released));
        released.is_some_and(std::mem::take)
    }

    /// Forgets a stored object.
    pub(super) fn remove(&mut self, object: ObjectId) {
        self.held_back.remove(&object);
        if let Some(stored) = self.stored.remove(&object) {
            self.bytes -= stored.size;
        }
    }

    /// Makes note that a stored object is gone, and who waits for it again.
    pub(super) fn lose(&mut self, object: ObjectId, waiters: Vec<Waiter>) {
        let released = self.stored.get(&object).is_some_and(|stored| stored.released);
        self.remove(object);
        self.is_leaky = true;
        if !waiters.is_empty() {
            self.sought.insert(object, Sought { waiters, released, ..Sought::default() });
        }
    }

    /// Stops looking for an object that nobody wants. If it is being fetched, it is dropped on arrival.
    pub(super) fn forget_unwanted(&mut self, object: ObjectId) {
        let unwanted = |sought: &Sought| sought.waiters.is_empty() && !sought.replicate;
        if self.sought.get(&object).is_some_and(unwanted) {
            let sought = self.sought.remove(&object);
            self.unqueue(object, sought.is_some_and(|sought| sought.is_queued));
        }
    }

    fn unqueue(&mut self, object: ObjectId, is_queued: bool) {
        if is_queued {
            self.queue.retain(|queued| *queued != object);
        }
    }

    /// Has a sought object fetched from the holders that are named. A fetch under way serves all who want the object; should
    /// it fail, the holders named since then are asked.
    pub(super) fn seek(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Input { object, holders, size, value: _, made_by } = input;
        let Some(sought) = self.sought.get_mut(&object) else { return };
        (sought.holders, sought.size, sought.made_by) = (holders, size, made_by);
        sought.missing = None;
        if !self.fetching.contains(&object) && !sought.is_queued {
            sought.is_queued = true;
            self.queue.push_back(object);
            self.fetch_queued(effects);
        }
    }

    /// Makes note that a fetch has ended.
    pub(super) fn fetch_ended(&mut self, object: ObjectId, effects: &mut Vec<Effect>) {
        self.fetching.end(object);
        self.fetch_queued(effects);
    }

    /// Makes note that nobody who was asked could give an object. Returns whether the scheduler must be told.
    pub(super) fn fetch_failed(
        &mut self,
        object: ObjectId,
        asked: SmallVec<[WorkerId; 2]>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let was_under_way = self.fetching.end(object);
        let mut is_missing = false;
        if was_under_way && let Some(sought) = self.sought.get_mut(&object) {
            sought.holders.retain(|holder| !asked.contains(holder));
            is_missing = sought.holders.is_empty();
            if is_missing {
                sought.missing = Some(Missing { asked, made_by: sought.asked_for });
            } else {
                sought.is_queued = true;
                self.queue.push_front(object);
            }
        }
        self.fetch_queued(effects);
        is_missing
    }

    fn fetch_queued(&mut self, effects: &mut Vec<Effect>) {
        while self.fetching.has_room()
            && let Some(object) = self.queue.pop_front()
            && let Some(sought) = self.sought.get_mut(&object)
        {
            let (holders, size) = (std::mem::take(&mut sought.holders), sought.size);
            (sought.asked_for, sought.is_queued) = (sought.made_by, false);
            self.fetching.begin(object, size);
            effects.push(Effect::Fetch { object, holders, size });
        }
    }
}
