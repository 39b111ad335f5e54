//! What processes say of their actors, as hosts hear it.

use std::sync::Arc;

use bireme_core::actor::call::ReplyKind;
use bireme_core::actor::host::{Event, RunEnd, RunNo};
use bireme_core::id::ActorId;
use bireme_core::{ErrorClass, ObjectId, Reason, Span, TaskError, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{
    ActorCreate, ActorRestore, Allocated, Answer, Blob, Order, answer,
};
use bireme_proto::pb::executor_report::actor_reply::Outcome;

use super::carry::give_up;
use super::door::read_error;
use super::entry::{Entry, Running};
use super::{Turn, fault, results};
use crate::executor::process::lay_out::lay;
use crate::failure::failure;
use crate::machine;
use crate::store::{Draft, Store, StoreError, Stored};

impl Turn<'_> {
    /// Has a process make an actor, or restore it.
    pub(super) fn create(&mut self, actor: ActorId, number: u64) {
        let store = &self.shared.setup.store;
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        match creation(store, entry) {
            Ok(Creation { order, mut drafts, state }) => {
                entry.drafts.append(&mut drafts);
                entry.kept = None;
                // What its process has mapped stays in place for as long as it lives.
                entry.inputs.extend(state);
                self.say_to(number, order);
            }
            Err(error) => self.feed_later(actor, Event::Refused(error)),
        }
    }

    /// The actor cannot be made, or is broken.
    pub(super) fn refused(&mut self, actor: ActorId, error: Box<TaskError>) {
        self.feed(actor, Event::Refused(error));
    }

    /// A call has ended.
    pub(super) fn replied(
        &mut self,
        actor: ActorId,
        call: u64,
        outcome: Option<Outcome>,
        took: Span,
    ) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        if let Some(Outcome::NotBegun(_)) = outcome {
            return self.feed(actor, Event::NotBegun(RunNo(call)));
        }
        if let Some(Outcome::TakenBack(_)) = outcome {
            return self.taken_back(actor, call);
        }
        fault::point("after-run-before-reply");
        entry.stops.remove(&call);
        // What becomes of a call that the process still had at its actor's end is settled with the process.
        let Some(running) = entry.runs.remove(call).filter(|_| entry.over.is_none()) else {
            return;
        };
        entry.tickets.remove(&running.ticket);
        let end = match outcome {
            Some(Outcome::Value(value)) => match Value::try_from(value) {
                Ok(value) => self.returned(actor, &running, value),
                Err(refusal) => {
                    RunEnd::UnserializableResult(crate::rpc::executor::senseless(&refusal))
                }
            },
            Some(Outcome::Error(error)) => failed(read_error(Some(*error))),
            Some(Outcome::NoSuchMethod(told)) => RunEnd::NoSuchMethod { methods: told.methods },
            Some(Outcome::NotBegun(_) | Outcome::TakenBack(_)) | None => {
                RunEnd::UnserializableResult(read_error(None))
            }
        };
        self.feed(actor, Event::Ended { run: RunNo(call), end, took });
    }

    /// A method has returned: what becomes of the value.
    fn returned(&mut self, actor: ActorId, running: &Running, value: Value) -> RunEnd {
        let Some(entry) = self.table.entries.get_mut(&actor) else {
            return RunEnd::Done { items: 0 };
        };
        let stays = match running.reply {
            ReplyKind::None | ReplyKind::Stream => {
                give_up(&mut entry.drafts, &value);
                return RunEnd::Done { items: running.items };
            }
            ReplyKind::Store => true,
            ReplyKind::Value => value.size > limits::CALL_INLINE_BYTES,
        };
        if !stays {
            return match bring_in(&mut entry.drafts, value) {
                Ok(value) => RunEnd::Value(Box::new(value)),
                Err(error) => RunEnd::UnserializableResult(error),
            };
        }
        let Some(object) = running.result else {
            let message = format!(
                "the result of {} bytes is more than travels with a reply: name an id for it",
                value.size
            );
            give_up(&mut entry.drafts, &value);
            let error = failure(ErrorClass::Serialize, Reason::ValueTooLarge, message);
            return RunEnd::UnserializableResult(error);
        };
        let setup = &self.shared.setup;
        let stored = store(&setup.store, &mut entry.drafts, object, value);
        match stored {
            Ok(size) => {
                if results::is_own(object) {
                    self.keep_result(object, size);
                } else {
                    setup.inbox.tell(machine::Event::Stored { object, size });
                }
                RunEnd::Stored { object, size }
            }
            Err(error) => RunEnd::UnserializableResult(error.failure()),
        }
    }

    /// A call gave an item.
    pub(super) fn gave_item(&mut self, actor: ActorId, call: u64, n: u64, value: Value) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let Some(running) = entry.runs.get_mut(call) else { return };
        running.items = running.items.max(n);
        match bring_in(&mut entry.drafts, value) {
            Ok(value) => {
                self.feed(actor, Event::Item { run: RunNo(call), n, value: Box::new(value) });
            }
            Err(error) => tracing::warn!(?actor, %error, "an item cannot be read"),
        }
    }

    /// An actor wants room for buffers of these lengths.
    pub(super) fn allocate(
        &mut self,
        number: u64,
        request: u64,
        actor: ActorId,
        lengths: Vec<u64>,
    ) {
        if !self.is_in(number, actor) {
            let message = "the actor has ended";
            let error = failure(ErrorClass::User, Reason::Unsupported, message);
            return self.refuse_request_of(number, request, &error);
        }
        if let Some(draft) = self.shared.setup.store.allocate_now(&lengths) {
            return self.allocated(number, request, actor, Ok(draft));
        }
        let shared = Arc::clone(self.shared);
        self.shared.setup.bulk.spawn(async move {
            let draft = shared.setup.store.make_room(lengths).await;
            shared.turn().allocated(number, request, actor, draft);
        });
    }

    fn allocated(
        &mut self,
        number: u64,
        request: u64,
        actor: ActorId,
        draft: Result<Draft, StoreError>,
    ) {
        let entry = self.table.entries.get_mut(&actor);
        let Some(entry) = entry.filter(|entry| entry.process == Some(number)) else { return };
        match draft {
            Ok(draft) => {
                let files = draft.runs().iter().cloned().map(Into::into).collect();
                entry.drafts.push(draft);
                let answer = Some(answer::Answer::Allocated(Allocated { files }));
                self.say_to(number, Order::Answer(Answer { request, answer }));
            }
            Err(error) => self.refuse_request_of(number, request, &error.failure()),
        }
    }
}

