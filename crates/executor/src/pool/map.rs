//! Parts of files as memory.

#![expect(
    unsafe_code,
    reason = "the only place where memory of another process is read as our own"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr::null_mut;
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

/// A part of a file, mapped for reading.
#[derive(Debug)]
pub(super) struct Map {
    /// Start of a page.
    start: *mut c_void,
    /// From there to the end of the part.
    length: usize,
    /// Where the part begins.
    skip: usize,
}

// SAFETY: the memory is only read, and belongs to no thread.
unsafe impl Send for Map {}
// SAFETY: the same.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `length` bytes from `offset`, more than none, which the file must have. The worker neither shortens a file of
    /// its pool nor writes to one that it has given to be read.
    pub(super) fn new(file: &File, offset: u64, length: u64) -> io::Result<Self> {
        let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        if file.metadata()?.len() < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let page = page_size() as u64;
        let from = offset / page * page;
        let size = |n: u64| usize::try_from(n).map_err(|_| io::ErrorKind::OutOfMemory);
        let (length, skip) = (size(end - from)?, size(offset - from)?);
        // SAFETY: a new mapping at an address of the system's choice takes the place of no other.
        let start =
            unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, from) }?;
        Ok(Self { start, length, skip })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `length` long and lives as long as `self`; the file covers it and is not written to, by the
        // word of the worker, which holds it in place until this process lets go of it.
        let all = unsafe { slice::from_raw_parts(self.start.cast::<u8>(), self.length) };
        all.get(self.skip..).unwrap_or_default()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from `self` any more. That it is mapped is certain, so it can be unmapped.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_part_of_a_file_is_read_in_place() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * 4_096).collect();
        file.write_all(&bytes).unwrap();
        for (offset, length) in [(0, 1), (64, 100), (4_096, 4_096), (8_000, 12_288 - 8_000)] {
            let map = Map::new(&file, offset as u64, length as u64).unwrap();
            assert_eq!(map.bytes(), &bytes[offset..offset + length]);
        }
        assert!(Map::new(&file, 1, 3 * 4_096).is_err(), "longer than the file");
        assert!(Map::new(&file, u64::MAX, 2).is_err(), "beyond any file");
    }
}
