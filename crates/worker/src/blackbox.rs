//! The black box: which attempts run user code at this moment, in memory that outlives this process.
//!
//! When the daemon dies, its supervisor reads here who can be to blame. A record is claimed by one compare-and-swap and
//! given back by one store. Every thread looks for a free one where it found its last, so that threads do not meet.

mod mapping;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
use bireme_core::{AttemptId, limits};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use self::mapping::Mapping;

/// Words of a record: its state, then the attempt.
const WORDS: usize = 4;
const RECORD_BYTES: usize = WORDS * size_of::<u64>();
const BYTES: usize = limits::BLACK_BOX * RECORD_BYTES;

/// Nobody uses the record.
const FREE: u64 = 0;
/// Somebody is about to write it.
const CLAIMED: u64 = 1;
/// It names an attempt that has started and not ended.
const STARTED: u64 = 2;

/// Notes attempts that run; clones note in the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlackBox(Option<Arc<Mapping>>);

/// The place of an attempt that has started, to be given back with [`BlackBox::ended`].
#[derive(Debug)]
#[must_use = "an attempt whose end is not noted is blamed for the daemon's"]
pub(crate) struct Slot(Option<usize>);

/// A file for a black box: empty, without a name, and never to become shorter under the eyes of who maps it.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let file = memfd_create(c"bireme-black-box", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, BYTES as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(file)
}

/// The attempts that had started when whoever wrote the file died, sorted.
pub(crate) fn read(file: &File) -> io::Result<Vec<AttemptId>> {
    let mut bytes = vec![0; BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    let mut started: Vec<_> = records.iter().filter_map(decode).collect();
    started.sort_unstable();
    Ok(started)
}

impl BlackBox {
    /// One that notes nothing: nobody would read it.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The one in a file that [`create`] made.
    pub(crate) fn open(file: impl AsFd) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(Mapping::new(file.as_fd(), BYTES)?))))
    }

    /// Notes that user code of an attempt is about to run. Where there is no room, nothing is noted.
    pub(crate) fn started(&self, attempt: AttemptId) -> Slot {
        Slot(self.0.as_ref().and_then(|mapping| note(mapping, attempt)))
    }

    /// Notes that it runs no more.
    pub(crate) fn ended(&self, slot: Slot) {
        let (Some(mapping), Slot(Some(slot))) = (&self.0, slot) else { return };
        if let Some([state, ..]) = mapping.words().as_chunks::<WORDS>().0.get(slot) {
            state.store(FREE, Ordering::Release);
            NEAR.set(slot);
        }
    }
}

/// Where threads begin to look, each some records after the one before.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

/// Records between the first places of two threads: none shares a cache line with another's.
const THREAD_STRIDE: usize = 8;

thread_local! {
    /// Where this thread looks first.
    static NEAR: Cell<usize> =
        Cell::new(NEXT_THREAD.fetch_add(THREAD_STRIDE, Ordering::Relaxed) % limits::BLACK_BOX);
}

/// Writes a record into a free place, and says where.
fn note(mapping: &Mapping, attempt: AttemptId) -> Option<usize> {
    let (records, _) = mapping.words().as_chunks::<WORDS>();
    let near = NEAR.get();
    let mut places = (near..records.len()).chain(0..near);
    let slot = places.find(|slot| {
        records.get(*slot).is_some_and(|[state, ..]| {
            let claim = state.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed);
            claim.is_ok()
        })
    })?;
    let [state, words @ ..] = records.get(slot)?;
    for (word, value) in words.iter().zip(encode(attempt)) {
        word.store(value, Ordering::Relaxed);
    }
    // A reader that sees this sees what was written before.
    state.store(STARTED, Ordering::Release);
    NEAR.set((slot + 1) % records.len());
    Some(slot)
}

fn encode(AttemptId { task, no }: AttemptId) -> [u64; WORDS - 1] {
    [task.graph.0, u64::from(task.index) << 32 | u64::from(no.epoch.0), no.n.into()]
}

fn decode(record: &[u8; RECORD_BYTES]) -> Option<AttemptId> {
    let (words, _) = record.as_chunks::<8>();
    let &[state, graph, place, n] = words else { return None };
    if u64::from_ne_bytes(state) != STARTED {
        return None;
    }
    let (high, low) = halves(u64::from_ne_bytes(place));
    let task = TaskId { graph: GraphId(u64::from_ne_bytes(graph)), index: high };
    let (_, n) = halves(u64::from_ne_bytes(n));
    Some(AttemptId { task, no: AttemptNo { epoch: Epoch(low), n } })
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(n: u32) -> AttemptId {
        let task = TaskId { graph: GraphId(1 << 32 | 7), index: u32::MAX - n };
        AttemptId { task, no: AttemptNo { epoch: Epoch(n + 1), n } }
    }

    #[test]
    fn what_has_started_and_not_ended_is_read() {
        let file = create().unwrap();
        let black_box = BlackBox::open(&file).unwrap();
        let slots: Vec<_> = (0..3).map(|n| black_box.started(attempt(n))).collect();
        for (n, slot) in slots.into_iter().enumerate() {
            if n != 1 {
                black_box.ended(slot);
            }
        }
        assert_eq!(read(&File::from(file)).unwrap(), [attempt(1)]);
    }

    #[test]
    fn a_full_box_notes_no_more_and_a_free_place_is_found_again() {
        let file = create().unwrap();
        let black_box = BlackBox::open(&file).unwrap();
        let most = u32::try_from(limits::BLACK_BOX).unwrap();
        let mut slots: Vec<_> = (0..most).map(|n| black_box.started(attempt(n))).collect();
        assert!(slots.iter().all(|slot| slot.0.is_some()));
        assert!(black_box.started(attempt(most)).0.is_none());
        let slot = slots.swap_remove(100);
        let freed = slot.0.unwrap();
        black_box.ended(slot);
        assert_eq!(black_box.started(attempt(most)).0, Some(freed));
        let read = read(&File::from(file)).unwrap();
        assert_eq!(read.len(), limits::BLACK_BOX);
        assert!(read.contains(&attempt(most)) && !read.contains(&attempt(100)));
    }

    #[test]
    fn threads_do_not_write_over_each_other() {
        let file = create().unwrap();
        let black_box = BlackBox::open(&file).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let black_box = &black_box;
                scope.spawn(move || {
                    for n in 0..1_000 {
                        black_box.ended(black_box.started(attempt(n)));
                    }
                    let _still_runs = black_box.started(attempt(thread));
                });
            }
        });
        let mut expected: Vec<_> = (0..4).map(attempt).collect();
        expected.sort_unstable();
        assert_eq!(read(&File::from(file)).unwrap(), expected);
    }

    #[test]
    fn without_a_file_nothing_is_noted() {
        let black_box = BlackBox::none();
        black_box.ended(black_box.started(attempt(1)));
        let short = memfd_create(c"short", MemfdFlags::CLOEXEC).unwrap();
        assert!(BlackBox::open(short).is_err());
    }
}
