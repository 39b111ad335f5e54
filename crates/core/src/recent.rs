//! Things that are kept for as long as there is room: those that were used least recently make room for others.

use std::collections::BTreeMap;

/// Things by their keys, which take up so many bytes together.
#[derive(Debug)]
pub struct Recent<K, V> {
    limit: u64,
    kept: BTreeMap<K, Kept<V>>,
    /// Invariant: the keys of `kept`, each by the turn of its last use.
    order: BTreeMap<u64, K>,
    /// How often something was used.
    turns: u64,
    /// Invariant: the sum of what those in `kept` have.
    bytes: u64,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    bytes: u64,
    /// When it was used last.
    turn: u64,
}

impl<K: Copy + Ord, V> Recent<K, V> {
    /// Keeps so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, kept: BTreeMap::new(), order: BTreeMap::new(), turns: 0, bytes: 0 }
    }

    /// What has this key. That counts as use.
    pub fn get(&mut self, key: K) -> Option<&V> {
        let kept = self.kept.get_mut(&key)?;
        self.turns += 1;
        self.order.remove(&kept.turn);
        self.order.insert(self.turns, key);
        kept.turn = self.turns;
        Some(&kept.value)
    }

    /// What has this key. That does not count as use.
    pub fn peek(&self, key: K) -> Option<&V> {
        self.kept.get(&key).map(|kept| &kept.value)
    }

    /// Keeps something of so many bytes, in place of what had its key. Returns what went, for the caller to drop where that holds
    /// nobody up. What has just come stays, however large it is.
    #[must_use = "whoever drops it under a lock holds up all others for that long"]
    pub fn put(&mut self, key: K, bytes: u64, value: V) -> Vec<V> {
        let mut gone = Vec::from_iter(self.remove(key));
        self.turns += 1;
        self.bytes += bytes;
        self.order.insert(self.turns, key);
        self.kept.insert(key, Kept { value, bytes, turn: self.turns });
        while self.bytes > self.limit
            && self.order.len() > 1
            && let Some((_, oldest)) = self.order.pop_first()
        {
            gone.extend(self.remove(oldest));
        }
        gone
    }

    fn remove(&mut self, key: K) -> Option<V> {
        let Kept { value, bytes, turn } = self.kept.remove(&key)?;
        self.order.remove(&turn);
        self.bytes -= bytes;
        Some(value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The bytes that they take up together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_used_least_recently_go_and_are_handed_out() {
        let mut recent = Recent::new(10);
        assert!(recent.put('a', 4, "first").is_empty());
        assert!(recent.put('b', 4, "second").is_empty());
        assert_eq!(recent.get('a'), Some(&"first"));
        assert_eq!(recent.peek('b'), Some(&"second"));
        assert_eq!(recent.put('c', 4, "third"), ["second"], "to look is no use");
        assert_eq!((recent.len(), recent.bytes()), (2, 8));
        assert_eq!(recent.put('d', 10, "whole"), ["first", "third"]);
        assert_eq!((recent.len(), recent.bytes(), recent.get('a')), (1, 10, None));
    }

    #[test]
    fn what_comes_stays_even_where_it_is_too_large() {
        let mut recent = Recent::new(10);
        assert!(recent.put('a', 11, "large").is_empty());
        assert_eq!(recent.put('b', 12, "larger"), ["large"]);
        assert_eq!((recent.peek('b'), recent.bytes()), (Some(&"larger"), 12));
    }

    #[test]
    fn a_key_has_what_was_put_last() {
        let mut recent = Recent::new(10);
        assert!(recent.put('a', 4, "before").is_empty());
        assert!(recent.put('b', 4, "other").is_empty());
        assert_eq!(recent.put('a', 6, "after"), ["before"]);
        assert_eq!((recent.len(), recent.bytes()), (2, 10));
        assert_eq!(recent.put('c', 1, "more"), ["other"], "what came again is used");
    }
}
