//! `bireme task logs`

use bireme_client::{Admin, LogPiece, LogQuery};
use bireme_core::id::TaskId;
use serde_json::{Value as Json, json};

use super::refused;
use crate::args::{Format, Global, TaskLogs};
use crate::cmd::interrupt::unless_interrupted;
use crate::cmd::value::hex;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn run(global: &Global, admin: &Admin, args: TaskLogs) -> Result<Exit, Failure> {
    let TaskLogs { task, follow, tail } = args;
    let found = admin.task(task.name.clone()).await.map_err(refused(&task))?;
    let query = LogQuery { follow, tail_lines: tail, ..LogQuery::default() };
    let printed = print(global.output, admin, found.status.task, query);
    let goes_on = format!("interrupted: task {task} goes on");
    let ended = unless_interrupted(printed, &goes_on).await?;
    Ok(ended.map_or(Exit::Interrupted, |()| Exit::Done))
}

async fn print(
    format: Format,
    admin: &Admin,
    task: TaskId,
    query: LogQuery,
) -> Result<(), Failure> {
    let mut logs = admin.task_logs(task, query).await?;
    while let Some(piece) = logs.next().await? {
        if piece.lagged {
            output::say("something that was printed here is not kept");
        }
        match format {
            Format::Json => output::json_line(&json(&piece))?,
            Format::Text => output::bytes(&piece.text)?,
        }
    }
    Ok(())
}

fn json(piece: &LogPiece) -> Json {
    let (form, text) = match std::str::from_utf8(&piece.text) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => ("hex", hex(&piece.text)),
    };
    json!({
        "attempt": piece.attempt.map(|attempt| attempt.to_string()),
        "worker": piece.worker,
        "stream": if piece.is_error { "stderr" } else { "stdout" },
        "since_start_us": piece.since_start.0,
        "lagged": piece.lagged,
        form: text,
    })
}
