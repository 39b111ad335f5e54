//! Attempts that wait for what they need before they start: blobs that their payloads name, environments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

use bireme_core::AttemptId;
use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use smallvec::SmallVec;

use super::Job;
use crate::store::{Store, Stored};
use crate::sync::lock;

/// Something that an attempt needs before it starts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Need {
    /// A blob that its payload names.
    Blob(Digest),
    /// Processes in the environment of this runtime.
    Environment(Box<Runtime>),
}

/// What attempts need. Most need one thing.
pub(super) type Needs = SmallVec<[Need; 1]>;

/// Attempts by what they wait for next. The machine bounds how many there are.
#[derive(Debug, Default)]
pub(crate) struct Awaiting(Mutex<BTreeMap<Need, Vec<Waiting>>>);

/// An attempt that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    /// What it needs and has not been looked for.
    left: Needs,
    /// It has its resources.
    pub(super) granted: bool,
}

/// Whether an attempt has what it needs.
#[derive(Debug)]
pub(super) enum Found {
    /// All of it.
    All(Box<Waiting>),
    /// It waits; this has to be got.
    Get(Need),
    /// It waits for something that is on its way.
    Coming,
}

impl Waiting {
    pub(super) fn new(job: Job, needs: Needs, granted: bool) -> Self {
        Self { job, left: needs, granted }
    }
}

impl Awaiting {
    /// Gives an attempt those of its blobs that are here, and has it wait for the first thing that is not.
    pub(super) fn find(&self, mut waiting: Waiting, store: &Store) -> Found {
        while let Some(need) = waiting.left.pop() {
            if let Need::Blob(digest) = need
                && let Some(blob) = store.blob(digest)
            {
                waiting.job.blobs.push((digest, blob));
                continue;
            }
            waiting.left.push(need.clone());
            return match lock(&self.0).entry(need.clone()) {
                Entry::Vacant(place) => {
                    place.insert(vec![waiting]);
                    Found::Get(need)
                }
                Entry::Occupied(mut others) => {
                    others.get_mut().push(waiting);
                    Found::Coming
                }
            };
        }
        Found::All(Box::new(waiting))
    }

    /// Those that wait for something, which is here, or will not come. Where it is a blob, they have it.
    pub(super) fn take(&self, need: &Need, blob: Option<&Stored>) -> Vec<Waiting> {
        let mut all = lock(&self.0).remove(need).unwrap_or_default();
        for waiting in &mut all {
            waiting.left.retain(|left| left != need);
            if let (Need::Blob(digest), Some(blob)) = (need, blob) {
                waiting.job.blobs.push((*digest, blob.clone()));
            }
        }
        all
    }

    /// An attempt has its resources now.
    pub(super) fn promote(&self, attempt: AttemptId) {
        let mut all = lock(&self.0);
        let mut all = all.values_mut().flatten();
        if let Some(waiting) = all.find(|waiting| waiting.job.attempt() == attempt) {
            waiting.granted = true;
        }
    }

    /// Takes an attempt away that waits for its resources, too.
    pub(super) fn remove_follower(&self, attempt: AttemptId) -> Option<Waiting> {
        self.remove_if(|waiting| waiting.job.attempt() == attempt && !waiting.granted)
    }

    /// Takes an attempt away. What it waits for comes all the same.
    pub(super) fn remove(&self, attempt: AttemptId) -> Option<Waiting> {
        self.remove_if(|waiting| waiting.job.attempt() == attempt)
    }

