//! What native functions return.

use std::error::Error;

use bireme_core::{ActorId, Codec, ErrorClass, Reason, TaskError, Value};
use bytes::Bytes;
use serde::Serialize;
use smallvec::smallvec;

use super::{Msgpack, Outputs};
use crate::failure::failure;

/// What can be stored as one value.
pub trait IntoValue {
    /// Encodes it.
    fn into_value(self) -> Result<Value, Box<TaskError>>;
}

/// What a native function may return: one value, or a `Result` of one.
pub trait IntoOutputs {
    /// Its outputs, or why there are none.
    fn into_outputs(self) -> Result<Outputs, Box<TaskError>>;
}

impl<T: IntoValue> IntoOutputs for T {
    fn into_outputs(self) -> Result<Outputs, Box<TaskError>> {
        Ok(smallvec![self.into_value()?])
    }
}

impl<T: IntoValue, E: Into<Box<dyn Error + Send + Sync>>> IntoOutputs for Result<T, E> {
    fn into_outputs(self) -> Result<Outputs, Box<TaskError>> {
        self.map_err(|error| blame(error.into()))?.into_outputs()
    }
}

/// The failure of an attempt whose code returned `error`. A [`TaskError`] stays what it is.
pub(super) fn blame(error: Box<dyn Error + Send + Sync>) -> Box<TaskError> {
    match error.downcast::<Box<TaskError>>().map(|boxed| *boxed) {
        Ok(error) => error,
        Err(error) => error.downcast().unwrap_or_else(|error| chain(&*error)),
    }
}

fn chain(error: &(dyn Error + 'static)) -> Box<TaskError> {
    let mut outer = failure(ErrorClass::User, Reason::UserError, error.to_string());
    "rust".clone_into(&mut outer.language);
    outer.cause = error.source().map(chain);
    outer
}

impl IntoValue for () {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(Value::none())
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(self)
    }
}

impl IntoValue for Bytes {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(Value::raw(self))
    }
}

impl IntoValue for Vec<u8> {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(Value::raw(self))
    }
}

impl IntoValue for String {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(Value::text(self))
    }
}

impl IntoValue for &'static str {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(Value::inline(Codec::Utf8, self.as_bytes()))
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        self.map_or_else(|| Ok(Value::none()), T::into_value)
    }
}

impl<T: Serialize> IntoValue for Msgpack<T> {
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        encode(&self.0)
    }
}

macro_rules! scalars {
    ($($scalar:ty)*) => {$(
        impl IntoValue for $scalar {
            fn into_value(self) -> Result<Value, Box<TaskError>> {
                encode(&self)
            }
        }
    )*};
}

scalars!(bool i32 i64 u16 u32 u64 usize f32 f64);

/// One `MessagePack` item; structs are maps, so that other languages see the names of their fields.
fn encode<T: Serialize>(item: &T) -> Result<Value, Box<TaskError>> {
    let bytes = rmp_serde::to_vec_named(item).map_err(|error| {
        let message = format!("the result cannot be written as msgpack: {error}");
        failure(ErrorClass::Serialize, Reason::UserError, message)
    })?;
    Ok(Value {
        type_hint: std::any::type_name::<T>().to_owned(),
        ..Value::inline(Codec::Msgpack, bytes)
    })
}

impl IntoValue for ActorId {
    /// A handle of the actor.
    fn into_value(self) -> Result<Value, Box<TaskError>> {
        Ok(Value::actor(self))
    }
}
