//! Large runs of bytes into files in shared memory.
//!
//! Most of what a system call to write takes is the copy, which the system does in one thread for one file. Here two threads
//! copy, each into a mapping of its own half, a piece at a time: the pages of a piece are had with one call rather than a
//! fault for each, and are still near when the bytes come.

#![expect(
    unsafe_code,
    reason = "the only place of the client where memory of another process is written as our own"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::ptr::{copy_nonoverlapping, null_mut};
use std::thread;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use rustix::param::page_size;

/// Shorter runs are written with a system call, in bytes: a second thread would come late.
const SHORT: usize = 8 << 20;
/// Bytes that are copied at a time: with their pages, they are less than what a cpu keeps near.
const PIECE: usize = 1 << 20;

/// Writes bytes into a file that has room for them there. It is open for reading and writing.
pub(super) fn fill(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() < SHORT {
        return file.write_all_at(bytes, offset);
    }
    let middle = bytes.len() / 2 / PIECE * PIECE;
    let (first, second) = bytes.split_at(middle);
    thread::scope(|scope| {
        let other = scope.spawn(|| copy(file, offset + middle as u64, second));
        let own = copy(file, offset, first);
        other.join().map_err(|_| io::Error::other("a thread that copies has panicked"))??;
        own
    })
}

/// Copies through a mapping; what cannot be mapped is written.
fn copy(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let Some(room) = Room::new(file, offset, bytes.len()) else {
        return file.write_all_at(bytes, offset);
    };
    for (n, piece) in bytes.chunks(PIECE).enumerate() {
        let start = n * PIECE;
        match room.put(start, piece) {
            Ok(()) => {}
            // The system is too old for it.
            Err(Errno::INVAL) => {
                let rest = bytes.get(start..).unwrap_or_default();
                return file.write_all_at(rest, offset + start as u64);
            }
            Err(error) => return Err(unfilled(error)),
        }
    }
    Ok(())
}

/// Why the pages of a piece are not to be had. The system speaks of a bad address where the file, or what it lies in, has no
/// room for them.
fn unfilled(error: Errno) -> io::Error {
    if error == Errno::FAULT { io::ErrorKind::StorageFull.into() } else { error.into() }
}

/// A part of a file, mapped for writing.
struct Room {
    /// Start of a page.
    start: *mut c_void,
    /// From there to the end of the part.
    length: usize,
    /// Where the part begins.
    skip: usize,
}

impl Room {
    fn new(file: &File, offset: u64, length: usize) -> Option<Self> {
        let page = page_size() as u64;
        let from = offset / page * page;
        let skip = usize::try_from(offset - from).ok()?;
        let length = length.checked_add(skip)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the system's choice takes the place of no other.
        let start = unsafe { mmap(null_mut(), length, access, MapFlags::SHARED, file, from) };
        Some(Self { start: start.ok()?, length, skip })
    }

    /// Copies bytes to where the part has been written up to, `at` bytes from its beginning.
    fn put(&self, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        let start = self.skip.checked_add(at).ok_or(Errno::INVAL)?;
        let end = start.checked_add(bytes.len()).filter(|end| *end <= self.length);
        let end = end.ok_or(Errno::INVAL)?;
        let page = start / page_size() * page_size();
        // SAFETY: `page` is within the mapping, which starts a page and is longer than `end`. Getting its pages changes no
        // byte, and fails where the file has none.
        unsafe {
            let pages = self.start.byte_add(page);
            madvise(pages, end - page, Advice::LinuxPopulateWrite)?;
        }
        // SAFETY: the range is within the mapping, and was just found to be backed by the file, which only processes of the
        // worker's user could cut; those could end this one as well. Nobody else has this range of the mapping, and the file
        // is lent for writing: no value is in it yet.
        unsafe {
            let target = self.start.cast::<u8>().byte_add(start);
            copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        Ok(())
    }
}

impl Drop for Room {
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
    fn long_runs_arrive_wherever_they_begin_and_touch_nothing_else() {
        let bytes: Vec<u8> = (0..=250).cycle().take(SHORT + PIECE + 77).collect();
        for offset in [0, 64, 4_096, 12_352] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![255; offset + bytes.len() + 100]).unwrap();
            fill(&file, offset as u64, &bytes).unwrap();
            let mut found = vec![0; offset + bytes.len() + 100];
            file.read_exact_at(&mut found, 0).unwrap();
            let (before, rest) = found.split_at(offset);
            let (filled, after) = rest.split_at(bytes.len());
            assert!(filled == bytes, "from {offset}");
            assert!(before.iter().chain(after).all(|byte| *byte == 255), "from {offset}");
        }
    }

    #[test]
    fn a_file_without_room_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let error = fill(&file, 0, &vec![1; SHORT]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        assert_eq!(file.metadata().unwrap().len(), 0, "it is as long as it was lent");
    }
}
