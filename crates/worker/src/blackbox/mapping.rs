//! Memory shared with whoever has the same file.
#![expect(unsafe_code, reason = "what is written there is to be found after this process is gone")]

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The words of a file, mapped until this is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: nothing of it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: all that is shared is atomic words.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of a file, whose length is sealed and at least that.
    pub(super) fn new(file: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let length = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
        if length < bytes as u64 || !fcntl_get_seals(file)?.contains(SealFlags::SHRINK) {
            let problem =
                format!("a file of {length} bytes is mapped, of {bytes} and sealed expected");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at a place of the kernel's choice touches no other memory.
        let start = unsafe { mmap(ptr::null_mut(), bytes, access, flags, file, 0)? };
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes })
    }

    /// All of it.
    pub(super) fn words(&self) -> &[AtomicU64] {
        let start = self.start.cast::<AtomicU64>().as_ptr();
        // SAFETY: the mapping is aligned to pages, as long as is said, readable and writable, and lives as long as `self`;
        // its file cannot shrink. Whoever else maps it writes atomic words too.
        unsafe { slice::from_raw_parts(start, self.bytes / size_of::<AtomicU64>()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nothing borrows from it any more.
        // It cannot fail: the range is a whole mapping.
        let _ = unsafe { munmap(self.start.as_ptr(), self.bytes) };
    }
}
