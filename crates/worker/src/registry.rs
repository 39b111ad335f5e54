//! Native functions: Rust code that tasks name.

mod arg;
mod context;
mod result;
pub(crate) mod task;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bireme_core::{ErrorClass, Reason, TaskError, Value};
use smallvec::SmallVec;

use crate::failure::failure;

pub use arg::{Arg, BadArg, FromArg, Msgpack};
pub use context::Context;
pub(crate) use context::Stop;
pub use result::{IntoOutputs, IntoValue};
pub use task::Task;

/// The values that an attempt made, in order.
pub type Outputs = SmallVec<[Value; 1]>;

/// Code that runs an attempt.
pub type Function =
    dyn Fn(&mut Context<'_>, &[Arg]) -> Result<Outputs, Box<TaskError>> + Send + Sync;

/// The native functions of a worker, by name.
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

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// The function of this name, or an error that lists those with the most similar names.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Function>, Box<TaskError>> {
        self.functions.get(name).cloned().ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Box<TaskError> {
        const LISTED: usize = 3;
        let mut names: Vec<_> =
            self.names().map(|known| (strsim::damerau_levenshtein(known, name), known)).collect();
        names.sort_unstable();
        let nearest: Vec<_> = names.into_iter().take(LISTED).map(|(_, name)| name).collect();
        let message = format!(
            "this worker has no function {name:?}; register it or correct the name, the nearest are {}",
            nearest.join(", ")
        );
        failure(ErrorClass::NotFound, Reason::FunctionUnknown, message)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.functions.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
