//! The lives of the threads that run calls of actors.

use std::sync::Arc;

use bireme_core::actor::call::ReplyKind;
use bireme_core::{ActorId, Span, TaskError, Value};
use bireme_proto::pb;
use bireme_proto::pb::executor_report::actor_reply::Outcome;
use bireme_proto::pb::executor_report::{
    ActorDropped, ActorReady, ActorReply, ActorState, NoSuchMethod, Report,
};
use tokio::sync::Notify;

use super::hall::{Life, Stage, failed, spawn, threadless};
use super::lanes::{Next, Pause};
use super::orders::callees_sent;
use super::{Actor, Actors, Call, CallEnd, Creation, State};
use crate::mark::{Pen, Reached};
use crate::outputs::{Owner, unread};
use crate::sync::lock;
use crate::usage::{Meter, Taken};

/// Most methods that are named to a caller who asks for one that there is not.
const METHODS_NAMED: usize = 100;

/// An actor that is to be made, on its own thread.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) stage: Arc<Stage>,
    pub(super) maker: Arc<dyn Actors>,
    pub(super) creation: Box<Creation>,
}

impl Home {
    /// Whether the actor lives on a thread of its own.
    pub(crate) fn is_apart(&self) -> bool {
        self.stage.is_apart
    }

    /// Makes the actor and runs the calls of its first lane, until it ends or the worker goes: here, or on a thread of its own
    /// if it lives apart.
    pub(crate) fn live(self, mark: Option<&Pen>) {
        if !self.is_apart() {
            return self.live_here(mark);
        }
        let stage = Arc::clone(&self.stage);
        if let Err(error) = spawn(move || self.live_here(None)) {
            *lock(&stage.life) = Life::Gone;
            stage.means.desk.report(failed(stage.actor, stage.incarnation, threadless(&error)));
        }
    }

    fn live_here(self, mark: Option<&Pen>) {
        let Self { stage, maker, creation } = self;
        let mark = mark.filter(|pen| {
            let tells = lock(&stage.lanes).are_one();
            if tells {
                pen.set(Reached::default());
            } else {
                pen.say_nothing();
            }
            tells
        });
        let busy = stage.means.desk.busy();
        let mut meter = Meter::default();
        let begun = Meter::begin();
        let made = make(&stage, &*maker, *creation);
        let taken = meter.end(begun);
        drop(busy);
        match made {
            Ok(actor) => {
                stage.means.desk.report(ready(&stage, &*actor, taken));
                *lock(&stage.life) = Life::Made(actor.into());
                stage.resume();
                Seat { stage: &stage, lane: 0, is_home: true, mark, meter }.work(&stage.home);
            }
            Err(error) => {
                *lock(&stage.life) = Life::Gone;
                stage.end(true);
                stage.means.desk.report(failed(stage.actor, stage.incarnation, *error));
            }
        }
    }
}

fn make(
    stage: &Stage,
    maker: &dyn Actors,
    mut creation: Creation,
) -> Result<Box<dyn Actor>, Box<TaskError>> {
    let pool = &stage.means.pool;
    pool.read(&mut creation.inputs).map_err(|error| unread(&error))?;
    if let Some(State { value, .. }) = &mut creation.restored {
        pool.read_value(value).map_err(|error| unread(&error))?;
    }
    maker.create(&creation)
}

fn ready(stage: &Stage, actor: &dyn Actor, Taken { run, .. }: Taken) -> Report {
    Report::ActorReady(ActorReady {
        actor: Some(stage.actor.into()),
        incarnation: stage.incarnation,
        methods: actor.methods(),
        checkpoints: actor.checkpoints(),
        run_us: run.0,
    })
}

/// The life of a further thread of a lane.
pub(super) fn work(stage: &Arc<Stage>, lane: usize) {
    let meter = Meter::default();
    Seat { stage, lane, is_home: false, mark: None, meter }.work(&Arc::default());
}

/// The life of a thread for one call, which runs beside those of its lane.
pub(super) fn beside(stage: &Arc<Stage>, call: Call) {
    let meter = Meter::default();
    Seat { stage, lane: 0, is_home: false, mark: None, meter }.run(call);
}

/// A thread that runs calls, one after the other.
struct Seat<'a> {
    stage: &'a Arc<Stage>,
    lane: usize,
    is_home: bool,
    mark: Option<&'a Pen>,
    meter: Meter,
}

