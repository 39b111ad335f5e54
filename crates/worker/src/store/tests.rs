//! The store against small limits, in directories that are no shared memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bireme_core::id::HolderId;
use bireme_core::value::Codec;
use tempfile::TempDir;

use super::*;

/// What a buffer of [`BIG`] bytes takes: the least that a file has.
const ROOM: u64 = 64 << 10;
const BIG: usize = 64 << 10;

/// A store with directories of its own.
struct Site {
    store: Store,
    /// For the spilled values of all workers.
    disk: TempDir,
    _memory: TempDir,
}

impl Site {
    /// With room for so many files in memory and so many on disk.
    fn new(memory: u64, disk: u64) -> Self {
        let (directory, spill) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::new(StoreConfig {
            seed: 0,
            directory: Some(directory.path().to_owned()),
            limit_bytes: memory * ROOM,
            spill: Some(spill.path().to_owned()),
            spill_bytes: disk * ROOM,
        });
        Self { store: store.unwrap(), disk: spill, _memory: directory }
    }

    fn put(&self, n: u64, len: usize) {
        assert_eq!(self.store.put(object(n), bytes(n, len), None).unwrap(), len as u64);
    }

    /// Puts a value of all that a draft has room for.
    fn put_draft(&self, n: u64, head: Value, draft: &Draft) -> Result<u64, StoreError> {
        let buffers = draft.runs().iter().cloned().map(Buffer::PoolFile).collect();
        let value = Value { buffers, ..head };
        self.store.put_written(object(n), value, std::iter::once(draft), None)
    }

    /// Where objects are: `m` in memory, `s` in shared memory, `d` on disk, `-` nowhere.
    fn where_are(&self, objects: impl Iterator<Item = u64>) -> String {
        let letter = |n| match self.store.stat(object(n)).map(|stat| stat.residence) {
            None => '-',
            Some(Residence::Memory) => 'm',
            Some(Residence::Shared) => 's',
            Some(Residence::Spilled) => 'd',
        };
        objects.map(letter).collect()
    }

    fn loads(&self, n: u64, len: usize) {
        let stored = self.store.get(object(n)).unwrap();
        assert_eq!(*stored.load().unwrap(), *bytes(n, len), "object {n}");
    }

    /// Files on disk.
    fn spilled_files(&self) -> usize {
        fs::read_dir(self.store.spill_directory().unwrap()).unwrap().count()
    }

    /// The file of an object of one long buffer.
    fn path(&self, n: u64) -> PathBuf {
        let stored = self.store.get(object(n)).unwrap();
        let run = runs_of(&stored.value).next().unwrap();
        self.store.directory().join(&run.name)
    }
}

fn object(n: u64) -> ObjectId {
    ObjectId::Held { holder: HolderId(1), n }
}

/// Bytes that tell which object they are of.
fn bytes(n: u64, len: usize) -> Arc<Value> {
    let pattern = (0..251_u8).map(|at| at.wrapping_add(u8::try_from(n).unwrap())).cycle();
    Arc::new(Value::raw(pattern.take(len).collect::<Vec<_>>()))
}

fn totals(objects: u64, memory_bytes: u64, shared: u64, spilled: u64) -> Totals {
    let (shared_bytes, spilled_bytes) = (shared * ROOM, spilled * ROOM);
    Totals { objects, memory_bytes, shared_bytes, spilled_bytes }
}

#[test]
fn bytes_are_counted_once_whatever_is_stored_twice() {
    let store = Store::scratch();
    let put = |n, len| store.put(object(n), bytes(n, len), None).unwrap();
    assert_eq!(put(1, 10), 10);
    put(2, 5);
    assert_eq!(store.totals(), totals(2, 15, 0, 0));
    put(1, 3);
    assert_eq!(store.totals(), totals(2, 8, 0, 0));
    put(2, BIG);
    assert_eq!(store.totals(), totals(2, 3, 1, 0));
    assert!(store.remove(object(1)) && !store.remove(object(1)));
    assert!(store.remove(object(2)));
    assert_eq!(store.totals(), totals(0, 0, 0, 0));
}

