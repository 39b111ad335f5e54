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
