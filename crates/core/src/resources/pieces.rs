//! Numbered pieces: which GPU, rather than how many.
//!
//! A worker that has a whole amount of a named resource, and not too much of it, has that many pieces of it, numbered from 0.
//! What asks for whole units gets whole pieces; a fraction is a share of one piece.

use smallvec::SmallVec;

use super::UNITS;
use crate::limits;

/// How many numbered pieces `units` of a named resource are; `None` where only the sum is accounted for.
pub fn pieces_of(units: u64) -> Option<u16> {
    let count = units / UNITS;
    let is_numbered = units > 0 && units.is_multiple_of(UNITS) && count <= limits::PIECES;
    is_numbered.then(|| u16::try_from(count).expect("`PIECES` is below 65,536"))
}

/// One numbered piece of a resource, or a share of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Piece {
    /// Counts the pieces of the worker's resource from 0.
    pub number: u16,
    /// How much of it, in units of 1/10,000: never 0, and [`UNITS`] for all.
    pub units: u64,
}

/// Which numbered pieces of which resources an attempt holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pieces {
    /// Sorted by name. A vector rather than room for one: nearly all attempts hold none.
    of: Vec<(Box<str>, SmallVec<[Piece; 2]>)>,
}

impl Pieces {
    /// None of any resource.
    pub const fn none() -> Self {
        Self { of: Vec::new() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Adds a piece of a resource.
    pub fn add(&mut self, name: &str, piece: Piece) {
        let at = self.of.binary_search_by(|(other, _)| (**other).cmp(name));
        let at = at.unwrap_or_else(|at| {
            self.of.insert(at, (name.into(), SmallVec::new()));
            at
        });
        if let Some((_, pieces)) = self.of.get_mut(at) {
            let before = pieces.partition_point(|other| other.number < piece.number);
            pieces.insert(before, piece);
        }
    }

    /// The pieces of each resource of which there are any: resources by name, pieces by number.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Piece])> {
        self.of.iter().map(|(name, pieces)| (&**name, &**pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_small_amounts_are_numbered() {
        assert_eq!(pieces_of(2 * UNITS), Some(2));
        assert_eq!(pieces_of(limits::PIECES * UNITS), Some(64));
        for units in [0, UNITS / 2, UNITS + 1, (limits::PIECES + 1) * UNITS] {
            assert_eq!(pieces_of(units), None, "{units}");
        }
    }

    #[test]
    fn pieces_are_sorted_by_name_and_number() {
        let mut pieces = Pieces::none();
        let piece = |number| Piece { number, units: UNITS };
        for (name, number) in [("gpu", 2), ("fpga", 1), ("gpu", 0)] {
            pieces.add(name, piece(number));
        }
        let gpus = [piece(0), piece(2)];
        assert_eq!(pieces.iter().collect::<Vec<_>>(), [("fpga", &[piece(1)][..]), ("gpu", &gpus)]);
    }
}
