//! Calls: made at once, awaited when their results are wanted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bireme_core::actor::Delivery;
use bireme_core::actor::call::{self, CallCode, CallFailure, CallId, Ending, Outcome, ReplyKind};
use bireme_core::actor::caller::{Event, Unready};
use bireme_core::actor::probe::Probe;
use bireme_core::id::WorkerId;
use bireme_core::session::Put;
use bireme_core::{ObjectId, Span, Value, limits};
use smallvec::smallvec;
use tokio::sync::{mpsc, oneshot};

use super::args::Args;
use super::error::CallError;
use super::handle::Actor;
use super::hub::{Waiter, not_made};
use super::large::{self, Awaiting, End, Parcel};
use crate::client::Inner;
use crate::error::CommandError;
use crate::fetch::{self, Wanted};
use crate::object::{FetchError, Object};
use crate::slots::Place;

/// A call that is about to be made: what is to be done, and how.
#[derive(Debug)]
#[must_use = "a method is called by `call` or `stream`"]
pub struct Method {
    actor: Actor,
    call: call::Call,
    args: Args,
}

/// A call that was made. It has its place among the calls of this session to its actor, and runs whether it is awaited or
/// not; awaiting it gives what the method returned. Dropping it gives up the result, not the call.
pub struct Call {
    actor: Actor,
    /// `None` if it was not made.
    seq: Option<u64>,
    ended: oneshot::Receiver<Box<Ending>>,
    fetching: Option<Fetching>,
}

/// What a call gave.
#[derive(Clone, Debug)]
pub enum Made {
    /// The value, which came with the reply.
    Here(Value),
    /// A value that lies on the actor's worker.
    Stored(Object),
}

/// Cancels a call.
#[derive(Clone, Debug)]
pub struct Canceller {
    actor: Actor,
    seq: Option<u64>,
}

impl Canceller {
    /// As [`Call::cancel`].
    pub fn cancel(&self, grace: Option<Span>) {
        if let Some(seq) = self.seq {
            let event = Event::Cancelled { seq, grace };
            self.actor.hub().on_event(self.actor.id(), event);
        }
    }

    /// Sends what looks for a deadlock to the host of the call.
    pub(super) fn probe(&self, probe: Probe) {
        if let Some(seq) = self.seq {
            let event = Event::Probed { seq, probe: Box::new(probe) };
            self.actor.hub().on_event(self.actor.id(), event);
        }
    }
}

type Fetching = Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send>>;

/// The items of a streaming call, as they come.
#[derive(Debug)]
pub struct Items {
    call: Call,
    items: mpsc::Receiver<(u64, Value)>,
}

impl Method {
    pub(super) fn new(actor: Actor, method: impl Into<String>) -> Self {
        let (method, chain) = (method.into(), actor.chain().to_vec());
        let call = call::Call { method, chain, ..call::Call::default() };
        Self { actor, call, args: Args::new() }
    }

    /// Gives all its arguments.
    pub fn args(mut self, args: impl Into<Args>) -> Self {
        self.args = args.into();
        self
    }

    /// Gives the caller up after so long: the call ends as [`CallCode::Deadline`].
    pub fn deadline(mut self, deadline: Span) -> Self {
        self.call.deadline = Some(deadline);
        self
    }

