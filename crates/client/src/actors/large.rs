//! Arguments that are too large to be part of a call: put into a store first, while the call keeps its place.

use std::sync::Arc;

use bireme_core::actor::call::{self, CallCode, CallFailure, Ending};
use bireme_core::actor::caller::Event;
use bireme_core::id::{ActorId, WorkerId};
use bireme_core::{Value, limits};
use bireme_proto::pb;
use tokio::sync::oneshot;

use super::args::Args;
use super::hub::Hub;
use crate::client::Inner;
use crate::error::PutError;
use crate::object::Object;
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
}

/// Sends a call with large arguments, and gives them up when it has ended.
pub(super) async fn send(
    to: Awaiting,
    parcel: Parcel,
    ended: oneshot::Receiver<Box<Ending>>,
    waits: oneshot::Sender<Box<Ending>>,
) {
    let Parcel { mut call, mut args, large } = parcel;
    let near = to.hub.place(to.actor).and_then(|place| place.worker);
    let stored = store(&to.client, &mut args, large, near).await;
    let (objects, prepared) = match stored {
        Ok(objects) => {
            call.inputs = args.inputs.iter().copied().collect();
            call.arguments = args.encode();
            (objects, fitting(call))
        }
        Err(problem) => {
            let why = format!("an argument cannot be stored: {problem}");
            (Vec::new(), Err(Box::new(CallFailure::new(CallCode::NotRun, why))))
        }
    };
    to.prepared(prepared);
    if let Ok(ending) = ended.await {
        // Whoever made the call may have gone.
        drop(waits.send(ending));
    }
    for object in objects {
        if let Err(error) = object.release().await {
            tracing::debug!(object = %object.id(), %error, "an argument is not released");
        }
    }
}

/// Sends a call when its arguments are here. They are not waited for once the call has ended.
pub(super) async fn send_later(
    to: Awaiting,
    (call, args): (call::Call, impl Future<Output = Result<Args, Box<CallFailure>>> + Send),
    mut ended: oneshot::Receiver<Box<Ending>>,
    waits: oneshot::Sender<Box<Ending>>,
) {
    let args = tokio::select! {
        biased;
        ending = &mut ended => {
            // Whoever made the call may have gone.
            drop(ending.map(|ending| waits.send(ending)));
            return;
        }
        args = args => args,
    };
    match args {
        Ok(mut args) => {
            let large = args.take_large();
            send(to, Parcel { call, args, large }, ended, waits).await;
        }
        Err(failure) => {
            to.prepared(Err(failure));
            drop(ended.await.map(|ending| waits.send(ending)));
        }
    }
}

/// Puts values into stores, the worker `near` first, and names them as inputs.
pub(super) async fn store(
    client: &Arc<Inner>,
    args: &mut Args,
    large: Vec<pb::Value>,
    near: Option<WorkerId>,
) -> Result<Vec<Object>, PutError> {
    let mut objects = Vec::with_capacity(large.len());
    for value in large {
        let value = Value::try_from(value).map_err(|_| PutError::NotInline)?;
        let object = match near {
            Some(near) => put::put_for_call(client, value, near).await?,
            None => put::put(client, value, None).await?,
        };
        args.inputs.push(object.id());
        objects.push(object);
    }
    Ok(objects)
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
