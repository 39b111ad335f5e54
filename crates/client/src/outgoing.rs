//! The session's way up: commands become messages when the stream asks for one.
//!
//! The connection pulls from here, so no task of ours stands between a caller and the socket. Whatever waits when the
//! stream has room goes in one message, up to the size of a batch. Messages come encoded, so their codec only copies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bireme_proto::pb;
use bytes::{Buf as _, BufMut as _};
use prost::Message as _;
use tokio_stream::Stream;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::backlog::{Backlog, Batch};

/// The messages of one stream to the scheduler. It ends when another stream begins, or with the session.
#[derive(Debug)]
pub(crate) struct Outgoing {
    first: Option<Batch>,
    backlog: Arc<Backlog>,
    stream: u64,
}

impl Outgoing {
    /// A stream that begins with `first`, then goes on with what is not answered.
    pub(crate) fn new(first: &pb::SessionUp, backlog: Arc<Backlog>) -> Self {
        let stream = backlog.begin();
        Self { first: Some(vec![first.encode_to_vec().into()]), backlog, stream }
    }
}

impl Stream for Outgoing {
    type Item = Batch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.backlog.poll_batch(self.stream, cx),
        }
    }
}

/// Encoded messages up, messages down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encoded;

impl Codec for Encoded {
    type Encode = Batch;
    type Decode = pb::SessionDown;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Batch;
    type Error = Status;

    fn encode(&mut self, batch: Batch, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(batch.iter().map(bytes::Bytes::len).sum());
        for part in batch {
            to.put(part);
        }
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = pb::SessionDown;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<pb::SessionDown>, Status> {
        let message = pb::SessionDown::decode(&mut *from);
        debug_assert!(message.is_err() || !from.has_remaining(), "a message is read whole");
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
