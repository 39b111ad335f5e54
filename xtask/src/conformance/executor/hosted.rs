//! An actor in the process that a check is about: of the class `Counter` that an executor must have for the checks of actors.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{
    ActorCall, ActorCheckpoint, ActorCreate, ActorDrop, ActorRestore, Order,
};
use bireme_proto::pb::executor_report::actor_reply::Outcome;
use bireme_proto::pb::executor_report::{ActorReady, ActorState, Report};
use prost::Message as _;
use serde_json::Value as Json;

use super::checks::LeftOut;
use super::subject::Subject;
use super::values::{data_of, given, plain};

/// Items that a call may send at first.
pub(super) const CREDIT: u32 = 2;

/// An actor, from the order that makes it.
#[derive(Clone, Debug)]
pub(super) struct Hosted {
    pub(super) id: pb::ActorId,
    pub(super) incarnation: u32,
    /// Calls that it was given.
    pub(super) calls: u64,
}

/// What an executor said to an order to make an actor.
#[derive(Clone, Debug)]
pub(super) enum Made {
    Ready(ActorReady),
    Failed(Box<pb::TaskError>),
}

impl Hosted {
    /// An actor that is about to be made; `n` tells those of one process apart.
    pub(super) fn new(n: u8) -> Self {
        Self { id: pb::ActorId { id: vec![n; 16].into() }, incarnation: 1, calls: 0 }
    }

    /// Has the class make one that begins with 0, and waits until it is there.
    pub(super) async fn made(subject: &mut Subject) -> Result<Self> {
        let actor = Self::new(1);
        let create = actor.creation(subject, "Counter", vec![given(plain(0))]);
        actor.make(subject, Order::ActorCreate(Box::new(create))).await?.ready()?;
        Ok(actor)
    }

    /// The order that makes it.
    pub(super) fn creation(
        &self,
        subject: &Subject,
        class: &str,
        args: Vec<pb::Arg>,
    ) -> ActorCreate {
        let spec = pb::ActorSpec {
            payload: subject.payload(class, args),
            class_name: class.to_owned(),
            lanes: vec![pb::LaneSpec { name: String::new(), concurrency: 1 }],
            isolation: pb::Isolation::Process.into(),
            ..pb::ActorSpec::default()
        };
        ActorCreate {
            actor: Some(self.id.clone()),
            incarnation: self.incarnation,
            spec: Some(spec),
            ..ActorCreate::default()
        }
    }

    /// Has it made, and waits for what the executor says to that.
    pub(super) async fn make(&self, subject: &mut Subject, order: Order) -> Result<Made> {
        if subject.first.attach.as_ref().is_none_or(|attach| !attach.actors) {
            return Err(LeftOut("attach.actors is not set").into());
        }
        subject.order(order).await?;
        let made = subject.hear("an actor to be made", |report| match report {
            Report::ActorReady(ready) if self.is(ready.actor.as_ref()) => {
                Some(Made::Ready(ready.clone()))
            }
            Report::ActorFailed(failed) if self.is(failed.actor.as_ref()) => {
                Some(Made::Failed(failed.error.clone().unwrap_or_default().into()))
            }
            _ => None,
        });
        made.await
    }

    /// Makes it again of what it has left.
    pub(super) async fn restore(&mut self, subject: &mut Subject, left: ActorState) -> Result<()> {
        self.incarnation += 1;
        self.calls = 0;
        let create = Some(self.creation(subject, "Counter", vec![given(plain(0))]));
        let ActorState { lsn, state, callees, .. } = left;
        let restore = ActorRestore { create, state, lsn, callees };
        self.make(subject, Order::ActorRestore(Box::new(restore))).await?.ready().map(drop)
    }

    /// A call, with the next number.
    pub(super) fn call(&mut self, method: &str, args: Vec<pb::Arg>) -> ActorCall {
        self.calls += 1;
        ActorCall {
            actor: Some(self.id.clone()),
            call: self.calls,
            method: method.to_owned(),
            arguments: pb::CallArguments { args, named_args: Vec::new() }.encode_to_vec().into(),
            reply: pb::ReplyKind::Value.into(),
            credit: CREDIT,
            ..ActorCall::default()
        }
    }

    /// Gives it a call, and returns its number.
    pub(super) async fn give(
        &mut self,
        subject: &mut Subject,
        method: &str,
        args: Vec<pb::Arg>,
    ) -> Result<u64> {
        let call = self.call(method, args);
        subject.order(Order::ActorCall(call)).await?;
        Ok(self.calls)
    }

    /// Calls a method and waits for how that ends.
    pub(super) async fn end(
        &mut self,
        subject: &mut Subject,
        method: &str,
        args: Vec<pb::Arg>,
    ) -> Result<Outcome> {
        let number = self.give(subject, method, args).await?;
        self.reply(subject, number).await
    }

