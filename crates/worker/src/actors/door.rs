//! Processes of actors come back to their worker; what they say.

use std::sync::Arc;

use bireme_core::actor::host::Event;
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, Span, TaskError, Value};
use bireme_executor::batches::Batches;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Answer, answer};
use bireme_proto::pb::executor_report::{self as wire, Report, actor_reply};

use super::{Setup, Shared, Turn};
use crate::executor::process::Manners;
use crate::failure::failure;
use crate::rpc::executor::{About, Reception, each, senseless, timing, unserved};

impl Reception for Shared {
    fn about(&self) -> About<'_> {
        let Setup { worker, store, scheduler, .. } = &self.setup;
        About { worker, store, scheduler }
    }

    fn attach(
        self: &Arc<Self>,
        number: u64,
        token: &str,
        manners: Manners,
        orders: Batches<pb::ExecutorOrder>,
    ) -> Result<(), &'static str> {
        self.turn().attach(number, token, manners.pid, orders)
    }

    fn hear(self: &Arc<Self>, number: u64, reports: Vec<pb::ExecutorReport>) {
        // One turn for all of it: replies travel together, and so do records of logs.
        let mut turn = self.turn();
        each(number, reports, |report| turn.hear_process(number, report));
    }

    fn detached(self: &Arc<Self>, number: u64) {
        self.turn().detached(number);
    }
}

