//! Everything a worker holds, for a scheduler that may have forgotten it.

use bireme_core::limits;
use bireme_core::protocol::{Announce, Held, Report};

use super::Machine;
use super::objects::Stored;
use super::reports::encoded_bytes;

/// About how long an object or attempt is in its encoded form, in bytes.
const ENTRY_BYTES: usize = 40;

impl Machine {
    /// Everything held, sorted, in parts of about [`limits::BATCH_BYTES`]; the last one says so. Folding the parts in order
    /// gives the digest ([`Announce::fold_digest`]).
    pub fn announce(&self) -> Vec<Announce> {
        let current = self
            .attempts
            .iter()
            .filter(|(slot, attempt)| self.attempts.current(attempt.id.task) == Some(*slot));
        let mut whole = Announce {
            objects: self
                .objects
                .stored
                .iter()
                .map(|(&object, &Stored { size, made_by, .. })| Held { object, size, made_by })
                .collect(),
            attempts: current.map(|(_, attempt)| (attempt.id, attempt.has_started())).collect(),
            actors: self.actors.announced().collect(),
            ended: self
                .ended
                .values()
                .cloned()
                .chain(self.actors.ended.values().cloned().map(Report::Actor))
                .collect(),
            last: true,
        };
        whole.sort();
        cut(whole)
    }
}

/// Cuts a sorted announcement into parts, in order.
fn cut(whole: Announce) -> Vec<Announce> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Announce::default(), 0);
    let mut room_for = |part: &mut Announce, entry: usize| {
        if bytes + entry > limits::BATCH_BYTES {
            parts.push(std::mem::take(part));
            bytes = 0;
        }
        bytes += entry;
    };
    for object in whole.objects {
        room_for(&mut part, ENTRY_BYTES);
        part.objects.push(object);
    }
    for attempt in whole.attempts {
        room_for(&mut part, ENTRY_BYTES);
        part.attempts.push(attempt);
    }
    for actor in whole.actors {
        room_for(&mut part, ENTRY_BYTES);
        part.actors.push(actor);
    }
    for report in whole.ended {
        room_for(&mut part, encoded_bytes(&report));
        part.ended.push(report);
    }
    parts.push(Announce { last: true, ..part });
    parts
}
