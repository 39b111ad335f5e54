//! What a job made, and what it took.

use std::fmt::Write as _;

use bireme_client::{Effort, Graph, ResultError};
use bireme_core::graph::GraphCounts;
use bireme_core::id::GraphId;
use bireme_core::{Span, Value};
use serde_json::{Value as Json, json};

use super::super::follow::{how_it_ended, plural};
use super::super::{counts_json, value, with};
use crate::args::Format;
use crate::exit::Failure;
use crate::job::Shown;
use crate::output;

/// How a job ended.
pub(super) struct Report {
    pub(super) name: String,
    pub(super) graph: GraphId,
    pub(super) counts: GraphCounts,
    pub(super) effort: Option<Effort>,
    pub(super) elapsed: Span,
    /// For programs; for people, results are written as they come.
    pub(super) results: Vec<Json>,
}

impl Report {
    /// Takes in, or writes, the results of a table.
    pub(super) async fn add(
        &mut self,
        graph: &Graph,
        shown: &Shown,
        format: Format,
    ) -> Result<(), Failure> {
        for (row, &task) in shown.tasks.iter().enumerate() {
            for number in 0..shown.outputs {
                let value = graph.output(task, number).await?;
                let bytes = value.bytes().ok_or_else(|| ResultError::Fetch {
                    task: bireme_core::id::TaskId { graph: graph.id(), index: task },
                    problem: "its bytes are elsewhere".to_owned(),
                })?;
                match format {
                    Format::Text => match value::line(&value, &bytes) {
                        Some(line) => output::bytes(line.as_bytes())?,
                        None => output::bytes(&bytes)?,
                    },
                    Format::Json => {
                        let json = result_json(&shown.table, row, &value, &bytes);
                        self.results.push(with(json, json!({ "output": number })));
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what there is for programs, then says how it went.
    pub(super) fn finish(self, format: Format) -> Result<(), Failure> {
        if format == Format::Json {
            output::bytes(format!("{:#}\n", self.json()).as_bytes())?;
        }
        output::say(&self.line());
        Ok(())
    }

    fn json(&self) -> Json {
        json!({
            "job": self.name,
            "graph": self.graph.to_string(),
            "tasks": counts_json(&self.counts),
            "attempts": self.effort.as_ref().map(|effort| effort.attempts),
            "workers": self.effort.as_ref().map(|effort| &effort.workers),
            "elapsed_us": self.elapsed.0,
            "results": self.results,
        })
    }

    /// The last line that a person reads: `NAME: 22 tasks finished, 22 attempts on 2 workers in 123.843 ms`.
    fn line(&self) -> String {
        let mut line = how_it_ended(&self.name, &self.counts);
        if let Some(Effort { attempts, workers }) = &self.effort {
            let workers = plural(workers.len() as u64, "worker");
            let _ = write!(line, ", {} on {workers}", plural(*attempts, "attempt"));
        }
        let _ = write!(line, " in {}", self.elapsed);
        line
    }
}

/// A result with the table and the row that it is of.
fn result_json(table: &str, row: usize, value: &Value, bytes: &[u8]) -> Json {
    with(json!({ "task": table, "row": row }), value::json(value, bytes))
}

#[cfg(test)]
mod tests {
    use bireme_core::graph::TaskState;

    use super::*;

    fn report(failed: u32, effort: Option<Effort>) -> Report {
        let mut counts = GraphCounts::default();
        *counts.of_mut(TaskState::Finished) = 22 - failed;
        *counts.of_mut(TaskState::Failed) = failed;
        let graph = GraphId(1 << 32 | 1);
        let elapsed = Span::millis(1_500);
        Report { name: "wordcount".into(), graph, counts, effort, elapsed, results: Vec::new() }
    }

    #[test]
    fn the_last_line_says_what_was_done() {
        let effort = Effort { attempts: 22, workers: vec!["a".into(), "b".into()] };
        assert_eq!(
            report(0, Some(effort)).line(),
            "wordcount: 22 tasks finished, 22 attempts on 2 workers in 1.500 s"
        );
        assert_eq!(report(1, None).line(), "wordcount: 21 tasks finished, 1 failed in 1.500 s");
    }

    #[test]
    fn a_result_names_its_table_and_row() {
        let value = Value::raw(vec![0xff, 0x00]);
        let json = result_json("top", 3, &value, &value.bytes().unwrap());
        assert_eq!(
            json,
            json!({ "task": "top", "row": 3, "codec": "raw", "size": 2, "hex": "ff00" })
        );
    }
}
