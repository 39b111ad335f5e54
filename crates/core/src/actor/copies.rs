//! Copies of an actor's log and checkpoint on other workers: how far each has come, and what therefore counts as durable.
//!
//! The scheduler says in numbered lists where copies are kept, and keeps the set of those **in step**: with any of them the
//! next incarnation can begin. What makes that true is the host: it answers nobody before every copy that may be in that set
//! has what the answer rests on. So a copy is waited for from the moment on at which it is whole, which is before the scheduler
//! hears that it is in step, until a list comes that leaves it out, which is after the scheduler has struck it off. Until then
//! a copy that has failed holds the actor up.
//!
//! Nor does it answer anybody before the scheduler has heard that it is alive, and has said so in a list: what the scheduler
//! would begin again with if it never heard of this incarnation is then all that anybody was answered.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::id::WorkerUid;
use crate::protocol::Address;

/// Where copies of an actor are kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CopyPlaces {
    /// Greater with each list of the actor.
    pub version: u64,
    /// The workers.
    pub members: Vec<CopyPlace>,
    /// The scheduler has not heard that the incarnation is alive: it answers nobody before a list comes that says otherwise.
    pub unheard: bool,
}

/// A worker that keeps a copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CopyPlace {
    /// Which.
    pub worker: WorkerUid,
    /// Where it listens.
    pub addresses: Vec<Address>,
}

/// How it stands with the copies of an actor, as its host tells the scheduler.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CopiesTold {
    /// The list it speaks of.
    pub version: u64,
    /// Copies that have everything that answers rest on.
    pub in_sync: Vec<WorkerUid>,
    /// Those that cannot be reached, or fall behind.
    pub failed: Vec<WorkerUid>,
}

/// What a list changes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Copies to begin.
    pub begun: Vec<CopyPlace>,
    /// Copies that are kept no more.
    pub dropped: Vec<WorkerUid>,
}

/// The copies of one incarnation.
#[derive(Debug)]
pub struct CopySet {
    version: u64,
    members: BTreeMap<WorkerUid, Member>,
    /// The last record that the host itself has kept.
    local: u64,
    /// Up to this record answers may have been given.
    committed: u64,
    /// The scheduler has not said that it knows the incarnation to be alive: nothing more counts as durable.
    unheard: bool,
}

/// A copy.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that the others do not decide")]
struct Member {
    /// The last record it has.
    lsn: u64,
    /// The record up to which its checkpoint goes.
    checkpoint: u64,
    /// It was there from the beginning: the incarnation waits for it.
    is_first: bool,
    is_whole: bool,
    /// It has had everything that answers rest on, and has been waited for ever since.
    in_sync: bool,
    has_failed: bool,
}

impl Member {
    /// Whether nothing is durable that it does not have.
    fn is_needed(&self) -> bool {
        self.is_first || self.is_whole
    }
}

impl CopySet {
    /// The copies of an incarnation whose log ends with record `end`. All of them are waited for before it takes calls.
    pub fn new(end: u64, places: &CopyPlaces) -> Self {
        let first =
            |place: &CopyPlace| (place.worker, Member { is_first: true, ..Member::default() });
        let members = places.members.iter().map(first).collect();
        let CopyPlaces { version, unheard, .. } = *places;
        Self { version, members, local: end, committed: end, unheard }
    }

    /// Takes note of a later list; an earlier one changes nothing.
    pub fn assign(&mut self, places: CopyPlaces) -> Changes {
        let mut changes = Changes::default();
        if places.version < self.version {
            return changes;
        }
        self.version = places.version;
        self.unheard &= places.unheard;
        let is_listed =
            |worker: &WorkerUid| places.members.iter().any(|place| place.worker == *worker);
        let dropped = self.members.keys().filter(|worker| !is_listed(worker));
        changes.dropped = dropped.copied().collect();
        self.members.retain(|worker, _| is_listed(worker));
        for place in places.members {
            if let Entry::Vacant(entry) = self.members.entry(place.worker) {
                entry.insert(Member::default());
                changes.begun.push(place);
            }
        }
        changes
    }

    /// The host itself has kept all records up to this one.
    pub fn kept_here(&mut self, lsn: u64) {
        self.local = self.local.max(lsn);
        self.commit();
    }

    /// A copy has all records up to `lsn`, and a checkpoint that holds those up to `checkpoint`. Returns whether the scheduler
    /// is to be told.
    pub fn kept_there(
        &mut self,
        worker: WorkerUid,
        lsn: u64,
        checkpoint: u64,
        is_whole: bool,
    ) -> bool {
        let Some(member) = self.members.get_mut(&worker).filter(|member| !member.has_failed) else {
            return false;
        };
        member.lsn = member.lsn.max(lsn).max(checkpoint);
        member.checkpoint = member.checkpoint.max(checkpoint);
        member.is_whole |= is_whole;
        // Before anything else counts as durable: what does from here on it has.
        let has_all = member.is_whole && member.lsn >= self.committed;
        let is_news = has_all && !member.in_sync;
        member.in_sync |= has_all;
        self.commit();
        is_news
    }

    /// A copy cannot be reached, or falls behind. Returns whether the scheduler is to be told.
    pub fn fail(&mut self, worker: WorkerUid) -> bool {
        let member = self.members.get_mut(&worker);
        member.is_some_and(|member| !std::mem::replace(&mut member.has_failed, true))
    }

    fn commit(&mut self) {
        if self.unheard {
            return;
        }
        let needed = self.members.values().filter(|member| member.is_needed());
        let least = needed.map(|member| member.lsn).chain([self.local]).min().unwrap_or_default();
        self.committed = self.committed.max(least);
    }

