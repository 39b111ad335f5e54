//! A number at the start of a file, written as memory is: no call of the system for each attempt.

#![expect(unsafe_code, reason = "the only place where a mapped file is written")]

use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of the number.
const BYTES: usize = size_of::<u64>();

/// The number.
#[derive(Debug)]
pub(super) struct Cell(NonNull<AtomicU64>);

// SAFETY: it is an atomic number in memory that belongs to no thread.
unsafe impl Send for Cell {}
// SAFETY: the same.
unsafe impl Sync for Cell {}

impl Cell {
    /// Maps the start of a file, which must have the number.
    pub(super) fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() < BYTES as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the system's choice takes the place of no other.
        let start = unsafe { mmap(null_mut(), BYTES, access, MapFlags::SHARED, file, 0) }?;
        NonNull::new(start.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Writes the number. Whoever reads the file from then on sees it, though this process dies.
    pub(super) fn set(&self, number: u64) {
        // SAFETY: the mapping starts a page, so that it is aligned, has room for the number and lives as long as `self`. Only
        // this process could cut the file, and would then end itself.
        unsafe { self.0.as_ref() }.store(number.to_le(), Ordering::Release);
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from `self` any more. That it is mapped is certain, so it can be unmapped.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), BYTES) };
    }
}
