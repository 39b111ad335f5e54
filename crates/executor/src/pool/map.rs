//! Files as memory.

#![expect(
    unsafe_code,
    reason = "the only place where memory of another process is read as our own, and written"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::{copy_nonoverlapping, null_mut};
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What a mapping is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A whole file, mapped.
#[derive(Debug)]
pub(super) struct Map {
    /// Start of a page.
    start: *mut c_void,
    length: usize,
    access: Access,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for Map {}
// SAFETY: it is only read while it is shared, or only written: `write` says who sees to that.
unsafe impl Sync for Map {}

impl Map {
    /// Maps a file of `length` bytes, more than none. The worker never shortens a file of its pool, nor has one written to that
    /// it has given to be read. To write, all pages are had at once: each would be a fault of its own.
    pub(super) fn new(file: &File, length: u64, access: Access) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let (protection, flags) = match access {
            Access::Read => (ProtFlags::READ, MapFlags::SHARED),
            Access::Write => {
                (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE)
            }
        };
        // SAFETY: a new mapping at an address of the system's choice takes the place of no other.
        let start = unsafe { mmap(null_mut(), length, protection, flags, file, 0) }?;
        Ok(Self { start, length, access })
    }

    /// Where so many bytes from `offset` are; an error if the file does not have them.
    pub(super) fn place(&self, offset: u64, length: u64) -> io::Result<Range<usize>> {
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = end.filter(|end| *end <= self.length).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(start..end)
    }

    /// Some of the bytes, which [`Self::place`] has found.
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        // SAFETY: the mapping is `length` long and lives as long as `self`; the file covers it, and what is read of it is not
        // written to, by the word of the worker, which holds it in place until this process lets go of it.
        let all = unsafe { slice::from_raw_parts(self.start.cast::<u8>(), self.length) };
        all.get(place).unwrap_or_default()
    }

    /// Writes bytes from `offset`.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.access != Access::Write {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let place = self.place(offset, bytes.len() as u64)?;
        // SAFETY: the place is within the mapping, and writable. No reference to it is made, here or in other mappings of
        // the file: the worker gave it to be written by this attempt alone, and to be read once that is told.
        unsafe {
            let to = self.start.cast::<u8>().add(place.start);
            copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        Ok(())
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
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn parts_of_a_file_are_read_in_place() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * 4_096).collect();
        file.write_all(&bytes).unwrap();
        let map = Map::new(&file, 3 * 4_096, Access::Read).unwrap();
        for (offset, length) in [(0, 1), (64, 100), (4_096, 4_096), (8_000, 12_288 - 8_000)] {
            let place = map.place(offset as u64, length as u64).unwrap();
            assert_eq!(map.bytes(place), &bytes[offset..offset + length]);
        }
        assert!(map.place(1, 3 * 4_096).is_err(), "longer than the file");
        assert!(map.place(u64::MAX, 2).is_err(), "beyond any file");
        assert!(map.write(0, b"no").is_err(), "mapped to be read");
    }

    #[test]
    fn what_is_written_is_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8_192).unwrap();
        let map = Map::new(&file, 8_192, Access::Write).unwrap();
        map.write(4_090, b"across pages").unwrap();
        let mut read = [0; 14];
        file.read_exact_at(&mut read, 4_089).unwrap();
        assert_eq!(&read, b"\0across pages\0");
        assert!(map.write(8_190, b"too long").is_err());
    }
}