    /// Whether every copy that was there from the beginning is whole, or was left out.
    pub fn is_ready(&self) -> bool {
        self.members.values().all(|member| !member.is_first || member.in_sync)
    }

    /// The last record that is wherever it has to be: no answer rests on a later one.
    pub fn durable(&mut self) -> u64 {
        self.commit();
        self.committed
    }

    /// Whether a checkpoint of all calls up to this record is wherever it has to be, if the host itself has it.
    pub fn has_checkpoint(&self, lsn: u64) -> bool {
        self.members.values().all(|member| !member.is_needed() || member.checkpoint >= lsn)
    }

    /// What the scheduler is told.
    pub fn told(&self) -> CopiesTold {
        let those = |is: fn(&Member) -> bool| {
            let members = self.members.iter().filter(move |(_, member)| is(member));
            members.map(|(worker, _)| *worker).collect()
        };
        CopiesTold {
            version: self.version,
            in_sync: those(|member| member.in_sync && !member.has_failed),
            failed: those(|member| member.has_failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WorkerUid = WorkerUid(1);
    const B: WorkerUid = WorkerUid(2);

    fn places(version: u64, workers: &[WorkerUid]) -> CopyPlaces {
        let place = |worker: &WorkerUid| CopyPlace { worker: *worker, addresses: Vec::new() };
        CopyPlaces { version, members: workers.iter().map(place).collect(), unheard: false }
    }

    #[test]
    fn without_copies_what_is_here_is_durable() {
        let mut set = CopySet::new(7, &CopyPlaces::default());
        assert!(set.is_ready() && set.has_checkpoint(100));
        set.kept_here(9);
        assert_eq!(set.durable(), 9);
    }

    #[test]
    fn the_slowest_copy_says_what_is_durable() {
        let mut set = CopySet::new(0, &places(1, &[A, B]));
        assert!(!set.is_ready());
        assert!(set.kept_there(A, 0, 0, true));
        assert!(!set.is_ready());
        assert!(set.kept_there(B, 0, 0, true));
        assert!(set.is_ready());
        set.kept_here(5);
        assert!(!set.kept_there(A, 5, 0, true));
        assert_eq!(set.durable(), 0);
        set.kept_there(B, 3, 0, true);
        assert_eq!(set.durable(), 3);
        assert!(!set.has_checkpoint(4));
        set.kept_there(A, 5, 4, true);
        set.kept_there(B, 3, 4, true);
        assert!(set.has_checkpoint(4));
        assert_eq!(set.durable(), 4, "a checkpoint holds what is before it");
    }

    #[test]
    fn nobody_is_answered_before_the_scheduler_has_heard_of_the_incarnation() {
        let unheard = |places: CopyPlaces| CopyPlaces { unheard: true, ..places };
        let mut set = CopySet::new(2, &unheard(places(1, &[A])));
        assert!(set.kept_there(A, 2, 0, true));
        assert!(set.is_ready(), "it may begin, so that the scheduler hears of it");
        set.kept_here(5);
        set.kept_there(A, 5, 0, true);
        assert_eq!(set.durable(), 2);
        set.assign(unheard(places(2, &[A])));
        assert_eq!(set.durable(), 2);
        set.assign(places(2, &[A]));
        assert_eq!(set.durable(), 5);
        set.kept_here(6);
        set.kept_there(A, 6, 0, true);
        set.assign(unheard(places(2, &[A])));
        assert_eq!(set.durable(), 6, "it stays known");
    }

    #[test]
    fn a_copy_that_failed_holds_the_actor_up_until_a_list_leaves_it_out() {
        let mut set = CopySet::new(0, &places(1, &[A]));
        set.kept_there(A, 0, 0, true);
        assert!(set.fail(A));
        assert!(!set.fail(A), "it is told once");
        assert_eq!(set.told(), CopiesTold { version: 1, in_sync: vec![], failed: vec![A] });
        set.kept_here(3);
        assert!(!set.kept_there(A, 3, 0, true));
        assert_eq!(set.durable(), 0);
        let changes = set.assign(places(2, &[B]));
        assert_eq!(changes.dropped, [A]);
        assert_eq!(changes.begun, places(2, &[B]).members);
        assert_eq!(set.durable(), 3, "one that is not whole is not waited for");
    }

    #[test]
    fn a_later_copy_is_waited_for_before_it_is_told_as_in_step() {
        let mut set = CopySet::new(0, &places(1, &[]));
        set.kept_here(10);
        assert_eq!(set.durable(), 10);
        set.assign(places(2, &[A]));
        assert!(set.is_ready(), "it holds nobody up who is alive");
        assert!(!set.kept_there(A, 4, 0, false));
        set.kept_here(12);
        assert_eq!(set.durable(), 12);
        assert!(!set.kept_there(A, 8, 0, true), "answers rest on more than it has");
        set.kept_here(20);
        assert_eq!(set.durable(), 12, "it is waited for by now");
        assert!(set.kept_there(A, 12, 0, true));
        assert_eq!(set.told().in_sync, [A]);
    }

    #[test]
    fn an_incarnation_waits_for_its_first_copies_or_for_word_that_they_are_left_out() {
        let mut set = CopySet::new(4, &places(3, &[A, B]));
        assert!(!set.kept_there(A, 4, 0, false), "it is not whole");
        assert!(set.kept_there(A, 4, 0, true));
        set.fail(B);
        assert!(!set.is_ready());
        assert_eq!(set.assign(places(2, &[])), Changes::default(), "that list is older");
        set.assign(places(4, &[A]));
        assert!(set.is_ready());
        assert_eq!(set.told(), CopiesTold { version: 4, in_sync: vec![A], failed: vec![] });
    }
}
