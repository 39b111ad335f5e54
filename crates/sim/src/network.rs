//! Streams: in order, each with a latency of its own, until they break.

use std::collections::BTreeMap;

use bireme_core::{Span, Time};
use bireme_scheduler::machine::ConnId;

use crate::rng::Rng;
use crate::world::Side;

/// A direction of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// To the peer.
    Down,
    /// To the scheduler.
    Up,
}

/// All streams that are up.
#[derive(Debug, Default)]
pub(crate) struct Network {
    last: u64,
    streams: BTreeMap<ConnId, Stream>,
}

#[derive(Debug)]
struct Stream {
    side: Side,
    latency: Span,
    jitter: Span,
    /// Nothing arrives before; it is late, not lost.
    stalled: Time,
    /// When the last message of each way arrives.
    up: Time,
    down: Time,
}

impl Network {
    /// Opens a stream.
    pub(crate) fn open(&mut self, rng: &mut Rng, side: Side) -> ConnId {
        self.last += 1;
        let conn = ConnId(self.last);
        let latency = rng.span(20, 2_000);
        let jitter = rng.span(0, 500);
        let never = Time::default();
        self.streams
            .insert(conn, Stream { side, latency, jitter, stalled: never, up: never, down: never });
        conn
    }

    /// When a message that is sent now arrives; never if the stream is broken.
    pub(crate) fn arrival(
        &mut self,
        rng: &mut Rng,
        now: Time,
        conn: ConnId,
        way: Way,
    ) -> Option<Time> {
        let stream = self.streams.get_mut(&conn)?;
        let due = now + stream.latency + rng.span(0, stream.jitter.0);
        let last = match way {
            Way::Down => &mut stream.down,
            Way::Up => &mut stream.up,
        };
        *last = due.max(*last).max(stream.stalled);
        Some(*last)
    }

    /// Every stream that is up.
    pub(crate) fn all(&self) -> Vec<ConnId> {
        self.streams.keys().copied().collect()
    }

    /// Whose stream it is, while it is up.
    pub(crate) fn side(&self, conn: ConnId) -> Option<Side> {
        self.streams.get(&conn).map(|stream| stream.side)
    }

    /// Breaks a stream. Returns whether it was up.
    pub(crate) fn sever(&mut self, conn: ConnId) -> bool {
        self.streams.remove(&conn).is_some()
    }

    /// Lets nothing arrive before a time.
    pub(crate) fn stall(&mut self, conn: ConnId, until: Time) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.stalled = until;
        }
    }
}
