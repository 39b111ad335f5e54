//! Virtual time: what happens when.

use std::collections::BTreeMap;

use bireme_core::{Span, Time};

/// Things to come. Those of the same moment come in the order they were entered.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    now: Time,
    entered: u64,
    items: BTreeMap<(Time, u64), T>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { now: Time(1), entered: 0, items: BTreeMap::new() }
    }
}

impl<T> Agenda<T> {
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Enters a thing that happens at a time, or now if that has passed.
    pub(crate) fn at(&mut self, time: Time, item: T) {
        self.entered += 1;
        self.items.insert((time.max(self.now), self.entered), item);
    }

    pub(crate) fn after(&mut self, span: Span, item: T) {
        self.at(self.now + span, item);
    }

    /// The next thing; it is its time then.
    pub(crate) fn next(&mut self) -> Option<T> {
        let ((time, _), item) = self.items.pop_first()?;
        self.now = time;
        Some(item)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_order_of_time_then_entry() {
        let mut agenda = Agenda::default();
        agenda.at(Time(9), 'c');
        agenda.at(Time(5), 'a');
        agenda.at(Time(5), 'b');
        assert_eq!([agenda.next(), agenda.next()], [Some('a'), Some('b')]);
        agenda.after(Span::ZERO, 'd');
        agenda.at(Time(1), 'e');
        let rest: String = std::iter::from_fn(|| agenda.next()).collect();
        assert_eq!((rest.as_str(), agenda.now()), ("dec", Time(9)));
    }
}
