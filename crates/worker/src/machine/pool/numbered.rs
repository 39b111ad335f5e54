//! The numbered pieces of one resource: which are free, and how much of each.

use bireme_core::resources::{Piece, UNITS};
use smallvec::SmallVec;

/// The pieces of one resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Numbered {
    /// What is free of each, in units of 1/10,000, by number.
    free: Vec<u64>,
}

/// Which of a resource's units go together: so many whole pieces, and a share of one more.
#[derive(Clone, Copy)]
struct Parts {
    whole: usize,
    share: u64,
}

impl Parts {
    fn of(units: u64) -> Self {
        let whole = usize::try_from(units / UNITS).unwrap_or(usize::MAX);
        Self { whole, share: units % UNITS }
    }
}

impl Numbered {
    /// So many pieces, all free.
    pub(super) fn new(count: u16) -> Self {
        Self { free: vec![UNITS; usize::from(count)] }
    }

    /// Whether whole pieces, and one piece for the share that is left, are free.
    pub(super) fn fits(&self, units: u64) -> bool {
        let Parts { whole, share } = Parts::of(units);
        let untouched = self.free.iter().filter(|free| **free == UNITS).count();
        let is_shared = |free: &u64| *free < UNITS && *free >= share;
        untouched > whole || untouched == whole && (share == 0 || self.free.iter().any(is_shared))
    }

    /// Takes what the caller has seen to fit: the first whole pieces, and the share from the piece of which least is free that
    /// has it.
    pub(super) fn take(&mut self, units: u64) -> SmallVec<[Piece; 2]> {
        let Parts { whole, share } = Parts::of(units);
        let mut taken = SmallVec::<[Piece; 2]>::new();
        let numbered = (0..).zip(&mut self.free);
        for (number, free) in numbered.filter(|(_, free)| **free == UNITS).take(whole) {
            taken.push(Piece { number, units: std::mem::take(free) });
        }
        if share > 0 {
            let fitting = (0..).zip(&mut self.free).filter(|(_, free)| **free >= share);
            if let Some((number, free)) = fitting.min_by_key(|(_, free)| **free) {
                *free -= share;
                taken.push(Piece { number, units: share });
            }
        }
        debug_assert_eq!(taken.iter().map(|piece| piece.units).sum::<u64>(), units);
        taken
    }

    /// Takes just this piece, or this share of it, away.
    pub(super) fn lose(&mut self, Piece { number, units }: Piece) {
        if let Some(free) = self.free.get_mut(usize::from(number)) {
            *free -= units;
        }
    }

    /// Takes a piece, or a share of one, back.
    pub(super) fn give(&mut self, Piece { number, units }: Piece) {
        if let Some(free) = self.free.get_mut(usize::from(number)) {
            *free += units;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = UNITS / 2;

    fn taken(numbered: &mut Numbered, units: u64) -> Vec<(u16, u64)> {
        assert!(numbered.fits(units));
        numbered.take(units).into_iter().map(|Piece { number, units }| (number, units)).collect()
    }

    #[test]
    fn whole_units_are_whole_pieces() {
        let mut gpus = Numbered::new(3);
        assert_eq!(taken(&mut gpus, UNITS), [(0, UNITS)]);
        assert_eq!(taken(&mut gpus, 2 * UNITS), [(1, UNITS), (2, UNITS)]);
        assert!(!gpus.fits(1));
    }

    #[test]
    fn a_share_goes_where_least_is_left_over() {
        let mut gpus = Numbered::new(3);
        assert_eq!(taken(&mut gpus, HALF), [(0, HALF)]);
        assert_eq!(taken(&mut gpus, UNITS), [(1, UNITS)]);
        assert_eq!(taken(&mut gpus, HALF + 1), [(2, HALF + 1)]);
        assert_eq!(taken(&mut gpus, HALF - 1), [(2, HALF - 1)]);
        assert_eq!(taken(&mut gpus, HALF), [(0, HALF)]);
    }

    #[test]
    fn two_halves_of_two_pieces_are_not_a_whole() {
        let mut gpus = Numbered::new(2);
        let first = gpus.take(HALF + 1);
        let second = gpus.take(HALF + 1);
        assert_eq!((first[0].number, second[0].number), (0, 1));
        assert!(!gpus.fits(HALF) && !gpus.fits(UNITS));
        gpus.give(first[0]);
        assert!(gpus.fits(UNITS) && !gpus.fits(UNITS + HALF));
        gpus.give(second[0]);
        assert_eq!(gpus, Numbered::new(2));
    }

    #[test]
    fn whatever_the_sum_allows_fits_when_nothing_is_held() {
        let gpus = Numbered::new(2);
        assert!([1, HALF, UNITS, UNITS + 1, 2 * UNITS].into_iter().all(|units| gpus.fits(units)));
        assert!(!gpus.fits(2 * UNITS + 1));
    }
}
