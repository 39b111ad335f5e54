//! What a task does when it runs, as its payload says it.

use bireme_core::graph::Row;
use bireme_core::{ErrorClass, Span};
use bytes::Bytes;

use crate::rng::mix;

/// What the code of a task does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Job {
    /// Unlike that of any other task: the outputs depend on it.
    pub(crate) identity: u64,
    /// How long an attempt runs.
    pub(crate) run: Span,
    pub(crate) act: Act,
    pub(crate) size: Size,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    /// The process of attempts up to this number dies.
    DieFirst(u8),
    /// Every attempt fails.
    Fail,
    /// Attempts up to this number fail.
    FailFirst(u8),
    /// It runs until it is killed.
    Hang,
    /// Attempts up to this number ask to be run elsewhere.
    MoveFirst(u8),
    Succeed,
}

/// What outputs look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Size {
    /// Bytes, too many to travel in messages.
    Large(u32),
    /// The value of a task that returns nothing.
    Nothing,
    /// Small enough to travel in messages.
    Small,
}

impl Job {
    /// The job of a row whose array was given this one.
    pub(crate) fn of_row(self, row: &Row) -> Self {
        let identity = match row {
            Row::None => self.identity,
            Row::Number(number) => mix(self.identity, number.cast_unsigned()),
            Row::Value(bytes) => {
                bytes.iter().fold(self.identity, |id, byte| mix(id, (*byte).into()))
            }
        };
        Self { identity, ..self }
    }

    pub(crate) fn encode(self) -> Bytes {
        let (act, times) = match self.act {
            Act::Fail => (0, 0),
            Act::FailFirst(times) => (1, times),
            Act::Hang => (2, 0),
            Act::MoveFirst(times) => (3, times),
            Act::Succeed => (4, 0),
            Act::DieFirst(times) => (5, times),
        };
        let (size, bytes) = match self.size {
            Size::Large(bytes) => (0, bytes),
            Size::Nothing => (1, 0),
            Size::Small => (2, 0),
        };
        let mut encoded = Vec::with_capacity(23);
        encoded.extend_from_slice(&self.identity.to_be_bytes());
        encoded.extend_from_slice(&self.run.0.to_be_bytes());
        encoded.extend_from_slice(&[act, times, size]);
        encoded.extend_from_slice(&bytes.to_be_bytes());
        encoded.into()
    }

    /// What was encoded; `None` if the bytes have been tampered with on their way.
    pub(crate) fn decode(encoded: &[u8]) -> Option<Self> {
        let (identity, rest) = encoded.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (&[act, times, size], rest) = rest.split_first_chunk()?;
        let bytes = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self {
            identity: u64::from_be_bytes(*identity),
            run: Span(u64::from_be_bytes(*run)),
            act: match act {
                0 => Act::Fail,
                1 => Act::FailFirst(times),
                2 => Act::Hang,
                3 => Act::MoveFirst(times),
                5 => Act::DieFirst(times),
                _ => Act::Succeed,
            },
            size: match size {
                0 => Size::Large(bytes),
                1 => Size::Nothing,
                _ => Size::Small,
            },
        })
    }

    /// What an attempt of this number comes to, before anybody ends it.
    pub(crate) fn verdict(self, attempt: u32) -> Result<(), ErrorClass> {
        match self.act {
            Act::Fail => Err(ErrorClass::User),
            Act::DieFirst(times) if attempt <= times.into() => Err(ErrorClass::ProcessDied),
            Act::FailFirst(times) if attempt <= times.into() => Err(ErrorClass::User),
            Act::MoveFirst(times) if attempt <= times.into() => Err(ErrorClass::Reschedule),
            Act::DieFirst(_) | Act::FailFirst(_) | Act::Hang | Act::MoveFirst(_) | Act::Succeed => {
                Ok(())
            }
        }
    }

    /// One output, from the inputs in their order.
    pub(crate) fn output(self, n: u16, inputs: &[u64]) -> u64 {
        if self.size == Size::Nothing {
            return 0;
        }
        let start = mix(self.identity, n.into());
        inputs.iter().fold(start, |value, input| mix(value, *input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_as_they_were_written() {
        for (act, size) in [
            (Act::Fail, Size::Small),
            (Act::DieFirst(2), Size::Small),
            (Act::FailFirst(3), Size::Nothing),
            (Act::Hang, Size::Large(70_000)),
            (Act::MoveFirst(1), Size::Small),
            (Act::Succeed, Size::Small),
        ] {
            let job = Job { identity: 0x1234_5678_9abc_def0, run: Span(77), act, size };
            assert_eq!(Job::decode(&job.encode()), Some(job));
        }
    }
}