    /// Calls a method and reads what it returns.
    pub(super) async fn value(
        &mut self,
        subject: &mut Subject,
        method: &str,
        args: Vec<pb::Arg>,
    ) -> Result<Json> {
        let outcome = self.end(subject, method, args).await?;
        let value = returned(outcome).with_context(|| format!("{method} was called"))?;
        data_of(&value, &subject.host.pool())
    }

    /// Calls a method that must fail.
    pub(super) async fn failure(
        &mut self,
        subject: &mut Subject,
        method: &str,
        args: Vec<pb::Arg>,
    ) -> Result<pb::TaskError> {
        failure(self.end(subject, method, args).await?)
    }

    /// Waits for how a call ends.
    pub(super) async fn reply(&self, subject: &mut Subject, number: u64) -> Result<Outcome> {
        let (call, outcome) =
            subject.hear("a call to end", |report| self.ended(report, Some(number))).await?;
        outcome.with_context(|| format!("the reply to call {call} has no outcome"))
    }

    /// Waits for the next call to end, whichever that is.
    pub(super) async fn next_reply(&self, subject: &mut Subject) -> Result<(u64, Option<Outcome>)> {
        subject.hear("a call to end", |report| self.ended(report, None)).await
    }

    /// How a call of this number, or any call, ended, if that is what a report says.
    pub(super) fn ended(
        &self,
        report: &Report,
        number: Option<u64>,
    ) -> Option<(u64, Option<Outcome>)> {
        match report {
            Report::ActorReply(reply)
                if self.is(reply.actor.as_ref())
                    && number.is_none_or(|number| number == reply.call) =>
            {
                Some((reply.call, reply.outcome.clone()))
            }
            _ => None,
        }
    }

    /// The order to take a checkpoint.
    pub(super) fn checkpoint(&self, lsn: u64) -> Order {
        let actor = Some(self.id.clone());
        Order::ActorCheckpoint(ActorCheckpoint { actor, incarnation: self.incarnation, lsn })
    }

    /// Waits for its state.
    pub(super) async fn state(&self, subject: &mut Subject, lsn: u64) -> Result<ActorState> {
        let state = subject.hear("the state of an actor", |report| match report {
            Report::ActorState(state) if self.is(state.actor.as_ref()) => Some((**state).clone()),
            _ => None,
        });
        let state = state.await?;
        ensure!(state.error.is_none(), "there is no state: {:?}", state.error);
        ensure!(state.state.is_some(), "there is neither a state nor an error");
        ensure!(
            (state.lsn, state.incarnation) == (lsn, self.incarnation),
            "the state is of record {} and incarnation {}, not {lsn} and {}",
            state.lsn,
            state.incarnation,
            self.incarnation
        );
        Ok(state)
    }

    /// Has it dropped, and waits until nothing of it is left.
    pub(super) async fn drop(&self, subject: &mut Subject, grace_us: u64) -> Result<()> {
        let (actor, incarnation) = (Some(self.id.clone()), self.incarnation);
        let drop = ActorDrop { actor, incarnation, grace_us, reason: "enough".to_owned() };
        subject.order(Order::ActorDrop(drop)).await?;
        self.dropped(subject).await
    }

    /// Waits until nothing of it is left.
    pub(super) async fn dropped(&self, subject: &mut Subject) -> Result<()> {
        let dropped = subject.hear("an actor to be dropped", |report| match report {
            Report::ActorDropped(dropped) if self.is(dropped.actor.as_ref()) => {
                Some(dropped.incarnation)
            }
            _ => None,
        });
        let incarnation = dropped.await?;
        ensure!(incarnation == self.incarnation, "incarnation {incarnation} was dropped");
        Ok(())
    }

    fn is(&self, actor: Option<&pb::ActorId>) -> bool {
        actor == Some(&self.id)
    }
}

impl Made {
    /// It must have been made.
    pub(super) fn ready(self) -> Result<ActorReady> {
        match self {
            Self::Ready(ready) => Ok(ready),
            Self::Failed(error) => bail!("the actor was not made: {}", error.message),
        }
    }

    /// It must not.
    pub(super) fn failed(self) -> Result<Box<pb::TaskError>> {
        match self {
            Self::Ready(_) => bail!("the actor was made instead of failing"),
            Self::Failed(error) => Ok(error),
        }
    }
}

/// The value of a call that must have returned.
pub(super) fn returned(outcome: Outcome) -> Result<pb::Value> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Error(error) => {
            bail!("it failed as {}: {}", error.class().as_str_name(), error.message)
        }
        Outcome::NoSuchMethod(_) => bail!("there is no such method"),
        Outcome::NotBegun(_) => bail!("it was not begun"),
        Outcome::TakenBack(_) => bail!("it was taken back, though nobody asked"),
    }
}

/// The error of a call that must have failed.
pub(super) fn failure(outcome: Outcome) -> Result<pb::TaskError> {
    match outcome {
        Outcome::Error(error) => Ok(*error),
        other => bail!("it ended as {other:?} instead of failing"),
    }
}