#[test]
fn a_reader_keeps_what_is_dropped() {
    let site = Site::new(8, 8);
    site.put(1, BIG);
    let read = site.store.get(object(1)).unwrap();
    site.store.remove(object(1));
    assert!(site.store.get(object(1)).is_none());
    site.put(2, BIG);
    assert_eq!(*read.load().unwrap(), *bytes(1, BIG));
    assert_eq!(site.store.totals(), totals(1, 0, 2, 0));
    drop(read);
    assert_eq!(site.store.totals(), totals(1, 0, 1, 0));
}

#[test]
fn short_buffers_stay_inline_beside_long_ones() {
    let site = Site::new(8, 8);
    let mut value = Value::inline(Codec::Pickle5, "head");
    let long = bytes::Bytes::from(vec![7; BIG + 1]);
    value.buffers.extend([Buffer::Inline(long), Buffer::Inline(bytes::Bytes::new())]);
    value.size = 4 + BIG as u64 + 1;
    let value = Arc::new(value);
    site.store.put(object(1), Arc::clone(&value), None).unwrap();
    let stored = site.store.get(object(1)).unwrap();
    assert!(matches!(
        stored.value.buffers.as_slice(),
        [Buffer::Inline(_), Buffer::PoolFile(_), Buffer::Inline(_)]
    ));
    assert_eq!(stored.load().unwrap(), value);
    assert_eq!((stored.bytes(), site.store.totals().shared_bytes), (4 + (80 << 10), 80 << 10));
}

#[test]
fn a_file_is_used_again_under_another_name() {
    let site = Site::new(20, 0);
    site.put(1, BIG);
    let (path, about) = (site.path(1), fs::metadata(site.path(1)).unwrap());
    let run = runs_of(&site.store.get(object(1)).unwrap().value).next().unwrap().clone();
    site.store.remove(object(1));
    site.put(2, BIG);
    let again = runs_of(&site.store.get(object(2)).unwrap().value).next().unwrap().clone();
    assert!(again.generation > run.generation && again.name != run.name);
    assert!(!path.exists());
    let inode = |about: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(about);
    assert_eq!(inode(&fs::metadata(site.path(2)).unwrap()), inode(&about));
    site.loads(2, BIG);
}

#[test]
fn a_file_that_another_has_linked_or_cut_is_not_used_again() {
    let site = Site::new(20, 0);
    let elsewhere = site.disk.path().join("elsewhere");
    site.put(1, BIG);
    fs::hard_link(site.path(1), &elsewhere).unwrap();
    site.store.remove(object(1));
    site.put(2, BIG);
    assert_eq!(fs::read(&elsewhere).unwrap(), bytes(1, BIG).bytes().unwrap());
    site.loads(2, BIG);
    fs::OpenOptions::new().write(true).open(site.path(2)).unwrap().set_len(10).unwrap();
    site.store.remove(object(2));
    site.put(3, BIG);
    site.loads(3, BIG);
}

#[test]
fn a_file_that_somebody_reads_in_place_is_not_used_again() {
    let site = Site::new(20, 0);
    site.put(1, BIG);
    let (path, reader) = (site.path(1), fs::File::open(site.path(1)).unwrap());
    reader.try_lock_shared().unwrap();
    site.store.remove(object(1));
    site.put(2, BIG);
    site.loads(2, BIG);
    site.store.pool.sweep_now();
    assert!(!path.exists());
    let mut read = vec![0; BIG];
    std::os::unix::fs::FileExt::read_exact_at(&reader, &mut read, 0).unwrap();
    assert_eq!(read, bytes(1, BIG).bytes().unwrap());
}

#[test]
fn few_files_wait_to_be_used_again() {
    let site = Site::new(21, 0);
    for n in 0..5 {
        site.put(n, BIG);
    }
    for n in 0..5 {
        site.store.remove(object(n));
    }
    site.store.pool.sweep_now();
    // A tenth of the limit.
    assert_eq!(fs::read_dir(site.store.directory()).unwrap().count(), 2);
}

