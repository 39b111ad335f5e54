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
#[derive(Debug)]
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
