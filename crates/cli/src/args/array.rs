//! `1-100`, `0-15:4`, `1,5,7-9`.

use std::str::FromStr;

use bireme_core::limits;

/// The numbers of an array's rows, in the order typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Array(Vec<Run>);

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Run {
    first: u32,
    last: u32,
    step: u32,
}

impl Array {
    /// How many rows there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(Run::len).sum()
    }

    /// The numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|run| (run.first..=run.last).step_by(run.step as usize))
    }

    /// Whether the numbers are those that rows have anyway: 0, 1, 2 and so on.
    pub(crate) fn counts_from_zero(&self) -> bool {
        matches!(self.0.as_slice(), [Run { first: 0, step: 1, .. }])
    }
}

impl Run {
    fn len(&self) -> u64 {
        u64::from((self.last - self.first) / self.step) + 1
    }
}

impl FromStr for Array {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let runs = text.split(',').map(|part| {
            run(part).ok_or_else(|| {
                format!("`{part}` is no range: write such as 1-100, 0-15:4 or 1,5,7-9")
            })
        });
        let array = Self(runs.collect::<Result<_, _>>()?);
        if array.len() > u64::from(limits::GRAPH_TASKS) {
            return Err(format!("{} rows, the limit is {}", array.len(), limits::GRAPH_TASKS));
        }
        Ok(array)
    }
}

fn run(text: &str) -> Option<Run> {
    let (range, step) = match text.split_once(':') {
        Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
        None => (text, 1),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let run = Run { first: first.parse().ok()?, last: last.parse().ok()?, step };
    (run.first <= run.last).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<u32> {
        text.parse::<Array>().unwrap().numbers().collect()
    }

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(numbers("1-3"), [1, 2, 3]);
        assert_eq!(numbers("0-15:4"), [0, 4, 8, 12]);
        assert_eq!(numbers("5,1,7-9"), [5, 1, 7, 8, 9]);
        assert_eq!("0-9:2,3".parse::<Array>().unwrap().len(), 6);
    }

    #[test]
    fn what_is_no_range_is_refused_by_name() {
        for text in ["", "a", "3-1", "1-", "0-4:0", "1-3%2", "-1"] {
            let refused = text.parse::<Array>().unwrap_err();
            assert!(refused.contains("is no range"), "{text}: {refused}");
        }
        assert!("0-4294967295".parse::<Array>().unwrap_err().contains("the limit is"));
    }

    #[test]
    fn rows_count_from_zero_anyway() {
        assert!("0-9".parse::<Array>().unwrap().counts_from_zero());
        assert!(!"1-9".parse::<Array>().unwrap().counts_from_zero());
    }
}