#[test]
fn the_least_recently_used_values_go_to_disk() {
    let site = Site::new(10, 10);
    for n in 1..=6 {
        site.put(n, BIG);
    }
    site.loads(1, BIG);
    assert_eq!(site.where_are(1..=6), "ssssss");
    // Above 65 % they go until there is room below 55 %, what is about to come included.
    site.put(7, BIG);
    assert_eq!(site.where_are(1..=7), "sddssss");
    assert_eq!((site.store.totals(), site.spilled_files()), (totals(7, 0, 5, 2), 2));
    for n in 1..=7 {
        site.loads(n, BIG);
    }
    let link = fs::symlink_metadata(site.path(2)).unwrap();
    assert!(link.is_symlink() && fs::read(site.path(2)).unwrap() == bytes(2, BIG).bytes().unwrap());
    let path = site.path(2);
    site.store.remove(object(2));
    site.store.pool.sweep_now();
    assert!(fs::symlink_metadata(path).is_err());
    assert_eq!((site.store.totals(), site.spilled_files()), (totals(6, 0, 5, 1), 1));
}

#[test]
fn what_is_pinned_stays_where_it_is() {
    let site = Site::new(10, 10);
    for n in 1..=6 {
        site.put(n, BIG);
    }
    let pins: Vec<_> = (1..=4).map(|n| site.store.get(object(n)).unwrap()).collect();
    let names: Vec<_> = (1..=4).map(|n| site.path(n)).collect();
    assert_eq!(site.store.stat(object(1)).unwrap().pins, 1);
    site.put(7, BIG);
    assert_eq!(site.where_are(1..=7), "ssssdds");
    assert_eq!((1..=4).map(|n| site.path(n)).collect::<Vec<_>>(), names);
    drop(pins);
    assert!(site.store.stat(object(1)).unwrap().pins == 0 && !site.store.relieve());
}

#[test]
fn a_spilled_value_is_brought_back_and_its_readers_keep_their_copy() {
    let site = Site::new(10, 10);
    for n in 1..=7 {
        site.put(n, BIG);
    }
    assert_eq!(site.where_are(1..=2), "dd");
    let read = site.store.get(object(1)).unwrap();
    let back = site.store.bring_back(object(1)).unwrap().unwrap();
    assert_eq!(back.residence(), Residence::Shared);
    assert_eq!(*back.load().unwrap(), *bytes(1, BIG));
    assert_eq!(*read.load().unwrap(), *bytes(1, BIG));
    assert_eq!(site.where_are(1..=2), "sd");
    drop(read);
    assert_eq!(site.store.totals(), totals(7, 0, 6, 1));
    assert!(site.store.bring_back(object(9)).unwrap().is_none());
}

#[test]
fn a_full_disk_refuses_what_memory_has_no_room_for() {
    let site = Site::new(4, 2);
    for n in 1..=6 {
        site.put(n, BIG);
    }
    let error = site.store.put(object(7), bytes(7, BIG), None).unwrap_err();
    assert!(matches!(error, StoreError::Full { wanted: ROOM, .. }), "{error}");
    assert!(error.to_string().contains("--spill-dir"), "{error}");
    assert_eq!(Refusal::from(error).reason, Reason::StoreFull);
    assert_eq!(site.store.totals(), totals(6, 0, 4, 2));
    for n in 1..=6 {
        site.loads(n, BIG);
    }
    site.store.remove(object(1));
    site.put(7, BIG);
}

#[test]
fn what_is_larger_than_memory_is_written_to_disk_at_once() {
    let site = Site::new(2, 10);
    site.put(1, 5 * BIG);
    assert_eq!((site.where_are(1..=1).as_str(), site.store.totals()), ("d", totals(1, 0, 0, 5)));
    site.loads(1, 5 * BIG);
    let pins = [site.store.allocate(&[ROOM]).unwrap(), site.store.allocate(&[ROOM]).unwrap()];
    site.put(2, BIG);
    assert_eq!(site.where_are(2..=2), "d");
    drop(pins);
}

