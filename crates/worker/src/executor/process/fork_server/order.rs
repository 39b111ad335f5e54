//! What is said on the line to a process that makes others: the environment of one and the pipes that it prints to, and what
//! has come of that.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;

use bireme_core::limits;
use prost::Message as _;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, send, sendmsg,
};
use rustix::process::Pid;

/// Standard output and standard error.
const PIPES: usize = 2;

/// A process to make. Both ends of the line are the same program.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Order {
    /// All of its environment.
    #[prost(message, repeated, tag = "1")]
    variables: Vec<Variable>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Variable {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// What a process that makes others says.
#[derive(Debug)]
pub(super) enum Answer {
    /// It can make processes.
    Ready,
    /// It has made one.
    Made(Pid),
    /// It could not.
    Failed(io::Error),
}

impl Order {
    /// A process with the environment that a command would give it, which must not be that of this process with changes.
    pub(super) fn of(command: &Command) -> Self {
        let variable = |(name, value): (&OsStr, Option<&OsStr>)| {
            let (name, value) = (name.as_bytes().to_vec(), value?.as_bytes().to_vec());
            Some(Variable { name, value })
        };
        Self { variables: command.get_envs().filter_map(variable).collect() }
    }

    pub(super) fn variables(self) -> impl Iterator<Item = (OsString, OsString)> {
        self.variables
            .into_iter()
            .map(|it| (OsString::from_vec(it.name), OsString::from_vec(it.value)))
    }

    /// Whether it is short enough to be sent.
    pub(super) fn fits(&self) -> bool {
        self.encoded_len() <= limits::FORK_ORDER_BYTES
    }

    pub(super) fn send(&self, line: &OwnedFd, pipes: [OwnedFd; PIPES]) -> io::Result<()> {
        let body = self.encode_to_vec();
        let pipes = pipes.each_ref().map(|pipe| pipe.as_fd());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&pipes));
        let body = [IoSlice::new(&body)];
        // A call that ends by itself after a time is not taken up again by the system when a signal has come.
        retry_on_intr(|| sendmsg(line, &body, &mut control, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// The next one, read into `body`, which has room for any; `None` when the worker wants no more.
    pub(super) fn receive(
        line: &OwnedFd,
        body: &mut [u8],
    ) -> io::Result<Option<(Self, [OwnedFd; PIPES])>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(body)];
        let length = recvmsg(line, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
        if length == 0 {
            return Ok(None);
        }
        let order =
            Self::decode(body.get(..length).unwrap_or_default()).map_err(io::Error::other)?;
        let pipes = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(pipes) => Some(pipes),
            _ => None,
        });
        let pipes: Vec<OwnedFd> = pipes.flatten().collect();
        let pipes = pipes.try_into().map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        Ok(Some((order, pipes)))
    }
}

impl Answer {
    /// A process's number; 0 for none yet; less for an error of the system's.
    fn number(&self) -> i32 {
        match self {
            Self::Ready => 0,
            Self::Made(pid) => pid.as_raw_nonzero().get(),
            Self::Failed(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        }
    }

    pub(super) fn send(&self, line: &OwnedFd) -> io::Result<()> {
        send(line, &self.number().to_le_bytes(), SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// The next answer, if it has come or is waited for, which is not for ever. A process that makes others and ends before it has
/// made one does not want to make any.
pub(super) fn answer(line: &OwnedFd, wait: bool) -> io::Result<Answer> {
    let mut bytes = [0; size_of::<i32>()];
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let length = retry_on_intr(|| recv(line, &mut bytes, flags).map(|(_, length)| length))?;
    if length < bytes.len() {
        let kind = if wait { ErrorKind::UnexpectedEof } else { ErrorKind::Unsupported };
        return Err(kind.into());
    }
    Ok(match i32::from_le_bytes(bytes) {
        0 => Answer::Ready,
        number => match Pid::from_raw(number) {
            Some(pid) if number > 0 => Answer::Made(pid),
            _ => Answer::Failed(io::Error::from_raw_os_error(-number)),
        },
    })
}
