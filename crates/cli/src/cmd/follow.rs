//! A submitted graph, followed to its end or left to go on: what `run` and `submit` have in common.

use bireme_client::{Graph, GraphError, Summary};
use bireme_core::graph::GraphBuilder;
use bireme_core::id::GraphId;

use super::progress::Bar;
use super::session::Workplace;
use crate::exit::Failure;
use crate::output;

/// Failed tasks that are told of one by one.
const FAILURES_SHOWN: usize = 5;

/// Submits a detached graph and leaves the session, which goes through once all of the graph was judged.
pub(super) async fn detach(workplace: Workplace, graph: GraphBuilder) -> Result<GraphId, Failure> {
    let graph = workplace.client.submit(graph).await?;
    workplace.leave().await?;
    let progress = graph.progress().borrow().clone();
    progress.warnings.iter().for_each(|warning| output::say(&format!("warning: {warning}")));
    match progress.error {
        Some(error @ GraphError::Refused(_)) => Err(error.into()),
        _ => Ok(graph.id()),
    }
}

/// Shows how the graph comes along until it is over.
pub(super) async fn watch_progress(graph: &Graph, name: &str) -> Result<Summary, Failure> {
    let mut progress = graph.progress();
    let mut bar = Bar::new(name);
    let mut warned = 0;
    loop {
        let now = progress.borrow_and_update().clone();
        for warning in now.warnings.iter().skip(warned) {
            bar.say(&format!("warning: {warning}"));
        }
        warned = now.warnings.len();
        bar.show(&now.counts);
        if now.is_over() || progress.changed().await.is_err() {
            break;
        }
    }
    bar.finish();
    Ok(graph.wait().await?)
}

/// Tells of the first tasks that failed, by the names that the caller gives them.
pub(super) fn tell_failures(graph: &Graph, name: impl Fn(u32) -> String) {
    for (task, error) in graph.failures(FAILURES_SHOWN) {
        output::say(&format!("task {} failed: {error}", name(task)));
        for line in &error.last_lines {
            output::say(&format!("  | {line}"));
        }
    }
}
