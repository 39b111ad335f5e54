//! What goes into a process and what comes out of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process;

use bireme_core::{Span, limits};
use bytes::{Buf as _, Bytes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read, write};
use smallvec::SmallVec;

use super::tail::Tail;
use crate::executor::payload::{Capture, Command};
use crate::logs::{Stream, Writer};

/// Bytes read at a time: what a pipe holds.
pub(super) const READ_BYTES: usize = 64 << 10;

/// The ends of a process's pipes that are still open, and what has come out of them.
#[derive(Debug)]
pub(super) struct Pipes<'a> {
    stdin: Option<Feed>,
    stdout: Option<Source>,
    stderr: Option<Source>,
    /// There has been something to read from.
    is_heard: bool,
    heard: Heard,
    log: Option<&'a Writer>,
    buffer: &'a mut [u8],
}

/// What a process reads.
#[derive(Debug)]
struct Feed {
    /// Does not block.
    pipe: OwnedFd,
    /// What the process has not been given yet.
    rest: Bytes,
}

/// What a process prints.
#[derive(Debug)]
struct Source {
    pipe: OwnedFd,
    sink: Sink,
}

/// Where that goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sink {
    /// Into the attempt's log; the last lines are kept as well.
    Log(Stream),
    /// Into an output of the task.
    Value,
}

/// What a process has printed.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// For the output: at most one reading more than [`limits::COMMAND_OUTPUT_BYTES`].
    pub(super) value: Vec<u8>,
    out: Tail,
    err: Tail,
}

impl<'a> Pipes<'a> {
    /// Takes the pipes of a process that was started for a command; `stdin` is for it to read.
    pub(super) fn take(
        process: &mut process::Child,
        command: &Command,
        stdin: Option<Bytes>,
        log: Option<&'a Writer>,
        buffer: &'a mut [u8],
    ) -> Self {
        let (input, out, err) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let source = |pipe, capture, stream| {
            let sink = if capture == Capture::Value { Sink::Value } else { Sink::Log(stream) };
            Source { pipe, sink }
        };
        let is_heard = out.is_some() || err.is_some();
        Self {
            is_heard,
            stdin: input.zip(stdin).map(|(pipe, rest)| Feed::new(pipe.into(), rest)),
            stdout: out.map(|pipe| source(pipe.into(), command.stdout, Stream::Stdout)),
            stderr: err.map(|pipe| source(pipe.into(), command.stderr, Stream::Stderr)),
            heard: Heard::default(),
            log,
            buffer,
        }
    }

    /// Whether anything may still come.
    pub(super) fn are_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Whether every process that has inherited a pipe is known to be gone.
    pub(super) fn are_forsaken(&self) -> bool {
        self.is_heard && !self.are_open() && !self.is_too_long()
    }

    /// Whether the output is longer than it may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.heard.value.len() as u64 > limits::COMMAND_OUTPUT_BYTES
    }

    /// What has come.
    pub(super) fn close(self) -> Heard {
        self.heard
    }

    /// Lets go of the process's input.
    pub(super) fn starve(&mut self) {
        self.stdin = None;
    }

    /// Waits until a pipe or one of the others is ready, or for so long, and feeds and reads. Says which of the others are
    /// ready.
    pub(super) fn turn(
        &mut self,
        others: [Option<BorrowedFd<'_>>; 2],
        timeout: Option<Span>,
    ) -> [bool; 2] {
        let [one, other] = others;
        let [stdin, stdout, stderr, one, other] = ready(
            [
                self.stdin.as_ref().map(|feed| (feed.pipe.as_fd(), PollFlags::OUT)),
                self.stdout.as_ref().map(|source| (source.pipe.as_fd(), PollFlags::IN)),
                self.stderr.as_ref().map(|source| (source.pipe.as_fd(), PollFlags::IN)),
                one.map(|fd| (fd, PollFlags::IN)),
                other.map(|fd| (fd, PollFlags::IN)),
            ],
            timeout,
        );
        if !stdin.is_empty() {
            self.stdin = self.stdin.take().and_then(Feed::give);
        }
        if !stdout.is_empty() {
            self.stdout = self.stdout.take().filter(|source| self.listen(source, stdout));
        }
        if !stderr.is_empty() {
            self.stderr = self.stderr.take().filter(|source| self.listen(source, stderr));
        }
        [!one.is_empty(), !other.is_empty()]
    }

    /// Reads once from a pipe that is ready; whether more may come.
    fn listen(&mut self, source: &Source, ready: PollFlags) -> bool {
        if !ready.contains(PollFlags::IN) {
            return false; // Nothing is left in it, and nobody else has it.
        }
        let bytes = match read(&source.pipe, &mut *self.buffer) {
            Ok(length @ 1..) => self.buffer.get(..length).unwrap_or_default(),
            Err(Errno::INTR) => return true,
            // An error reads as the end.
            Ok(_) | Err(_) => return false,
        };
        match source.sink {
            Sink::Value => self.heard.value.extend_from_slice(bytes),
            Sink::Log(stream) => {
                let tail = match stream {
                    Stream::Stdout => &mut self.heard.out,
                    Stream::Stderr | Stream::Record => &mut self.heard.err,
                };
                tail.push(bytes);
                if let Some(log) = self.log {
                    log.write(stream, bytes);
                }
            }
        }
        !self.is_too_long()
    }
}

impl Feed {
    fn new(pipe: OwnedFd, rest: Bytes) -> Self {
        fcntl_setfl(&pipe, OFlags::NONBLOCK).expect("a pipe of our own can be told not to block");
        Self { pipe, rest }
    }

    /// Gives the process as much as it takes now; nothing is left of this when it has all, or wants no more: a process
    /// need not read its input.
    fn give(mut self) -> Option<Self> {
        match write(&self.pipe, &self.rest) {
            Ok(length) => self.rest.advance(length),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return None,
        }
        self.rest.has_remaining().then_some(self)
    }
}

impl Heard {
    /// The last lines that went into the log, for an error.
    pub(super) fn last_lines(&mut self) -> Vec<String> {
        let (out, err) = (std::mem::take(&mut self.out), std::mem::take(&mut self.err));
        out.lines().chain(err.lines()).collect()
    }
}

/// Waits until one of those wanted is ready, or for so long; says what each is ready for.
fn ready<const N: usize>(
    wanted: [Option<(BorrowedFd<'_>, PollFlags)>; N],
    timeout: Option<Span>,
) -> [PollFlags; N] {
    let asked = wanted.iter().flatten();
    let mut polled: SmallVec<[PollFd<'_>; N]> =
        asked.map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let timeout = timeout.map(|span| {
        let (whole, part) = (span.0 / 1_000_000, span.0 % 1_000_000 * 1_000);
        let whole = whole.try_into().unwrap_or(i64::MAX);
        Timespec { tv_sec: whole, tv_nsec: part.cast_signed() }
    });
    // Interrupted, nothing is ready yet, and the caller comes again.
    let _ = poll(&mut polled, timeout.as_ref());
    let mut answers = polled.iter().map(PollFd::revents);
    wanted.map(|wanted| wanted.and_then(|_| answers.next()).unwrap_or(PollFlags::empty()))
}
