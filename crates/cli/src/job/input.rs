//! Which tasks' outputs a task takes, and by which number it knows each.

use std::ops::Range;

use bireme_core::graph::Dep;

use super::nearest;
use super::template::Taken;

/// The inputs of a task, table by table.
#[derive(Debug, Default)]
pub(super) struct Inputs<'a> {
    /// The table, and the outputs that are taken.
    parts: Vec<(&'a str, &'a [Dep])>,
}

impl<'a> Inputs<'a> {
    pub(super) fn push(&mut self, table: &'a str, outputs: &'a [Dep]) {
        self.parts.push((table, outputs));
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|(_, outputs)| outputs.len()).sum()
    }

    /// Every output that is taken: input 0 first.
    pub(super) fn outputs(&self) -> impl Iterator<Item = Dep> {
        self.parts.iter().flat_map(|(_, outputs)| outputs.iter().copied())
    }

    /// The numbers by which a payload names inputs.
    pub(super) fn numbers(&self, taken: &Taken) -> Result<Range<u32>, String> {
        let mut first = 0;
        for (name, outputs) in &self.parts {
            let end = first + as_u32(outputs.len());
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
        let (a, b) = ([5.into(), Dep { task: 6, output: 1 }], [2.into()]);
        inputs.push("a", &a);
        inputs.push("b", &b);
        assert_eq!(inputs.outputs().collect::<Vec<_>>(), [a[0], a[1], b[0]]);
        assert_eq!(inputs.numbers(&Taken::All), Ok(0..3));
        assert_eq!(inputs.numbers(&Taken::From("b".into())), Ok(2..3));
        assert!(
            inputs.numbers(&Taken::From("c".into())).unwrap_err().contains("there are `a`, `b`")
        );
        assert!(Inputs::default().numbers(&Taken::All).unwrap_err().contains("needs inputs"));
    }
}
