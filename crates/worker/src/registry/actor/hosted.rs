//! Native actors as an executor hosts them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::{fmt, io};

use bireme_core::actor::call::Callee;
use bireme_core::id::Digest;
use bireme_core::{ErrorClass, Reason, TaskError, Value};
use bireme_executor::{Actors, Call, CallEnd, Creation, State};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use super::method::{Code, Made};
use super::outward::Outward;
use super::{Actor, Arguments, CallContext, Methods};
use crate::executor::payload::{Material, Payload, Work, malformed, no_blob};
use crate::executor::pool::plan::panicked;
use crate::failure::failure;
use crate::registry::result::blame;
use crate::registry::{Arg, IntoValue as _, Msgpack, Registry};
use crate::rpc::payload::{decode, decode_arguments};

/// The name by which clients that know nothing of a class ask for its methods.
const METHODS: &str = "__dir__";

/// A type of actors, by name.
pub(crate) trait Class: Send + Sync {
    /// Makes one.
    fn create(&self, creation: &Creation) -> Result<Hosted, Box<TaskError>>;
}

/// An actor, once its type is forgotten.
type Hosted = Box<dyn bireme_executor::Actor>;

/// The class of a type.
pub(crate) fn class<T: Actor>() -> Arc<dyn Class> {
    Arc::new(Type::<T>(Arc::new(Methods::of_type())))
}

/// Makes actors of the classes of a registry.
#[derive(Debug)]
pub(crate) struct NativeActors(pub(crate) Registry);

impl Actors for NativeActors {
    fn create(&self, creation: &Creation) -> Result<Hosted, Box<TaskError>> {
        let payload = decode(&creation.spec.payload)?;
        let Work::Native(name) = &payload.work else {
            return Err(malformed("payload.work: it is not native, but the actor's runtime is"));
        };
        let class = self.0.find_class(name)?;
        // What a panic leaves behind is the constructor's own.
        let made = catch_unwind(AssertUnwindSafe(|| class.create(creation)));
        made.unwrap_or_else(|panic| Err(panicked(&*panic)))
    }
}

struct Type<T>(Arc<Methods<T>>);

impl<T: Actor> Class for Type<T> {
    fn create(&self, creation: &Creation) -> Result<Hosted, Box<TaskError>> {
        let methods = Arc::clone(&self.0);
        let alone = |code: &Code<T>| !matches!(code, Code::Shared(_));
        if creation.spec.reentrant && methods.methods.values().any(alone) {
            let message = "spec.reentrant: the class has methods that need the actor for themselves, \
                 so that no call can come in while one runs";
            return Err(malformed(message));
        }
        let actor = match (&creation.restored, &methods.keeper) {
            (None, _) => make(creation)?,
            (Some(state), Some(keeper)) => (keeper.restore)(state.value.clone())?,
            (Some(_), None) => return Err(stateless()),
        };
        let outward = Outward::new(creation);
        let (actor, runtime) = (RwLock::new(actor), OnceLock::new());
        Ok(Box::new(Native { actor, methods, runtime, outward }))
    }
}

/// Calls the constructor.
fn make<T: Actor>(creation: &Creation) -> Result<T, Box<TaskError>> {
    let Payload { args, named, .. } = decode(&creation.spec.payload)?;
    if named > 0 {
        return Err(malformed("payload.named_args: native actors take arguments by position"));
    }
    let args = args.iter().map(|template| template.fill(creation));
    let args: Vec<Arg> = args.collect::<Result<_, _>>()?;
    T::create(&Arguments(&args)).map_err(blame)
}

/// An actor of a type.
struct Native<T> {
    actor: RwLock<T>,
    methods: Arc<Methods<T>>,
    /// For async methods, once one is called.
    runtime: OnceLock<Runtime>,
    outward: Outward,
}

impl<T: Actor> bireme_executor::Actor for Native<T> {
    fn methods(&self) -> Vec<String> {
        self.methods.methods.keys().cloned().collect()
    }

    fn checkpoints(&self) -> bool {
        self.methods.keeper.is_some()
    }

    fn call(&self, call: &Call) -> CallEnd {
        let Some(code) = self.methods.methods.get(&call.method) else {
            return if call.method == METHODS {
                self.tell_methods()
            } else {
                CallEnd::NoSuchMethod
            };
        };
        let args = match arguments(call) {
            Ok(args) => args,
            Err(error) => return CallEnd::Failed(unreadable(error)),
        };
        self.outward.begin(call);
        let context = CallContext::new(call, &self.outward);
        // What a panic leaves behind is the actor's own.
        let made = catch_unwind(AssertUnwindSafe(|| self.run(code, &context, &args)));
        self.outward.settle(call.lane);
        match made.unwrap_or_else(|panic| Err(panicked(&*panic))) {
            Ok(value) if context.exits() => CallEnd::Exit(value),
            Ok(value) => CallEnd::Returned(value),
            Err(error) => CallEnd::Failed(error),
        }
    }

