//! Maps from numbers that are given one after the other.

use std::collections::{BTreeMap, VecDeque};

/// Places without a value that the row may have, whatever it holds.
const EMPTY: usize = 64;

/// A map from numbers that are given one after the other and are done with in about the same order.
///
/// What is found by such a number is found at a place: in a row that begins with the oldest number. A number that stays long
/// behind, or that is far from the others, is kept in a tree apart, so that memory follows how many there are rather than
/// how far they are from each other.
#[derive(Clone, Debug)]
pub struct Numbered<T> {
    /// Number of the first place of the row.
    start: u64,
    // Invariant: neither the first place nor the last is empty.
    row: VecDeque<Option<T>>,
    /// How many places have a value.
    taken: usize,
    // Invariant: no number within the row.
    apart: BTreeMap<u64, T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { start: 0, row: VecDeque::new(), taken: 0, apart: BTreeMap::new() }
    }
}

impl<T> Numbered<T> {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.taken + self.apart.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has this number.
    pub fn get(&self, number: u64) -> Option<&T> {
        match self.place(number) {
            Some(place) => self.row.get(place)?.as_ref(),
            None if self.apart.is_empty() => None,
            None => self.apart.get(&number),
        }
    }

    /// What has this number, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        match self.place(number) {
            Some(place) => self.row.get_mut(place)?.as_mut(),
            None if self.apart.is_empty() => None,
            None => self.apart.get_mut(&number),
        }
    }

    /// Whether something has this number.
    pub fn contains(&self, number: u64) -> bool {
        self.get(number).is_some()
    }

    /// Gives something a number. Returns what had it before.
    pub fn insert(&mut self, number: u64, value: T) -> Option<T> {
        if self.row.is_empty() {
            self.start = number;
        }
        let place = number.checked_sub(self.start).and_then(|place| usize::try_from(place).ok());
        let is_near =
            |place: &usize| *place < self.row.len() || *place - self.taken <= self.most_empty();
        let Some(place) = place.filter(is_near) else {
            return self.apart.insert(number, value);
        };
        while self.row.len() <= place {
            let passed = self.apart.remove(&self.end());
            self.taken += usize::from(passed.is_some());
            self.row.push_back(passed);
        }
        let before = self.row.get_mut(place)?.replace(value);
        self.taken += usize::from(before.is_none());
        before
    }

    /// Takes out what has this number.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let Some(place) = self.place(number) else {
            return if self.apart.is_empty() { None } else { self.apart.remove(&number) };
        };
        let value = self.row.get_mut(place)?.take()?;
        self.taken -= 1;
        self.trim();
        Some(value)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.row.clear();
        self.taken = 0;
        self.apart.clear();
    }

    /// The least number.
    pub fn first(&self) -> Option<u64> {
        let row = (!self.row.is_empty()).then_some(self.start);
        let apart = self.apart.first_key_value().map(|(number, _)| *number);
        [row, apart].into_iter().flatten().min()
    }

    /// Takes out what has the least number, if that is not greater than `last`.
    pub fn pop_first_to(&mut self, last: u64) -> Option<(u64, T)> {
        let first = self.first().filter(|first| *first <= last)?;
        self.remove(first).map(|value| (first, value))
    }

    /// All of it, the least number first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let row = self.row.iter().enumerate();
        let row =
            row.filter_map(|(place, value)| Some((self.start + place as u64, value.as_ref()?)));
        let before = self.apart.range(..self.start).map(|(number, value)| (*number, value));
        let after = self.apart.range(self.start..).map(|(number, value)| (*number, value));
        before.chain(row).chain(after)
    }

    /// Its numbers, the least first.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.iter().map(|(number, _)| number)
    }

    /// What has numbers, that of the least first.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.start)?).ok()?;
        (place < self.row.len()).then_some(place)
    }

    /// The number after that of the last place.
    fn end(&self) -> u64 {
        self.start.saturating_add(self.row.len() as u64)
    }

    /// How many places of the row may be empty.
    fn most_empty(&self) -> usize {
        EMPTY + 3 * self.taken
    }

    /// Drops empty places at both ends, and sets the oldest values apart while most places behind them are empty.
    fn trim(&mut self) {
        while self.row.pop_back_if(|last| last.is_none()).is_some() {}
        loop {
            while self.row.pop_front_if(|first| first.is_none()).is_some() {
                self.start = self.start.saturating_add(1);
            }
            if self.row.len() - self.taken <= self.most_empty() {
                return;
            }
            if let Some(Some(oldest)) = self.row.pop_front() {
                self.apart.insert(self.start, oldest);
                self.taken -= 1;
                self.start = self.start.saturating_add(1);
            }
        }
    }
}