    fn remove_if(&self, is_it: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let mut all = lock(&self.0);
        all.values_mut().find_map(|others| {
            let at = others.iter().position(&is_it)?;
            Some(others.swap_remove(at))
        })
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::graph::{Row, Runtime};
    use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
    use bireme_core::resources::Pieces;
    use bireme_core::{Resources, Time, Value};
    use bytes::Bytes;

    use super::*;
    use crate::machine::Execution;

    const FIRST: Digest = Digest([1; 32]);
    const SECOND: Digest = Digest([2; 32]);

    fn attempt(index: u32) -> AttemptId {
        let task = TaskId { graph: GraphId(1), index };
        AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 1 } }
    }

    fn waiting(index: u32, needs: &[Digest], granted: bool) -> Waiting {
        let execution = Execution {
            attempt: attempt(index),
            key: index.to_string(),
            payload: Bytes::new(),
            inputs: SmallVec::new(),
            resources: Resources::one_cpu(),
            held: Pieces::none(),
            outputs: 1,
            timeout: None,
            row: Row::None,
            runtime: Runtime::Native,
        };
        let job = Job::new(Box::new(execution), SmallVec::new(), Time(1));
        Waiting::new(job, needs.iter().copied().map(Need::Blob).collect(), granted)
    }

    fn blob() -> Stored {
        Stored::of(Value::raw("blob"))
    }

    fn indexes(waiting: &[Waiting]) -> Vec<u32> {
        waiting.iter().map(|waiting| waiting.job.attempt().task.index).collect()
    }

    #[test]
    fn a_blob_is_fetched_once_for_all_that_name_it() {
        let (awaiting, store) = (Awaiting::default(), Store::scratch());
        assert!(matches!(
            awaiting.find(waiting(1, &[FIRST], true), &store),
            Found::Get(Need::Blob(FIRST))
        ));
        assert!(matches!(awaiting.find(waiting(2, &[FIRST], true), &store), Found::Coming));
        store.put_blob(FIRST, blob());
        let there = awaiting.take(&Need::Blob(FIRST), Some(&blob()));
        assert_eq!(indexes(&there), [1, 2]);
        for one in there {
            let Found::All(one) = awaiting.find(one, &store) else { panic!("it lacks nothing") };
            assert!(matches!(&one.job.blobs[..], [(FIRST, _)]));
        }
        assert!(awaiting.take(&Need::Blob(FIRST), None).is_empty());
    }

    #[test]
    fn one_blob_after_the_other_is_waited_for() {
        let (awaiting, store) = (Awaiting::default(), Store::scratch());
        let both = waiting(1, &[SECOND, FIRST], true);
        assert!(matches!(awaiting.find(both, &store), Found::Get(Need::Blob(FIRST))));
        let mut there = awaiting.take(&Need::Blob(FIRST), Some(&blob()));
        let one = there.pop().expect("it waited");
        assert!(matches!(awaiting.find(one, &store), Found::Get(Need::Blob(SECOND))));
        store.put_blob(SECOND, blob());
        let one = awaiting.take(&Need::Blob(SECOND), Some(&blob())).pop().expect("it waited");
        let Found::All(one) = awaiting.find(one, &store) else { panic!("it has both") };
        assert_eq!(one.job.blobs.len(), 2);
    }

    #[test]
    fn who_gets_its_resources_meanwhile_has_them_when_the_blob_comes() {
        let (awaiting, store) = (Awaiting::default(), Store::scratch());
        awaiting.find(waiting(1, &[FIRST], false), &store);
        awaiting.find(waiting(2, &[FIRST], false), &store);
        awaiting.promote(attempt(2));
        awaiting.promote(attempt(3));
        let there = awaiting.take(&Need::Blob(FIRST), Some(&blob()));
        let granted: Vec<_> = there.iter().map(|waiting| waiting.granted).collect();
        assert_eq!((indexes(&there), granted), (vec![1, 2], vec![false, true]));
    }

    #[test]
    fn only_followers_are_recalled() {
        let (awaiting, store) = (Awaiting::default(), Store::scratch());
        awaiting.find(waiting(1, &[FIRST], true), &store);
        awaiting.find(waiting(2, &[FIRST], false), &store);
        assert!(awaiting.remove_follower(attempt(1)).is_none());
        assert_eq!(
            indexes(&awaiting.remove_follower(attempt(2)).into_iter().collect::<Vec<_>>()),
            [2]
        );
        assert!(awaiting.remove_follower(attempt(2)).is_none());
        awaiting.find(waiting(4, &[FIRST], false), &store);
        awaiting.promote(attempt(4));
        assert!(awaiting.remove_follower(attempt(4)).is_none(), "it has resources to give back");
    }

    #[test]
    fn what_was_killed_is_gone_and_its_blob_comes_all_the_same() {
        let (awaiting, store) = (Awaiting::default(), Store::scratch());
        awaiting.find(waiting(1, &[FIRST], true), &store);
        assert!(awaiting.remove(attempt(1)).is_some());
        assert!(awaiting.remove(attempt(1)).is_none());
        let late = waiting(2, &[FIRST], true);
        assert!(matches!(awaiting.find(late, &store), Found::Coming), "it is not fetched twice");
        assert_eq!(indexes(&awaiting.take(&Need::Blob(FIRST), Some(&blob()))), [2]);
    }
}
