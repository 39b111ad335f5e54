//! The canonical form of an announcement: two sides that fold theirs into a digest learn whether they agree without sending it.

use super::{Announce, Held, Report};
use crate::actor::place::{ActorReport, Hosted};
use crate::id::{ActorId, AttemptId, Incarnation};
use crate::object::ObjectId;

/// What kind of entry follows in the canonical form.
#[derive(Clone, Copy)]
enum Tag {
    Held = 1,
    Output = 2,
    Accepted = 3,
    Started = 4,
    Failed = 5,
    Finished = 6,
    Retracted = 7,
    Hosted = 8,
    ActorEnded = 9,
}

impl Announce {
    /// Puts the entries in the order that [`Self::fold_digest`] expects: by id.
    pub fn sort(&mut self) {
        self.objects.sort_unstable();
        self.attempts.sort_unstable();
        self.actors.sort_unstable();
        self.ended.sort_by_key(|report| (report.ended(), report.ended_actor()));
    }

    /// Feeds the canonical bytes of a sorted announcement, entry by entry, to `fold`.
    ///
    /// They do not depend on how the announcement was cut into parts, as long as these are folded in order: objects, then
    /// attempts, then actors, then ends. Of an end only its kind counts: the rest is fixed by the attempt's number. Who made an object does
    /// not count: a side that knows of every end knows that too.
    pub fn fold_digest(&self, fold: &mut impl FnMut(&[u8])) {
        for Held { object, size, made_by: _ } in &self.objects {
            match object {
                ObjectId::Held { holder, n } => Entry::new(Tag::Held).u64(holder.0).u64(*n),
                ObjectId::Output { task, output } => {
                    let entry = Entry::new(Tag::Output).u64(task.graph.0).u32(task.index);
                    entry.u32(u32::from(*output))
                }
            }
            .u64(*size)
            .fold(fold);
        }
        for (attempt, started) in &self.attempts {
            let tag = if *started { Tag::Started } else { Tag::Accepted };
            Entry::new(tag).attempt(*attempt).fold(fold);
        }
        for Hosted { actor, incarnation, alive, checkpoints } in &self.actors {
            let how = u32::from(*alive) << 1 | u32::from(*checkpoints);
            Entry::new(Tag::Hosted).actor(*actor, *incarnation).u32(how).fold(fold);
        }
        for report in &self.ended {
            if let Some((actor, incarnation)) = report.ended_actor() {
                Entry::new(Tag::ActorEnded).actor(actor, incarnation).fold(fold);
            }
            let tag = match report {
                Report::Failed { .. } => Tag::Failed,
                Report::Finished { .. } => Tag::Finished,
                Report::Retracted(_) => Tag::Retracted,
                Report::Actor(_)
                | Report::Draining { .. }
                | Report::InputMissing { .. }
                | Report::Rejoined(_)
                | Report::ReplicaAdded { .. }
                | Report::ReplicaLost(_)
                | Report::Seceded(_)
                | Report::Started(_) => continue,
            };
            if let Some(attempt) = report.ended() {
                Entry::new(tag).attempt(attempt).fold(fold);
            }
        }
    }
}

impl Report {
    /// The attempt whose end this tells.
    pub fn ended(&self) -> Option<AttemptId> {
        match self {
            Self::Failed { attempt, .. }
            | Self::Finished { attempt, .. }
            | Self::Retracted(attempt) => Some(*attempt),
            Self::Actor(_)
            | Self::Draining { .. }
            | Self::InputMissing { .. }
            | Self::Rejoined(_)
            | Self::ReplicaAdded { .. }
            | Self::ReplicaLost(_)
            | Self::Seceded(_)
            | Self::Started(_) => None,
        }
    }

    /// The incarnation whose end this tells.
    pub fn ended_actor(&self) -> Option<(ActorId, Incarnation)> {
        match self {
            Self::Actor(ActorReport::Ended { actor, incarnation, .. }) => {
                Some((*actor, *incarnation))
            }
            _ => None,
        }
    }
}

