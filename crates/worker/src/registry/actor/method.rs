//! Rust functions of typed arguments as methods of actors.

use bireme_core::{TaskError, Value};
use tokio::runtime::Runtime;

use super::CallContext;
use crate::registry::task::{WithContext, expect_count, read};
use crate::registry::{Arg, FromArg, IntoOutputs};

/// What a method made, or why it failed.
pub(super) type Made = Result<Value, Box<TaskError>>;

type AsyncCode<T> = dyn Fn(&mut T, &Runtime, &[Arg]) -> Made + Send + Sync;
type ExclusiveCode<T> = dyn Fn(&mut T, &CallContext<'_>, &[Arg]) -> Made + Send + Sync;
type SharedCode<T> = dyn Fn(&T, &CallContext<'_>, &[Arg]) -> Made + Send + Sync;

/// A method, once its types are forgotten.
pub(super) enum Code<T> {
    /// Runs to its end by waiting.
    Async(Box<AsyncCode<T>>),
    /// Has the actor for itself.
    Exclusive(Box<ExclusiveCode<T>>),
    /// Runs beside others.
    Shared(Box<SharedCode<T>>),
}

/// A function that can be a method: of `&mut T`, of `&CallContext<'_>` if it wants that, and of up to six arguments that are
/// [`FromArg`]. `M` tells the shapes apart and is inferred.
pub trait Method<T, M>: Send + Sync + 'static {
    /// Reads the arguments and calls the function.
    fn run(
        &self,
        this: &mut T,
        call: &CallContext<'_>,
        args: &[Arg],
    ) -> Result<Value, Box<TaskError>>;
}

/// The same, of `&T`.
pub trait SharedMethod<T, M>: Send + Sync + 'static {
    /// Reads the arguments and calls the function.
    fn run(&self, this: &T, call: &CallContext<'_>, args: &[Arg]) -> Result<Value, Box<TaskError>>;
}

/// An async function that can be a method: of `&mut T` and of up to six arguments that are [`FromArg`].
pub trait AsyncMethod<T, M>: Send + Sync + 'static {
    /// Reads the arguments, calls the function and waits for it.
    fn run(&self, this: &mut T, runtime: &Runtime, args: &[Arg]) -> Result<Value, Box<TaskError>>;
}

/// The only output of a function.
fn one(made: impl IntoOutputs) -> Made {
    let mut outputs = made.into_outputs()?;
    Ok(outputs.pop().unwrap_or_else(Value::none))
}

macro_rules! methods {
    ($count:literal $(, $arg:ident $place:literal)*) => {
        impl<T, F, R, $($arg),*> Method<T, (R, $($arg,)*)> for F
        where
            F: Fn(&mut T, $($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, this: &mut T, _: &CallContext<'_>, args: &[Arg]) -> Made {
                expect_count(args, $count)?;
                one(self(this, $(read::<$arg>(args, $place)?),*))
            }
        }

        impl<T, F, R, $($arg),*> Method<T, (WithContext, R, $($arg,)*)> for F
        where
            F: Fn(&mut T, &CallContext<'_>, $($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, this: &mut T, call: &CallContext<'_>, args: &[Arg]) -> Made {
                expect_count(args, $count)?;
                one(self(this, call, $(read::<$arg>(args, $place)?),*))
            }
        }

        impl<T, F, R, $($arg),*> SharedMethod<T, (R, $($arg,)*)> for F
        where
            F: Fn(&T, $($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, this: &T, _: &CallContext<'_>, args: &[Arg]) -> Made {
                expect_count(args, $count)?;
                one(self(this, $(read::<$arg>(args, $place)?),*))
            }
        }

        impl<T, F, R, $($arg),*> SharedMethod<T, (WithContext, R, $($arg,)*)> for F
        where
            F: Fn(&T, &CallContext<'_>, $($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, this: &T, call: &CallContext<'_>, args: &[Arg]) -> Made {
                expect_count(args, $count)?;
                one(self(this, call, $(read::<$arg>(args, $place)?),*))
            }
        }

        impl<T, F, R, $($arg),*> AsyncMethod<T, (R, $($arg,)*)> for F
        where
            F: AsyncFn(&mut T, $($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, this: &mut T, runtime: &Runtime, args: &[Arg]) -> Made {
                expect_count(args, $count)?;
                one(runtime.block_on(self(this, $(read::<$arg>(args, $place)?),*)))
            }
        }
    };
}

methods!(0);
methods!(1, A 0);
methods!(2, A 0, B 1);
methods!(3, A 0, B 1, C 2);
methods!(4, A 0, B 1, C 2, D 3);
methods!(5, A 0, B 1, C 2, D 3, E 4);
methods!(6, A 0, B 1, C 2, D 3, E 4, G 5);
