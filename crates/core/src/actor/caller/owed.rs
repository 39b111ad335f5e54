//! Replies that a host goes on keeping after they have arrived, because the calls may be made again.

use std::collections::BTreeMap;

/// How much a host keeps of what has arrived.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Bytes of each reply, by the number of its call.
    replies: BTreeMap<u64, u64>,
    // Invariant: the sum of `replies`.
    bytes: u64,
}

impl Owed {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A reply has arrived.
    pub(super) fn add(&mut self, seq: u64, bytes: u64) {
        if bytes > 0 && self.replies.insert(seq, bytes).is_none() {
            self.bytes += bytes;
        }
    }

    /// The host is told that replies up to this one can go.
    pub(super) fn free(&mut self, up_to: u64) {
        while let Some(first) = self.replies.first_entry().filter(|first| *first.key() <= up_to) {
            self.bytes -= first.remove();
        }
    }
}
