//! Frames: a length, a checksum, and so many bytes. Whatever was not written whole is told from what was.

use bytes::Bytes;

/// Length and checksum.
const HEAD_BYTES: usize = 4 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 8;

/// Appends a frame. One is shorter than 4 GiB: what goes into it came in a message, or is refused before.
pub(super) fn push(buffer: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&checksum(payload));
    buffer.extend_from_slice(payload);
}

/// Takes the first frame off; nothing where there is no whole one.
pub(super) fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (expected, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let payload = rest.get(..length)?;
    if checksum(payload) != *expected {
        return None;
    }
    let frame = bytes.split_to(HEAD_BYTES + length);
    Some(frame.slice(HEAD_BYTES..))
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    for (byte, of_hash) in sum.iter_mut().zip(blake3::hash(payload).as_bytes()) {
        *byte = *of_hash;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_told_from_torn_and_changed_ones() {
        let mut buffer = Vec::new();
        push(&mut buffer, b"one");
        push(&mut buffer, b"");
        let whole = buffer.len();
        push(&mut buffer, b"three");
        for cut in whole..buffer.len() {
            let mut bytes = Bytes::copy_from_slice(buffer.get(..cut).unwrap());
            assert_eq!(take(&mut bytes).as_deref(), Some(&b"one"[..]));
            assert_eq!(take(&mut bytes).as_deref(), Some(&b""[..]));
            assert_eq!(take(&mut bytes), None, "cut at {cut}");
            assert_eq!(bytes.len(), cut - whole);
        }
        *buffer.last_mut().unwrap() ^= 1;
        let mut bytes = Bytes::from(buffer).slice(whole..);
        assert_eq!(take(&mut bytes), None);
    }
}
