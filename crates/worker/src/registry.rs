//! Native functions and actors: Rust code that tasks and calls name.

mod actor;
mod arg;
mod cluster;
mod context;
mod result;
pub(crate) mod task;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bireme_core::actor::CLASS_PREFIX;
use bireme_core::{ErrorClass, Reason, TaskError, Value};
use smallvec::SmallVec;

use crate::failure::failure;

#[cfg(test)]
pub(crate) use actor::tests as actor_tests;
pub use actor::{
    Actor, Arguments, AsyncMethod, CallContext, Failure, Method, Methods, SharedMethod,
};
pub(crate) use actor::{Class, NativeActors};
pub use arg::{Arg, BadArg, FromArg, Msgpack};
#[cfg(test)]
pub(crate) use context::Alone;
pub use context::Context;
pub(crate) use context::{Runner, Stop};
pub use result::{IntoOutputs, IntoValue};
pub use task::Task;

/// The values that an attempt made, in order.
pub type Outputs = SmallVec<[Value; 1]>;

/// Code that runs an attempt.
pub type Function =
    dyn Fn(&mut Context<'_>, &[Arg]) -> Result<Outputs, Box<TaskError>> + Send + Sync;

/// The native functions of a worker and its classes of actors, by name.
///
/// ```
/// use bireme_worker::Registry;
///
/// let registry = Registry::default()
///     .task("count", |text: String| text.lines().count() as u64)
///     .task("half", |n: i64| if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) });
/// assert!(registry.names().any(|name| name == "half"));
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    functions: BTreeMap<String, Arc<Function>>,
    classes: BTreeMap<String, Arc<dyn Class>>,
}

impl Registry {
    /// Adds a function of typed arguments, each of which is [`FromArg`], whose result is [`IntoOutputs`]. Its first argument
    /// may be `&mut Context<'_>`.
    ///
    /// # Panics
    /// If there is a function of this name.
    #[must_use]
    pub fn task<M>(self, name: impl Into<String>, task: impl Task<M>) -> Self {
        self.raw(name, move |context: &mut Context<'_>, args: &[Arg]| task.run(context, args))
    }

    /// Adds a function that reads its own arguments and makes its own outputs.
    ///
    /// # Panics
    /// If there is a function of this name.
    #[must_use]
    pub fn raw<F>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(&mut Context<'_>, &[Arg]) -> Result<Outputs, Box<TaskError>> + Send + Sync + 'static,
    {
        let name = name.into();
        let old = self.functions.insert(name.clone(), Arc::new(function));
        assert!(old.is_none(), "the function {name:?} is registered twice");
        self
    }

    /// Adds a class of actors.
    ///
    /// # Panics
    /// If there is a class of this name.
    #[must_use]
    pub fn actor<T: Actor>(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let old = self.classes.insert(name.clone(), actor::class::<T>());
        assert!(old.is_none(), "the actor class {name:?} is registered twice");
        self
    }

    /// The name of every class of actors, sorted.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }

    /// The name of every function, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// What a worker tells of it: the names of functions, and those of classes behind [`CLASS_PREFIX`]; sorted.
    pub(crate) fn told(&self) -> Vec<String> {
        let classes = self.class_names().map(|name| format!("{CLASS_PREFIX}{name}"));
        let mut told: Vec<_> = classes.chain(self.names().map(str::to_owned)).collect();
        told.sort_unstable();
        told
    }

    /// The function of this name, or an error that lists those with the most similar names.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Function>, Box<TaskError>> {
        self.functions.get(name).cloned().ok_or_else(|| unknown("function", name, self.names()))
    }

    /// The class of this name, or an error that lists those with the most similar names.
    pub(crate) fn find_class(&self, name: &str) -> Result<Arc<dyn Class>, Box<TaskError>> {
        let class = self.classes.get(name).cloned();
        class.ok_or_else(|| unknown("actor class", name, self.class_names()))
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Box<TaskError> {
    const LISTED: usize = 3;
    let mut names: Vec<_> =
        known.map(|known| (strsim::damerau_levenshtein(known, name), known)).collect();
    names.sort_unstable();
    let nearest: Vec<_> = names.into_iter().take(LISTED).map(|(_, name)| name).collect();
    let message = format!(
        "this worker has no {what} {name:?}; register it or correct the name, the nearest are {}",
        nearest.join(", ")
    );
    failure(ErrorClass::NotFound, Reason::FunctionUnknown, message)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names().chain(self.class_names())).finish()
    }
}

#[cfg(test)]
mod tests;
