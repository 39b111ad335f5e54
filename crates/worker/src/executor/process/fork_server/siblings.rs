//! The other end: a process that waits to be copied.
//!
//! It is copied as the C library would do it, with two differences. The copy's parent is that of the copied process, which is
//! what `CLONE_PARENT` is for. And nothing is done that the C library does for processes of several threads, because there is one:
//! a copy has only the thread that made it, so that locks which others hold would stay locked, and what they do stays half
//! done. A program that has begun others does not serve, nor does one with files open of its own, which all copies would share.

#![expect(unsafe_code, reason = "nobody wraps clone3, and the environment is changed")]

use std::env;
use std::ffi::c_int;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::null_mut;

use bireme_core::limits;
use bireme_executor::BadLaunch;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::process::{Pid, setpgid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use rustix::thread::gettid;

use super::order::{Answer, Order};

/// The variable by which a process is told that it is to be copied, and is no executor itself.
pub(super) const WANTED: &str = "BIREME_EXECUTOR_FORK_SERVER";

/// What became of a process that was to be copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::executor::process) enum Became {
    /// It is a copy, and its environment says what an executor has to know.
    Executor,
    /// No more copies are wanted, or it does not serve.
    Needless,
}

/// Whether this process is to be copied.
pub(in crate::executor::process) fn are_wanted() -> bool {
    env::var_os(WANTED).is_some()
}

/// Makes copies of this process for as long as they are wanted. Also returns in each of them.
pub(in crate::executor::process) fn make() -> Result<Became, BadLaunch> {
    bireme_executor::tie_to_worker()?;
    // The worker sees that it ends, and starts its processes.
    Ok(serve().unwrap_or(Became::Needless))
}

fn serve() -> io::Result<Became> {
    let line = fcntl_dupfd_cloexec(stdin(), 3)?;
    dup2_stdin(File::open("/dev/null")?)?;
    if !is_alone(&line)? {
        return Ok(Became::Needless);
    }
    let id_at = thread_id_at()?;
    // One for all orders: clearing another for each would have its pages copied after each fork.
    let mut body = vec![0; limits::FORK_ORDER_BYTES];
    Answer::Ready.send(&line)?;
    while let Some((order, pipes)) = Order::receive(&line, &mut body)? {
        let answer = match copy(id_at) {
            Ok(None) => {
                drop(line);
                become_executor(order, pipes)?;
                return Ok(Became::Executor);
            }
            Ok(Some(pid)) => Answer::Made(pid),
            Err(error) => Answer::Failed(error),
        };
        answer.send(&line)?;
    }
    Ok(Became::Needless)
}

/// Whether this process has one thread, and of its own no file open but the line: what it has opened itself it closes when it
/// becomes another program, which what it came with does not.
fn is_alone(line: &OwnedFd) -> io::Result<bool> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Ok(false);
    }
    let mut own = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // SAFETY: it is only asked about, and it is open: this is the only thread.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let closes = fcntl_getfd(file)?.contains(FdFlags::CLOEXEC);
        own += usize::from(closes && number != line.as_raw_fd());
    }
    // The directory that is being read.
    Ok(own == 1)
}

/// Where the C library keeps the number of this thread, which it asked the system to write to when the thread ends.
fn thread_id_at() -> io::Result<*mut c_int> {
    let mut at: *mut c_int = null_mut();
    // SAFETY: the system writes one pointer there.
    let said = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut at, 0, 0, 0) };
    if said != 0 {
        return Err(io::Error::last_os_error());
    }
    // Another C library has something else written to, such as a lock, which a copy would find taken.
    // SAFETY: the C library has named the place for a number of this size, and this is the only thread.
    let is_there = !at.is_null() && unsafe { at.read() } == Pid::as_raw(Some(gettid()));
    if is_there { Ok(at) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// A copy of this process beside it; `None` in the copy.
fn copy(id_at: *mut c_int) -> io::Result<Option<Pid>> {
    let flags = libc::CLONE_PARENT | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    let mut how = libc::clone_args {
        flags: u64::from(flags.unsigned_abs()),
        pidfd: 0,
        child_tid: id_at as u64,
        parent_tid: 0,
        // Siblings have the signal of the process that is copied, and another may not be named.
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: nothing is shared, and the copy goes on where this is, with a stack of its own at the same place. There is one
    // thread, so that all of memory is as this thread believes it to be. The C library has the copy's number where it looks.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &raw mut how, size_of_val(&how)) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(made).ok().and_then(Pid::from_raw))
}

/// Makes a copy what a process is that was started: in a group of its own, with these pipes, and with this environment alone.
#[expect(clippy::disallowed_methods, reason = "there are no other threads to race with")]
fn become_executor(order: Order, [out, err]: [OwnedFd; 2]) -> io::Result<()> {
    setpgid(None, None)?;
    dup2_stdout(out)?;
    dup2_stderr(err)?;
    // SAFETY: this is the only thread.
    if unsafe { libc::clearenv() } != 0 {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    for (name, value) in order.variables() {
        // SAFETY: the same.
        unsafe { env::set_var(name, value) };
    }
    Ok(())
}