#[test]
fn values_in_the_daemons_memory_count_too() {
    let site = Site::new(2, 0);
    site.put(1, BIG - 1);
    site.put(2, BIG - 1);
    let error = site.store.put(object(3), bytes(3, BIG - 1), None).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    site.put(3, 100);
    assert!(site.store.put(object(4), bytes(4, BIG), None).is_err());
    assert_eq!(site.store.totals(), totals(3, 2 * ROOM - 2 + 100, 0, 0));
}

#[test]
fn a_draft_becomes_a_value_without_a_copy() {
    let site = Site::new(10, 10);
    let draft = site.store.allocate(&[BIG as u64, 5, 0, 100]).unwrap();
    let runs = draft.runs().to_vec();
    assert!(runs.iter().all(|run| run.offset.is_multiple_of(limits::POOL_ALIGN_BYTES)));
    assert!(runs[0].name != runs[1].name && runs[1].name == runs[3].name);
    draft.write(0, 0, &vec![1; BIG]).unwrap();
    draft.write(1, 0, b"small").unwrap();
    draft.write(3, 99, b"x").unwrap();
    assert!(draft.write(3, 99, b"xy").is_err() && draft.write(4, 0, b"").is_err());
    let head = Value { size: BIG as u64 + 105, ..Value::default() };
    site.put_draft(1, head, &draft).unwrap();
    drop(draft);
    assert_eq!(site.store.totals(), totals(1, 0, 2, 0));
    let all = site.store.get(object(1)).unwrap().load().unwrap().bytes().unwrap();
    assert_eq!((all.len(), &all[BIG..BIG + 5]), (BIG + 105, &b"small"[..]));
    drop(site.store.allocate(&[1, 2, 3]).unwrap());
    assert_eq!(site.store.totals(), totals(1, 0, 2, 0));
}

#[test]
fn values_are_made_of_what_was_allocated_for_them_and_of_nothing_else() {
    let site = Site::new(10, 10);
    let mut draft = site.store.allocate(&[ROOM, 10, 20]).unwrap();
    let runs = draft.runs().to_vec();
    let of = |runs: &[PoolFile]| Value {
        buffers: runs.iter().cloned().map(Buffer::PoolFile).collect(),
        ..Value::default()
    };
    let put = |n, value, drafts: &[&Draft]| {
        site.store.put_written(object(n), value, drafts.iter().copied(), None)
    };
    let shorter = PoolFile { length: 4, ..runs[1].clone() };
    put(1, of(&[shorter]), &[&draft]).unwrap();
    put(2, of(&runs[..1]), &[&draft]).unwrap();
    let longer = PoolFile { length: 30, ..runs[2].clone() };
    let stale = PoolFile { generation: 9, ..runs[2].clone() };
    for bad in [longer, stale] {
        let error = put(3, of(&[bad]), &[&draft]).unwrap_err();
        assert!(matches!(error, StoreError::NotAllocated(_)), "{error}");
    }
    assert!(put(3, of(&runs), &[]).is_err());
    assert!(put(3, Value::raw(vec![0; BIG]), &[&draft]).is_err());
    assert!(draft.give_up(&runs[..2]) && !draft.give_up(&runs[2..]));
    assert_eq!(site.store.totals(), totals(2, 0, 2, 0));
}

#[test]
fn a_file_that_was_cut_is_an_error_and_one_that_has_grown_is_put_right() {
    let site = Site::new(10, 10);
    let draft = site.store.allocate(&[ROOM]).unwrap();
    draft.open(0).unwrap().set_len(ROOM - 1).unwrap();
    let error = site.put_draft(1, Value::default(), &draft).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");

    let draft = site.store.allocate(&[ROOM]).unwrap();
    draft.open(0).unwrap().set_len(100 * ROOM).unwrap();
    site.put_draft(1, Value::default(), &draft).unwrap();
    assert_eq!(fs::metadata(site.path(1)).unwrap().len(), ROOM);

    site.put(2, BIG);
    fs::OpenOptions::new().write(true).open(site.path(2)).unwrap().set_len(3).unwrap();
    let error = site.store.get(object(2)).unwrap().load().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("cut"), "{error}");
}

