//! Logs and checkpoints: when records are durable, and how a state is kept.

use std::sync::Arc;

use bireme_core::actor::Durability;
use bireme_core::actor::host::Event;
use bireme_core::actor::place::{Checkpoint, EndKind};
use bireme_core::id::{ActorId, HolderId, Incarnation};
use bireme_core::{ErrorClass, ObjectId, Reason, TaskError, Value};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{ActorCheckpoint, ActorKept, Callee, Order};
use prost::Message as _;

use super::entry::{Entry, Keeping};
use super::log::{self, Kept};
use super::{Turn, fault};
use crate::failure::failure;
use crate::machine;
use crate::store::Stored;

/// The request of a checkpoint that the actor's own code wants. The scheduler's count from 1.
pub(super) const OWN_WISH: u64 = u64::MAX;

impl Turn<'_> {
    /// Writes what was appended to an actor's log. Where that has to survive a power cut, another thread waits for the disk:
    /// for all records that were written until then.
    pub(super) fn write_log(&mut self, actor: ActorId) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let Some(log) = entry.log.as_mut().filter(|log| log.has_unwritten()) else { return };
        match log.write() {
            Err(error) => {
                let event = Event::LogFailed(unwritable(&error));
                return self.feed_later(actor, event);
            }
            Ok(lsn) if entry.spec.durability == Durability::Process => {
                fault::point("after-log-before-run");
                self.hand_on(actor);
                return self.durable_here(actor, lsn);
            }
            Ok(_) if entry.syncing => {}
            Ok(_) => self.sync_log(actor),
        }
        self.hand_on(actor);
    }

    fn sync_log(&mut self, actor: ActorId) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let Some(log) = &mut entry.log else { return };
        let (unsynced, lsn) = match log.unsynced() {
            Ok(unsynced) => (unsynced, log.written()),
            Err(error) => return self.feed_later(actor, Event::LogFailed(unwritable(&error))),
        };
        entry.syncing = true;
        let (shared, incarnation) = (Arc::clone(self.shared), entry.hosting.incarnation);
        self.shared.setup.bulk.spawn_blocking(move || {
            let synced = unsynced.sync();
            fault::point("after-log-before-run");
            let mut turn = shared.turn();
            let Some(entry) = turn.table.entries.get_mut(&actor) else { return };
            if entry.hosting.incarnation != incarnation {
                return;
            }
            entry.syncing = false;
            let more = entry.log.as_ref().is_some_and(|log| log.written() > lsn);
            if more {
                turn.sync_log(actor);
            }
            match synced {
                Ok(()) => turn.durable_here(actor, lsn),
                Err(error) => turn.feed_later(actor, Event::LogFailed(unwritable(&error))),
            }
        });
    }

    /// The actor's own code wants a checkpoint: one wish at a time.
    pub(super) fn wish_checkpoint(&mut self, actor: ActorId) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        if !std::mem::replace(&mut entry.wishes, true) {
            self.feed(actor, Event::CheckpointAsked { request: OWN_WISH });
        }
    }

    /// Asks the process for its state.
    pub(super) fn begin_checkpoint(&mut self, actor: ActorId, keeping: Keeping) {
        self.write_log(actor);
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        if let Some(log) = &mut entry.log
            && let Err(error) = log.turn_over()
        {
            return self.feed_later(actor, Event::LogFailed(unwritable(&error)));
        }
        let (lsn, incarnation) = (keeping.lsn, entry.hosting.incarnation.0);
        entry.keeping = Some(keeping);
        self.hand_on(actor);
        let order = ActorCheckpoint { actor: Some(actor.into()), incarnation, lsn };
        self.say_to_process(actor, Order::ActorCheckpoint(order));
    }

    /// The process has given its state, or not: keeps it, and tells the host when it is kept.
    pub(super) fn keep_state(
        &mut self,
        actor: ActorId,
        state: Result<Value, Box<TaskError>>,
        callees: Vec<Callee>,
    ) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let Some(keeping) = entry.keeping.take() else { return };
        let state = state.and_then(|state| {
            let gathered = Stored::gather(state.clone(), entry.drafts.iter(), None);
            super::carry::give_up(&mut entry.drafts, &state);
            gathered.map_err(|error| error.failure())
        });
        let state = match state {
            Ok(state) => state,
            Err(error) => return self.feed_later(actor, Event::StateKept(Err(error))),
        };
        entry.writing = true;
        let incarnation = entry.hosting.incarnation;
        let directory = entry.log.as_ref().map(|log| log.directory().to_owned());
        let durability = entry.spec.durability;
        let shared = Arc::clone(self.shared);
        self.shared.setup.bulk.spawn_blocking(move || {
            let Keeping { lsn, table, since } = keeping;
            let kept = state.load().map(|state| {
                let state = Some(pb::Value::from((*state).clone()));
                Kept::new(lsn, incarnation, state, table, callees)
            });
            let kept = kept.and_then(|kept| {
                if let Some(directory) = &directory {
                    log::write_checkpoint(directory, &kept, durability)?;
                }
                Ok(kept)
            });
            shared.turn().kept((actor, incarnation), (lsn, since), kept);
        });
    }

    /// A checkpoint was written, or not. What is left of an incarnation that ended meanwhile has waited for that.
    fn kept(
        &mut self,
        (actor, incarnation): (ActorId, Incarnation),
        (lsn, since): (u64, bireme_core::Time),
        kept: std::io::Result<Kept>,
    ) {
        let entry = self.table.entries.get_mut(&actor);
        let Some(entry) = entry.filter(|entry| entry.hosting.incarnation == incarnation) else {
            return;
        };
        entry.writing = false;
        if entry.over.is_some() && entry.process.is_none() {
            return self.buried(actor);
        }
        let mut callees = Vec::new();
        let made = kept.map(|kept| {
            let bytes = kept.state.as_ref().map_or(0, |state| state.size);
            if let Some(log) = &mut entry.log
                && let Err(error) = log.drop_up_to(lsn)
            {
                tracing::warn!(?actor, %error, "records that a checkpoint holds are left behind");
            }
            callees.clone_from(&kept.callees);
            (kept, Checkpoint { lsn, bytes, took: self.now.since(since) })
        });
        let made = made.map_err(|error| {
            let message = format!("the checkpoint cannot be written: {error}");
            failure(ErrorClass::Store, Reason::StoreFull, message)
        });
        let made = made.and_then(|(kept, made)| self.store_for_move(actor, &kept).map(|()| made));
        match made {
            Ok(made) => self.checkpoint_here(actor, made, callees),
            Err(error) => self.feed_later(actor, Event::StateKept(Err(error))),
        }
    }

    /// A checkpoint is kept wherever it has to be: it takes the place of what was before.
    pub(super) fn checkpoint_kept(
        &mut self,
        actor: ActorId,
        made: Checkpoint,
        callees: Vec<Callee>,
    ) {
        if !callees.is_empty() {
            let kept = ActorKept { actor: Some(actor.into()), callees };
            self.say_to_process(actor, Order::ActorKept(kept));
        }
        self.feed_later(actor, Event::StateKept(Ok(made)));
    }

    /// Puts the checkpoint of an actor that moves into the store, from where the next incarnation has it.
    fn store_for_move(&mut self, actor: ActorId, kept: &Kept) -> Result<(), Box<TaskError>> {
        let entry = self.table.entries.get_mut(&actor).filter(|entry| entry.moves.is_some());
        let Some(entry) = entry else { return Ok(()) };
        let object = object_of(actor, entry);
        let value = Arc::new(Value::raw(kept.encode_to_vec()));
        let size = self.shared.setup.store.put(object, value, None);
        entry.moved = Some((object, size.map_err(|error| error.failure())?));
        Ok(())
    }

    /// Tells of the checkpoint that an incarnation left, or drops it where the next does not begin with it. What the end of
    /// the incarnation did not speak of before, the scheduler has dropped as nobody's.
    pub(super) fn give_checkpoint(&mut self, actor: ActorId, end: EndKind) {
        let setup = &self.shared.setup;
        let moved = self.table.entries.get_mut(&actor).and_then(|entry| entry.moved.take());
        match moved {
            None => {}
            Some((object, size)) if end == EndKind::Moved => {
                setup.inbox.tell(machine::Event::Stored { object, size });
            }
            Some((object, _)) => {
                setup.store.remove(object);
            }
        }
    }

    /// Removes all that is kept on disk of an actor up to this incarnation.
    pub(super) fn remove_directory(&mut self, actor: ActorId, incarnation: Incarnation) {
        let shared = Arc::clone(self.shared);
        self.shared.setup.bulk.spawn_blocking(move || {
            if let Err(error) = shared.keeper.forget(actor, incarnation) {
                let path = shared.keeper.home_of(actor);
                tracing::warn!(path = %path.display(), %error, "the log of an actor is left behind");
            }
        });
    }
}

/// The id of the checkpoint with which an actor moves. Holders that are sessions have small numbers.
fn object_of(actor: ActorId, entry: &Entry) -> ObjectId {
    let high = u64::try_from(actor.0 >> 64).unwrap_or_default();
    ObjectId::Held { holder: HolderId(high | 1 << 63), n: entry.hosting.incarnation.0.into() }
}

fn unwritable(error: &std::io::Error) -> Box<TaskError> {
    let message = format!("the call log cannot be written: {error}");
    failure(ErrorClass::Store, Reason::StoreFull, message)
}