impl Seat<'_> {
    fn work(mut self, bell: &Arc<Notify>) {
        let desk = &self.stage.means.desk;
        let mut last = 0;
        loop {
            let mut was_idle = false;
            let next = desk.wait_for(bell, || {
                let next = lock(&self.stage.lanes).next(self.lane, self.is_home, bell);
                if next.is_none() && !was_idle {
                    was_idle = true;
                    self.mark(Reached { started: last, runs: false });
                }
                next
            });
            match next {
                Next::Call(call) => {
                    if self.meter.is_late(was_idle) {
                        desk.catch_up();
                    }
                    last = call.number;
                    self.run(*call);
                }
                Next::Pause(Pause::Checkpoint(lsn)) => self.checkpoint(lsn),
                Next::End => return self.end(),
                Next::Leave => return,
            }
        }
    }

    fn mark(&self, reached: Reached) {
        if let Some(mark) = self.mark {
            mark.set(reached);
        }
    }

    /// Runs a call and tells how it ended.
    fn run(&mut self, mut call: Call) {
        let Some(actor) = self.stage.actor() else { return self.stage.ended(call.number) };
        let means = &self.stage.means;
        self.mark(Reached { started: call.number, runs: true });
        let busy = means.desk.busy();
        let begun = Meter::begin_call();
        let end = match means.pool.read(&mut call.inputs) {
            Ok(()) => actor.call(&call),
            Err(error) => CallEnd::Failed(unread(&error)),
        };
        let taken = self.meter.end(begun);
        let exits = matches!(end, CallEnd::Exit(_));
        let outcome = match end {
            CallEnd::Exit(value) | CallEnd::Returned(value) => self.value(&call, value),
            CallEnd::Failed(error) => Outcome::Error(Box::new(error.bounded().into())),
            CallEnd::NoSuchMethod => {
                let methods = actor.methods().into_iter().take(METHODS_NAMED).collect();
                Outcome::NoSuchMethod(NoSuchMethod { methods })
            }
        };
        let wants_checkpoint = actor.wants_checkpoint();
        drop(actor);
        if exits {
            self.stage.end(false);
        }
        // Told before the actor's own thread could tell that nothing of it is left.
        let reply = reply(self.stage.named.clone(), call.number, outcome, taken);
        means.desk.report_reply(Report::ActorReply(ActorReply { wants_checkpoint, ..reply }));
        drop(busy);
        self.stage.ended(call.number);
    }

    /// What a method returned, as far as it is wanted.
    fn value(&self, call: &Call, mut value: Value) -> Outcome {
        match call.reply {
            ReplyKind::None | ReplyKind::Stream => Outcome::Value(Value::none().into()),
            ReplyKind::Store | ReplyKind::Value => {
                let placed = self.stage.means.place(Owner::Actor(call.actor), &mut value);
                match placed {
                    Ok(()) => Outcome::Value(value.into()),
                    Err(error) => Outcome::Error(Box::new(error.bounded().into())),
                }
            }
        }
    }

    /// Tells the state. Calls wait meanwhile.
    fn checkpoint(&mut self, lsn: u64) {
        let Some(actor) = self.stage.actor() else { return };
        let means = &self.stage.means;
        let busy = means.desk.busy();
        let begun = Meter::begin_call();
        let state = actor.checkpoint().and_then(|State { mut value, callees }| {
            means.place(Owner::Actor(self.stage.actor), &mut value)?;
            Ok((value, callees))
        });
        let Span(took_us) = self.meter.end(begun).run;
        let (state, callees, error) = match state {
            Ok((value, callees)) => (Some(value.into()), callees_sent(callees), None),
            Err(error) => (None, Vec::new(), Some(error.bounded().into())),
        };
        means.desk.report(Report::ActorState(Box::new(ActorState {
            actor: Some(self.stage.actor.into()),
            incarnation: self.stage.incarnation,
            lsn,
            state,
            error,
            took_us,
            callees,
        })));
        drop(busy);
        self.stage.resume();
    }

    /// Lets the actor go, and tells so.
    fn end(&self) {
        let life = std::mem::replace(&mut *lock(&self.stage.life), Life::Gone);
        if let Life::Made(actor) = life {
            let _busy = self.stage.means.desk.busy();
            actor.end();
        }
        self.stage.means.desk.report(Report::ActorDropped(ActorDropped {
            actor: Some(self.stage.actor.into()),
            incarnation: self.stage.incarnation,
        }));
    }
}

fn reply(actor: impl Into<pb::ActorId>, call: u64, outcome: Outcome, taken: Taken) -> ActorReply {
    let Taken { run: Span(run_us), cpu: _, peak: peak_bytes } = taken;
    let timing = Some(pb::ExecutorTiming { run_us, peak_bytes, ..pb::ExecutorTiming::default() });
    ActorReply {
        actor: Some(actor.into()),
        call,
        timing,
        outcome: Some(outcome),
        wants_checkpoint: false,
    }
}

/// Said of a call that waited when its actor ended.
pub(super) fn not_begun(actor: ActorId, call: u64) -> Report {
    Report::ActorReply(reply(actor, call, Outcome::NotBegun(true), Taken::default()))
}

/// Said of a call that waited and was asked for.
pub(super) fn taken_back(actor: ActorId, call: u64) -> Report {
    Report::ActorReply(reply(actor, call, Outcome::TakenBack(true), Taken::default()))
}

/// The end of a call that never ran.
pub(super) fn never_ran(actor: ActorId, call: u64, error: TaskError) -> Report {
    let outcome = Outcome::Error(Box::new(error.bounded().into()));
    Report::ActorReply(reply(actor, call, outcome, Taken::default()))
}