    fn checkpoint(&self) -> Result<State, Box<TaskError>> {
        let Some(keeper) = &self.methods.keeper else { return Err(stateless()) };
        let actor = self.actor.read().unwrap_or_else(PoisonError::into_inner);
        let saved = catch_unwind(AssertUnwindSafe(|| (keeper.save)(&actor)));
        let value = saved.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        Ok(State { value, callees: self.outward.callees() })
    }

    fn kept(&self, callees: &[Callee]) {
        self.outward.kept(callees);
    }

    fn wants_checkpoint(&self) -> bool {
        self.outward.wants_checkpoint()
    }
}

impl<T: Actor> Native<T> {
    fn run(&self, code: &Code<T>, context: &CallContext<'_>, args: &[Arg]) -> Made {
        match code {
            Code::Async(code) => code(&mut *self.alone(), self.runtime()?, args),
            Code::Exclusive(code) => code(&mut *self.alone(), context, args),
            Code::Shared(code) => {
                let actor = self.actor.read().unwrap_or_else(PoisonError::into_inner);
                code(&actor, context, args)
            }
        }
    }

    /// Each method, with whether it gives items: of native ones nobody knows, and the caller says what it wants.
    fn tell_methods(&self) -> CallEnd {
        let methods: BTreeMap<&str, bool> =
            self.methods.methods.keys().map(|name| (name.as_str(), false)).collect();
        match Msgpack(methods).into_value() {
            Ok(value) => CallEnd::Returned(value),
            Err(error) => CallEnd::Failed(error),
        }
    }

    fn alone(&self) -> impl std::ops::DerefMut<Target = T> + '_ {
        self.actor.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn runtime(&self) -> Result<&Runtime, Box<TaskError>> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = Builder::new_current_thread().enable_all().build();
        let made = made.map_err(|error| none(&error))?;
        Ok(self.runtime.get_or_init(|| made))
    }
}

fn none(error: &io::Error) -> Box<TaskError> {
    let message = format!("there is no runtime for async methods: {error}");
    failure(ErrorClass::Reschedule, Reason::Busy, message)
}

fn stateless() -> Box<TaskError> {
    let message = "the actor's class cannot write its state; add `Methods::checkpoint` to it";
    failure(ErrorClass::User, Reason::Unsupported, message)
}

fn arguments(call: &Call) -> Result<Vec<Arg>, Box<TaskError>> {
    let templates = decode_arguments(&call.arguments)?;
    templates.iter().map(|template| template.fill(call)).collect()
}

/// Arguments that cannot be read are so wherever the fault is.
fn unreadable(error: Box<TaskError>) -> Box<TaskError> {
    Box::new(TaskError { class: ErrorClass::Deserialize, ..*error })
}

impl Material for Creation {
    fn payload(&self) -> &Bytes {
        &self.spec.payload
    }

    fn input(&self, n: usize) -> Result<Arc<Value>, Box<TaskError>> {
        input(&self.inputs, n)
    }

    fn blob(&self, digest: Digest) -> Result<Bytes, Box<TaskError>> {
        self.blobs.get(digest).ok_or_else(|| no_blob(digest))
    }

    fn row(&self) -> Result<Value, Box<TaskError>> {
        Err(malformed("payload.args: an actor is no row of a task array"))
    }
}

impl Material for Call {
    fn payload(&self) -> &Bytes {
        &self.arguments
    }

    fn input(&self, n: usize) -> Result<Arc<Value>, Box<TaskError>> {
        input(&self.inputs, n)
    }

    fn blob(&self, digest: Digest) -> Result<Bytes, Box<TaskError>> {
        Err(no_blob(digest))
    }

    fn row(&self) -> Result<Value, Box<TaskError>> {
        Err(malformed("arguments: a call is no row of a task array"))
    }
}

fn input(inputs: &[Arc<Value>], n: usize) -> Result<Arc<Value>, Box<TaskError>> {
    let unknown = || malformed(format!("args: input {n} of {} is named", inputs.len()));
    inputs.get(n).cloned().ok_or_else(unknown)
}

impl fmt::Debug for dyn Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Class")
    }
}
