//! Which keys of a graph are taken, in eight bytes a key: the keys themselves are kept with their tasks.

use hashbrown::HashTable;

use super::Seeded;

/// Tasks by their keys, for whoever can tell whether a task has a key.
#[derive(Debug, Default)]
pub struct Keys(HashTable<Taken>);

/// A key that is taken.
#[derive(Debug)]
struct Taken {
    /// Half of its hash: enough to grow the table without the keys, and to look at hardly a key that is another.
    hash: u32,
    /// Who has it.
    task: u32,
}

impl Keys {
    /// The task that has a key. `has` is whether a task does; it is only asked of tasks that took one.
    pub fn find(&self, hasher: &Seeded, key: &str, has: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = half(hasher.hash(key.as_bytes()));
        let is_it = |taken: &Taken| taken.hash == hash && has(taken.task);
        self.0.find(spread(hash), is_it).map(|taken| taken.task)
    }

    /// Takes a key for a task, or tells which task has it, as [`Self::find`] does. The hasher is always the same one.
    pub fn take(
        &mut self,
        hasher: &Seeded,
        key: &str,
        task: u32,
        has: impl Fn(u32) -> bool,
    ) -> Result<(), u32> {
        let hash = half(hasher.hash(key.as_bytes()));
        let is_it = |taken: &Taken| taken.hash == hash && has(taken.task);
        if let Some(taken) = self.0.find(spread(hash), is_it) {
            return Err(taken.task);
        }
        self.0.insert_unique(spread(hash), Taken { hash, task }, |taken| spread(taken.hash));
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is what is wanted")]
fn half(hash: u64) -> u32 {
    hash as u32
}

/// A hash whose upper bits, which the table looks at too, differ where those of half a hash do.
fn spread(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_once() {
        let keys = ["a", "b", "a"];
        let has = |key: &str, task: u32| keys[task as usize] == key;
        let (mut taken, hasher) = (Keys::default(), Seeded::new(0));
        assert_eq!(taken.take(&hasher, "a", 0, |task| has("a", task)), Ok(()));
        assert_eq!(taken.take(&hasher, "b", 1, |task| has("b", task)), Ok(()));
        assert_eq!(taken.take(&hasher, "a", 2, |task| has("a", task)), Err(0));
        assert_eq!(taken.find(&hasher, "b", |task| has("b", task)), Some(1));
        assert_eq!(taken.find(&hasher, "c", |task| has("c", task)), None);
    }

    #[test]
    fn keys_of_equal_hashes_are_told_apart() {
        let (mut taken, hasher) = (Keys::default(), Seeded::new(0));
        for task in 0..10 {
            assert_eq!(taken.take(&hasher, "the same hash", task, |_| false), Ok(()));
        }
        assert_eq!(taken.find(&hasher, "the same hash", |task| task == 7), Some(7));
    }

    #[test]
    fn a_key_takes_eight_bytes() {
        assert_eq!(size_of::<Taken>(), 8);
    }
}
