//! A link between two peers: whether they can talk, and what one still has to tell the other.
//!
//! Every stream begins with a [`Hello`] both ways, judged by [`greet`]. After that a side keeps, for each peer, an
//! [`Outbox`] of things whose state the peer has not seen. When the stream has room the machine turns them into messages,
//! with their state of that moment; when the stream is lost the box is emptied, because what follows a reconnection is an
//! announcement of everything.

use std::collections::VecDeque;

use crate::hash::Seeded;
use crate::id::{ClusterId, Epoch};
use crate::limits;
use crate::reason::{Reason, Refusal};
use crate::time::Span;

/// Lowest protocol version this software speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Highest protocol version this software speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// First message of every stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Lowest protocol version the sender speaks.
    pub protocol_min: u32,
    /// Highest protocol version the sender speaks.
    pub protocol_max: u32,
    /// The sender's cluster, if it knows one.
    pub cluster: Option<ClusterId>,
    /// The scheduler's epoch; from anyone else, the last one it saw.
    pub epoch: Epoch,
    /// What the sender can do, sorted.
    pub features: Vec<String>,
    /// What the other side must be able to do.
    pub required_features: Vec<String>,
}

impl Hello {
    /// The greeting of this software.
    pub fn new(cluster: Option<ClusterId>, epoch: Epoch) -> Self {
        Self {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            cluster,
            epoch,
            features: Vec::new(),
            required_features: Vec::new(),
        }
    }
}

/// Judges a peer's greeting: the protocol version to speak, or why not.
pub fn greet(ours: &Hello, theirs: &Hello) -> Result<u32, Refusal> {
    let version = ours.protocol_max.min(theirs.protocol_max);
    if version < ours.protocol_min.max(theirs.protocol_min) {
        let message = format!(
            "the peer speaks protocol {} to {}, this side {} to {}",
            theirs.protocol_min, theirs.protocol_max, ours.protocol_min, ours.protocol_max
        );
        return Err(Refusal::at(Reason::ProtocolVersion, "hello.protocol_max", message));
    }
    if let (Some(ours), Some(theirs)) = (ours.cluster, theirs.cluster)
        && ours != theirs
    {
        let message = format!("the peer belongs to cluster {theirs}, this is {ours}");
        return Err(Refusal::at(Reason::WrongCluster, "hello.cluster_id", message));
    }
    for (required, have, who) in [
        (&theirs.required_features, &ours.features, "this side"),
        (&ours.required_features, &theirs.features, "the peer"),
    ] {
        if let Some(missing) = required.iter().find(|feature| !have.contains(feature)) {
            let message = format!("{who} does not have the required feature {missing:?}");
            return Err(Refusal::at(Reason::FeatureMissing, "hello.required_features", message));
        }
    }
    Ok(version)
}

/// How long to wait before a lost stream is dialled again: twice as long after each failure, up to
/// [`limits::RECONNECT_MAX`], and cut by up to a half so that peers which lost their scheduler together do not come back
/// together.
pub fn pause(failures: u32, jitter: &Seeded) -> Span {
    let first = Span(limits::RECONNECT_MAX.0 / 100);
    let most = (0..failures.min(16)).fold(first, |span, _| span.doubled(limits::RECONNECT_MAX));
    let cut = jitter.hash(&failures) % (most.0 / 2);
    Span(most.0 - cut)
}

/// What a peer has still to be told, in order, while its stream is up.
///
/// It is bounded by whoever marks: each thing is marked at most once until it is taken.
#[derive(Debug)]
pub struct Outbox<K> {
    up: bool,
    dirty: VecDeque<K>,
}

impl<K> Default for Outbox<K> {
    fn default() -> Self {
        Self { up: false, dirty: VecDeque::new() }
    }
}

impl<K> Outbox<K> {
    /// The stream is up and the peer knows nothing yet.
    pub fn open(&mut self) {
        self.dirty.clear();
        self.up = true;
    }

    /// The stream is lost.
    pub fn close(&mut self) {
        self.up = false;
        self.dirty = VecDeque::new();
    }

    /// Whether the stream is up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// What there is to tell, in order.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.dirty.iter()
    }

    /// How much there is to tell.
    pub fn len(&self) -> usize {
        self.dirty.len()
    }

    /// Has a thing told. Returns whether the peer's stream must be woken: it is up and had nothing to tell.
    pub fn mark(&mut self, thing: K) -> bool {
        if !self.up {
            return false;
        }
        self.dirty.push_back(thing);
        self.dirty.len() == 1
    }

    /// The next thing to tell.
    pub fn take(&mut self) -> Option<K> {
        self.dirty.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello::new(Some(ClusterId(1)), Epoch(1))
    }

    #[test]
    fn pauses_grow_to_the_limit_and_differ_between_peers() {
        let (one, other) = (Seeded::new(1), Seeded::new(2));
        let pauses: Vec<_> = (0..12).map(|failures| pause(failures, &one)).collect();
        assert!(pauses[0] <= Span::millis(20) && pauses[0] >= Span::millis(10));
        assert!(pauses[11] <= limits::RECONNECT_MAX && pauses[11].0 >= limits::RECONNECT_MAX.0 / 2);
        assert_ne!(pauses, (0..12).map(|failures| pause(failures, &other)).collect::<Vec<_>>());
        assert!(pause(u32::MAX, &one) <= limits::RECONNECT_MAX);
    }

    #[test]
    fn peers_that_share_a_version_talk() {
        assert_eq!(greet(&hello(), &hello()), Ok(PROTOCOL_MAX));
        let stranger = Hello { cluster: None, epoch: Epoch(0), ..hello() };
        assert_eq!(greet(&hello(), &stranger), Ok(PROTOCOL_MAX));
        let newer = Hello { protocol_max: PROTOCOL_MAX + 5, ..hello() };
        assert_eq!(greet(&hello(), &newer), Ok(PROTOCOL_MAX));
    }

    #[test]
    fn peers_that_cannot_talk_hear_why() {
        let reason = |theirs: Hello| greet(&hello(), &theirs).unwrap_err().reason;
        assert_eq!(
            reason(Hello { protocol_min: 9, protocol_max: 9, ..hello() }),
            Reason::ProtocolVersion
        );
        assert_eq!(reason(Hello { cluster: Some(ClusterId(2)), ..hello() }), Reason::WrongCluster);
        assert_eq!(
            reason(Hello { required_features: vec!["x".into()], ..hello() }),
            Reason::FeatureMissing
        );
    }

    #[test]
    fn an_outbox_wakes_once_and_forgets_with_its_stream() {
        let mut outbox = Outbox::default();
        assert!(!outbox.mark(1), "nobody to wake");
        outbox.open();
        assert!(outbox.is_empty());
        assert!(outbox.mark(1) && !outbox.mark(2));
        assert_eq!(outbox.take(), Some(1));
        outbox.close();
        assert_eq!((outbox.take(), outbox.len(), outbox.is_up()), (None, 0, false));
    }
}
