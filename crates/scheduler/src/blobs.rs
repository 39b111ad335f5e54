//! Blobs: bytes that were uploaded under their digest. Short ones are kept in memory, long ones in files without names. On
//! either shelf those that were used least recently make room for new ones: whoever needs one that is gone uploads it again.

mod file;
mod shelf;
mod upload;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bytes::Bytes;

pub(crate) use self::file::BlobFile;
use self::shelf::Shelf;
pub(crate) use self::upload::Upload;

/// How much is kept where.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes of all blobs in memory.
    pub(crate) memory: u64,
    /// Bytes of all blobs in files.
    pub(crate) files: u64,
    /// A blob of more bytes is kept in a file.
    pub(crate) short: u64,
    /// A blob of more bytes is refused.
    pub(crate) longest: u64,
    /// Where the files are, none of which has a name there.
    pub(crate) directory: PathBuf,
}

/// The blobs that are kept.
#[derive(Debug)]
pub(crate) struct Blobs {
    room: Room,
    memory: Shelf,
    files: Shelf,
}

/// The bytes of a blob.
#[derive(Clone, Debug)]
pub(crate) enum Blob {
    /// They are in memory.
    Here(Bytes),
    /// They are in a file of so many bytes.
    Filed(Arc<BlobFile>, u64),
}

impl Room {
    /// What the limits say; `directory` is for the files.
    pub(crate) fn limited(directory: PathBuf) -> Self {
        Self {
            memory: limits::SCHEDULER_BLOBS_BYTES,
            files: limits::SCHEDULER_BLOB_FILES_BYTES,
            short: limits::SCHEDULER_BLOB_BYTES,
            longest: limits::BLOB_BYTES,
            directory,
        }
    }
}

impl Blobs {
    pub(crate) fn new(room: Room) -> Self {
        let (memory, files) = (Shelf::new(room.memory), Shelf::new(room.files));
        Self { room, memory, files }
    }

    /// Begins an upload. Its room is taken for as long as it takes.
    pub(crate) async fn begin(&self, length: u64) -> Result<Upload, Refusal> {
        let Room { short, longest, directory, .. } = &self.room;
        if length > *longest {
            let message = format!(
                "the blob has {length} bytes, the limit is {longest}: put a value, or install on the workers what an environment is to hold"
            );
            return Err(Refusal::at(Reason::ValueTooLarge, "head.length", message));
        }
        if length <= *short {
            return Ok(Upload::to_memory(length, self.memory.enter(length)?));
        }
        let room = self.files.enter(length)?;
        let file = BlobFile::new(directory.clone()).await.map_err(|error| not_written(&error))?;
        Ok(Upload::to_file(length, room, file))
    }

    /// Keeps what was uploaded under this digest, if that is its own.
    pub(crate) fn put(&self, digest: Digest, upload: Upload) -> Result<(), Refusal> {
        let (found, blob, _room) = upload.finish()?;
        if found != digest {
            let message = format!("the bytes have the digest {found:?}, not {digest:?}");
            return Err(Refusal::at(Reason::DigestMismatch, "head.digest", message));
        }
        match blob {
            Blob::Here(_) => self.memory.put(digest, blob),
            Blob::Filed(..) => self.files.put(digest, blob),
        }
        Ok(())
    }

    /// A blob, which counts as used.
    pub(crate) fn get(&self, digest: Digest) -> Option<Blob> {
        self.memory.get(digest).or_else(|| self.files.get(digest))
    }

    /// Its length, if it is kept, and whether that is in memory.
    pub(crate) fn length(&self, digest: Digest) -> Option<(u64, bool)> {
        let in_memory = self.memory.length(digest).map(|length| (length, true));
        in_memory.or_else(|| self.files.length(digest).map(|length| (length, false)))
    }

    /// How many are kept, and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let (memory, files) = (self.memory.totals(), self.files.totals());
        (memory.0 + files.0, memory.1 + files.1)
    }
}

impl Blob {
    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64,
            Self::Filed(_, length) => *length,
        }
    }
}

