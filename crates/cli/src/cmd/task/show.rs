//! `bireme task show`

use bireme_client::{Admin, AttemptStatus, TaskDetails};
use bireme_core::TaskError;
use bireme_core::graph::TaskState;
use bireme_core::id::TaskId;
use serde_json::{Value as Json, json};

use super::refused;
use crate::args::{Global, TaskArg};
use crate::cmd::tasks::{state, status_json};
use crate::cmd::{resources_text, with};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

/// Tasks that people are shown of those that a task needs, or that need it.
const SHOWN: usize = 10;

pub(super) async fn run(global: &Global, admin: &Admin, task: TaskArg) -> Result<Exit, Failure> {
    let details = admin.task(task.name.clone()).await.map_err(refused(&task))?;
    output::show(global.output, &json(&details), &table(&details))?;
    Ok(Exit::Done)
}

fn json(details: &TaskDetails) -> Json {
    let names = |tasks: &[TaskId]| tasks.iter().map(ToString::to_string).collect::<Vec<_>>();
    let output = |output: &bireme_client::OutputStatus| {
        let holders = output.holders.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({ "size": output.size, "holders": holders })
    };
    let more = json!({
        "priority": details.priority,
        "resources": details.resources.to_string(),
        "failure": details.error.as_deref().map(error_json),
        "needs": names(&details.needs.0),
        "needs_left_out": details.needs.1,
        "needed_by": names(&details.needed_by.0),
        "needed_by_left_out": details.needed_by.1,
        "outputs": details.outputs.iter().map(output).collect::<Vec<_>>(),
        "attempt_list": details.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
    });
    with(status_json(&details.status), more)
}

fn error_json(error: &TaskError) -> Json {
    json!({
        "reason": error.reason,
        "message": error.message,
        "worker": error.worker,
        "exit": error.exit.map(|exit| json!({ "code": exit.code, "signal": exit.signal })),
        "traceback": error.traceback,
        "last_lines": error.last_lines,
        "cause": error.cause.as_deref().map(error_json),
    })
}

fn attempt_json(attempt: &AttemptStatus) -> Json {
    json!({
        "attempt": attempt.attempt.map(|attempt| attempt.to_string()),
        "state": attempt.state.map(TaskState::name),
        "worker": attempt.worker,
        "error": attempt.error.as_ref().map(ToString::to_string),
        "run_us": attempt.timing.as_ref().map(|timing| timing.run.0),
        "peak_bytes": attempt.timing.as_ref().map(|timing| timing.peak_bytes),
    })
}

fn table(details: &TaskDetails) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    let status = &details.status;
    row("task", format!("{}, called {}", status.task, status.key));
    row("state", state(status).to_owned());
    row("takes", resources_text(&details.resources));
    row("priority", details.priority.to_string());
    for (name, tasks) in [("needs", &details.needs), ("needed by", &details.needed_by)] {
        if !tasks.0.is_empty() {
            row(name, some(tasks));
        }
    }
    for attempt in &details.attempts {
        row("attempt", attempt_line(attempt));
    }
    for (number, output) in details.outputs.iter().enumerate() {
        let holders: Vec<_> = output.holders.iter().map(ToString::to_string).collect();
        let place = if holders.is_empty() { "the scheduler".to_owned() } else { holders.join(" ") };
        row(&format!("output {number}"), format!("{}, on {place}", output::size(output.size)));
    }
    if let Some(error) = &details.error {
        row("error", error.to_string());
        error.last_lines.iter().for_each(|line| row("", format!("| {line}")));
        error.traceback.lines().for_each(|line| row("", format!("  {line}")));
    }
    table
}

fn some((tasks, left_out): &(Vec<TaskId>, u64)) -> String {
    let shown: Vec<_> = tasks.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = (tasks.len() - shown.len()) as u64 + left_out;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(" "))
}

fn attempt_line(attempt: &AttemptStatus) -> String {
    let id = attempt.attempt.map_or_else(String::new, |attempt| attempt.to_string());
    let state = attempt.state.map_or("unknown", TaskState::name);
    let ran = attempt.timing.as_ref().map(|timing| format!(", ran {}", timing.run));
    let why = attempt.error.as_ref().map(|error| format!(": {}", first_line(&error.to_string())));
    let (ran, why) = (ran.unwrap_or_default(), why.unwrap_or_default());
    format!("{id} {state} on {}{ran}{why}", attempt.worker)
}

/// The rest is told of the newest error alone.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bireme_client::{OutputStatus, TaskStatus};
    use bireme_core::ErrorClass;
    use bireme_core::id::{AttemptId, AttemptNo, Epoch, GraphId, SessionId, WorkerId};
    use bireme_core::protocol::Timing;
    use bireme_core::resources::Resources;
    use bireme_core::time::Span;
    use expect_test::expect;

    use super::*;

    fn details() -> TaskDetails {
        let task = |index| TaskId { graph: GraphId::new(SessionId(7), 1), index };
        let no = AttemptNo { epoch: Epoch(1), n: 2 };
        let mut error = TaskError::new(ErrorClass::User, "COMMAND_FAILED", "exit code 3");
        error.last_lines = vec!["no such file".to_owned()];
        let earlier = TaskError::new(ErrorClass::User, "COMMAND_FAILED", "exit code 2\nand more");
        TaskDetails {
            status: TaskStatus {
                task: task(3),
                key: "fit[3]".into(),
                state: Some(TaskState::Failed),
                worker: "node1".into(),
                attempts: 2,
                bytes: 0,
                error: "exit code 3".into(),
            },
            error: Some(Box::new(error)),
            attempts: vec![
                AttemptStatus {
                    attempt: Some(AttemptId { task: task(3), no }),
                    state: Some(TaskState::Failed),
                    worker: "node1".into(),
                    error: None,
                    timing: Some(Timing { run: Span::millis(20), ..Timing::default() }),
                },
                AttemptStatus {
                    attempt: Some(AttemptId { task: task(3), no: AttemptNo { n: 1, ..no } }),
                    state: Some(TaskState::Failed),
                    worker: "node2".into(),
                    error: Some(Box::new(earlier)),
                    timing: None,
                },
            ],
            resources: Resources::one_cpu(),
            needs: ((0..12).map(task).collect(), 5),
            needed_by: (Vec::new(), 0),
            outputs: vec![OutputStatus { size: 12, holders: vec![WorkerId(1)] }],
            priority: 0,
        }
    }

    #[test]
    fn a_task_is_shown_with_all_that_happened_to_it() {
        expect![[r"
            task      7.1/3, called fit[3]
            state     failed
            takes     cpus=1
            priority  0
            needs     7.1/0 7.1/1 7.1/2 7.1/3 7.1/4 7.1/5 7.1/6 7.1/7 7.1/8 7.1/9 and 7 more
            attempt   7.1/3#1.2 failed on node1, ran 20.000 ms
            attempt   7.1/3#1.1 failed on node2: COMMAND_FAILED: exit code 2
            output 0  12B, on w1
            error     COMMAND_FAILED: exit code 3
                      | no such file
        "]]
        .assert_eq(&table(&details()).render());
    }

    #[test]
    fn programs_read_the_same() {
        let json = json(&details());
        assert_eq!(json["failure"]["reason"], "COMMAND_FAILED");
        assert_eq!(json["attempt_list"][0]["run_us"], 20_000);
        assert_eq!(json["needs"].as_array().map(Vec::len), Some(12));
    }
}
