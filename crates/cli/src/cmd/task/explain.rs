//! `bireme task explain`

use bireme_client::{Admin, Explanation};
use bireme_core::Span;
use bireme_core::graph::TaskState;
use serde_json::{Value as Json, json};

use super::refused;
use crate::args::{Global, TaskArg};
use crate::cmd::tasks::status_json;
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, admin: &Admin, task: TaskArg) -> Result<Exit, Failure> {
    let why = admin.explain_task(task.name.clone()).await.map_err(refused(&task))?;
    output::show(global.output, &json(&task, &why), &table(&task, &why))?;
    Ok(Exit::Done)
}

fn json(task: &TaskArg, why: &Explanation) -> Json {
    let worker = |reason: &bireme_client::WorkerReason| {
        json!({
            "worker": reason.worker,
            "message": reason.message,
            "permanent": reason.permanent,
        })
    };
    json!({
        "task": task.to_string(),
        "state": why.state.map(TaskState::name),
        "summary": why.summary,
        "unrunnable": why.unrunnable,
        "backoff_us": why.backoff.0,
        "waits_for": why.waits_for.0.iter().map(status_json).collect::<Vec<_>>(),
        "waits_for_left_out": why.waits_for.1,
        "workers": why.workers.iter().map(worker).collect::<Vec<_>>(),
    })
}

fn table(task: &TaskArg, why: &Explanation) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("task", format!("{task}, {}", why.state.map_or("unknown", TaskState::name)));
    row("why", why.summary.clone());
    if why.backoff > Span::ZERO {
        row("retry in", why.backoff.to_string());
    }
    for task in &why.waits_for.0 {
        row("waits for", format!("{}, {}", task.key, crate::cmd::tasks::state(task)));
    }
    if why.waits_for.1 > 0 {
        row("waits for", format!("and {} more", why.waits_for.1));
    }
    for reason in &why.workers {
        let permanent = if reason.permanent { "; time will not change that" } else { "" };
        row(&format!("on {}", reason.worker), format!("{}{permanent}", reason.message));
    }
    table
}

#[cfg(test)]
mod tests {
    use bireme_client::WorkerReason;
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_worker_has_its_reason() {
        let reason = |worker: &str, message: &str, permanent| WorkerReason {
            worker: worker.into(),
            message: message.into(),
            permanent,
        };
        let why = Explanation {
            state: Some(TaskState::Ready),
            summary: "no worker has room".into(),
            waits_for: (Vec::new(), 0),
            workers: vec![
                reason("node1", "needs gpu=1, has none", true),
                reason("node2", "its gpu is taken", false),
            ],
            backoff: Span::ZERO,
            unrunnable: false,
        };
        let task: TaskArg = "7.1/3".parse().unwrap();
        expect![[r"
            task      7.1/3, ready
            why       no worker has room
            on node1  needs gpu=1, has none; time will not change that
            on node2  its gpu is taken
        "]]
        .assert_eq(&table(&task, &why).render());
        assert_eq!(json(&task, &why)["workers"][0]["permanent"], true);
    }
}
