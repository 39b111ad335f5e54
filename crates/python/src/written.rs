//! Arguments of calls as Python has written them down: the pickle that actors in Python read, or each by itself, for those in
//! other languages.

use bireme_client::Args;
use bireme_core::Value;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::actors::ActorHandle;
use crate::buffers;
use crate::pending::{Input, Inputs};
use crate::submit::args_value;
use crate::values;

/// Arguments; they number the inputs that they take.
#[derive(Debug)]
pub(crate) enum Written {
    /// One pickle of all.
    Pickle(Value),
    /// By position, and by name.
    Each(Vec<Word>, Vec<(String, Word)>),
}

/// One argument.
#[derive(Debug)]
pub(crate) enum Word {
    /// The input of this number.
    Input(usize),
    /// Plain data, or a handle of an actor.
    Value(Value),
}

impl Written {
    /// Reads a tuple of words by position and words by name, or else the buffers of a pickle.
    pub(crate) fn of(args: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Ok(words) = args.cast::<PyTuple>() else {
            return Ok(Self::Pickle(args_value(buffers::all(args)?)?));
        };
        let (placed, named): (Vec<Word>, Vec<(String, Word)>) = words.extract()?;
        Ok(Self::Each(placed, named))
    }

    /// Size in bytes, without the inputs.
    pub(crate) fn size(&self) -> usize {
        let size = match self {
            Self::Pickle(pickle) => pickle.size,
            Self::Each(placed, named) => {
                let named = named.iter().map(|(_, word)| word);
                placed.iter().chain(named).map(Word::size).sum()
            }
        };
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// As a call takes them. Those that are a pickle have the inputs behind it.
    pub(crate) fn with(self, inputs: Inputs) -> PyResult<Args> {
        let Inputs(inputs) = inputs;
        match self {
            Self::Pickle(pickle) => {
                Ok(inputs.into_iter().fold(Args::new().arg(pickle), |args, input| match input {
                    Input::Here(value) => args.arg(value),
                    Input::Stored(object) => args.stored(object),
                }))
            }
            Self::Each(placed, named) => {
                let args = placed.into_iter().try_fold(Args::new(), |args, word| {
                    Ok::<_, PyErr>(match word.filled(&inputs)? {
                        Input::Here(value) => args.arg(value),
                        Input::Stored(object) => args.stored(object),
                    })
                })?;
                named.into_iter().try_fold(args, |args, (name, word)| {
                    Ok(match word.filled(&inputs)? {
                        Input::Here(value) => args.named(name, value),
                        Input::Stored(object) => args.named_stored(name, object),
                    })
                })
            }
        }
    }
}

impl Word {
    fn size(&self) -> u64 {
        match self {
            Self::Input(_) => 0,
            Self::Value(value) => value.size,
        }
    }

    fn filled(self, inputs: &[Input]) -> PyResult<Input> {
        match self {
            Self::Value(value) => Ok(Input::Here(value)),
            Self::Input(n) => inputs.get(n).cloned().ok_or_else(|| {
                PyIndexError::new_err(format!("there is no input {n}, of {}", inputs.len()))
            }),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Word {
    type Error = PyErr;

    /// The number of an input, a handle of an actor, or a codec and buffers.
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(handle) = object.cast::<ActorHandle>() {
            return Ok(Self::Value(handle.get().value()));
        }
        if let Ok(n) = object.extract() {
            return Ok(Self::Input(n));
        }
        let (codec, buffers): (i32, Bound<'py, PyAny>) = object.extract()?;
        Ok(Self::Value(values::from_objects(codec, &buffers, String::new())?))
    }
}
