//! Which attempt printed what, where several run in one process, one after the other.
//!
//! All of them print into the same pipes, and nobody knows when the worker reads. So the end of what an attempt printed is
//! written into the pipe behind it, under a seal that the worker chose. Where nothing is left to read there is nothing to be
//! told apart, and nothing is written: an attempt that prints nothing costs one look at both pipes.
//!
//! The worker's side of the bargain: what it takes must have lain in the pipe while the process's mark stood still. Then what
//! no end follows is of the attempt that was marked: an earlier one would have left its end behind it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use bireme_core::AttemptId;
use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};

/// What tells the ends of what attempts print from anything that they print.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seal(pub(crate) [u8; Self::BYTES]);

impl Seal {
    /// Bytes of a seal.
    pub const BYTES: usize = 16;
    /// Bytes of an end: the seal, and the attempt. Pipes take them whole or not at all.
    const END_BYTES: usize = Self::BYTES + 20;

    /// A seal of bytes drawn at random. The first one does not count: it is one that text does not have.
    pub fn new(mut drawn: [u8; Self::BYTES]) -> Self {
        drawn[0] = 0;
        Self(drawn)
    }

    /// The end of what an attempt printed.
    fn end(&self, AttemptId { task, no }: AttemptId) -> [u8; Self::END_BYTES] {
        let mut end = [0; Self::END_BYTES];
        let parts: [&[u8]; 5] = [
            &self.0,
            &task.graph.0.to_le_bytes(),
            &task.index.to_le_bytes(),
            &no.epoch.0.to_le_bytes(),
            &no.n.to_le_bytes(),
        ];
        for (to, from) in end.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        end
    }

    /// The first end in what was printed: what came before it, whose that was, and what came after.
    fn find<'a>(&self, printed: &'a [u8]) -> Option<(&'a [u8], AttemptId, &'a [u8])> {
        let mut from = 0;
        loop {
            let at = from + printed.get(from..)?.iter().position(|byte| *byte == self.0[0])?;
            let (before, rest) = printed.split_at(at);
            match rest.strip_prefix(&self.0).and_then(<[u8]>::split_first_chunk::<20>) {
                Some((attempt, after)) => return Some((before, read(attempt), after)),
                None => from = at + 1,
            }
        }
    }

    /// What was printed, in parts: each with the attempt whose it was, but for the last, which has no end yet.
    pub fn parts<'a>(
        &self,
        printed: &'a [u8],
    ) -> impl Iterator<Item = (Option<AttemptId>, &'a [u8])> {
        let mut rest = Some(printed);
        std::iter::from_fn(move || {
            let printed = rest?;
            let (part, attempt, after) = match self.find(printed) {
                Some((part, attempt, after)) => (part, Some(attempt), Some(after)),
                None => (printed, None, None),
            };
            rest = after;
            Some((attempt, part))
        })
        .filter(|(_, part)| !part.is_empty())
    }
}

fn read(bytes: &[u8; 20]) -> AttemptId {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let graph = GraphId(u64::from(number(4)) << 32 | u64::from(number(0)));
    let no = AttemptNo { epoch: Epoch(number(12)), n: number(16) };
    AttemptId { task: TaskId { graph, index: number(8) }, no }
}

/// The pipes that a process prints to.
#[derive(Debug)]
pub struct Pipes {
    /// Open for reading too, which nobody does: only then does the system say whether anything is in them.
    pipes: Vec<File>,
    seal: Seal,
}

impl Pipes {
    /// Those of this process; what it prints to something else than a pipe is left alone.
    pub fn of_this_process(seal: Seal) -> io::Result<Self> {
        let streams = [
            io::stdout().as_fd().try_clone_to_owned()?,
            io::stderr().as_fd().try_clone_to_owned()?,
        ];
        Self::open(streams.iter(), seal)
    }

    /// The pipes among these.
    pub fn open(streams: impl IntoIterator<Item: AsFd>, seal: Seal) -> io::Result<Self> {
        let is_pipe = |stream: &_| {
            let mode = fstat(stream).map(|status| status.st_mode);
            mode.is_ok_and(|mode| FileType::from_raw_mode(mode) == FileType::Fifo)
        };
        let pipes = streams.into_iter().filter(is_pipe).map(|stream| {
            let path =
                format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stream.as_fd()));
            OpenOptions::new().read(true).write(true).open(path)
        });
        Ok(Self { pipes: pipes.collect::<io::Result<_>>()?, seal })
    }

    /// Writes the end of what an attempt printed behind it, where that has not been read.
    pub fn end(&self, attempt: AttemptId) {
        // What cannot be written has nobody who reads it.
        let _ = io::stdout().flush();
        let mut looks: Vec<_> =
            self.pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        if !matches!(poll(&mut looks, Some(&Timespec::default())), Ok(1..)) {
            return; // As a rule.
        }
        let unread = looks.iter().map(|look| look.revents().contains(PollFlags::IN));
        for (mut pipe, _) in self.pipes.iter().zip(unread).filter(|(_, unread)| *unread) {
            let _ = pipe.write_all(&self.seal.end(attempt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(index: u32) -> AttemptId {
        let task = TaskId { graph: GraphId(3 << 32 | 4), index };
        AttemptId { task, no: AttemptNo { epoch: Epoch(5), n: 6 } }
    }

    #[test]
    fn parts_are_told_apart_whatever_is_printed() {
        let seal = Seal::new([9; Seal::BYTES]);
        let mut printed = b"one\0two".to_vec();
        printed.extend(seal.end(attempt(1)));
        printed.extend(seal.end(attempt(2)));
        printed.extend([0; 40]);
        printed.extend(seal.end(attempt(3)));
        printed.extend(b"last\0");
        let parts: Vec<_> = seal.parts(&printed).collect();
        let expected: [(_, &[u8]); 3] =
            [(Some(attempt(1)), b"one\0two"), (Some(attempt(3)), &[0; 40]), (None, b"last\0")];
        assert_eq!(parts, expected);
        assert_eq!(seal.parts(b"").count(), 0);
    }

    #[test]
    fn an_end_is_written_only_behind_something() {
        let seal = Seal::new([9; Seal::BYTES]);
        let (reader, mut writer) = io::pipe().unwrap();
        let pipes = Pipes::open([&writer], seal).unwrap();
        pipes.end(attempt(1));
        assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 0);
        writer.write_all(b"x").unwrap();
        pipes.end(attempt(2));
        assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 1 + Seal::END_BYTES as u64);
        let file = tempfile::tempfile().unwrap();
        assert!(Pipes::open([&file], seal).unwrap().pipes.is_empty(), "no pipe");
    }
}
