//! The actors of a process, and the orders about them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::{io, thread};

use bireme_core::actor::Isolation;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ActorId, ErrorClass, TaskError, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{
    ActorCall, ActorCancel, ActorCheckpoint, ActorCreate, ActorCredit, ActorDrop, ActorKept,
    ActorProbe, ActorRestore, ActorTakeBack, Order,
};
use bireme_proto::pb::executor_report::{ActorFailed, OrderRefused, Report};
use tokio::sync::Notify;

use super::items::Credit;
use super::lanes::{Lanes, Pause, Who};
use super::orders;
use super::seat::{self, Home};
use super::{Actor, Actors, Call, Creation};
use crate::blobs::Blobs;
use crate::desk::Desk;
use crate::orders::{refuse, refused};
use crate::outputs::{self, Owner};
use crate::pool::Pool;
use crate::runtime::Services;
use crate::sync::lock;

/// What actors have of their process.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) desk: Arc<Desk>,
    pub(crate) pool: Pool,
}

impl Means {
    /// Brings a value into files where it is too large for a message.
    pub(super) fn place(&self, owner: Owner<'_>, value: &mut Value) -> Result<(), Box<TaskError>> {
        if value.inline_bytes() <= limits::CALL_INLINE_BYTES {
            return Ok(());
        }
        outputs::write(&self.desk, &self.pool, owner, [value], 0)
    }
}

/// The actors of a process.
#[derive(Debug)]
pub(crate) struct Hall {
    maker: Option<Arc<dyn Actors>>,
    means: Arc<Means>,
    blobs: Blobs,
    services: Option<Arc<Services>>,
    actors: BTreeMap<ActorId, Arc<Stage>>,
}

/// One incarnation of an actor, shared by its threads.
pub(super) struct Stage {
    pub(super) actor: ActorId,
    /// The same as messages have it.
    pub(super) named: pb::ActorId,
    pub(super) incarnation: u32,
    /// It lives on a thread of its own, not on the process's first.
    pub(super) is_apart: bool,
    pub(super) means: Arc<Means>,
    pub(super) lanes: Mutex<Lanes>,
    /// Wakes its own thread, which makes it, pauses it and ends it.
    pub(super) home: Arc<Notify>,
    pub(super) life: Mutex<Life>,
}

/// How far an actor is.
pub(super) enum Life {
    /// It was not made, or is no more.
    Gone,
    /// Its constructor has not returned.
    Making,
    /// It is here.
    Made(Arc<dyn Actor>),
}

impl Hall {
    /// A process without actors, of a runtime that may be able to host them.
    pub(crate) fn new(
        maker: Option<Arc<dyn Actors>>,
        (desk, pool): (Arc<Desk>, Pool),
        blobs: Blobs,
        services: Option<Arc<Services>>,
    ) -> Self {
        let means = Arc::new(Means { desk, pool });
        Self { maker, means, blobs, services, actors: BTreeMap::new() }
    }

    /// Does what an order about actors says; one about anything else is refused.
    pub(crate) fn take(&mut self, order: Option<Order>) {
        match order {
            Some(Order::ActorCall(call)) => self.call(call),
            Some(Order::ActorCancel(cancel)) => self.cancel(cancel),
            Some(Order::ActorCheckpoint(checkpoint)) => self.checkpoint(checkpoint),
            Some(Order::ActorCreate(create)) => self.create(*create),
            Some(Order::ActorCredit(credit)) => self.credit(credit),
            Some(Order::ActorDrop(drop)) => self.let_go(drop),
            Some(Order::ActorKept(kept)) => self.kept(kept),
            Some(Order::ActorProbe(probe)) => self.probe(probe),
            Some(Order::ActorRestore(restore)) => self.restore(*restore),
            Some(Order::ActorTakeBack(call)) => self.take_back(call),
            other => self.means.desk.report(Report::Refused(refuse(other))),
        }
    }

    /// Makes an actor.
    fn create(&mut self, order: ActorCreate) {
        self.host(order, || Ok(None));
    }

    /// Makes an actor from what it left.
    fn restore(&mut self, order: ActorRestore) {
        let ActorRestore { create, state, lsn: _, callees } = order;
        self.host(create.unwrap_or_default(), || orders::state(state, callees).map(Some));
    }

    fn host(
        &mut self,
        order: ActorCreate,
        restored: impl FnOnce() -> Result<Option<super::State>, Refusal>,
    ) {
        let incarnation = order.incarnation;
        let id = match orders::actor(order.actor.clone()) {
            Ok(id) => id,
            Err(refusal) => return self.refuse(None, refusal),
        };
        let creation = orders::creation(id, order, &self.blobs, &self.means.pool.directory)
            .and_then(|creation| Ok(Creation { restored: restored()?, ..creation }));
        let Some(maker) = self.maker.clone() else {
            let message = "this executor hosts no actors; it only runs attempts";
            let refusal = Refusal::at(Reason::Unsupported, "actor_create", message);
            return self.refuse(Some(id), refusal);
        };
        match creation {
            Ok(creation) => {
                let creation = Creation { services: self.services.clone(), ..creation };
                self.begin(maker, creation);
            }
            Err(Refusal { reason, field, message }) => {
                let message = format!("actor_create.{field}: {message}");
                let error = TaskError::new(ErrorClass::Malformed, reason.name(), message);
                self.means.desk.report(failed(id, incarnation, error));
            }
        }
    }