fn not_written(error: &io::Error) -> Refusal {
    let message = format!(
        "the blob cannot be written: {error}: make room where the scheduler keeps its files, `--state-dir` or else TMPDIR"
    );
    Refusal::new(Reason::StoreFull, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    fn blobs(short: u64) -> Blobs {
        let directory = std::env::temp_dir();
        Blobs::new(Room { memory: 10, files: 20, short, longest: 15, directory })
    }

    async fn put(blobs: &Blobs, bytes: &'static [u8]) -> Digest {
        let mut upload = blobs.begin(bytes.len() as u64).await.unwrap();
        for part in bytes.chunks(3) {
            upload.add(Bytes::from_static(part)).await.unwrap();
        }
        let digest = digest(bytes);
        blobs.put(digest, upload).unwrap();
        digest
    }

    #[tokio::test]
    async fn what_was_used_least_recently_makes_room() {
        let blobs = blobs(10);
        let (first, second) = (put(&blobs, b"1234").await, put(&blobs, b"5678").await);
        assert_eq!(blobs.get(first).unwrap().length(), 4);
        let third = put(&blobs, b"90").await;
        assert_eq!(blobs.totals(), (3, 10));
        let fourth = put(&blobs, b"abc").await;
        let lengths = [first, second, third, fourth].map(|digest| blobs.length(digest));
        assert_eq!(lengths.map(|it| it.map(|it| it.0)), [Some(4), None, Some(2), Some(3)]);
        let whole = put(&blobs, b"0123456789").await;
        assert_eq!((blobs.totals(), blobs.length(whole)), ((1, 10), Some((10, true))));
    }

    #[tokio::test]
    async fn long_ones_are_in_files_and_leave_short_ones_alone() {
        let blobs = blobs(4);
        let short = put(&blobs, b"1234").await;
        let long = put(&blobs, b"0123456789").await;
        assert_eq!(blobs.length(long), Some((10, false)));
        let Some(Blob::Filed(file, 10)) = blobs.get(long) else { panic!("it is no file") };
        assert_eq!(file.read(3, 4).unwrap(), "3456");
        let others = [put(&blobs, b"another one").await, put(&blobs, b"and another").await];
        assert_eq!((blobs.length(long), blobs.length(others[0])), (None, None));
        assert_eq!(blobs.totals(), (2, 15));
        assert!(blobs.get(short).is_some());
        assert_eq!(file.read(0, 10).unwrap(), "0123456789", "whoever reads it has it");
    }

    #[tokio::test]
    async fn bytes_are_kept_under_their_own_digest_only() {
        for short in [0, 10] {
            let blobs = blobs(short);
            let mut upload = blobs.begin(1).await.unwrap();
            upload.add(Bytes::from_static(b"b")).await.unwrap();
            let refused = blobs.put(digest(b"a"), upload).unwrap_err();
            assert_eq!((refused.reason, blobs.totals()), (Reason::DigestMismatch, (0, 0)));
        }
    }

    #[tokio::test]
    async fn uploads_wait_outside_when_there_are_too_many() {
        let blobs = blobs(10);
        assert_eq!(blobs.begin(16).await.unwrap_err().reason, Reason::ValueTooLarge);
        let first = blobs.begin(10).await.unwrap();
        assert_eq!(blobs.begin(1).await.unwrap_err().reason, Reason::Busy);
        assert!(blobs.begin(11).await.is_ok(), "files have a room of their own");
        drop(first);
        assert!(blobs.begin(1).await.is_ok());
    }

    #[tokio::test]
    async fn an_upload_has_as_many_bytes_as_it_said() {
        for short in [0, 10] {
            let blobs = blobs(short);
            let mut upload = blobs.begin(2).await.unwrap();
            upload.add(Bytes::from_static(b"ab")).await.unwrap();
            let refused = upload.add(Bytes::from_static(b"c")).await.unwrap_err();
            assert_eq!(refused.reason, Reason::Malformed);
            drop(upload);
            let upload = blobs.begin(2).await.unwrap();
            assert_eq!(blobs.put(digest(b""), upload).unwrap_err().reason, Reason::Malformed);
        }
    }
}