    /// Weakens for this call what the actor promises.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.call.delivery = Some(delivery);
        self
    }

    /// Runs in the lane with this place in the actor's list, instead of the method's own.
    pub fn lane(mut self, lane: u32) -> Self {
        self.call.lane = Some(lane);
        self
    }

    /// Leaves the result on the actor's worker: see [`Call::stored`].
    pub fn store(mut self) -> Self {
        self.call.reply = ReplyKind::Store;
        self
    }

    /// Wants only to know that the call has ended: awaiting it gives no value.
    pub fn discard(mut self) -> Self {
        self.call.reply = ReplyKind::None;
        self
    }

    /// Lets the call overtake earlier ones.
    pub fn unordered(mut self) -> Self {
        self.call.unordered = true;
        self
    }

    /// Names what the call belongs to, as a W3C `traceparent`.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.call.traceparent = traceparent.into();
        self
    }

    /// Names the calls that wait for this one, outermost first: a call that would wait for itself ends as
    /// [`CallCode::Deadlock`].
    pub fn chain(mut self, chain: impl IntoIterator<Item = CallId>) -> Self {
        self.call.chain = chain.into_iter().take(limits::CALL_CHAIN).collect();
        self
    }

    /// Makes the call, whose arguments are given later: it has its place from now on, and later ones wait for it. Those of
    /// them that are here already have so many `bytes`: they count as those of every call that has not ended.
    pub fn call_later(
        self,
        bytes: usize,
        args: impl Future<Output = Result<Args, Box<CallFailure>>> + Send + 'static,
    ) -> Call {
        let Self { actor, mut call, args: _ } = self;
        let (ended, receiver) = oneshot::channel();
        if let Some(refused) = settle_result(&actor, &mut call) {
            drop(ended.send(Box::new(refused)));
            return Call { actor, seq: None, ended: receiver, fetching: None };
        }
        let unready = Unready { deadline: call.deadline, bytes };
        let keeper = actor.clone();
        let args = async move {
            let args = args.await?;
            keeper.keep(&args.handles);
            Ok(args)
        };
        let seq =
            later(&actor, unready, None, ended, |to, end| large::send_later(to, (call, args), end));
        Call { actor, seq, ended: receiver, fetching: None }
    }

    /// Makes the call. Where there is no room for it ([`Actor::room`]) it ends at once as [`CallCode::MailboxFull`].
    pub fn call(self) -> Call {
        self.make(None)
    }

    /// Makes the call and gives the items that it yields.
    pub fn stream(mut self) -> Items {
        self.call.reply = ReplyKind::Stream;
        // All that a host may send before it hears that some were taken, twice: the second time after a lost stream.
        let room = usize::try_from(limits::CALL_ITEMS).unwrap_or(usize::MAX).saturating_mul(2);
        let (sender, items) = mpsc::channel(room);
        Items { call: self.make(Some(sender)), items }
    }

    fn make(self, items: Option<mpsc::Sender<(u64, Value)>>) -> Call {
        let Self { actor, mut call, mut args } = self;
        let (ended, receiver) = oneshot::channel();
        if let Some(refused) = settle_result(&actor, &mut call) {
            drop(ended.send(Box::new(refused)));
            return Call { actor, seq: None, ended: receiver, fetching: None };
        }
        actor.keep(&args.handles);
        let large = args.take_large();
        let seq = if large.is_empty() {
            call.inputs = args.inputs.iter().copied().collect();
            call.arguments = args.encode();
            let waiter = Waiter { ended, items };
            actor.hub().call(actor.id(), Ok(Arc::new(call)), waiter)
        } else {
            let bytes = large.iter().map(|value| value.size).sum::<u64>();
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let unready = Unready { deadline: call.deadline, bytes };
            later(&actor, unready, items, ended, |to, end| {
                large::send(to, Parcel { call, args, large }, end)
            })
        };
        Call { actor, seq, ended: receiver, fetching: None }
    }
}

/// Takes a number for a call whose arguments are not ready, and has it sent when they are.
fn later<F: Future<Output = ()> + Send + 'static>(
    actor: &Actor,
    unready: Unready,
    items: Option<mpsc::Sender<(u64, Value)>>,
    ended: oneshot::Sender<Box<Ending>>,
    send: impl FnOnce(Awaiting, End) -> F,
) -> Option<u64> {
    let (first, then) = oneshot::channel();
    let waiter = Waiter { ended: first, items };
    let hub = Arc::clone(actor.hub());
    let seq = hub.call(actor.id(), Err(unready), waiter)?;
    let client = Arc::clone(actor.client());
    let to = Awaiting { client, hub: Arc::clone(&hub), actor: actor.id(), seq };
    hub.spawn(send(to, End::new(then, ended)));
    Some(seq)
}

/// Says where the result of a call is stored, if it is; or why the call cannot be made as it is wanted: what is stored for a
/// session goes with it, and a call that is made again after this process would find it gone.
fn settle_result(actor: &Actor, call: &mut call::Call) -> Option<Ending> {
    match call.reply {
        ReplyKind::Stream | ReplyKind::Store if actor.hub().is_numbered() => {
            let why = "what an effectively-once actor gets from others comes with the reply: items and stored results cannot \
                 be had again";
            return Some(not_made(CallCode::NotRun, why));
        }
        ReplyKind::Store | ReplyKind::Value if !actor.hub().is_numbered() => {
            call.result = Some(actor.client().number_value().0);
        }
        _ => {}
    }
    None
}

impl Call {
    /// The actor's number for it among the calls of this session: 1, 2, 3 in the order in which they were made. `None` if
    /// there was no room to make it.
    pub fn number(&self) -> Option<u64> {
        self.seq
    }

    /// Has the call ended if it waits, and asked to stop if it runs. After `grace` the actor's process is killed if it still
    /// runs; without, it may take all the time it wants.
    pub fn cancel(&self, grace: Option<Span>) {
        self.canceller().cancel(grace);
    }

    /// Waits until it has ended, and tells how, and what that took. A stored result is not fetched.
    pub async fn ended(mut self) -> Box<Ending> {
        let ending = (&mut self.ended).await;
        ending.unwrap_or_else(|_| Box::new(self.never_ended()))
    }

    /// What cancels it, apart from the call itself.
    pub fn canceller(&self) -> Canceller {
        Canceller { actor: self.actor.clone(), seq: self.seq }
    }