/// One entry: a tag and whole numbers of fixed width, so that no two announcements have the same bytes.
struct Entry {
    bytes: [u8; 32],
    len: usize,
}

impl Entry {
    fn new(tag: Tag) -> Self {
        Self { bytes: [0; 32], len: 0 }.put(&[tag as u8])
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        let end = self.len + bytes.len();
        self.bytes
            .get_mut(self.len..end)
            .expect("the longest entry has 25 bytes")
            .copy_from_slice(bytes);
        self.len = end;
        self
    }

    fn u32(self, n: u32) -> Self {
        self.put(&n.to_be_bytes())
    }

    fn u64(self, n: u64) -> Self {
        self.put(&n.to_be_bytes())
    }

    fn actor(self, actor: ActorId, incarnation: Incarnation) -> Self {
        self.put(&actor.to_bytes()).u32(incarnation.0)
    }

    fn attempt(self, AttemptId { task, no }: AttemptId) -> Self {
        self.u64(task.graph.0).u32(task.index).u32(no.epoch.0).u32(no.n)
    }

    fn fold(self, fold: &mut impl FnMut(&[u8])) {
        fold(self.bytes.get(..self.len).expect("the length is within the bytes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::place::EndKind;
    use crate::id::{AttemptNo, Epoch, GraphId, HolderId, TaskId};

    fn bytes(parts: &[Announce]) -> Vec<u8> {
        let mut all = Vec::new();
        for part in parts {
            part.fold_digest(&mut |bytes| all.extend_from_slice(bytes));
        }
        all
    }

    fn hosted(actor: u128) -> Hosted {
        let (actor, incarnation) = (ActorId(actor), Incarnation(1));
        Hosted { actor, incarnation, alive: true, checkpoints: false }
    }

    fn actor_ended(actor: u128) -> Report {
        let (actor, incarnation) = (ActorId(actor), Incarnation(1));
        let end = EndKind::Exited;
        Report::Actor(ActorReport::Ended { actor, incarnation, end, cause: None, checkpoint: None })
    }

    fn whole() -> Announce {
        let task = |index| TaskId { graph: GraphId(1), index };
        let attempt =
            |index| AttemptId { task: task(index), no: AttemptNo { epoch: Epoch(1), n: 1 } };
        let held = ObjectId::Held { holder: HolderId(9), n: 1 };
        Announce {
            objects: vec![
                Held { object: ObjectId::output(task(4), 1), size: 8, made_by: None },
                Held { object: held, size: 7, made_by: None },
            ],
            attempts: vec![(attempt(3), false), (attempt(2), true)],
            actors: vec![hosted(3), hosted(2)],
            ended: vec![
                Report::Retracted(attempt(6)),
                Report::Retracted(attempt(5)),
                actor_ended(8),
                actor_ended(7),
            ],
            last: true,
        }
    }

    #[test]
    fn neither_order_nor_parts_are_seen() {
        let mut sorted = whole();
        sorted.sort();
        let mut rest = sorted.clone();
        let first = Announce { objects: rest.objects.drain(..1).collect(), ..Announce::default() };
        assert_eq!(bytes(&[first, rest]), bytes(std::slice::from_ref(&sorted)));
        let mut shuffled = whole();
        shuffled.objects.reverse();
        shuffled.sort();
        assert_eq!(shuffled, sorted);
    }

    #[test]
    fn every_difference_is_seen() {
        let same = bytes(&[whole()]);
        let change: [fn(&mut Announce); 7] = [
            |announce| announce.objects[0].size += 1,
            |announce| announce.attempts[0].1 = true,
            |announce| announce.ended.truncate(1),
            |announce| announce.attempts[1].0.no.n = 2,
            |announce| announce.actors[0].alive = false,
            |announce| announce.actors[1].incarnation.0 = 2,
            |announce| announce.ended.truncate(3),
        ];
        for change in change {
            let mut other = whole();
            change(&mut other);
            assert_ne!(bytes(&[other]), same);
        }
    }
}
