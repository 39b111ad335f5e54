//! A submitted graph, followed to its end or left to go on: what `run` and `submit` have in common.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bireme_client::{Admin, Graph, GraphError, Summary};
use bireme_core::Span;
use bireme_core::graph::{GraphBuilder, GraphCounts, TaskState};
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

/// Says so where there is nobody to begin with: what waits for the first worker looks as if nothing happened.
pub(super) async fn tell_if_nobody_works(admin: &Admin) {
    // Of interest to people; a scheduler that cannot tell does not spoil the job.
    if let Ok(status) = admin.status().await
        && status.workers == 0
    {
        output::say(&format!(
            "warning: no worker has joined {}: tasks wait for one (`bireme-worker` is the daemon)",
            status.address
        ));
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

/// How the tasks of something ended: `NAME: 21 tasks finished, 1 failed`.
pub(super) fn how_it_ended(name: &str, counts: &GraphCounts) -> String {
    let finished = counts.of(TaskState::Finished);
    let mut line = format!("{name}: {} finished", plural(finished.into(), "task"));
    for state in [TaskState::Failed, TaskState::Cancelled] {
        if counts.of(state) > 0 {
            let _ = write!(line, ", {} {}", counts.of(state), state.name());
        }
    }
    line
}

pub(super) fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Measures how long a job takes.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Span {
        let elapsed: Duration = self.0.elapsed();
        elapsed.into()
    }
}