impl<T> IntoIterator for Numbered<T> {
    type Item = (u64, T);
    type IntoIter = Drain<T>;

    fn into_iter(self) -> Drain<T> {
        Drain(self)
    }
}

/// Takes everything out, the least number first.
#[derive(Debug)]
pub struct Drain<T>(Numbered<T>);

impl<T> Iterator for Drain<T> {
    type Item = (u64, T);

    fn next(&mut self) -> Option<(u64, T)> {
        self.0.pop_first_to(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws numbers, the same each time.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % most
        }
    }

    fn check(numbered: &Numbered<u64>, model: &BTreeMap<u64, u64>) {
        assert!(numbered.iter().eq(model.iter().map(|(number, value)| (*number, value))));
        assert_eq!(numbered.len(), model.len());
        assert_eq!(numbered.first(), model.keys().next().copied());
        let row = &numbered.row;
        assert!(row.front().is_none_or(Option::is_some) && row.back().is_none_or(Option::is_some));
        assert_eq!(numbered.taken, row.iter().flatten().count());
        assert!(row.len() <= EMPTY + 4 * numbered.taken, "{} of {}", numbered.taken, row.len());
        let mut within = numbered.apart.range(numbered.start..numbered.end());
        assert_eq!(within.next(), None);
    }

    #[test]
    fn it_is_a_map_wherever_the_numbers_are() {
        for seed in 0..50 {
            let (mut draw, mut next) = (Draw(seed), 1);
            let (mut numbered, mut model) = (Numbered::default(), BTreeMap::new());
            for value in 0..600 {
                next += 1;
                let any = draw.below(next + 5);
                match draw.below(10) {
                    0 => next += draw.below(400),
                    1 => assert_eq!(numbered.insert(any, value), model.insert(any, value)),
                    2..5 => assert_eq!(numbered.insert(next, value), model.insert(next, value)),
                    5..7 => assert_eq!(numbered.remove(any), model.remove(&any)),
                    7 => {
                        let first = model.keys().next().copied().filter(|first| *first <= any);
                        let popped = first.and_then(|first| Some((first, model.remove(&first)?)));
                        assert_eq!(numbered.pop_first_to(any), popped);
                    }
                    _ => assert_eq!(numbered.get_mut(any), model.get_mut(&any)),
                }
                check(&numbered, &model);
            }
            assert!(numbered.into_iter().eq(model));
        }
    }

    #[test]
    fn one_that_stays_behind_keeps_no_places_for_those_that_went() {
        let mut numbered = Numbered::default();
        numbered.insert(1, 1);
        for number in 2..10_000 {
            numbered.insert(number, number);
            assert_eq!(numbered.remove(number), Some(number));
        }
        assert!(numbered.row.capacity() < 4 * EMPTY, "{}", numbered.row.capacity());
        assert_eq!((numbered.get(1), numbered.len()), (Some(&1), 1));
    }

    #[test]
    fn the_greatest_number_is_one_like_any_other() {
        let mut numbered = Numbered::default();
        for number in [u64::MAX, 0, u64::MAX - 1, u64::MAX] {
            numbered.insert(number, number);
        }
        assert!(numbered.numbers().eq([0, u64::MAX - 1, u64::MAX]));
        assert_eq!(numbered.remove(u64::MAX), Some(u64::MAX));
        assert_eq!(numbered.into_iter().count(), 2);
    }
}