#[test]
fn one_file_serves_two_stores() {
    let (near, far) = (Site::new(10, 10), Site::new(10, 10));
    far.put(1, BIG);
    let read = far.store.get(object(1)).unwrap();
    let runs: Vec<_> = runs_of(&read.value).cloned().collect();
    let draft = near.store.link(far.store.directory(), &runs).unwrap();
    near.put_draft(1, read.head(), &draft).unwrap();
    drop((read, draft));
    far.store.remove(object(1));
    far.put(2, BIG);
    near.loads(1, BIG);
    far.loads(2, BIG);
    assert_eq!(near.store.totals(), totals(1, 0, 1, 0));
    let missing = PoolFile { name: "none".to_owned(), ..runs[0].clone() };
    assert!(near.store.link(far.store.directory(), &[missing]).is_err());
}

#[test]
fn any_order_of_events_keeps_the_books() {
    let mut random = 1_u64;
    let mut draw = |below: usize| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let site = Site::new(12, 6);
    let mut model: BTreeMap<u64, usize> = BTreeMap::new();
    let mut pins: Vec<(u64, usize, Stored)> = Vec::new();
    let mut refused = 0;
    for _ in 0..1_000 {
        let n = draw(24) as u64;
        match draw(10) {
            0..4 => {
                let len = [10, 100, BIG, BIG + 1, 2 * BIG][draw(5)];
                match site.store.put(object(n), bytes(n, len), None) {
                    Ok(_) => _ = model.insert(n, len),
                    Err(_) => refused += 1,
                }
            }
            4 | 5 => assert_eq!(site.store.remove(object(n)), model.remove(&n).is_some()),
            6 if pins.len() < 4 => {
                pins.extend(site.store.get(object(n)).map(|stored| (n, model[&n], stored)));
            }
            7 if !pins.is_empty() => drop(pins.swap_remove(draw(pins.len()))),
            8 => _ = site.store.bring_back(object(n)),
            _ => _ = site.store.relieve(),
        }
        let (n, len) = (n, model.get(&n).map(|len| *len as u64));
        assert_eq!(site.store.get(object(n)).map(|stored| stored.value.size), len);
        let held = site.store.totals();
        assert_eq!(held.objects, model.len() as u64);
        let inline: usize = model.values().filter(|len| **len < BIG).sum();
        assert_eq!(held.memory_bytes, inline as u64);
        assert!(held.held_bytes() <= 12 * ROOM + 24 * 100 && held.spilled_bytes <= 6 * ROOM);
        for (n, len, stored) in &pins {
            assert_eq!(*stored.load().unwrap(), *bytes(*n, *len));
        }
    }
    assert!(refused > 0, "nothing was ever full");
    pins.clear();
    for (&n, &len) in &model {
        site.loads(n, len);
        site.store.remove(object(n));
    }
    site.store.pool.sweep_now();
    assert_eq!((site.store.totals(), site.spilled_files()), (totals(0, 0, 0, 0), 0));
}

#[test]
fn a_value_that_was_cut_is_dropped_and_that_is_told_once() {
    let site = Site::new(4, 0);
    let inbox = Arc::new(crate::inbox::Inbox::default());
    site.store.tell_losses(Arc::clone(&inbox));
    for n in [1, 2] {
        site.put(n, BIG);
    }
    fs::OpenOptions::new().write(true).open(site.path(1)).unwrap().set_len(10).unwrap();
    assert!(!site.store.examine(object(1)) && !site.store.examine(object(1)));
    assert!(site.store.examine(object(2)));
    assert_eq!(site.where_are(1..=2), "-s");
    let mut told = Vec::new();
    inbox.take(&mut told);
    assert!(matches!(
        told.as_slice(),
        [crate::inbox::Told::Event(crate::machine::Event::Lost(lost))] if *lost == object(1)
    ));
}