    /// Waits until it has ended, and gives its result: the value, or where it was too large for the reply the object on the
    /// actor's worker, which is neither fetched nor released.
    pub async fn made(self) -> Result<Made, CallError> {
        let client = Arc::clone(self.actor.client());
        match self.ended().await.outcome {
            Outcome::Stored { object, size, worker } => {
                client.tell_of(Put { object, size, worker, copies: 1 }).await?;
                let place = Place { holders: smallvec![worker], size };
                Ok(Made::Stored(Object::new(object, place, client)))
            }
            Outcome::Done { .. } => Ok(Made::Here(Value::none())),
            Outcome::Value(value) => Ok(Made::Here(*value)),
            Outcome::Failure(failure) => Err(CallError::Failed(failure)),
            Outcome::UserError(error) => Err(CallError::User(error)),
        }
    }

    /// Waits until it has ended, and gives the stored result, which tasks and other calls can take as an input. Of calls that
    /// were made with [`Method::store`].
    pub async fn stored(self) -> Result<Object, CallError> {
        let client = Arc::clone(self.actor.client());
        match self.ended().await.outcome {
            Outcome::Stored { object, size, worker } => {
                client.tell_of(Put { object, size, worker, copies: 1 }).await?;
                let place = Place { holders: smallvec![worker], size };
                Ok(Object::new(object, place, client))
            }
            Outcome::Done { .. } | Outcome::Value(_) => Err(CallError::NotStored),
            Outcome::Failure(failure) => Err(CallError::Failed(failure)),
            Outcome::UserError(error) => Err(CallError::User(error)),
        }
    }

    /// Nobody is left who could tell how it ended; or it was not made.
    fn never_ended(&self) -> Ending {
        match self.seq {
            Some(_) => not_made(CallCode::Unknown, "the session has ended"),
            None => not_made(
                CallCode::MailboxFull,
                format!(
                    "{} calls to the actor, or {} bytes of them, have not ended: wait for room",
                    limits::CALLS_PENDING,
                    limits::CALLS_PENDING_BYTES
                ),
            ),
        }
    }
}

impl Future for Call {
    type Output = Result<Value, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.fetching.is_none() {
            let ending = ready!(Pin::new(&mut this.ended).poll(cx));
            let ending = ending.map_or_else(|_| this.never_ended(), |ending| *ending);
            match ending.outcome {
                Outcome::Stored { object, size, worker } => {
                    let client = Arc::clone(this.actor.client());
                    this.fetching = Some(Box::pin(fetch_result(client, object, size, worker)));
                }
                Outcome::Done { .. } => return Poll::Ready(Ok(Value::none())),
                Outcome::Value(value) => return Poll::Ready(Ok(*value)),
                Outcome::Failure(failure) => return Poll::Ready(Err(CallError::Failed(failure))),
                Outcome::UserError(error) => return Poll::Ready(Err(CallError::User(error))),
            }
        }
        match &mut this.fetching {
            Some(fetching) => fetching.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({}, {:?})", self.actor.id(), self.seq)
    }
}

/// Fetches a result that was too large for the reply, and gives it up.
async fn fetch_result(
    client: Arc<Inner>,
    object: ObjectId,
    size: u64,
    worker: WorkerId,
) -> Result<Value, CallError> {
    // With the scheduler's knowledge others can pass it on, and it can be released.
    let told = client.tell_of(Put { object, size, worker, copies: 1 }).await;
    let place = Place { holders: smallvec![worker], size };
    let fetched = fetch::value(&client, Wanted { object, place }).await;
    if told.is_ok() {
        let client = Arc::clone(&client);
        tokio::spawn(async move {
            match client.release_value(object).await {
                // A session that is lost has nothing any more.
                Ok(()) | Err(CommandError::Lost(_)) => {}
                Err(CommandError::Refused(refused)) => {
                    tracing::debug!(%object, %refused, "the result of a call is not released");
                }
            }
        });
    }
    Ok(fetched.map_err(|problem| FetchError { object, problem })?)
}

impl Items {
    /// The next item; `None` after the last. A call that failed gives its error once, after the items that it gave before.
    pub async fn next(&mut self) -> Option<Result<Value, CallError>> {
        if let Some((n, item)) = self.items.recv().await {
            if n.is_multiple_of(u64::from(limits::CALL_ITEMS / 2))
                && let Some(seq) = self.call.seq
            {
                let event = Event::ItemsTaken { seq, up_to: n };
                self.call.actor.hub().on_event(self.call.actor.id(), event);
            }
            return Some(Ok(item));
        }
        if self.call.ended.is_terminated() {
            return None;
        }
        match (&mut self.call).await {
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// As [`Call::cancel`].
    pub fn cancel(&self, grace: Option<Span>) {
        self.call.cancel(grace);
    }
}
