//! What a fetch reads, cut into the messages of a stream.

use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::status::status;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::spawn_blocking;
use tokio_stream::Stream;
use tonic::Status;

use super::read::{Reading, Run, Source, size};

impl Reading {
    /// The messages that answer a fetch.
    pub(crate) fn messages(
        self,
    ) -> impl Stream<Item = Result<pb::FetchResponse, Status>> + Send + 'static {
        let head = pb::fetch_response::Part::Head(self.head.clone());
        let chunks = stream::try_unfold((self, 0), async |(mut reading, at)| {
            let chunk = reading.next_chunk(at).await?;
            let part = chunk.map(|(chunk, at)| (pb::fetch_response::Part::Chunk(chunk), at));
            Ok(part.map(|(part, at)| (part, (reading, at))))
        });
        let parts = stream::once(async { Ok(head) });
        parts.chain(chunks).map_ok(|part| pb::FetchResponse { part: Some(part) })
    }

    /// The chunk that comes next in the run of this number, or one after it; and where to go on.
    async fn next_chunk(
        &mut self,
        mut at: usize,
    ) -> Result<Option<(pb::DataChunk, usize)>, Status> {
        while let Some(run) = self.runs.get_mut(at) {
            if run.length == 0 {
                at += 1;
                continue;
            }
            let first = run.split(limits::STORE_CHUNK_BYTES as u64);
            let (buffer, offset) = (first.buffer, first.offset);
            let data = first.load().await.map_err(status)?;
            return Ok(Some((pb::DataChunk { data, buffer, offset }, at)));
        }
        Ok(None)
    }
}

impl Run {
    /// The bytes, in memory.
    async fn load(self) -> Result<Bytes, Refusal> {
        let length = size(self.length);
        let read = match self.source {
            Source::Inline(bytes) => return Ok(bytes),
            // A disk may take its time.
            Source::File(file, from) if file.is_spilled() => {
                spawn_blocking(move || file.read(from, length)).await.map_err(std::io::Error::other)
            }
            Source::File(file, from) => Ok(file.read(from, length)),
        };
        read.and_then(|read| read).map_err(|error| {
            let message = format!("the bytes of the value are lost: {error}");
            Refusal::new(Reason::ObjectUnknown, message)
        })
    }
}
