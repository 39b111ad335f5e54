//! Which blobs a process has been sent.

use std::collections::BTreeMap;

use bireme_core::id::Digest;
use bireme_core::limits;

/// The blobs that a process keeps. What was used last is kept longest.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// With the turn of their last use, and their length in bytes.
    blobs: BTreeMap<Digest, (u64, u64)>,
    turn: u64,
    /// Invariant: the sum of their lengths.
    bytes: u64,
}

impl Shown {
    /// Whether the process has been sent a blob.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.blobs.contains_key(&digest)
    }

    /// Makes note that the process was given an attempt that uses a blob, and the blob if it did not have it.
    pub(super) fn show(&mut self, digest: Digest, length: u64) {
        self.turn += 1;
        if self.blobs.insert(digest, (self.turn, length)).is_none() {
            self.bytes += length;
        }
    }

    /// Those that the process has to drop, for there are too many: the least recently used ones that none of its attempts
    /// uses.
    pub(super) fn pass_over(&mut self, is_used: impl Fn(Digest) -> bool) -> Vec<Digest> {
        let mut gone = Vec::new();
        if self.bytes <= limits::EXECUTOR_BLOBS_BYTES {
            return gone; // As a rule.
        }
        let mut unused: Vec<_> = self.blobs.iter().map(|(digest, used)| (*used, *digest)).collect();
        unused.retain(|(_, digest)| !is_used(*digest));
        unused.sort_unstable();
        for ((_, length), digest) in unused {
            if self.bytes <= limits::EXECUTOR_BLOBS_BYTES {
                break;
            }
            self.blobs.remove(&digest);
            self.bytes -= length;
            gone.push(digest);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_that_nobody_uses_go() {
        let (mut shown, part) = (Shown::default(), limits::EXECUTOR_BLOBS_BYTES / 3);
        let digest = |n| Digest([n; 32]);
        for n in [0, 1, 2, 0] {
            shown.show(digest(n), part);
        }
        assert!(shown.pass_over(|_| false).is_empty(), "there is room for three");
        shown.show(digest(3), part);
        assert_eq!(shown.pass_over(|used| used == digest(1)), [digest(2)]);
        assert!(shown.pass_over(|_| false).is_empty());
        assert!(!shown.has(digest(2)), "it has to be sent again");
        shown.show(digest(2), part);
        assert!(shown.pass_over(|_| true).is_empty(), "all are used");
    }
}
