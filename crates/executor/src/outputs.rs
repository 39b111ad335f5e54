//! Values on their way out: in messages where they are small, in files of the worker's pool where they are large.

use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{ActorId, AttemptId, ErrorClass, Reason, TaskError, Value};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::answer::Answer;
use bireme_proto::pb::executor_report::{AllocatePool, Report};
use bytes::Bytes;

use crate::desk::Desk;
use crate::pool::Pool;

/// Whose value it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    Actor(ActorId),
    Attempt(AttemptId),
}

/// Moves the bytes of values into files that the worker gives: all that it needs for them it is asked for once.
pub(crate) fn write<'a>(
    desk: &Desk,
    pool: &Pool,
    owner: Owner,
    values: impl IntoIterator<Item = &'a mut Value>,
) -> Result<(), Box<TaskError>> {
    let mut buffers: Vec<(&mut Buffer, Bytes)> = Vec::new();
    for buffer in values.into_iter().flat_map(|value| &mut value.buffers) {
        let bytes = if let Buffer::Inline(bytes) = &*buffer { bytes.clone() } else { continue };
        if !bytes.is_empty() {
            buffers.push((buffer, bytes));
        }
    }
    let lengths = buffers.iter().map(|(_, bytes)| bytes.len() as u64);
    let mut files = allocate(desk, owner, lengths.collect())?.into_iter();
    let mut writer = pool.writer();
    for (buffer, bytes) in buffers {
        let file = files.next().ok_or_else(|| unstored("too few files were given"))?;
        let file = PoolFile::try_from(file).map_err(|refusal| unstored(&refusal.message))?;
        let written = writer.write(&file, &bytes);
        written.map_err(|error| unstored(&format!("{}: {error}", file.name)))?;
        *buffer = Buffer::PoolFile(file);
    }
    Ok(())
}

fn allocate(
    desk: &Desk,
    owner: Owner,
    lengths: Vec<u64>,
) -> Result<Vec<pb::buffer::PoolFile>, Box<TaskError>> {
    let (attempt, actor) = match owner {
        Owner::Actor(actor) => (None, Some(actor.into())),
        Owner::Attempt(attempt) => (Some(attempt.into()), None),
    };
    let answer =
        desk.ask(|request| Report::AllocatePool(AllocatePool { request, attempt, lengths, actor }));
    match answer {
        Some(Answer::Allocated(allocated)) => Ok(allocated.files),
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
