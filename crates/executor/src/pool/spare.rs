//! Memory for what is copied out of files, kept from one call to the next: new memory costs the system more than the copy.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::sync::lock;

/// The longest piece that is kept, in bytes.
const KEPT: usize = 8 << 20;
/// Shorter ones are not worth it, in bytes: the allocator keeps them itself.
const SHORTEST: usize = 128 << 10;

/// The piece that was given back last.
#[derive(Clone, Debug, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<u8>>>);

impl Spare {
    /// Copies a part of a file.
    pub(super) fn read(&self, file: &File, at: u64, length: usize) -> io::Result<Bytes> {
        if !(SHORTEST..=KEPT).contains(&length) {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at)?;
            return Ok(bytes.into());
        }
        let mut bytes = std::mem::take(&mut *lock(&self.0));
        bytes.resize(length, 0);
        let mut lent = Lent { bytes, home: self.clone() };
        file.read_exact_at(&mut lent.bytes, at)?;
        Ok(Bytes::from_owner(lent))
    }
}

/// A piece in use. It goes back when it is dropped.
struct Lent {
    bytes: Vec<u8>,
    home: Spare,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *lock(&self.home.0) = std::mem::take(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_held_stays_and_what_is_given_back_is_used_again() {
        let mut file = tempfile::tempfile().unwrap();
        let text: Vec<u8> = (0..=250).cycle().take(3 * SHORTEST).collect();
        file.write_all(&text).unwrap();
        let spare = Spare::default();
        let first = spare.read(&file, 0, SHORTEST).unwrap();
        let second = spare.read(&file, 5, 2 * SHORTEST).unwrap();
        assert!(first == text[..SHORTEST] && second == text[5..][..2 * SHORTEST]);
        let place = second.as_ptr();
        drop(second);
        let third = spare.read(&file, 7, SHORTEST).unwrap();
        assert_eq!(third.as_ptr(), place);
        assert!(first == text[..SHORTEST] && third == text[7..][..SHORTEST]);
        assert_eq!(spare.read(&file, 1, 3).unwrap(), text[1..4]);
        assert!(spare.read(&file, 0, 4 * SHORTEST).is_err());
    }
}
