//! Rust functions of typed arguments as native functions.

use bireme_core::{ErrorClass, Reason, TaskError};

use super::{Arg, Context, FromArg, IntoOutputs, Outputs};
use crate::failure::failure;

/// A function that can be registered: of up to six arguments that are [`FromArg`], after `&mut Context<'_>` if it wants that.
/// `M` tells the shapes apart and is inferred.
pub trait Task<M>: Send + Sync + 'static {
    /// Reads the arguments and calls the function.
    fn run(&self, context: &mut Context<'_>, args: &[Arg]) -> Result<Outputs, Box<TaskError>>;
}

/// Marks functions that take the context.
#[derive(Debug)]
pub struct WithContext;

macro_rules! functions {
    ($count:literal $(, $arg:ident $place:literal)*) => {
        impl<F, R, $($arg),*> Task<(R, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, _: &mut Context<'_>, args: &[Arg]) -> Result<Outputs, Box<TaskError>> {
                expect_count(args, $count)?;
                self($(read::<$arg>(args, $place)?),*).into_outputs()
            }
        }

        impl<F, R, $($arg),*> Task<(WithContext, R, $($arg,)*)> for F
        where
            F: Fn(&mut Context<'_>, $($arg),*) -> R + Send + Sync + 'static,
            R: IntoOutputs,
            $($arg: FromArg,)*
        {
            fn run(&self, context: &mut Context<'_>, args: &[Arg]) -> Result<Outputs, Box<TaskError>> {
                expect_count(args, $count)?;
                self(context, $(read::<$arg>(args, $place)?),*).into_outputs()
            }
        }
    };
}

functions!(0);
functions!(1, A 0);
functions!(2, A 0, B 1);
functions!(3, A 0, B 1, C 2);
functions!(4, A 0, B 1, C 2, D 3);
functions!(5, A 0, B 1, C 2, D 3, E 4);
functions!(6, A 0, B 1, C 2, D 3, E 4, G 5);

pub(super) fn expect_count(args: &[Arg], wanted: usize) -> Result<(), Box<TaskError>> {
    if args.len() == wanted {
        return Ok(());
    }
    let message = format!("{} arguments were given, the function takes {wanted}", args.len());
    Err(failure(ErrorClass::Deserialize, Reason::Malformed, message))
}

/// The argument at `place`.
pub(crate) fn read<T: FromArg>(args: &[Arg], place: usize) -> Result<T, Box<TaskError>> {
    let Some(arg) = args.get(place) else {
        let message = format!("argument {place} is missing");
        return Err(failure(ErrorClass::Deserialize, Reason::Malformed, message));
    };
    T::from_arg(arg).map_err(|error| {
        let message = format!("argument {place}: {error}");
        failure(ErrorClass::Deserialize, error.reason(), message)
    })
}