    /// Finds an actor its thread: the process's first if it has the process for itself, else one of its own.
    fn begin(&mut self, maker: Arc<dyn Actors>, creation: Creation) {
        self.actors.retain(|_, stage| !stage.is_gone());
        let first_is_free = self.actors.values().all(|stage| stage.is_apart);
        let is_apart = creation.spec.isolation == Isolation::Shared || !self.actors.is_empty();
        let id = creation.actor;
        if self.actors.contains_key(&id) {
            let message = format!("actor {id} is here already; drop it first");
            return self.refuse(Some(id), Refusal::at(Reason::Malformed, "actor", message));
        }
        let stage = Arc::new(Stage {
            actor: id,
            named: id.into(),
            incarnation: creation.incarnation.0,
            is_apart,
            means: Arc::clone(&self.means),
            lanes: Mutex::new(Lanes::new(&creation.spec.lanes, creation.spec.reentrant)),
            home: Arc::default(),
            life: Mutex::new(Life::Making),
        });
        self.actors.insert(id, Arc::clone(&stage));
        let home = Home { stage, maker, creation: Box::new(creation) };
        if first_is_free {
            // Also where it is to live apart: the thread has to know that its mark tells nothing.
            self.means.desk.host(home);
        } else {
            home.live(None);
        }
    }

    /// Has a call run when it is its turn.
    fn call(&self, mut order: ActorCall) {
        let (actor, number, credit) = (order.actor.take(), order.call, order.credit);
        let Some(stage) = self.find_for(number, actor) else { return };
        let credit = Arc::new(Credit::new(credit));
        let items = super::Items::new(
            (stage.actor, number),
            Arc::downgrade(&self.means),
            Arc::clone(&credit),
        );
        let refused = |refusal: Refusal| {
            let Refusal { reason, field, message } = refusal;
            let message = format!("actor_call.{field}: {message}");
            let error = TaskError::new(ErrorClass::Deserialize, reason.name(), message);
            stage.means.desk.report(seat::never_ran(stage.actor, number, error));
        };
        let call = match orders::call(stage.actor, order, items) {
            Ok(call) => call,
            Err(refusal) => return refused(refusal),
        };
        let who = lock(&stage.lanes).give(Box::new(call), credit);
        match who {
            Ok(Who::Same) => {}
            Ok(Who::Woken(seat)) => seat.notify_one(),
            Ok(Who::New(lane)) => {
                let there = Arc::clone(stage);
                // Without a thread it waits for those that there are.
                if spawn(move || seat::work(&there, lane)).is_err() {
                    stage.home.notify_one();
                }
            }
            Ok(Who::Beside(call)) => self.beside(stage, call),
            Err(call) => {
                let message = format!("there is no lane {}", call.lane);
                refused(Refusal::at(Reason::Malformed, "lane", message));
            }
        }
    }

    /// Runs a call beside those of its lane, of which one waits for it.
    fn beside(&self, stage: &Arc<Stage>, call: Box<Call>) {
        let (there, number) = (Arc::clone(stage), call.number);
        if let Err(error) = spawn(move || seat::beside(&there, *call)) {
            let report = seat::never_ran(stage.actor, number, threadless(&error));
            self.means.desk.report(report);
            stage.ended(number);
        }
    }

    /// Takes a call that waits away, or asks one that runs to return.
    fn cancel(&self, order: ActorCancel) {
        let ActorCancel { actor, call, grace_us: _ } = order;
        let Some(stage) = self.find(actor) else { return };
        let waited = lock(&stage.lanes).cancel(call);
        if waited.is_some() {
            let message = "the call was cancelled before it started";
            let error = TaskError::new(ErrorClass::Cancelled, Reason::Cancelled.name(), message);
            self.means.desk.report(seat::never_ran(stage.actor, call, error));
            // It may be that only a pause waits now.
            stage.home.notify_one();
        }
    }

    /// Lets a call send more items.
    fn credit(&self, order: ActorCredit) {
        let ActorCredit { actor, call, n } = order;
        if let Some(stage) = self.find(actor) {
            lock(&stage.lanes).credit(call, n);
        }
    }

    /// Takes a checkpoint after the calls that were given.
    fn checkpoint(&self, order: ActorCheckpoint) {
        let ActorCheckpoint { actor, incarnation: _, lsn } = order;
        if let Some(stage) = self.find(actor) {
            lock(&stage.lanes).pause(Pause::Checkpoint(lsn));
            stage.home.notify_one();
        }
    }

