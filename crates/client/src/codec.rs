//! Values of Rust types: what native functions and actors take and give.

use bireme_core::{Codec, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that cannot be read as what was wanted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a value in {codec} cannot be read: {problem}")]
pub struct DecodeError {
    /// How it is encoded.
    pub codec: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// Encodes anything that serde can write, as one `MessagePack` item.
///
/// # Errors
/// What serde says of a type that `MessagePack` cannot hold.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Value, DecodeError> {
    let encoded =
        rmp_serde::to_vec_named(value).map_err(|error| problem(Codec::Msgpack, &error))?;
    Ok(Value::inline(Codec::Msgpack, encoded))
}

/// Decodes a value in `MessagePack` or JSON. No value at all is read as a unit.
///
/// # Errors
/// What is wrong with it, or that its codec is another.
pub fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    let elsewhere = || problem(value.codec, &"its bytes are elsewhere");
    let bytes = value.bytes().ok_or_else(elsewhere)?;
    match value.codec {
        Codec::Msgpack => {
            rmp_serde::from_slice(&bytes).map_err(|error| problem(Codec::Msgpack, &error))
        }
        Codec::Json => serde_json::from_slice(&bytes).map_err(|error| problem(Codec::Json, &error)),
        Codec::None => serde_json::from_str("null").map_err(|error| problem(Codec::None, &error)),
        codec => Err(problem(codec, &"only msgpack and json can be read so")),
    }
}

fn problem(codec: Codec, problem: &dyn std::fmt::Display) -> DecodeError {
    DecodeError { codec: codec.name(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_and_json_too() {
        let there = encode(&(1, "a")).unwrap();
        assert_eq!(decode::<(i64, String)>(&there), Ok((1, "a".to_owned())));
        assert_eq!(decode::<i64>(&Value::inline(Codec::Json, "7")), Ok(7));
        assert_eq!(decode::<()>(&Value::none()), Ok(()));
        assert_eq!(decode::<i64>(&Value::raw("7")).unwrap_err().codec, "raw");
    }
}
