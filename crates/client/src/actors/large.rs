//! Arguments that are too large to be part of a call: put into a store first, while the call keeps its place.

use std::pin::pin;
use std::sync::Arc;

use bireme_core::actor::call::{self, CallCode, CallFailure, Ending, Outcome};
use bireme_core::actor::caller::Event;
use bireme_core::id::{ActorId, WorkerId};
use bireme_core::{ObjectId, Value, limits};
use bireme_proto::pb;
use tokio::sync::oneshot;

use super::args::Args;
use super::hub::Hub;
use crate::client::{Asked, Inner};
use crate::error::{CommandError, PutError, Refused};
use crate::put;

/// A call, and the values that were taken out of its arguments.
pub(super) struct Parcel {
    pub(super) call: call::Call,
    pub(super) args: Args,
    pub(super) large: Vec<pb::Value>,
}

/// A call that has its number and waits for its arguments.
pub(super) struct Awaiting {
    pub(super) client: Arc<Inner>,
    pub(super) hub: Arc<Hub>,
    pub(super) actor: ActorId,
    pub(super) seq: u64,
}

impl Awaiting {
    fn prepared(&self, call: Result<Arc<call::Call>, Box<CallFailure>>) {
        self.hub.on_event(self.actor, Event::Prepared { seq: self.seq, call });
    }

    /// Has the call ended if it waits, and asked to stop if it runs.
    fn cancel(&self) {
        self.hub.on_event(self.actor, Event::Cancelled { seq: self.seq, grace: None });
    }
}

/// Sends a call with large arguments, and gives them up when it has ended.
pub(super) async fn send(to: Awaiting, parcel: Parcel, mut end: End) {
    let Parcel { mut call, mut args, large } = parcel;
    let near = to.hub.place(to.actor).and_then(|place| place.worker);
    let mut stored = Stored::new(Arc::clone(&to.client), Arc::clone(&to.hub));
    for value in large {
        let Some(put) = end.or(stored.add(value, near, &mut args)).await else { return };
        if let Err(problem) = put {
            let why = format!("an argument cannot be stored: {problem}");
            to.prepared(Err(Box::new(CallFailure::new(CallCode::NotRun, why))));
            return end.pass_on().await;
        }
    }
    call.inputs = args.inputs.iter().copied().collect();
    call.arguments = args.encode();
    to.prepared(fitting(call));
    let refused = tokio::select! {
        biased;
        () = end.pass_on() => return,
        refused = stored.refused() => refused,
    };
    // Its host would wait for an argument that the scheduler has it drop.
    end.because = Some(format!("the scheduler takes no note of an argument: {refused}"));
    to.cancel();
    end.pass_on().await;
}

/// Sends a call when its arguments are here. They are not waited for once the call has ended.
pub(super) async fn send_later(
    to: Awaiting,
    (call, args): (call::Call, impl Future<Output = Result<Args, Box<CallFailure>>> + Send),
    mut end: End,
) {
    let args = tokio::select! {
        biased;
        () = end.pass_on() => return,
        args = args => args,
    };
    match args {
        Ok(mut args) => {
            let large = args.take_large();
            send(to, Parcel { call, args, large }, end).await;
        }
        Err(failure) => {
            to.prepared(Err(failure));
            end.pass_on().await;
        }
    }
}

/// The end of a call, on its way to whoever made it.
pub(super) struct End {
    comes: oneshot::Receiver<Box<Ending>>,
    waits: Option<oneshot::Sender<Box<Ending>>>,
    /// Why the call was cancelled, if not by whoever made it.
    because: Option<String>,
}

impl End {
    pub(super) fn new(
        comes: oneshot::Receiver<Box<Ending>>,
        waits: oneshot::Sender<Box<Ending>>,
    ) -> Self {
        Self { comes, waits: Some(waits), because: None }
    }

    /// Waits until the call has ended, and says so. It is not to be called again then.
    async fn pass_on(&mut self) {
        let Ok(mut ending) = (&mut self.comes).await else { return };
        if let (Some(why), Outcome::Failure(failure)) = (&self.because, &mut ending.outcome)
            && failure.code == CallCode::Cancelled
        {
            failure.message = format!("{}: {why}", failure.message);
        }
        if let Some(waits) = self.waits.take() {
            // Whoever made the call may have gone.
            drop(waits.send(ending));
        }
    }

