//! Maps whose order and collisions do not depend on the machine they run on.

mod keys;

use std::hash::{BuildHasher, Hash};

pub use keys::Keys;

/// Hashes with a seed that is a constructor argument: drivers draw it at random, so that nobody can choose keys that
/// collide; the simulation fixes it.
#[derive(Clone, Debug)]
pub struct Seeded(foldhash::fast::FixedState);

impl Seeded {
    /// The hash function of this seed.
    pub fn new(seed: u64) -> Self {
        Self(foldhash::fast::FixedState::with_seed(seed))
    }

    /// The hash of one value.
    pub fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.0.hash_one(value)
    }
}

impl BuildHasher for Seeded {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// A map from ids. It is never iterated where the order could be seen.
pub type IdMap<K, V> = hashbrown::HashMap<K, V, Seeded>;
