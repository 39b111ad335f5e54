//! Digests of outcomes, by which a replay is compared with the first run.
//!
//! They are kept in logs, so how they are made never changes. What differs from process to process though the outcome is the
//! same does not count: texts of errors, places of values.

use super::event::RunEnd;
use crate::value::{Buffer, Value};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds words into 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    /// Folds a value in.
    pub(super) fn value(&mut self, value: &Value) {
        self.bytes(value.codec.name().as_bytes());
        self.word(value.size);
        for buffer in &value.buffers {
            match buffer {
                Buffer::Blob(digest) => self.bytes(&digest.0),
                Buffer::Inline(bytes) => self.bytes(bytes),
                Buffer::Object(_) => self.word(1),
                Buffer::PoolFile(file) => self.word(file.length),
            }
        }
        if let Some(digest) = value.digest {
            self.bytes(&digest.0);
        }
    }
}

/// The digest of how a call ended. `None` if a replay is not held to it: it was stopped halfway.
pub(super) fn digest(end: &RunEnd, items: Digest) -> Option<u64> {
    let mut digest = items;
    match end {
        RunEnd::Cancelled => return None,
        RunEnd::Done { items } => {
            digest.word(1);
            digest.word(*items);
        }
        RunEnd::NoSuchMethod { .. } => digest.word(2),
        RunEnd::Stored { size, .. } => {
            digest.word(3);
            digest.word(*size);
        }
        RunEnd::UnserializableArgs(_) => digest.word(4),
        RunEnd::UnserializableResult(_) => digest.word(5),
        RunEnd::UserError(error) => {
            digest.word(6);
            digest.bytes(error.reason.as_bytes());
        }
        RunEnd::Value(value) => {
            digest.word(7);
            digest.value(value);
        }
    }
    Some(digest.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorClass, TaskError};

    #[test]
    fn a_digest_is_the_same_for_ever() {
        let of = |value: Value| digest(&RunEnd::Value(Box::new(value)), Digest::default());
        assert_eq!(of(Value::text("counted to seven")), Some(18_020_884_080_750_138_963));
        assert_ne!(of(Value::text("a")), of(Value::raw("a")));
        assert_ne!(of(Value::raw("a\0")), of(Value::raw("a")));
    }

    #[test]
    fn texts_of_errors_do_not_count() {
        let of = |message: &str| {
            let error = TaskError::new(ErrorClass::User, "USER_ERROR", message);
            digest(&RunEnd::UserError(Box::new(error)), Digest::default())
        };
        assert_eq!(of("<object at 0x7f01>"), of("<object at 0x7f02>"));
        assert_eq!(digest(&RunEnd::Cancelled, Digest::default()), None);
    }
}
