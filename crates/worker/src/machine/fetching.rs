//! Fetches under way: enough of them that small values travel many together, and not more than a few large ones.

use std::collections::BTreeMap;

use bireme_core::{ObjectId, limits};

/// Objects that are being fetched. A fetch goes on when nobody wants its object any more.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    /// In bytes, as far as was known when each began.
    sizes: BTreeMap<ObjectId, u64>,
    /// Invariant: the sum of those.
    bytes: u64,
}

impl Fetching {
    /// Whether another may begin.
    pub(super) fn has_room(&self) -> bool {
        let few = self.sizes.len() < limits::FETCHES;
        few || (self.sizes.len() < limits::FETCHING && self.bytes < limits::FETCHING_BYTES)
    }

    pub(super) fn contains(&self, object: &ObjectId) -> bool {
        self.sizes.contains_key(object)
    }

    pub(super) fn begin(&mut self, object: ObjectId, size: u64) {
        // No peer's word makes the sum overflow: values are bounded, and so is their number.
        let size = size.min(limits::VALUE_BYTES);
        self.bytes += size;
        self.bytes -= self.sizes.insert(object, size).unwrap_or_default();
    }

    /// Returns whether it was under way.
    pub(super) fn end(&mut self, object: ObjectId) -> bool {
        let size = self.sizes.remove(&object);
        self.bytes -= size.unwrap_or_default();
        size.is_some()
    }

    /// How many, and whether their sum is right.
    pub(super) fn check(&self) -> Result<usize, String> {
        let sum: u64 = self.sizes.values().sum();
        let told = format!("{sum} bytes are under way, kept {}", self.bytes);
        if sum == self.bytes { Ok(self.sizes.len()) } else { Err(told) }
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::id::HolderId;

    use super::*;

    /// How many of a size in bytes may be under way.
    fn most(size: u64) -> usize {
        let mut fetching = Fetching::default();
        let mut n = 0;
        while fetching.has_room() {
            fetching.begin(ObjectId::Held { holder: HolderId(1), n }, size);
            n += 1;
        }
        let count = fetching.check().unwrap();
        for n in 0..n {
            assert!(fetching.end(ObjectId::Held { holder: HolderId(1), n }));
        }
        assert_eq!((fetching.check(), fetching.bytes), (Ok(0), 0));
        count
    }

    #[test]
    fn many_small_ones_and_few_large_ones_are_under_way() {
        assert_eq!(most(0), limits::FETCHING);
        let half = limits::FETCHING_BYTES / limits::FETCHING as u64 * 2;
        assert_eq!(most(half), limits::FETCHING / 2);
        assert_eq!([limits::FETCHING_BYTES, u64::MAX].map(most), [limits::FETCHES; 2]);
    }
}
