//! What attempts will need room for, by what those before them needed that call the same.
//!
//! To ask for room costs an attempt with a large result an exchange. One that is given it along with its order asks for nothing.

use std::collections::VecDeque;

use bireme_core::id::Digest;
use bireme_core::limits::{EXECUTOR_HABITS, EXECUTOR_ROOM};
use smallvec::SmallVec;

/// The habits of the functions that a process calls, the one heard of last at the end.
#[derive(Debug, Default)]
pub(super) struct Habits(VecDeque<Habit>);

#[derive(Debug)]
struct Habit {
    function: Digest,
    /// What it asked room for last, in bytes.
    lengths: SmallVec<[u64; 2]>,
    /// It did so twice in a row.
    settled: bool,
}

impl Habits {
    /// An attempt that calls a function has asked for room.
    pub(super) fn note(&mut self, function: Digest, lengths: &[u64]) {
        let known = self.forget(function);
        if lengths.len() > EXECUTOR_ROOM {
            return;
        }
        let settled = known.is_some_and(|known| known.lengths.as_slice() == lengths);
        if self.0.len() == EXECUTOR_HABITS {
            self.0.pop_front();
        }
        self.0.push_back(Habit { function, lengths: lengths.into(), settled });
    }

    /// What the next attempt that calls a function is likely to ask room for; nothing where that cannot be told.
    pub(super) fn guess(&self, function: Digest) -> &[u64] {
        let known = self.0.iter().find(|habit| habit.function == function && habit.settled);
        known.map(|habit| habit.lengths.as_slice()).unwrap_or_default()
    }

    /// An attempt that calls a function had no use for the room that it was given.
    pub(super) fn break_with(&mut self, function: Digest) {
        self.forget(function);
    }

    fn forget(&mut self, function: Digest) -> Option<Habit> {
        let at = self.0.iter().position(|habit| habit.function == function)?;
        self.0.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn function(n: u8) -> Digest {
        Digest([n; 32])
    }

    #[test]
    fn what_happened_twice_is_expected() {
        let mut habits = Habits::default();
        habits.note(function(1), &[5, 7]);
        assert!(habits.guess(function(1)).is_empty());
        habits.note(function(1), &[5, 7]);
        habits.note(function(2), &[5, 7]);
        assert_eq!(habits.guess(function(1)), [5, 7]);
        assert!(habits.guess(function(2)).is_empty());
        habits.note(function(1), &[5]);
        assert!(habits.guess(function(1)).is_empty(), "it has changed");
        habits.note(function(1), &[5]);
        habits.break_with(function(1));
        assert!(habits.guess(function(1)).is_empty());
    }

    #[test]
    fn what_takes_many_buffers_is_asked_for() {
        let mut habits = Habits::default();
        let many = [1; EXECUTOR_ROOM + 1];
        for (lengths, expected) in [(&many[1..], &many[1..]), (&many, &[])] {
            habits.note(function(1), lengths);
            habits.note(function(1), lengths);
            assert_eq!(habits.guess(function(1)), expected);
        }
    }

    #[test]
    fn little_is_remembered() {
        let mut habits = Habits::default();
        for n in 0..=u8::try_from(EXECUTOR_HABITS).unwrap() {
            habits.note(function(n), &[1]);
            habits.note(function(n), &[1]);
        }
        assert!(habits.guess(function(0)).is_empty());
        assert_eq!(habits.guess(function(1)), [1]);
    }
}
