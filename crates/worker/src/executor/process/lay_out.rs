//! What an attempt needs, as it fits into a message.

use bireme_core::id::Digest;
use bireme_core::value::Buffer;
use bireme_core::{ErrorClass, Reason, TaskError, Value, limits};

use crate::executor::Job;
use crate::failure::failure;
use crate::store::{Draft, Store, Stored};

/// Inputs and blobs of an attempt: inline, or in files of the pool.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) inputs: Vec<Value>,
    pub(super) blobs: Vec<(Digest, Buffer)>,
    /// What keeps those inputs that were written into files for this.
    pub(super) input_drafts: Vec<Draft>,
    /// The same for blobs.
    pub(super) blob_drafts: Vec<Draft>,
}

/// Lays out the inputs of an attempt and those of its blobs that its process `lacks`. What is too much for a message is
/// written into files.
pub(super) fn job(
    store: &Store,
    job: &Job,
    lacks: impl Fn(Digest) -> bool,
) -> Result<Laid, Box<TaskError>> {
    let mut room = limits::BATCH_BYTES as u64;
    let (mut input_drafts, mut blob_drafts) = (Vec::new(), Vec::new());
    let inputs = job.inputs.iter().map(|input| lay(store, input, &mut room, &mut input_drafts));
    let inputs = inputs.collect::<Result<_, _>>()?;
    let blobs = job.blobs.iter().filter(|(digest, _)| lacks(*digest)).map(|(digest, blob)| {
        let value = lay(store, blob, &mut room, &mut blob_drafts)?;
        let bytes = value.buffers.into_iter().next();
        Ok((*digest, bytes.unwrap_or_else(|| Buffer::Inline(bytes::Bytes::new()))))
    });
    let blobs = blobs.collect::<Result<_, Box<TaskError>>>()?;
    Ok(Laid { inputs, blobs, input_drafts, blob_drafts })
}

/// A value as it fits into a message with so much `room` left, or in files that `drafts` keep.
pub(crate) fn lay(
    store: &Store,
    stored: &Stored,
    room: &mut u64,
    drafts: &mut Vec<Draft>,
) -> Result<Value, Box<TaskError>> {
    let mut value = (*stored.value).clone();
    let size = value.inline_bytes();
    if size <= *room {
        *room -= size;
        return Ok(value);
    }
    let draft = write(store, &mut value).ok_or_else(|| {
        let message = format!("there is no room to hand over an input of {size} bytes");
        failure(ErrorClass::Reschedule, Reason::StoreFull, message)
    })?;
    drafts.push(draft);
    Ok(value)
}

/// Moves the bytes of a value into files; `None` if there is no room for them.
fn write(store: &Store, value: &mut Value) -> Option<Draft> {
    let inline = value.buffers.iter_mut().filter(|buffer| matches!(buffer, Buffer::Inline(_)));
    let mut inline: Vec<_> = inline.collect();
    let lengths: Vec<_> = inline.iter().map(|buffer| bytes_of(buffer).len() as u64).collect();
    let draft = store.allocate_now(&lengths)?;
    for (n, buffer) in inline.iter_mut().enumerate() {
        draft.write(n, 0, bytes_of(buffer)).ok()?;
        **buffer = Buffer::PoolFile(draft.runs().get(n)?.clone());
    }
    Some(draft)
}

fn bytes_of(buffer: &Buffer) -> &[u8] {
    match buffer {
        Buffer::Inline(bytes) => bytes,
        Buffer::Blob(_) | Buffer::Object(_) | Buffer::PoolFile(_) => &[],
    }
}
