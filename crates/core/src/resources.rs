//! What tasks take and workers have.

mod pieces;

use std::fmt;

use smallvec::SmallVec;

pub use self::pieces::{Piece, Pieces, pieces_of};
use crate::limits;

/// How many units one whole cpu, GPU or other resource is.
pub const UNITS: u64 = 10_000;

/// Cpus, memory and whatever else the owners of workers named.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Resources {
    /// Cpus, in units of 1/10,000.
    pub cpu_units: u64,
    /// Bytes of memory; 0 is "not given".
    pub memory_bytes: u64,
    /// Everything else, sorted by name, in units of 1/10,000.
    others: SmallVec<[(Box<str>, u64); 1]>,
}

/// A set of resources that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadResources {
    /// A name is given twice.
    #[error("resource {name:?} is given twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name is empty, too long, or `cpus` or `memory`, which have fields of their own.
    #[error(
        "{name:?} cannot name a resource: use 1 to 64 of a-z A-Z 0-9 _ - . and neither cpus nor memory"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Too many names.
    #[error("{count} resources, the limit is {}", limits::RESOURCES)]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

impl Resources {
    /// One cpu: what a task takes that says nothing.
    pub fn one_cpu() -> Self {
        Self { cpu_units: UNITS, memory_bytes: 0, others: SmallVec::new() }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { cpu_units: 0, memory_bytes: 0, others: SmallVec::new() }
    }

    /// Cpus and memory only.
    pub fn new(cpu_units: u64, memory_bytes: u64) -> Self {
        Self { cpu_units, memory_bytes, others: SmallVec::new() }
    }

    /// Adds resources by name, in units of 1/10,000.
    pub fn with_others<I>(mut self, others: I) -> Result<Self, BadResources>
    where
        I: IntoIterator<Item = (String, u64)>,
    {
        for (name, units) in others {
            if !is_name(&name) {
                return Err(BadResources::Name { name });
            }
            match self.others.binary_search_by(|(other, _)| (**other).cmp(&name)) {
                Ok(_) => return Err(BadResources::Duplicate { name }),
                Err(at) => self.others.insert(at, (name.into(), units)),
            }
        }
        if self.others.len() > limits::RESOURCES {
            return Err(BadResources::TooMany { count: self.others.len() });
        }
        Ok(self)
    }

    /// Everything but cpus and memory, sorted by name.
    pub fn others(&self) -> impl Iterator<Item = (&str, u64)> {
        self.others.iter().map(|(name, units)| (&**name, *units))
    }

    /// The same, taken out.
    pub fn into_others(self) -> impl ExactSizeIterator<Item = (String, u64)> {
        self.others.into_iter().map(|(name, units)| (name.into(), units))
    }

    /// Units of one resource by name; 0 where there is none.
    pub fn other(&self, name: &str) -> u64 {
        self.others().find(|(other, _)| *other == name).map_or(0, |(_, units)| units)
    }

    /// The first resource of which `self` has less than `need`: its name, what is there and what is needed.
    pub fn lacks<'a>(&self, need: &'a Self) -> Option<(&'a str, u64, u64)> {
        if self.cpu_units < need.cpu_units {
            return Some(("cpus", self.cpu_units, need.cpu_units));
        }
        if self.memory_bytes < need.memory_bytes {
            return Some(("memory", self.memory_bytes, need.memory_bytes));
        }
        need.others()
            .map(|(name, units)| (name, self.other(name), units))
            .find(|(_, have, want)| have < want)
    }

    /// Whether `need` fits into what is here.
    pub fn fits(&self, need: &Self) -> bool {
        self.lacks(need).is_none()
    }

    /// Takes `need` away; the caller has seen that it fits.
    pub fn take(&mut self, need: &Self) {
        debug_assert!(self.fits(need), "took {need} from {self}");
        self.cpu_units = self.cpu_units.saturating_sub(need.cpu_units);
        self.memory_bytes = self.memory_bytes.saturating_sub(need.memory_bytes);
        for (name, units) in &need.others {
            if let Some((_, have)) = self.others.iter_mut().find(|(other, _)| other == name) {
                *have = have.saturating_sub(*units);
            }
        }
    }

    /// Gives `need` back.
    pub fn give(&mut self, need: &Self) {
        self.cpu_units += need.cpu_units;
        self.memory_bytes += need.memory_bytes;
        for (name, units) in &need.others {
            if let Some((_, have)) = self.others.iter_mut().find(|(other, _)| other == name) {
                *have += units;
            }
        }
    }
}

/// Whether a resource may be called so.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && name != "cpus"
        && name != "memory"
}

/// Shows units as a decimal number: 5000 is `0.5`.
pub fn show_units(units: u64) -> String {
    let text = format!("{}.{:04}", units / UNITS, units % UNITS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpus={}", show_units(self.cpu_units))?;
        if self.memory_bytes > 0 {
            write!(f, " memory={}", self.memory_bytes)?;
        }
        self.others.iter().try_for_each(|(name, units)| write!(f, " {name}={}", show_units(*units)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(units: u64) -> Resources {
        Resources::one_cpu().with_others([("gpu".to_owned(), units)]).unwrap()
    }

    #[test]
    fn taking_and_giving_back_leaves_what_was_there() {
        let mut have = gpu(2 * UNITS);
        let before = have.clone();
        have.take(&gpu(5_000));
        assert_eq!(have.other("gpu"), 15_000);
        assert_eq!(have.lacks(&Resources::one_cpu()), Some(("cpus", 0, UNITS)));
        have.give(&gpu(5_000));
        assert_eq!(have, before);
    }

    #[test]
    fn what_nobody_has_is_named() {
        assert_eq!(Resources::one_cpu().lacks(&gpu(UNITS)), Some(("gpu", 0, UNITS)));
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "cpus", "memory", "a b", &"x".repeat(65)] {
            let refused = Resources::none().with_others([(name.to_owned(), 1)]);
            assert_eq!(refused, Err(BadResources::Name { name: name.to_owned() }));
        }
        let twice = Resources::none().with_others([("a".to_owned(), 1), ("a".to_owned(), 2)]);
        assert_eq!(twice, Err(BadResources::Duplicate { name: "a".to_owned() }));
    }

    #[test]
    fn units_are_shown_as_people_write_them() {
        assert_eq!(gpu(5_000).to_string(), "cpus=1 gpu=0.5");
    }
}
