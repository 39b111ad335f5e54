//! Results of calls without a stream that are too large for a reply. They are stored under ids of the worker's own, for whoever
//! made the call to fetch, and for a while only: nobody says when he has done so, and the scheduler does not know them.

use std::collections::VecDeque;

use bireme_core::actor::call::{Call, ReplyKind};
use bireme_core::id::{HolderId, SubmissionId};
use bireme_core::{ObjectId, Time, limits};

use super::Turn;

/// Holders of ids with both of these bits are workers; those that are sessions have small numbers.
const OWN: u64 = 0b11 << 62;

/// Those that are stored, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Results {
    kept: VecDeque<Kept>,
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    object: ObjectId,
    size: u64,
    until: Time,
}

impl Results {
    /// One more is stored. Returns those that have to go for it.
    fn add(&mut self, now: Time, object: ObjectId, size: u64) -> Vec<ObjectId> {
        if let Some(at) = self.kept.iter().position(|kept| kept.object == object) {
            self.bytes -= self.kept.remove(at).map_or(0, |kept| kept.size);
        }
        self.bytes += size;
        self.kept.push_back(Kept { object, size, until: now + limits::SINGLE_RESULT_KEPT });
        let is_full = |all: &Self| {
            all.bytes > limits::SINGLE_RESULTS_BYTES || all.kept.len() > limits::SINGLE_RESULTS
        };
        let mut gone = Vec::new();
        // The last one stays, however large it is.
        while self.kept.len() > 1 && is_full(self) {
            gone.extend(self.take());
        }
        gone
    }

    /// One whose time is over.
    fn expired(&mut self, now: Time) -> Option<ObjectId> {
        self.next().filter(|until| *until <= now)?;
        self.take()
    }

    fn take(&mut self) -> Option<ObjectId> {
        let kept = self.kept.pop_front()?;
        self.bytes -= kept.size;
        Some(kept.object)
    }

    /// When the time of the first is over.
    pub(super) fn next(&self) -> Option<Time> {
        self.kept.front().map(|kept| kept.until)
    }
}

impl Turn<'_> {
    /// A result was stored under an id of the worker's own.
    pub(super) fn keep_result(&mut self, object: ObjectId, size: u64) {
        let gone = self.table.results.add(self.now, object, size);
        self.shared.sooner.notify_one();
        for object in gone {
            self.shared.setup.store.remove(object);
        }
    }

    /// Drops results whose time is over.
    pub(super) fn drop_old_results(&mut self) {
        while let Some(object) = self.table.results.expired(self.now) {
            self.shared.setup.store.remove(object);
        }
    }
}

/// A call whose result has a place if it needs one.
pub(super) fn with_place(call: Call, submission: SubmissionId) -> Call {
    let is_value = matches!(call.reply, ReplyKind::Store | ReplyKind::Value);
    let own = || {
        let hash = blake3::hash(&submission.0.to_be_bytes());
        let (holder, n) = hash.as_bytes().split_at(8);
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
        ObjectId::Held { holder: HolderId(number(holder) | OWN), n: number(n) }
    };
    let result = call.result.or_else(|| is_value.then(own));
    Call { result, ..call }
}

/// Whether an id is one of a worker's own.
pub(super) fn is_own(object: ObjectId) -> bool {
    matches!(object, ObjectId::Held { holder, .. } if holder.0 & OWN == OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u64) -> ObjectId {
        ObjectId::Held { holder: HolderId(OWN), n }
    }

    #[test]
    fn the_oldest_go_for_newer_ones_and_all_in_time() {
        let (mut results, half) = (Results::default(), limits::SINGLE_RESULTS_BYTES / 2);
        assert!(results.add(Time(0), object(1), half).is_empty());
        assert!(results.add(Time(5), object(2), half).is_empty());
        assert!(results.add(Time(6), object(1), half).is_empty(), "the same, made again");
        assert_eq!(results.add(Time(7), object(3), 1), [object(2)]);
        let large = 2 * limits::SINGLE_RESULTS_BYTES;
        assert_eq!(results.add(Time(8), object(4), large), [object(1), object(3)]);
        let until = results.next().unwrap();
        assert_eq!(until, Time(8) + limits::SINGLE_RESULT_KEPT);
        assert_eq!(results.expired(Time(until.0 - 1)), None);
        assert_eq!(results.expired(until), Some(object(4)));
        assert_eq!((results.expired(until), results.bytes), (None, 0));
        for n in 0..limits::SINGLE_RESULTS as u64 {
            assert!(results.add(Time(9), object(n), 0).is_empty());
        }
        assert_eq!(results.add(Time(9), object(u64::MAX), 0), [object(0)]);
    }

    #[test]
    fn the_same_submission_has_the_same_place() {
        let place = |n| with_place(Call::default(), SubmissionId(n)).result.unwrap();
        assert_eq!(place(1), place(1));
        assert_ne!(place(1), place(2));
        assert!(is_own(place(1)));
        let named = ObjectId::Held { holder: HolderId(3), n: 1 };
        let call = Call { result: Some(named), ..Call::default() };
        assert_eq!(with_place(call, SubmissionId(1)).result, Some(named));
        assert!(!is_own(named));
        let silent = Call { reply: ReplyKind::None, ..Call::default() };
        assert_eq!(with_place(silent, SubmissionId(1)).result, None);
    }
}
