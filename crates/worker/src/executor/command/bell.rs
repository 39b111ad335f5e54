//! Wakes a thread that waits for a process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::executor::crew;

/// A descriptor that becomes readable.
#[derive(Debug)]
pub(crate) struct Bell {
    event: OwnedFd,
    /// Spares the reading of what is known to be silent.
    rung: AtomicBool,
}

impl crew::Bell for Bell {
    fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event, rung: AtomicBool::new(false) })
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        // It fails only where it has been rung for ages and nobody heard.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    fn silence(&self) {
        if self.rung.swap(false, Ordering::Acquire) {
            // If whoever rings has not come so far, it rings once more than is needed.
            let _ = rustix::io::read(&self.event, &mut [0; size_of::<u64>()]);
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