impl Turn<'_> {
    /// Takes one report. What this version does not know is passed over.
    fn hear_process(&mut self, number: u64, report: Report) -> Result<(), Refusal> {
        match report {
            Report::ActorReply(reply) => {
                let wire::ActorReply { actor, call, outcome, timing: taken, wants_checkpoint } =
                    reply;
                let Some(actor) = self.actor_in(number, actor)? else { return Ok(()) };
                let took = timing(taken).run;
                self.replied(actor, call, outcome, took);
                if wants_checkpoint {
                    self.wish_checkpoint(actor);
                }
            }
            Report::ActorItem(wire::ActorItem { actor, call, n, value }) => {
                let Some(actor) = self.actor_in(number, actor)? else { return Ok(()) };
                let missing = || Refusal::at(Reason::Malformed, "value", "value is missing");
                let value = Value::try_from(value.ok_or_else(missing)?)?;
                self.gave_item(actor, call, n, value);
            }
            Report::ActorReady(wire::ActorReady { actor, incarnation, checkpoints, .. }) => {
                let actor = actor_id(actor)?;
                if self.is_it(number, actor, incarnation) {
                    self.became_alive(actor, checkpoints);
                }
            }
            Report::ActorFailed(failed) => {
                let wire::ActorFailed { actor, incarnation, error } = *failed;
                let actor = actor_id(actor)?;
                if self.is_it(number, actor, incarnation) {
                    // It never was: nothing of it is left in the process.
                    self.out_of(number, actor);
                    self.refused(actor, read_error(error));
                    // Of one that it had made after all, too.
                    self.feed(actor, Event::Exited);
                }
            }
            Report::ActorState(state) => self.hear_state(number, *state)?,
            Report::ActorDropped(wire::ActorDropped { actor, incarnation }) => {
                self.dropped(number, actor_id(actor)?, Incarnation(incarnation));
            }
            Report::AllocatePool(wire::AllocatePool { request, lengths, actor, .. }) => {
                self.allocate(number, request, actor_id(actor)?, lengths);
            }
            Report::Refused(wire::OrderRefused {
                actor: Some(actor), request, refused, ..
            }) => {
                let Some(actor) = self.actor_in(number, Some(actor))? else { return Ok(()) };
                let pb::Refused { reason, field, message, .. } = refused.unwrap_or_default();
                let refusal = bireme_proto::convert::common::refusal(&reason, field, message);
                self.order_refused(actor, request, &refusal);
            }
            other => {
                let request = match &other {
                    Report::Rejoin(asked) => Some(asked.request),
                    // One that wants no answer has no number.
                    Report::Secede(asked) => Some(asked.request).filter(|request| *request != 0),
                    other => unserved(other),
                };
                if let Some(request) = request {
                    let message = "code of actors cannot ask its worker for this";
                    let error = failure(ErrorClass::User, Reason::Unsupported, message);
                    self.refuse_request_of(number, request, &error);
                }
            }
        }
        Ok(())
    }

    /// A process has not carried out an order about an actor. If it was to run a call, that ends; else the actor cannot be made.
    fn order_refused(&mut self, actor: ActorId, request: u64, refusal: &Refusal) {
        let entry = self.table.entries.get(&actor);
        if !entry.is_some_and(|entry| entry.runs.contains(request)) {
            return self.refused(actor, senseless(refusal));
        }
        let Refusal { reason, field, message } = refusal;
        let message = format!("the actor's process does not take the call: {field}: {message}");
        let error = failure(ErrorClass::Deserialize, *reason, message);
        let outcome = actor_reply::Outcome::Error(Box::new((*error).into()));
        self.replied(actor, request, Some(outcome), Span::ZERO);
    }

    fn hear_state(&mut self, number: u64, state: wire::ActorState) -> Result<(), Refusal> {
        let wire::ActorState { actor, incarnation, lsn, state, error, callees, .. } = state;
        let actor = actor_id(actor)?;
        let asked = self.table.entries.get(&actor).and_then(|entry| entry.keeping.as_ref());
        if !self.is_it(number, actor, incarnation) || asked.is_none_or(|asked| asked.lsn != lsn) {
            return Ok(());
        }
        let state = match (state, error) {
            (Some(state), None) => Ok(Value::try_from(state)?),
            (_, error) => Err(read_error(error)),
        };
        self.keep_state(actor, state, callees);
        Ok(())
    }

    /// The actor that a process speaks of, if it lives there: none is spoken for by another's process. What code says that lingers
    /// after its actor's end is passed over.
    fn actor_in(
        &self,
        number: u64,
        actor: Option<pb::ActorId>,
    ) -> Result<Option<ActorId>, Refusal> {
        let actor = actor_id(actor)?;
        if self.is_in(number, actor) {
            return Ok(Some(actor));
        }
        if self.lingers_in(number, actor) {
            return Ok(None);
        }
        let message = format!("actor {actor} does not live in this process");
        Err(Refusal::at(Reason::Malformed, "actor", message))
    }

    /// Whether a process has an actor, in whichever incarnation.
    pub(super) fn is_in(&self, number: u64, actor: ActorId) -> bool {
        self.table.entries.get(&actor).is_some_and(|entry| entry.process == Some(number))
    }

    /// Whether a process has just this incarnation.
    pub(super) fn is_it(&self, number: u64, actor: ActorId, incarnation: u32) -> bool {
        self.table.entries.get(&actor).is_some_and(|entry| {
            entry.process == Some(number) && entry.hosting.incarnation.0 == incarnation
        })
    }

    pub(super) fn refuse_request_of(&self, number: u64, request: u64, error: &TaskError) {
        let (reason, message) = (error.reason.clone(), error.message.clone());
        let refused = pb::Refused { reason, message, ..pb::Refused::default() };
        let answer = Some(answer::Answer::Refused(refused));
        let answer = Answer { request, answer };
        self.say_to(number, pb::executor_order::Order::Answer(answer));
    }
}

/// An error as a process tells it.
pub(super) fn read_error(error: Option<pb::TaskError>) -> Box<TaskError> {
    let missing = || Refusal::at(Reason::Malformed, "error", "error is missing");
    let error = error.ok_or_else(missing).and_then(TaskError::try_from);
    error.map_or_else(|refusal| senseless(&refusal), Box::new)
}

fn actor_id(actor: Option<pb::ActorId>) -> Result<ActorId, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "actor", "actor is missing");
    actor.ok_or_else(missing)?.try_into()
}
