//! Native actors: Rust types whose values live in a worker and whose methods are called by name.

mod context;
mod hosted;
mod method;
mod outward;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use bireme_core::{TaskError, Value};

pub use self::context::CallContext;
pub(crate) use self::hosted::{Class, NativeActors, class};
pub use self::method::{AsyncMethod, Method, SharedMethod};
use super::result::blame;
use super::task::read;
use super::{Arg, FromArg, IntoValue};

/// Why something of an actor's own code failed. A [`TaskError`] in it stays what it is.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A type whose values can be actors.
///
/// Calls run in order, one at a time in each lane of the actor. Methods that take `&mut self` have the actor for themselves;
/// those added by [`Methods::shared`] run beside each other where lanes let them. A panic fails its call; the actor goes on
/// with whatever the panic left.
///
/// ```
/// use bireme_worker::{Actor, Arguments, CallContext, Failure, Methods};
///
/// struct Counter {
///     count: i64,
/// }
///
/// impl Actor for Counter {
///     fn create(arguments: &Arguments<'_>) -> Result<Self, Failure> {
///         Ok(Self { count: arguments.get(0)? })
///     }
///
///     fn methods(methods: &mut Methods<Self>) {
///         methods.method("increment", |this: &mut Self, by: i64| {
///             this.count += by;
///             this.count
///         });
///         methods.shared("get", |this: &Self| this.count);
///         methods.shared("upwards", |this: &Self, call: &CallContext<'_>, items: i64| {
///             (0..items).try_for_each(|n| call.send(this.count + n))
///         });
///         methods.checkpoint(|this| this.count, |count| Ok(Self { count }));
///     }
/// }
///
/// let registry = bireme_worker::Registry::default().actor::<Counter>("Counter");
/// # drop(registry);
/// ```
pub trait Actor: Sized + Send + Sync + 'static {
    /// Makes one.
    fn create(arguments: &Arguments<'_>) -> Result<Self, Failure>;

    /// Names what can be called.
    fn methods(methods: &mut Methods<Self>);
}

/// Arguments by position, which are read as what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a>(&'a [Arg]);

impl Arguments<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads one, or says why it cannot be read.
    pub fn get<T: FromArg>(&self, place: usize) -> Result<T, Box<TaskError>> {
        read(self.0, place)
    }
}

type Save<T> = dyn Fn(&T) -> Result<Value, Box<TaskError>> + Send + Sync;
type Restore<T> = dyn Fn(Value) -> Result<T, Box<TaskError>> + Send + Sync;

/// What can be called of an actor.
pub struct Methods<T> {
    methods: BTreeMap<String, method::Code<T>>,
    keeper: Option<Keeper<T>>,
}

/// How state is written, and how an actor is made again from it.
struct Keeper<T> {
    save: Box<Save<T>>,
    restore: Box<Restore<T>>,
}

impl<T: Actor> Methods<T> {
    /// Those that a type has.
    fn of_type() -> Self {
        let mut methods = Self { methods: BTreeMap::new(), keeper: None };
        T::methods(&mut methods);
        methods
    }

    /// Adds a method that has the actor for itself: a function of `&mut` the actor, then `&CallContext<'_>` if it wants that,
    /// then arguments, each of which is [`FromArg`]. Its result is [`IntoOutputs`](crate::IntoOutputs).
    ///
    /// # Panics
    /// If there is a method of this name.
    pub fn method<M>(&mut self, name: impl Into<String>, method: impl Method<T, M>) {
        let code =
            move |this: &mut T, call: &CallContext<'_>, args: &[Arg]| method.run(this, call, args);
        self.add(name.into(), method::Code::Exclusive(Box::new(code)));
    }

    /// Adds a method that only reads the actor, or changes it under locks of its own: a function as in [`Methods::method`], but
    /// of `&` the actor.
    ///
    /// # Panics
    /// If there is a method of this name.
    pub fn shared<M>(&mut self, name: impl Into<String>, method: impl SharedMethod<T, M>) {
        let code =
            move |this: &T, call: &CallContext<'_>, args: &[Arg]| method.run(this, call, args);
        self.add(name.into(), method::Code::Shared(Box::new(code)));
    }

    /// Adds an async function of `&mut` the actor and of arguments. It has the actor for itself until it is done, on a thread
    /// of the lane, with the timers and sockets of tokio at its disposal.
    ///
    /// # Panics
    /// If there is a method of this name.
    pub fn asynchronous<M>(&mut self, name: impl Into<String>, method: impl AsyncMethod<T, M>) {
        let code = move |this: &mut T, runtime: &tokio::runtime::Runtime, args: &[Arg]| {
            method.run(this, runtime, args)
        };
        self.add(name.into(), method::Code::Async(Box::new(code)));
    }

    /// Says how the actor's state is written and how it is made again from it, without which it can neither be checkpointed
    /// nor moved.
    pub fn checkpoint<V, S>(
        &mut self,
        save: impl Fn(&T) -> V + Send + Sync + 'static,
        restore: impl Fn(S) -> Result<T, Failure> + Send + Sync + 'static,
    ) where
        V: IntoValue,
        S: FromArg,
    {
        let save = move |this: &T| save(this).into_value();
        let restore = move |state: Value| {
            let state = read(&[Arg::Value(state.into())], 0)?;
            restore(state).map_err(blame)
        };
        self.keeper = Some(Keeper { save: Box::new(save), restore: Box::new(restore) });
    }

    fn add(&mut self, name: String, code: method::Code<T>) {
        let twice = self.methods.insert(name.clone(), code).is_some();
        assert!(!twice, "the method {name:?} is registered twice");
    }
}

impl<T> fmt::Debug for Methods<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}