/// Keeps a value under an id.
fn store(
    store: &Store,
    drafts: &mut Vec<Draft>,
    object: ObjectId,
    value: Value,
) -> Result<u64, StoreError> {
    let runs = value.clone();
    let size = store.put_written(object, value, drafts.iter(), None);
    give_up(drafts, &runs);
    size
}

/// A value with every byte in it.
fn bring_in(drafts: &mut Vec<Draft>, value: Value) -> Result<Value, Box<TaskError>> {
    if value.is_inline() {
        return Ok(value);
    }
    let gathered = Stored::gather(value.clone(), drafts.iter(), None);
    let loaded = gathered.map_err(|error| error.failure()).and_then(|stored| {
        stored.load().map_err(|error| {
            let message = format!("what the process wrote cannot be read: {error}");
            failure(ErrorClass::Store, Reason::InputLost, message)
        })
    });
    give_up(drafts, &value);
    loaded.map(|value| (*value).clone())
}

/// How a call ended that gave no value.
fn failed(error: Box<TaskError>) -> RunEnd {
    match error.class {
        ErrorClass::Cancelled => RunEnd::Cancelled,
        ErrorClass::Deserialize | ErrorClass::Malformed => RunEnd::UnserializableArgs(error),
        ErrorClass::Serialize | ErrorClass::Store => RunEnd::UnserializableResult(error),
        _ => RunEnd::UserError(error),
    }
}

/// The order that makes an actor, and what keeps the values in place that are written into files for it.
struct Creation {
    order: Order,
    drafts: Vec<Draft>,
    state: Option<Stored>,
}

fn creation(store: &Store, entry: &Entry) -> Result<Creation, Box<TaskError>> {
    let mut room = limits::BATCH_BYTES as u64;
    let mut drafts = Vec::new();
    let mut values = Vec::new();
    for input in &entry.inputs {
        values.push(lay(store, input, &mut room, &mut drafts)?.into());
    }
    let mut blobs = Vec::new();
    for (digest, blob) in &entry.blobs {
        let value = lay(store, blob, &mut room, &mut drafts)?;
        let bytes = value.buffers.into_iter().next().map(Into::into);
        blobs.push(Blob { digest: Some((*digest).into()), bytes });
    }
    let hosting = &entry.hosting;
    let create = ActorCreate {
        actor: Some(hosting.actor.into()),
        incarnation: hosting.incarnation.0,
        spec: Some(hosting.spec.clone().into()),
        inputs: values,
        held: Some(held(entry)),
        blobs,
        traceparent: String::new(),
    };
    let state = entry.kept.as_ref().and_then(|kept| Some((kept, kept.state.clone()?)));
    let Some((kept, state)) = state else {
        return Ok(Creation { order: Order::ActorCreate(Box::new(create)), drafts, state: None });
    };
    let state =
        Value::try_from(state).map_err(|refusal| crate::rpc::executor::senseless(&refusal))?;
    let stored = store.lay_out(Arc::new(state), None).map_err(|error| error.failure())?;
    let state = Some(lay(store, &stored, &mut room, &mut drafts)?.into());
    let (lsn, callees) = (kept.lsn, kept.callees.clone());
    let restore = ActorRestore { create: Some(create), state, lsn, callees };
    Ok(Creation { order: Order::ActorRestore(Box::new(restore)), drafts, state: Some(stored) })
}

fn held(entry: &Entry) -> pb::HeldResources {
    let resources = &entry.spec.resources;
    let others = resources.others().map(|(name, units)| {
        let pieces = entry.hosting.held.iter().find(|(other, _)| *other == name);
        let indexes = pieces.into_iter().flat_map(|(_, pieces)| pieces);
        let indexes = indexes.map(|piece| piece.number.into()).collect();
        pb::HeldResource { name: name.to_owned(), units, indexes, names: Vec::new() }
    });
    pb::HeldResources {
        cpu_units: resources.cpu_units,
        cpus: Vec::new(),
        memory_bytes: resources.memory_bytes,
        others: others.collect(),
    }
}
