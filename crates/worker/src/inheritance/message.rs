//! The first message: its length, which carries the descriptors, and a body.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use bireme_core::id::{WorkerLife, WorkerUid};
use bireme_core::limits;
use bireme_proto::pb;
use prost::Message as _;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::{Identity, Inheritance};

/// Descriptors of a message: both ports and the black box.
const DESCRIPTORS: usize = 3;
const LENGTH_BYTES: usize = size_of::<u64>();

/// Read only by the binary that wrote it: fields may change their meaning.
#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(bytes = "vec", tag = "1")]
    uid: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    life: Vec<u8>,
    #[prost(string, tag = "3")]
    pool_dir: String,
    #[prost(message, optional, tag = "4")]
    previous: Option<pb::PreviousLife>,
}

pub(super) fn send(mut line: &UnixStream, inheritance: &Inheritance) -> io::Result<()> {
    let Inheritance { identity, pool_dir, previous, grpc, http, black_box } = inheritance;
    let body = Body {
        uid: identity.uid.to_bytes().into(),
        life: identity.life.to_bytes().into(),
        pool_dir: pool_dir.to_str().ok_or(ErrorKind::InvalidFilename)?.to_owned(),
        previous: previous.clone().map(Into::into),
    };
    let body = body.encode_to_vec();
    let descriptors = [grpc.as_fd(), http.as_fd(), black_box.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let length = (body.len() as u64).to_le_bytes();
    // A message so short is sent as a whole.
    sendmsg(line, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
    line.write_all(&body)
}

pub(super) fn receive(mut line: &UnixStream) -> io::Result<Inheritance> {
    let (length, descriptors) = receive_length(line)?;
    let bad = |what| io::Error::new(ErrorKind::InvalidData, what);
    let descriptors = <[OwnedFd; DESCRIPTORS]>::try_from(descriptors);
    let [grpc, http, black_box] = descriptors.map_err(|_| bad("descriptors are missing"))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limits::INHERITANCE_BYTES {
        return Err(bad("it is too long"));
    }
    let mut body = vec![0; length];
    line.read_exact(&mut body)?;
    let body = Body::decode(body.as_slice()).map_err(io::Error::from)?;
    let identity = Identity {
        uid: WorkerUid::from_slice(&body.uid).ok_or_else(|| bad("it holds no uid"))?,
        life: WorkerLife::from_slice(&body.life).ok_or_else(|| bad("it holds no life"))?,
    };
    let previous = body.previous.map(TryInto::try_into).transpose().map_err(io::Error::other)?;
    let (pool_dir, grpc, http) = (body.pool_dir.into(), grpc.into(), http.into());
    Ok(Inheritance { identity, pool_dir, previous, grpc, http, black_box })
}

fn receive_length(line: &UnixStream) -> io::Result<(u64, Vec<OwnedFd>)> {
    let mut length = [0; LENGTH_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut length)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    if recvmsg(line, slices, &mut control, flags)?.bytes < LENGTH_BYTES {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((u64::from_le_bytes(length), descriptors.flatten().collect()))
}
