//! Arguments of native functions, and what they are read as.

use std::io::Cursor;
use std::sync::Arc;

use bireme_core::{ActorId, Codec, Reason, Value};
use bytes::Bytes;
use serde::Deserialize as _;
use serde::de::{DeserializeOwned, IgnoredAny};

/// An argument: a value, or a structure of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// Several arguments, in order.
    List(Vec<Self>),
    /// Several arguments with names, in order.
    Map(Vec<(String, Self)>),
    /// A value; all its bytes are here.
    Value(Arc<Value>),
}

impl Arg {
    /// What it is, as errors say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Value(value) => value.codec.name(),
        }
    }

    /// The value, if it is one.
    pub fn value(&self) -> Result<&Arc<Value>, BadArg> {
        match self {
            Self::Value(value) => Ok(value),
            Self::List(_) | Self::Map(_) => {
                Err(BadArg::Kind { given: self.kind(), wanted: "one value" })
            }
        }
    }

    /// All bytes of the value, if it is one, whatever its codec: no copy where they are in one piece.
    pub fn bytes(&self) -> Result<Bytes, BadArg> {
        self.value()?.bytes().ok_or(BadArg::Elsewhere)
    }
}

/// An argument that cannot be read as what the function takes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadArg {
    /// The bytes are not what their codec says, or not of the right shape.
    #[error("it does not decode: {problem}")]
    Decode {
        /// What the decoder says.
        problem: String,
    },
    /// Bytes of the value are in a place that this function cannot read.
    #[error("its bytes are not in the value itself")]
    Elsewhere,
    /// It is encoded otherwise than the function reads.
    #[error("it is {given}, the function reads {wanted}")]
    Kind {
        /// What it is.
        given: &'static str,
        /// What would be read.
        wanted: &'static str,
    },
}

impl BadArg {
    /// The stable name that goes with it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Kind { .. } => Reason::CodecMismatch,
            Self::Decode { .. } | Self::Elsewhere => Reason::Malformed,
        }
    }
}

/// What a native function may take as an argument.
pub trait FromArg: Sized {
    /// Reads it.
    fn from_arg(arg: &Arg) -> Result<Self, BadArg>;
}

/// Anything that serde can read or write, as one `MessagePack` item; also read from JSON.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Msgpack<T>(pub T);

impl<T: DeserializeOwned> FromArg for Msgpack<T> {
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        decode(arg, "msgpack or json").map(Self)
    }
}

impl FromArg for Arg {
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        Ok(arg.clone())
    }
}

impl FromArg for Value {
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        arg.value().map(|value| (**value).clone())
    }
}

impl FromArg for Arc<Value> {
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        arg.value().cloned()
    }
}

impl FromArg for ActorId {
    /// A handle of an actor.
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        let not = || BadArg::Kind { given: arg.kind(), wanted: "a handle of an actor" };
        arg.value()?.as_actor().ok_or_else(not)
    }
}

impl FromArg for Bytes {
    /// Plain bytes or text.
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        match arg.value()?.codec {
            Codec::Raw | Codec::Utf8 | Codec::Json => arg.bytes(),
            _ => Err(BadArg::Kind { given: arg.kind(), wanted: "raw, utf8 or json" }),
        }
    }
}

impl FromArg for Vec<u8> {
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        Bytes::from_arg(arg).map(Into::into)
    }
}

impl FromArg for String {
    /// Text, plain bytes that are UTF-8, or a string as `MessagePack` or JSON.
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        match arg.value()?.codec {
            Codec::Raw | Codec::Utf8 => Self::from_utf8(arg.bytes()?.into())
                .map_err(|error| BadArg::Decode { problem: error.to_string() }),
            _ => decode(arg, "utf8, raw, msgpack or json"),
        }
    }
}

macro_rules! scalars {
    ($($scalar:ty)*) => {$(
        impl FromArg for $scalar {
            fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
                decode(arg, "msgpack or json")
            }
        }
    )*};
}

scalars!(bool i32 i64 u16 u32 u64 usize f32 f64);

impl<T: FromArg> FromArg for Option<T> {
    /// `None` for no value at all.
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        match arg {
            Arg::Value(value) if value.codec == Codec::None => Ok(None),
            _ => T::from_arg(arg).map(Some),
        }
    }
}

impl<T: FromArg> FromArg for Vec<T> {
    /// A list of arguments, or one `MessagePack` array.
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        match arg {
            Arg::List(items) => items.iter().map(T::from_arg).collect(),
            Arg::Value(value) if value.codec == Codec::Msgpack => {
                split(&arg.bytes()?)?.iter().map(T::from_arg).collect()
            }
            _ => Err(BadArg::Kind { given: arg.kind(), wanted: "a list or a msgpack array" }),
        }
    }
}

/// Reads one item.
fn decode<T: DeserializeOwned>(arg: &Arg, wanted: &'static str) -> Result<T, BadArg> {
    let codec = arg.value()?.codec;
    let problem = match codec {
        Codec::Msgpack => match rmp_serde::from_slice(&arg.bytes()?) {
            Ok(item) => return Ok(item),
            Err(error) => error.to_string(),
        },
        Codec::Json => match serde_json::from_slice(&arg.bytes()?) {
            Ok(item) => return Ok(item),
            Err(error) => error.to_string(),
        },
        _ => return Err(BadArg::Kind { given: arg.kind(), wanted }),
    };
    Err(BadArg::Decode { problem })
}

/// Splits a `MessagePack` array into values that share its bytes.
fn split(array: &Bytes) -> Result<Vec<Arg>, BadArg> {
    let bad = |problem: &str| BadArg::Decode { problem: problem.to_owned() };
    let (count, head) = match array.as_ref() {
        [fix @ 0x90..=0x9f, ..] => (u64::from(fix & 0x0f), 1),
        [0xdc, a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 3),
        [0xdd, a, b, c, d, ..] => (u64::from(u32::from_be_bytes([*a, *b, *c, *d])), 5),
        _ => return Err(bad("a msgpack array was expected")),
    };
    let mut items = rmp_serde::Deserializer::new(Cursor::new(array.slice(head..)));
    let mut split = Vec::new();
    for _ in 0..count {
        let start = head + usize::try_from(items.position()).map_err(|_| bad("too long"))?;
        IgnoredAny::deserialize(&mut items).map_err(|error| bad(&error.to_string()))?;
        let end = head + usize::try_from(items.position()).map_err(|_| bad("too long"))?;
        split.push(Arg::Value(Arc::new(Value::inline(Codec::Msgpack, array.slice(start..end)))));
    }
    Ok(split)
}
