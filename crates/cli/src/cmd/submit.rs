//! `bireme submit`: a command becomes a graph, which goes on without this process unless it is waited for.

mod plan;
mod printed;
mod row;

use bireme_client::Graph;
use bireme_core::id::GraphId;
use serde_json::json;

use self::plan::Plan;
use self::printed::Printed;
use self::row::Row;
use super::follow::{
    Stopwatch, detach, how_it_ended, tell_failures, tell_if_nobody_works, watch_progress,
};
use super::interrupt::unless_interrupted;
use super::session::Workplace;
use super::{admin, counts_json};
use crate::args::{Format, Global, Submit};
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn run(global: &Global, args: Submit) -> Result<Exit, Failure> {
    let Plan { name, graph, rows } = plan::plan(&args)?;
    let printed = args.after.stdout.as_deref().map(|path| Printed::new(path, rows.as_deref()));
    let printed = printed.transpose()?;
    tell_if_nobody_works(&admin(global).await?).await;
    let workplace = Workplace::enter(global, args.session).await?;
    let submitted = Submitted { name, tasks: graph.len(), rows, printed };
    if args.after.wait || submitted.printed.is_some() {
        let graph = workplace.client.submit(graph).await?;
        let ended = submitted.follow(global.output, &graph).await;
        // The graph is detached: it does not end with the session.
        if let Err(error) = workplace.leave().await {
            output::say(&format!("warning: cannot end the session in order: {error}"));
        }
        return ended;
    }
    let graph = detach(workplace, graph).await?;
    submitted.tell(global.output, graph)?;
    Ok(Exit::Done)
}

/// What is told of a submission, and done with it.
struct Submitted {
    name: String,
    tasks: u32,
    rows: Option<Vec<Row>>,
    printed: Option<Printed>,
}

impl Submitted {
    /// What a task is called.
    fn key(&self, task: u32) -> String {
        let row = self.rows.as_ref().and_then(|rows| rows.get(task as usize));
        row.map_or_else(|| self.name.clone(), |row| format!("{}[{}]", self.name, row.number))
    }

    /// Prints the number of the graph.
    fn tell(&self, format: Format, graph: GraphId) -> Result<(), Failure> {
        match format {
            Format::Json => output::json_line(&json!({
                "graph": graph.to_string(),
                "name": self.name,
                "tasks": self.tasks,
            }))?,
            // Standard output is for what the tasks printed.
            Format::Text if self.printed.as_ref().is_some_and(Printed::is_stdout) => {
                output::say(&format!("graph {graph}"));
            }
            Format::Text => output::bytes(format!("{graph}\n").as_bytes())?,
        }
        Ok(())
    }

    /// Shows how the graph comes along, and writes what its tasks printed.
    async fn follow(&self, format: Format, graph: &Graph) -> Result<Exit, Failure> {
        let id = graph.id();
        let goes_on = format!(
            "interrupted: graph {id} goes on; `bireme graph show {id}` shows how, `bireme graph cancel {id}` ends it"
        );
        let to_the_end = self.to_the_end(format, graph);
        let ended = unless_interrupted(to_the_end, &goes_on).await?;
        Ok(ended.unwrap_or(Exit::Interrupted))
    }

    async fn to_the_end(&self, format: Format, graph: &Graph) -> Result<Exit, Failure> {
        self.tell(format, graph.id())?;
        let watch = Stopwatch::start();
        let summary = watch_progress(graph, &self.name).await;
        tell_failures(graph, |task| self.key(task));
        let summary = summary?;
        if let Some(printed) = &self.printed {
            printed.write(format, graph).await?;
        }
        if format == Format::Json {
            output::json_line(&json!({
                "graph": graph.id().to_string(),
                "ok": summary.is_ok(),
                "tasks": counts_json(&summary.counts),
            }))?;
        }
        let ended = how_it_ended(&self.name, &summary.counts);
        output::say(&format!("{ended} in {}", watch.elapsed()));
        Ok(if summary.is_ok() { Exit::Done } else { Exit::WorkFailed })
    }
}