    /// Waits for what a call needs. `None` if the call ended first, which is said at once; but what was begun is seen through:
    /// a value that is half stored could not be given up.
    async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            () = self.pass_on() => {
                work.await;
                None
            }
            done = &mut work => Some(done),
        }
    }
}

/// Values that were stored for a call or a constructor. They are given up when this goes.
pub(super) struct Stored {
    client: Arc<Inner>,
    hub: Arc<Hub>,
    objects: Vec<ObjectId>,
    /// What the scheduler was told of some of them, which it has not answered.
    told: Vec<Asked>,
}

impl Stored {
    pub(super) fn new(client: Arc<Inner>, hub: Arc<Hub>) -> Self {
        Self { client, hub, objects: Vec::new(), told: Vec::new() }
    }

    /// Puts a value into a store, that of the worker `near` if possible, and names it as the next input.
    pub(super) async fn add(
        &mut self,
        value: pb::Value,
        near: Option<WorkerId>,
        args: &mut Args,
    ) -> Result<(), PutError> {
        let value = Value::try_from(value).map_err(|_| PutError::NotInline)?;
        let object = match near {
            Some(near) => {
                let (object, told) = put::put_for_call(&self.client, value, near).await?;
                self.told.extend(told);
                object
            }
            None => put::put(&self.client, value, None).await?,
        };
        self.objects.push(object.id());
        args.inputs.push(object.id());
        Ok(())
    }

    /// Waits until the scheduler has refused to take note of one of them: for ever, as a rule.
    async fn refused(&mut self) -> Refused {
        while let Some(told) = self.told.pop() {
            // When the session is lost, the call ends with it.
            if let Err(CommandError::Refused(refused)) = self.client.answer_to(told).await {
                return refused;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if self.objects.is_empty() {
            return;
        }
        let (client, objects) = (Arc::clone(&self.client), std::mem::take(&mut self.objects));
        self.hub.spawn(async move {
            if let Err(error) = client.release_values(&objects).await {
                tracing::debug!(?objects, %error, "arguments are not released");
            }
        });
    }
}

/// The call, if what is left of its arguments can be part of it.
fn fitting(call: call::Call) -> Result<Arc<call::Call>, Box<CallFailure>> {
    let (bytes, limit) = (call.arguments.len(), limits::PAYLOAD_BYTES);
    if bytes > limit {
        let why = format!("arguments of {bytes} bytes in small pieces, the limit is {limit}");
        return Err(Box::new(CallFailure::new(CallCode::UnserializableArgs, why)));
    }
    Ok(Arc::new(call))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::super::hub::not_made;
    use super::*;

    /// The end of a call, who brings it, and who waits for it.
    fn end() -> (oneshot::Sender<Box<Ending>>, End, oneshot::Receiver<Box<Ending>>) {
        let (brings, comes) = oneshot::channel();
        let (waits, told) = oneshot::channel();
        (brings, End::new(comes, waits), told)
    }

    fn failure(ending: Box<Ending>) -> CallFailure {
        let Outcome::Failure(failure) = ending.outcome else { panic!("{ending:?}") };
        *failure
    }

    #[tokio::test]
    async fn a_call_ends_while_its_argument_is_being_stored() {
        let (brings, mut end, told) = end();
        let (stored, storing) = oneshot::channel::<u32>();
        brings.send(Box::new(not_made(CallCode::Deadline, "its time is up"))).unwrap();
        let sending = tokio::spawn(async move { end.or(storing).await });
        assert_eq!(failure(told.await.unwrap()).code, CallCode::Deadline);
        assert!(!sending.is_finished(), "what is on its way is to be given up");
        stored.send(1).unwrap();
        assert_eq!(sending.await.unwrap(), None, "and nothing more is stored");
    }

    #[tokio::test]
    async fn a_call_that_has_not_ended_goes_on_with_what_was_stored() {
        let (_brings, mut end, mut told) = end();
        assert_eq!(end.or(ready(1)).await, Some(1));
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_call_that_lost_its_argument_says_why_it_was_cancelled() {
        let why = Some("the scheduler takes no note of an argument".to_owned());
        for (code, message) in [
            (CallCode::Cancelled, "as told: the scheduler takes no note of an argument"),
            (CallCode::Gone, "as told"),
        ] {
            let (brings, mut end, told) = end();
            end.because.clone_from(&why);
            brings.send(Box::new(not_made(code, "as told"))).unwrap();
            end.pass_on().await;
            assert_eq!(failure(told.await.unwrap()).message, message);
        }
    }
}
