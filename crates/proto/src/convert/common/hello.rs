//! The first message of every stream.

use std::fmt;

use bireme_core::id::{ClusterId, Epoch};
use bireme_core::limits;
use bireme_core::link::Hello;
use bireme_core::reason::Refusal;
use bytes::Bytes;

use crate::convert::field::{id, id_bytes, name, names};
use crate::pb;

/// All of a first message: by what two peers judge each other, and what only their drivers read.
#[derive(Clone, Eq, PartialEq)]
pub struct Greeting {
    /// Whether the two can talk at all.
    pub hello: Hello,
    /// Version of the sender's software, for people.
    pub product: String,
    /// What the sender accepts.
    pub limits: PeerLimits,
    /// When the message was made, where the sender said so.
    pub clock: Option<Clock>,
    /// The bearer token, from those who cannot set metadata; empty otherwise.
    pub token: String,
    /// W3C trace context of whoever opened the stream; empty where there is none.
    pub traceparent: String,
}

/// What a peer accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerLimits {
    /// Longest message on the stream, in bytes.
    pub message_bytes: u64,
    /// Largest value that may ride inside a control message, in bytes.
    pub inline_bytes: u64,
}

/// A reading of a peer's clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clock {
    /// Microseconds since the Unix epoch.
    pub wall_us: u64,
    /// Microseconds of a clock that never goes back, from an arbitrary start.
    pub monotonic_us: u64,
}

impl Greeting {
    /// The first message of this software.
    pub fn new(hello: Hello) -> Self {
        Self {
            hello,
            product: concat!("bireme ", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: PeerLimits::default(),
            clock: None,
            token: String::new(),
            traceparent: String::new(),
        }
    }
}

impl Default for PeerLimits {
    /// What this software accepts, and what a peer is taken to accept that says nothing.
    fn default() -> Self {
        Self { message_bytes: limits::MESSAGE_BYTES as u64, inline_bytes: limits::INLINE_BYTES }
    }
}

/// Without the token: what is printed ends up in logs.
impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hello, product, limits, clock, token, traceparent } = self;
        f.debug_struct("Greeting")
            .field("hello", hello)
            .field("product", product)
            .field("limits", limits)
            .field("clock", clock)
            .field("token", &if token.is_empty() { "none" } else { "given" })
            .field("traceparent", traceparent)
            .finish()
    }
}

impl TryFrom<pb::Hello> for Greeting {
    type Error = Refusal;

    fn try_from(message: pb::Hello) -> Result<Self, Refusal> {
        let pb::Hello {
            protocol_min,
            protocol_max,
            product,
            cluster_id,
            epoch,
            features,
            required_features,
            limits: peer,
            clock,
            token,
            traceparent,
        } = message;
        let cluster = match cluster_id.as_ref() {
            [] => None,
            _ => Some(id(&cluster_id, ClusterId::from_slice, "cluster_id")?),
        };
        let mut features = names(features, limits::FEATURES, "features")?;
        features.sort_unstable();
        let hello = Hello {
            protocol_min,
            protocol_max,
            cluster,
            epoch: Epoch(epoch),
            features,
            required_features: names(required_features, limits::FEATURES, "required_features")?,
        };
        Ok(Self {
            hello,
            product: name(product, "product")?,
            limits: peer.map(Into::into).unwrap_or_default(),
            clock: clock.map(Into::into),
            token,
            traceparent: name(traceparent, "traceparent")?,
        })
    }
}

impl From<Greeting> for pb::Hello {
    fn from(greeting: Greeting) -> Self {
        let Greeting { hello, product, limits, clock, token, traceparent } = greeting;
        let Hello { protocol_min, protocol_max, cluster, epoch, features, required_features } =
            hello;
        Self {
            protocol_min,
            protocol_max,
            product,
            cluster_id: cluster.map_or(Bytes::new(), |cluster| id_bytes(cluster.to_bytes())),
            epoch: epoch.0,
            features,
            required_features,
            limits: Some(limits.into()),
            clock: clock.map(Into::into),
            token,
            traceparent,
        }
    }
}

impl From<pb::PeerLimits> for PeerLimits {
    fn from(pb::PeerLimits { message_bytes, inline_bytes }: pb::PeerLimits) -> Self {
        Self { message_bytes, inline_bytes }
    }
}

impl From<PeerLimits> for pb::PeerLimits {
    fn from(PeerLimits { message_bytes, inline_bytes }: PeerLimits) -> Self {
        Self { message_bytes, inline_bytes }
    }
}

impl From<pb::ClockSample> for Clock {
    fn from(pb::ClockSample { wall_us, monotonic_us }: pb::ClockSample) -> Self {
        Self { wall_us, monotonic_us }
    }
}

impl From<Clock> for pb::ClockSample {
    fn from(Clock { wall_us, monotonic_us }: Clock) -> Self {
        Self { wall_us, monotonic_us }
    }
}
