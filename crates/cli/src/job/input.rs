//! Which tasks' outputs a task takes, and by which number it knows each.

use std::ops::Range;

use super::nearest;
use super::template::Taken;

/// The inputs of a task, table by table.
#[derive(Debug, Default)]
pub(super) struct Inputs<'a> {
    /// The table, and the tasks whose outputs are taken.
    parts: Vec<(&'a str, &'a [u32])>,
}

impl<'a> Inputs<'a> {
    pub(super) fn push(&mut self, table: &'a str, tasks: &'a [u32]) {
        self.parts.push((table, tasks));
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|(_, tasks)| tasks.len()).sum()
    }

    /// Every task whose output is taken: input 0 first.
    pub(super) fn tasks(&self) -> impl Iterator<Item = u32> {
        self.parts.iter().flat_map(|(_, tasks)| tasks.iter().copied())
    }

    /// The numbers by which a payload names inputs.
    pub(super) fn numbers(&self, taken: &Taken) -> Result<Range<u32>, String> {
        let mut first = 0;
        for (name, tasks) in &self.parts {
            let end = first + as_u32(tasks.len());
            if matches!(taken, Taken::From(table) if table == name) {
                return Ok(first..end);
            }
            first = end;
        }
        match taken {
            Taken::All if first == 0 => {
                Err("`{inputs}` needs inputs: name tasks in `inputs`, `reduce` or `for_each`"
                    .into())
            }
            Taken::All => Ok(0..first),
            Taken::From(table) => {
                let hint = nearest(table, self.parts.iter().map(|(name, _)| *name));
                Err(format!("`{{inputs.{table}}}` is no input of this task: {hint}"))
            }
        }
    }
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_numbered_table_by_table() {
        let mut inputs = Inputs::default();
        inputs.push("a", &[5, 6]);
        inputs.push("b", &[2]);
        assert_eq!(inputs.tasks().collect::<Vec<_>>(), [5, 6, 2]);
        assert_eq!(inputs.numbers(&Taken::All), Ok(0..3));
        assert_eq!(inputs.numbers(&Taken::From("b".into())), Ok(2..3));
        assert!(
            inputs.numbers(&Taken::From("c".into())).unwrap_err().contains("there are `a`, `b`")
        );
        assert!(Inputs::default().numbers(&Taken::All).unwrap_err().contains("needs inputs"));
    }
}
