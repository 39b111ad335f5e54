//! Files without names, which hold blobs that are too long for memory.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// A file that is gone with the last who has it.
///
/// The system takes long to give back the room of a long one: that happens beside the threads that serve, whoever had it last.
#[derive(Debug)]
pub(crate) struct BlobFile(Option<File>);

impl BlobFile {
    /// An empty one.
    pub(super) async fn new(directory: PathBuf) -> io::Result<Self> {
        let file = spawn_blocking(move || tempfile::tempfile_in(directory)).await;
        Ok(Self(Some(file.map_err(io::Error::other).flatten()?)))
    }

    /// Reads from it; this may wait for the disk.
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

impl Deref for BlobFile {
    type Target = File;

    fn deref(&self) -> &File {
        self.0.as_ref().expect("only its end takes the file away")
    }
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        let file = self.0.take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn it_is_closed_beside_the_thread_that_had_it_last() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let (file, mut other) = UnixStream::pair().unwrap();
        let file = BlobFile(Some(OwnedFd::from(file).into()));
        let (go_on, wait) = sync_channel::<()>(0);
        runtime.spawn_blocking(move || wait.recv());
        runtime.block_on(async { drop(file) });
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it is open");
        drop(go_on);
        other.set_nonblocking(false).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 0, "it is closed");
    }
}
