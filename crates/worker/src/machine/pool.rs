//! Resources: what is free, and what is held.
//!
//! Sums are accounted for, and of resources that come in pieces also which of them: what fits the sum may have to wait for a
//! whole piece. The scheduler knows only the sums.

mod numbered;

use bireme_core::Resources;
use bireme_core::resources::{Pieces, UNITS, pieces_of};

use self::numbered::Numbered;

/// The resources of a worker that nobody holds.
#[derive(Debug)]
pub(super) struct Pool {
    total: Resources,
    free: Resources,
    /// Those of the resources that are numbered, sorted by name.
    numbered: Vec<(Box<str>, Numbered)>,
}

/// What one attempt holds while it runs. It cannot be copied: it goes back to the pool, or to the attempt that follows.
#[derive(Debug)]
#[must_use = "what is not given back is lost"]
pub(super) struct Held {
    amounts: Resources,
    pieces: Pieces,
}

impl Held {
    /// Which numbered pieces are among it.
    pub(super) fn pieces(&self) -> &Pieces {
        &self.pieces
    }
}

impl Pool {
    pub(super) fn new(total: Resources) -> Self {
        Self { free: total.clone(), numbered: all_pieces(&total), total }
    }

    /// All there is, held or not.
    pub(super) fn total(&self) -> &Resources {
        &self.total
    }

    /// Whether `need` is free.
    pub(super) fn fits(&self, need: &Resources) -> bool {
        let fits_pieces = |(name, numbered): &(Box<str>, Numbered)| numbered.fits(need.other(name));
        self.free.fits(need) && self.numbered.iter().all(fits_pieces)
    }

    /// Takes what the caller has seen to be free.
    pub(super) fn take(&mut self, need: &Resources) -> Held {
        self.free.take(need);
        let mut pieces = Pieces::none();
        for (name, numbered) in &mut self.numbered {
            for piece in numbered.take(need.other(name)) {
                pieces.add(name, piece);
            }
        }
        Held { amounts: need.clone(), pieces }
    }

    /// Takes back what was held.
    pub(super) fn give(&mut self, held: Held) {
        self.free.give(&held.amounts);
        give_pieces(&mut self.numbered, &held.pieces);
    }

    /// Whether so many cpus are free, in units of 1/10,000.
    pub(super) fn has_cpus(&self, units: u64) -> bool {
        self.free.cpu_units >= units
    }

    /// Takes back the cpus among what is held, and nothing else.
    pub(super) fn give_cpus(&mut self, held: &mut Held) {
        self.free.cpu_units += std::mem::take(&mut held.amounts.cpu_units);
    }

    /// Adds cpus to what is held that has none, if they are free. Returns whether they were.
    pub(super) fn take_cpus(&mut self, units: u64, held: &mut Held) -> bool {
        debug_assert_eq!(
            held.amounts.cpu_units, 0,
            "cpus are given back before they are taken again"
        );
        let fits = self.has_cpus(units);
        if fits {
            self.free.cpu_units -= units;
            held.amounts.cpu_units = units;
        }
        fits
    }

    /// Whether `need` would be free if only these were held.
    pub(super) fn fits_beside<'a>(
        &self,
        need: &Resources,
        held: impl Iterator<Item = &'a Held>,
    ) -> bool {
        let mut rest = Self::new(self.total.clone());
        for held in held {
            rest.free.take(&held.amounts);
            for (name, numbered) in &mut rest.numbered {
                let pieces = held.pieces.iter().find(|(other, _)| **other == **name);
                pieces
                    .iter()
                    .flat_map(|(_, pieces)| *pieces)
                    .for_each(|piece| numbered.lose(*piece));
            }
        }
        rest.fits(need)
    }

    /// Whether nothing was lost, made or handed out twice: what is free and what is held are all there is, of each piece.
    pub(super) fn balances<'a>(&self, held: impl Iterator<Item = &'a Held>) -> bool {
        let (mut sum, mut numbered) = (self.free.clone(), self.numbered.clone());
        for held in held {
            sum.give(&held.amounts);
            give_pieces(&mut numbered, &held.pieces);
        }
        sum == self.total && numbered == all_pieces(&self.total)
    }

    /// Whether what an attempt holds is what it needs, in whole pieces and at most one share.
    pub(super) fn is_held_in_pieces(&self, need: &Resources, held: &Held) -> bool {
        let agrees = |(name, _): &(Box<str>, Numbered)| {
            let units = need.other(name);
            let pieces = held.pieces.iter().find(|(other, _)| *other == &**name);
            let pieces = pieces.map_or(&[][..], |(_, pieces)| pieces);
            let whole = pieces.iter().filter(|piece| piece.units == UNITS).count();
            let sum: u64 = pieces.iter().map(|piece| piece.units).sum();
            sum == units && whole as u64 == units / UNITS && pieces.len() <= whole + 1
        };
        held.amounts == *need && self.numbered.iter().all(agrees)
    }
}

/// The pieces of whatever comes in pieces.
fn all_pieces(total: &Resources) -> Vec<(Box<str>, Numbered)> {
    let others = total.others();
    others
        .filter_map(|(name, units)| Some((name.into(), Numbered::new(pieces_of(units)?))))
        .collect()
}

fn give_pieces(numbered: &mut [(Box<str>, Numbered)], held: &Pieces) {
    for (name, pieces) in held.iter() {
        if let Some((_, numbered)) = numbered.iter_mut().find(|(other, _)| **other == *name) {
            for piece in pieces {
                numbered.give(*piece);
            }
        }
    }
}
