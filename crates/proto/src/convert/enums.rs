//! Enums. The two sides call every value the same, but for what the wire leaves unspecified.

use bireme_core::actor::place::EndKind;
use bireme_core::error::ErrorClass;
use bireme_core::graph::{OnWorkerLost, Outputs, TaskState, Watch};
use bireme_core::reason::Refusal;
use bireme_core::value::{Codec, Compression};

use super::field::unsupported;
use crate::pb;

/// An enum of the core and its twin on the wire.
pub(super) trait Twin: Sized {
    type Wire: TryFrom<i32> + Into<i32>;

    /// `None` where nothing is specified and that means nothing.
    fn received(wire: Self::Wire) -> Option<Self>;
    fn sent(self) -> Self::Wire;
}

/// Says that two enums have the same values; what the wire leaves unspecified is the expression after it.
macro_rules! twins {
    ($core:ident = $unspecified:expr, $($value:ident)*) => {
        impl Twin for $core {
            type Wire = pb::$core;

            fn received(wire: pb::$core) -> Option<Self> {
                match wire {
                    pb::$core::Unspecified => $unspecified,
                    $(pb::$core::$value => Some(Self::$value),)*
                }
            }

            fn sent(self) -> pb::$core {
                match self {
                    $(Self::$value => pb::$core::$value,)*
                }
            }
        }

        impl From<$core> for pb::$core {
            fn from(value: $core) -> Self {
                value.sent()
            }
        }
    };
}

pub(super) use twins;

twins! { Codec = None, Raw Utf8 Json Msgpack ArrowIpc Npy Pickle5 Cloudpickle None }
twins! { TaskState = None, Waiting Ready Sent Running Finished Failed Cancelled }
twins! { Outputs = Some(Self::Sinks), Sinks Listed All None }
twins! { Watch = Some(Self::Graph), Graph Outputs Values }
twins! { OnWorkerLost = Some(Self::Rerun), Rerun Fail }
twins! {
    ErrorClass = None,
    User Malformed NotFound Deserialize Serialize ProcessDied OutOfMemory Timeout Cancelled WorkerLost InputLost Dependency
    Reschedule Store WouldDeadlock
}

impl Twin for EndKind {
    type Wire = pb::ActorEnd;

    fn received(wire: pb::ActorEnd) -> Option<Self> {
        match wire {
            pb::ActorEnd::Unspecified => None,
            pb::ActorEnd::Failed => Some(Self::Failed),
            pb::ActorEnd::Crashed => Some(Self::Crashed),
            pb::ActorEnd::Exited => Some(Self::Exited),
            pb::ActorEnd::Killed => Some(Self::Killed),
            pb::ActorEnd::Moved => Some(Self::Moved),
            pb::ActorEnd::Diverged => Some(Self::Diverged),
        }
    }

    fn sent(self) -> pb::ActorEnd {
        match self {
            Self::Failed => pb::ActorEnd::Failed,
            Self::Crashed => pb::ActorEnd::Crashed,
            Self::Exited => pb::ActorEnd::Exited,
            Self::Killed => pb::ActorEnd::Killed,
            Self::Moved => pb::ActorEnd::Moved,
            Self::Diverged => pb::ActorEnd::Diverged,
        }
    }
}

impl Twin for Compression {
    type Wire = pb::Compression;

    fn received(wire: pb::Compression) -> Option<Self> {
        Some(match wire {
            pb::Compression::Unspecified => Self::None,
            pb::Compression::Lz4 => Self::Lz4,
            pb::Compression::Zstd => Self::Zstd,
        })
    }

    fn sent(self) -> pb::Compression {
        match self {
            Self::None => pb::Compression::Unspecified,
            Self::Lz4 => pb::Compression::Lz4,
            Self::Zstd => pb::Compression::Zstd,
        }
    }
}

/// A value of an enum, in a report: `None` where this version does not know it.
pub(super) fn reported<T: Twin>(number: i32) -> Option<T> {
    T::Wire::try_from(number).ok().and_then(T::received)
}

/// A value of an enum, in a command.
pub(super) fn commanded<T: Twin>(number: i32, field: &str) -> Result<T, Refusal> {
    reported(number).ok_or_else(|| {
        let what = if number == 0 { "not given" } else { "not known to this version" };
        unsupported(field, format!("{field} {number} is {what}"))
    })
}

/// The number of a value on the wire.
pub(super) fn number<T: Twin>(value: T) -> i32 {
    value.sent().into()
}
