//! Mappings that are kept from one value to the next.
//!
//! The worker uses a file of its pool for one value after the other, so that its memory stays the same. To map it each time,
//! have its pages one by one and give all of them back costs the system as much as the bytes do. A file is known by its number
//! in the file system, which no other has while it is mapped.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex};

use bireme_core::limits::{POOL_MAPPED_BYTES, POOL_MAPPED_FILE_BYTES, POOL_MAPS};

use super::map::{Access, Map};
use crate::sync::lock;

/// Mappings of one kind.
#[derive(Debug)]
pub(super) struct Kept {
    access: Access,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one used last at the end.
    maps: VecDeque<Mapped>,
    /// Bytes that were mapped since files that the worker has removed were looked for.
    unlooked: u64,
}

#[derive(Debug)]
struct Mapped {
    file: File,
    /// Of the file, and of its file system.
    numbers: (u64, u64),
    length: u64,
    map: Arc<Map>,
}

impl Kept {
    pub(super) fn new(access: Access) -> Self {
        Self { access, state: Mutex::default() }
    }

    /// A file of which so much is known, mapped. It must not be empty.
    pub(super) fn map(&self, file: File, about: &Metadata) -> io::Result<Arc<Map>> {
        let (numbers, length) = ((about.ino(), about.dev()), about.len());
        if let Some(map) = lock(&self.state).find(numbers, length) {
            return Ok(map);
        }
        // Not under the lock, as it takes the system a while. If two threads do it for the same file, one mapping goes in time.
        let map = Arc::new(Map::new(&file, length, self.access)?);
        if length <= POOL_MAPPED_FILE_BYTES {
            let mapped = Mapped { file, numbers, length, map: Arc::clone(&map) };
            let gone = lock(&self.state).keep(mapped);
            drop(gone); // Not under the lock either.
        }
        Ok(map)
    }

    /// Lets go of files that the worker has removed.
    pub(super) fn sweep(&self) {
        let gone = lock(&self.state).take_removed();
        drop(gone);
    }
}

impl State {
    fn find(&mut self, numbers: (u64, u64), length: u64) -> Option<Arc<Map>> {
        let at = self.maps.iter().rposition(|mapped| mapped.numbers == numbers)?;
        let mapped = self.maps.remove(at).filter(|mapped| mapped.length == length)?;
        let map = Arc::clone(&mapped.map);
        self.maps.push_back(mapped);
        Some(map)
    }

    /// Adds one. Returns those that are to go for it.
    fn keep(&mut self, mapped: Mapped) -> VecDeque<Mapped> {
        self.unlooked += mapped.length;
        self.maps.push_back(mapped);
        let mut gone = VecDeque::new();
        // The worker counts their memory as free, and may need it long before the next heartbeat.
        if self.unlooked >= POOL_MAPPED_FILE_BYTES {
            gone = self.take_removed();
        }
        let mut bytes: u64 = self.maps.iter().map(|mapped| mapped.length).sum();
        while self.maps.len() > POOL_MAPS || bytes > POOL_MAPPED_BYTES {
            let Some(mapped) = self.maps.pop_front() else { break };
            bytes -= mapped.length;
            gone.push_back(mapped);
        }
        gone
    }

    /// Takes out those whose files have been removed.
    fn take_removed(&mut self) -> VecDeque<Mapped> {
        let is_there = |mapped: &Mapped| mapped.file.metadata().is_ok_and(|it| it.nlink() > 0);
        let (left, gone) = self.maps.drain(..).partition(is_there);
        (self.maps, self.unlooked) = (left, 0);
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn map(kept: &Kept, path: &Path) -> Arc<Map> {
        let file = File::open(path).unwrap();
        let about = file.metadata().unwrap();
        kept.map(file, &about).unwrap()
    }

    fn lengths(kept: &Kept) -> Vec<u64> {
        lock(&kept.state).maps.iter().map(|mapped| mapped.length).collect()
    }

    #[test]
    fn a_file_that_was_renamed_is_still_mapped() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::new(Access::Read));
        let (one, two) = (dir.path().join("1.1"), dir.path().join("1.2"));
        fs::write(&one, "first").unwrap();
        let first = map(&kept, &one);
        fs::rename(&one, &two).unwrap();
        fs::write(&one, "other").unwrap();
        assert!(Arc::ptr_eq(&first, &map(&kept, &two)));
        let other = map(&kept, &one);
        assert_eq!((first.bytes(0..5), other.bytes(0..5)), (&b"first"[..], &b"other"[..]));
    }

    #[test]
    fn what_was_removed_goes_when_it_is_looked_for() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::new(Access::Read));
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), name).unwrap();
            map(&kept, &dir.path().join(name));
        }
        fs::remove_file(dir.path().join("a")).unwrap();
        assert_eq!(lock(&kept.state).maps.len(), 2);
        kept.sweep();
        assert_eq!(lengths(&kept), [1]);
        assert_eq!(map(&kept, &dir.path().join("b")).bytes(0..1), b"b");
    }

    #[test]
    fn what_was_removed_goes_when_much_is_mapped_anew() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::new(Access::Read));
        let add = |name: &str, length| {
            let path = dir.path().join(name);
            File::create(&path).unwrap().set_len(length).unwrap();
            map(&kept, &path);
        };
        add("long", POOL_MAPPED_FILE_BYTES);
        fs::remove_file(dir.path().join("long")).unwrap();
        add("short", 1);
        assert_eq!(lengths(&kept), [POOL_MAPPED_FILE_BYTES, 1], "it would not be worth a look");
        add("almost as long", POOL_MAPPED_FILE_BYTES - 1);
        assert_eq!(lengths(&kept), [1, POOL_MAPPED_FILE_BYTES - 1]);
        add("too long", POOL_MAPPED_FILE_BYTES + 1);
        assert_eq!(lengths(&kept), [1, POOL_MAPPED_FILE_BYTES - 1]);
    }

    #[test]
    fn the_least_recently_used_go() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::new(Access::Read));
        let path = |n: usize| dir.path().join(n.to_string());
        for n in 0..=POOL_MAPS {
            fs::write(path(n), n.to_string()).unwrap();
        }
        let first = map(&kept, &path(0));
        (1..POOL_MAPS).for_each(|n| drop(map(&kept, &path(n))));
        assert!(Arc::ptr_eq(&first, &map(&kept, &path(0))));
        map(&kept, &path(POOL_MAPS));
        let about = fs::metadata(path(1)).unwrap();
        let maps = &lock(&kept.state).maps;
        assert_eq!((maps.len(), maps[POOL_MAPS - 2].map.bytes(0..1)), (POOL_MAPS, &b"0"[..]));
        assert!(maps.iter().all(|mapped| mapped.numbers.0 != about.ino()));
    }
}
