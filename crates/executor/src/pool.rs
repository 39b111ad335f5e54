//! Values whose bytes lie in files of the worker's pool.

mod map;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{AttemptId, Value};
use bireme_proto::pb::executor_report::{ReleaseObjects, Report};
use bytes::Bytes;

use self::map::Map;
use crate::desk::Desk;

/// The worker's pool.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) directory: PathBuf,
    /// Values up to this size ride in messages, in bytes.
    pub(crate) inline_bytes: u64,
}

impl Pool {
    /// The inputs of an attempt with every byte in reach. They stay in place until nobody uses them any more, which the
    /// worker is told.
    pub(crate) fn open(
        &self,
        desk: &Arc<Desk>,
        attempt: AttemptId,
        inputs: &mut [Arc<Value>],
    ) -> io::Result<()> {
        if inputs.iter().all(|input| input.is_inline()) {
            return Ok(());
        }
        let lease = Arc::new(Lease { desk: Arc::clone(desk), attempt });
        for input in inputs {
            for buffer in &mut Arc::make_mut(input).buffers {
                if let Buffer::PoolFile(file) = buffer {
                    *buffer = Buffer::Inline(self.map(file, &lease)?);
                }
            }
        }
        Ok(())
    }

    fn map(&self, place: &PoolFile, lease: &Arc<Lease>) -> io::Result<Bytes> {
        if place.length == 0 {
            return Ok(Bytes::new());
        }
        let file = File::open(self.directory.join(&place.name))?;
        let map = Map::new(&file, place.offset, place.length)?;
        Ok(Bytes::from_owner(Leased { map, _lease: Arc::clone(lease) }))
    }

    /// The inputs of an actor's call with every byte here: copied, because an actor may keep them for as long as it lives.
    pub(crate) fn read(&self, inputs: &mut [Arc<Value>]) -> io::Result<()> {
        let apart = inputs.iter_mut().filter(|input| !input.is_inline());
        apart.map(Arc::make_mut).try_for_each(|input| self.read_value(input))
    }

    /// A value with every byte here: copied.
    pub(crate) fn read_value(&self, value: &mut Value) -> io::Result<()> {
        for buffer in &mut value.buffers {
            if let Buffer::PoolFile(place) = buffer {
                let file = File::open(self.directory.join(&place.name))?;
                let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut bytes, place.offset)?;
                *buffer = Buffer::Inline(bytes.into());
            }
        }
        Ok(())
    }

    /// Writes the bytes that belong into a file that the worker gave.
    pub(crate) fn write(&self, place: &PoolFile, bytes: &[u8]) -> io::Result<()> {
        if place.length != bytes.len() as u64 {
            let message = format!("room for {} bytes was given for {}", place.length, bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let file = OpenOptions::new().write(true).open(self.directory.join(&place.name))?;
        file.write_all_at(bytes, place.offset)
    }
}

/// The files of an attempt's inputs stay in place while there is one.
#[derive(Debug)]
struct Lease {
    desk: Arc<Desk>,
    attempt: AttemptId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let attempts = vec![self.attempt.into()];
        self.desk.report(Report::ReleaseObjects(ReleaseObjects {
            attempts,
            ..ReleaseObjects::default()
        }));
    }
}

/// A mapping that holds the lease until it is gone.
struct Leased {
    map: Map,
    _lease: Arc<Lease>,
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        self.map.bytes()
    }
}