    /// Tells an actor that its checkpoint is kept. Of one that is no more nobody needs to hear.
    fn kept(&self, order: ActorKept) {
        let ActorKept { actor, callees } = order;
        let Some(stage) = self.find(actor) else { return };
        match orders::called(callees) {
            Ok(callees) => drop(stage.actor().map(|actor| actor.kept(&callees))),
            Err(refusal) => self.refuse(Some(stage.actor), refusal),
        }
    }

    /// Somebody waits for a call that runs. Of an actor that is no more nobody needs to hear.
    fn probe(&self, order: ActorProbe) {
        let ActorProbe { actor, call, probe } = order;
        let Some(stage) = self.find(actor) else { return };
        match orders::probe(probe) {
            Ok(probe) => drop(stage.actor().map(|actor| actor.probe(call, probe))),
            Err(refusal) => self.refuse(Some(stage.actor), refusal),
        }
    }

    /// Gives a call back that has not begun.
    fn take_back(&self, order: ActorTakeBack) {
        let ActorTakeBack { actor, call } = order;
        let Some(stage) = self.find(actor) else { return };
        let waited = lock(&stage.lanes).take_back(call);
        if waited.is_some() {
            self.means.desk.report(seat::taken_back(stage.actor, call));
            stage.home.notify_one();
        }
    }

    /// Ends an actor when its running calls have ended.
    fn let_go(&self, order: ActorDrop) {
        let ActorDrop { actor, incarnation: _, grace_us, reason: _ } = order;
        if let Some(stage) = self.find(actor) {
            stage.end(grace_us == 0);
        }
    }

    /// Ends every actor.
    pub(crate) fn close(&self) {
        self.actors.values().for_each(|stage| stage.end(true));
    }

    /// The actor that an order is about. One that has just gone has told so; of one that never was nobody should speak.
    fn find(&self, actor: Option<pb::ActorId>) -> Option<&Arc<Stage>> {
        self.find_for(0, actor)
    }

    /// The same for an order with this number, of which the worker waits to hear.
    fn find_for(&self, request: u64, actor: Option<pb::ActorId>) -> Option<&Arc<Stage>> {
        let actor = match orders::actor(actor) {
            Ok(actor) => actor,
            Err(refusal) => {
                self.refuse_for(request, None, refusal);
                return None;
            }
        };
        let stage = self.actors.get(&actor);
        if stage.is_none() {
            let message = format!("actor {actor} is not here");
            let refusal = Refusal::at(Reason::Malformed, "actor", message);
            self.refuse_for(request, Some(actor), refusal);
        }
        stage
    }

    fn refuse(&self, actor: Option<ActorId>, refusal: Refusal) {
        self.refuse_for(0, actor, refusal);
    }

    fn refuse_for(&self, request: u64, actor: Option<ActorId>, refusal: Refusal) {
        let actor = actor.map(Into::into);
        let refused = OrderRefused { actor, request, ..refused(refusal) };
        self.means.desk.report(Report::Refused(refused));
    }
}

/// Nobody gives orders any more.
impl Drop for Hall {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stage {
    /// Lets no call begin any more.
    pub(super) fn end(&self, ask: bool) {
        let (idle, undone) = lock(&self.lanes).end(ask);
        for call in undone {
            self.means.desk.report(seat::not_begun(self.actor, call));
        }
        for seat in idle {
            seat.notify_one();
        }
        self.home.notify_one();
    }

    /// Lets calls begin.
    pub(super) fn resume(&self) {
        let woken = lock(&self.lanes).resume();
        for seat in woken {
            seat.notify_one();
        }
    }

    /// Makes note that a call has ended.
    pub(super) fn ended(&self, number: u64) {
        if lock(&self.lanes).ended(number) {
            self.home.notify_one();
        }
    }

    /// The actor, while it is here.
    pub(super) fn actor(&self) -> Option<Arc<dyn Actor>> {
        match &*lock(&self.life) {
            Life::Made(actor) => Some(Arc::clone(actor)),
            Life::Gone | Life::Making => None,
        }
    }

    fn is_gone(&self) -> bool {
        matches!(&*lock(&self.life), Life::Gone)
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("actor", &self.actor).finish_non_exhaustive()
    }
}

pub(super) fn spawn(life: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("actor".to_owned()).spawn(life).map(drop)
}

pub(super) fn failed(actor: ActorId, incarnation: u32, error: TaskError) -> Report {
    let error = Some(error.bounded().into());
    Report::ActorFailed(Box::new(ActorFailed { actor: Some(actor.into()), incarnation, error }))
}

pub(super) fn threadless(error: &io::Error) -> TaskError {
    let message = format!("no thread can be started: {error}; raise the limit of processes");
    TaskError::new(ErrorClass::Reschedule, Reason::Busy.name(), message)
}
