//! Resources: what is free, and what is held.

use bireme_core::Resources;

/// The resources of a worker that nobody holds.
#[derive(Debug)]
pub(super) struct Pool {
    total: Resources,
    free: Resources,
}

/// What one attempt holds while it runs. It cannot be copied: it goes back to the pool, or to the attempt that follows.
#[derive(Debug)]
#[must_use = "what is not given back is lost"]
pub(super) struct Held {
    amounts: Resources,
}

impl Pool {
    pub(super) fn new(total: Resources) -> Self {
        Self { free: total.clone(), total }
    }

    /// All there is, held or not.
    pub(super) fn total(&self) -> &Resources {
        &self.total
    }

    /// Whether `need` is free.
    pub(super) fn fits(&self, need: &Resources) -> bool {
        self.free.fits(need)
    }

    /// Takes what the caller has seen to be free.
    pub(super) fn take(&mut self, need: &Resources) -> Held {
        self.free.take(need);
        Held { amounts: need.clone() }
    }

    /// Takes back what was held.
    pub(super) fn give(&mut self, held: Held) {
        self.free.give(&held.amounts);
    }

    /// Whether nothing was lost or made: what is free and what is held are all there is.
    pub(super) fn balances<'a>(&self, held: impl Iterator<Item = &'a Held>) -> bool {
        let mut sum = self.free.clone();
        held.for_each(|held| sum.give(&held.amounts));
        sum == self.total
    }
}
