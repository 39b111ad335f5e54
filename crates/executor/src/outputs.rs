//! Values on their way out: in messages where they are small, in files of the worker's pool where they are large.

use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{ActorId, AttemptId, ErrorClass, Reason, TaskError, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::answer::Answer;
use bireme_proto::pb::executor_report::{AllocatePool, Report};
use bytes::Bytes;

use crate::desk::Desk;
use crate::pool::Pool;

/// Whose value it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    Actor(ActorId),
    /// With the files that it was given before it asked.
    Attempt(AttemptId, &'a [PoolFile]),
}

/// Moves the bytes of values into files that the worker gives: all that it needs for them it is asked for once. Short buffers
/// stay where they are if the message has `room` for all of them, in bytes: a file for them would be as much work as one for a
/// long buffer.
pub(crate) fn write<'a>(
    desk: &Desk,
    pool: &Pool,
    owner: Owner<'_>,
    values: impl IntoIterator<Item = &'a mut Value>,
    room: u64,
) -> Result<(), Box<TaskError>> {
    let mut buffers: Vec<(&mut Buffer, Bytes)> = Vec::new();
    for buffer in values.into_iter().flat_map(|value| &mut value.buffers) {
        let bytes = if let Buffer::Inline(bytes) = &*buffer { bytes.clone() } else { continue };
        if !bytes.is_empty() {
            buffers.push((buffer, bytes));
        }
    }
    let is_short = |bytes: &Bytes| bytes.len() as u64 <= pool.inline_bytes;
    let short = buffers.iter().filter(|(_, bytes)| is_short(bytes));
    let short: u64 = short.map(|(_, bytes)| bytes.len() as u64).sum();
    if short <= room.min(limits::INLINE_BYTES).min(pool.inline_bytes) {
        buffers.retain(|(_, bytes)| !is_short(bytes));
    }
    let lengths = buffers.iter().map(|(_, bytes)| bytes.len() as u64);
    let mut files = files(desk, owner, lengths.collect())?.into_iter();
    let mut writer = pool.writer();
    for (buffer, bytes) in buffers {
        let file = files.next().ok_or_else(|| unstored("too few files were given"))?;
        let written = writer.write(&file, &bytes);
        written.map_err(|error| unstored(&format!("{}: {error}", file.name)))?;
        *buffer = Buffer::PoolFile(file);
    }
    Ok(())
}

/// Files for buffers of these lengths: those that were given, or others.
fn files(
    desk: &Desk,
    owner: Owner<'_>,
    lengths: Vec<u64>,
) -> Result<Vec<PoolFile>, Box<TaskError>> {
    let (attempt, actor) = match owner {
        Owner::Actor(actor) => (None, Some(actor.into())),
        Owner::Attempt(_, given)
            if given.iter().map(|file| file.length).eq(lengths.iter().copied()) =>
        {
            return Ok(given.to_vec());
        }
        Owner::Attempt(attempt, _) => (Some(attempt.into()), None),
    };
    let answer =
        desk.ask(|request| Report::AllocatePool(AllocatePool { request, attempt, lengths, actor }));
    match answer {
        Some(Answer::Allocated(allocated)) => {
            let files = allocated.files.into_iter().map(PoolFile::try_from);
            files.collect::<Result<_, _>>().map_err(|refusal| unstored(&refusal.message))
        }
        Some(Answer::Refused(pb::Refused { reason, message, .. })) => {
            Err(Box::new(TaskError::new(ErrorClass::Store, reason, message)))
        }
        Some(_) => Err(unstored("the worker answered something else than files")),
        None => Err(unstored("the worker has gone")),
    }
}

/// The failure of code whose input cannot be read from the pool.
pub(crate) fn unread(error: &std::io::Error) -> Box<TaskError> {
    let message = format!("an input cannot be read from the pool: {error}");
    Box::new(TaskError::new(ErrorClass::InputLost, Reason::InputLost.name(), message))
}

fn unstored(problem: &str) -> Box<TaskError> {
    let message = format!("a result cannot be written into the pool: {problem}");
    Box::new(TaskError::new(ErrorClass::Store, Reason::StoreFull.name(), message))
}
