//! The stream of one copy: all that there is, then whatever is written.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Arc, Weak};

use bireme_core::actor::copies::CopyPlace;
use bireme_core::limits;
use bytes::Bytes;
use tokio::time::timeout;

use super::StreamId;
use super::queue::{Part, Queue};
use crate::actors::Shared;
use crate::actors::log::{Batch, Snapshot};
use crate::rpc::actor_copies::{Down, Hello, LostCopy, Up, open};

/// How often it is looked whether a copy is overdue, in the time that it has.
const LOOKS: u32 = 5;

/// What a stream begins with.
pub(super) struct Begun {
    /// All that has been written.
    pub(super) snapshot: io::Result<Snapshot>,
    /// The record up to which the checkpoint in there goes at least; 0 where that is not known.
    pub(super) newest: u64,
    /// Nothing counts as kept before it is on the disk.
    pub(super) synced: bool,
}

/// Sends a copy what it is to have, and tells what it says of that, until one of them does not go on.
pub(super) async fn send(
    shared: Arc<Shared>,
    id: StreamId,
    place: CopyPlace,
    begun: Begun,
    queue: Arc<Queue>,
) {
    let weak = Arc::downgrade(&shared);
    let newest = begun.newest;
    let why = match connect(&shared, id, place, begun).await {
        Err(error) => error,
        Ok((up, down, snapshot)) => {
            drop(shared);
            tokio::select! {
                Err(error) = feed(&up, snapshot, newest, &queue) => error,
                error = hear(&weak, id, down, &queue) => error,
            }
        }
    };
    if let Some(shared) = weak.upgrade() {
        shared.turn().copy_lost(id, &why.to_string());
    }
}

async fn connect(
    shared: &Arc<Shared>,
    id: StreamId,
    place: CopyPlace,
    Begun { snapshot, synced, .. }: Begun,
) -> Result<(Up, Down, Snapshot), LostCopy> {
    let snapshot = snapshot?;
    let first = snapshot.files.first().map_or(1, |(first, ..)| *first);
    let StreamId { actor, incarnation, worker, number: stream } = id;
    let hello = Hello { actor, incarnation, worker: Some(worker), stream, synced, first };
    let bearer = shared.setup.scheduler.find()?.bearer;
    let opened = timeout(limits::COPY_WAIT.to_std(), open(&place.addresses, bearer, hello)).await;
    let (up, down) = opened.map_err(|_| LostCopy::Silent)??;
    Ok((up, down, snapshot))
}

/// Sends what there is and then what comes; ends only with an error.
async fn feed(up: &Up, snapshot: Snapshot, newest: u64, queue: &Queue) -> Result<(), LostCopy> {
    let Snapshot { checkpoint, files, last } = snapshot;
    if let Some(file) = checkpoint {
        send_checkpoint(up, file, newest).await?;
    }
    for (first, file, length) in files {
        let mut rest = length;
        let mut file = file;
        while rest > 0 {
            let part;
            (file, part) = read(file, rest).await?;
            rest -= part.len() as u64;
            if part.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            up.records(first, part, 0).await?;
        }
    }
    up.whole(last).await?;
    loop {
        match queue.next().await {
            Part::Checkpoint { file, lsn } => send_checkpoint(up, file, lsn).await?,
            Part::Records(batch) => send_records(up, batch).await?,
        }
    }
}

async fn send_checkpoint(up: &Up, mut file: File, lsn: u64) -> Result<(), LostCopy> {
    loop {
        let part;
        (file, part) = read(file, u64::MAX).await?;
        let is_last = part.is_empty();
        up.checkpoint(part, is_last.then_some(lsn)).await?;
        if is_last {
            return Ok(());
        }
    }
}

async fn send_records(up: &Up, batch: Batch) -> Result<(), LostCopy> {
    let Batch { file, mut frames, last } = batch;
    while frames.len() > limits::BATCH_BYTES {
        up.records(file, frames.split_to(limits::BATCH_BYTES), 0).await?;
    }
    up.records(file, frames, last).await
}

/// The next bytes of a file, at most so many; none at its end.
async fn read(mut file: File, most: u64) -> Result<(File, Bytes), LostCopy> {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(limits::BATCH_BYTES);
    let read = tokio::task::spawn_blocking(move || {
        let mut part = vec![0; length];
        let count = file.read(&mut part)?;
        part.truncate(count);
        Ok::<_, io::Error>((file, part.into()))
    });
    Ok(read.await.map_err(io::Error::other)??)
}

/// Tells what the copy says. Ends when it says nothing more, or owes an answer for too long.
async fn hear(shared: &Weak<Shared>, id: StreamId, mut down: Down, queue: &Queue) -> LostCopy {
    loop {
        let heard = timeout(limits::COPY_WAIT.to_std() / LOOKS, down.next()).await;
        let Some(shared) = shared.upgrade() else { return LostCopy::Ended };
        match heard {
            Ok(Ok(kept)) => shared.turn().kept_there(id, kept),
            Ok(Err(error)) => return error,
            Err(_) if queue.is_overdue(shared.setup.clock.now()) => return LostCopy::Silent,
            Err(_) => {}
        }
    }
}
