//! The last of a process: how it ended and what it took.

#![expect(unsafe_code, reason = "only wait4 tells what one process took, and nobody wraps it")]

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use bireme_core::Span;
use rustix::process::Pid;

/// What a process and those that it waited for took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Cpu time.
    pub(super) cpu: Span,
    /// Peak of resident memory of the largest, in bytes; 0 where it is not known.
    pub(super) peak_bytes: u64,
}

/// Waits for the end of a child process of this one, which it then forgets.
pub(super) fn reap(pid: Pid) -> io::Result<(ExitStatus, Usage)> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    loop {
        // SAFETY: both pointers are to memory of the right type that outlives the call.
        let done = unsafe {
            libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, usage.as_mut_ptr())
        };
        if done >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all zeros is a valid `rusage`, and wait4 has written nothing else than one.
    let usage = unsafe { usage.assume_init() };
    let cpu = Span(micros(usage.ru_utime).0 + micros(usage.ru_stime).0);
    let peak_bytes = Some(bytes(&usage)).filter(|peak| *peak > own_peak()).unwrap_or(0);
    Ok((ExitStatus::from_raw(status), Usage { cpu, peak_bytes }))
}

/// The peak of this process. A process is counted from before it executes its program, when its memory still is ours: a
/// peak up to this says nothing of the program.
fn own_peak() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to memory of the right type; all zeros is a valid value if the call fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    bytes(&usage)
}

fn bytes(usage: &libc::rusage) -> u64 {
    u64::try_from(usage.ru_maxrss).unwrap_or(0) << 10
}

fn micros(time: libc::timeval) -> Span {
    let (whole, part) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
    Span(whole.unwrap_or(0) * 1_000_000 + part.unwrap_or(0))
}
