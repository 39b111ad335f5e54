//! `bireme task story`

use bireme_client::{Admin, Transition};
use bireme_core::graph::TaskState;
use serde_json::{Value as Json, json};

use super::refused;
use crate::args::{Global, TaskArg};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(
    global: &Global,
    admin: &Admin,
    task: TaskArg,
    last: u32,
) -> Result<Exit, Failure> {
    let story = admin.task_story(task.name.clone(), last).await.map_err(refused(&task))?;
    if story.truncated && last == 0 {
        output::say("older steps are not kept");
    }
    let steps = json!({
        "task": task.to_string(),
        "steps": story.transitions.iter().map(json).collect::<Vec<_>>(),
        "truncated": story.truncated,
    });
    output::show(global.output, &steps, &table(&story.transitions))?;
    Ok(Exit::Done)
}

/// The name of a state; nothing for what was before the first, or is not kept.
fn name(state: Option<TaskState>) -> &'static str {
    state.map_or("", TaskState::name)
}

fn json(step: &Transition) -> Json {
    json!({
        "ago_us": step.ago.0,
        "from": step.from.map(TaskState::name),
        "to": step.to.map(TaskState::name),
        "attempt": step.attempt.map(|attempt| attempt.to_string()),
        "worker": step.worker,
        "cause": step.cause,
        "message": step.message,
        "epoch": step.epoch.0,
    })
}

fn table(steps: &[Transition]) -> Table {
    let mut table = Table::new(&["AGO", "FROM", "TO", "ATTEMPT", "WORKER", "WHY"]);
    for step in steps {
        let attempt = step.attempt.map_or_else(String::new, |attempt| attempt.no.to_string());
        let why = if step.message.is_empty() { &step.cause } else { &step.message };
        table.row([
            step.ago.to_string(),
            name(step.from).to_owned(),
            name(step.to).to_owned(),
            attempt,
            step.worker.clone(),
            why.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use bireme_core::Span;
    use bireme_core::id::{AttemptId, AttemptNo, Epoch, GraphId, SessionId, TaskId};
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_story_is_told_step_by_step() {
        let task = TaskId { graph: GraphId::new(SessionId(7), 1), index: 3 };
        let attempt = AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 2 } };
        let step = |ago, from, to, worker: &str, message: &str| Transition {
            ago: Span::millis(ago),
            from,
            to: Some(to),
            attempt: Some(attempt),
            worker: worker.into(),
            cause: "PLACED".into(),
            message: message.into(),
            epoch: Epoch(1),
        };
        let steps = [
            step(1_500, Some(TaskState::Ready), TaskState::Sent, "node1", ""),
            step(20, Some(TaskState::Running), TaskState::Ready, "node1", "the worker was lost"),
            step(0, None, TaskState::Ready, "", "is ready; there are no workers"),
        ];
        expect![[r"
            AGO        FROM     TO     ATTEMPT  WORKER  WHY
            1.500 s    ready    sent   1.2      node1   PLACED
            20.000 ms  running  ready  1.2      node1   the worker was lost
            0 us                ready  1.2              is ready; there are no workers
        "]]
        .assert_eq(&table(&steps).render());
    }
}
