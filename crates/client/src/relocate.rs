//! Looks again for a value that its holders did not give.
//!
//! A holder may have gone without the scheduler knowing yet; then the value is made again, elsewhere, or its task fails. So
//! the scheduler is asked for it until it comes or the task has another end.

use bireme_core::hash::Seeded;
use bireme_core::id::TaskId;
use bireme_core::link::pause;
use bireme_core::{Reason, Value, limits};
use bireme_proto::pb;

use crate::admin::{Found, TaskName, found};
use crate::client::Inner;
use crate::error::{GraphError, Refused, ResultError};
use crate::fetch;
use crate::session::task_error;

/// Fetches an output from where the scheduler says it is by now. `problem` is why it did not come from where it was.
pub(crate) async fn output(
    client: &Inner,
    task: TaskId,
    output: u16,
    mut problem: String,
) -> Result<Value, ResultError> {
    let jitter = Seeded::new(task.graph.0 ^ u64::from(task.index));
    let mut tries = 0;
    while tries < limits::RESULT_TRIES {
        if let Some(lost) = client.session().lost() {
            return Err(GraphError::Lost(lost).into());
        }
        tracing::debug!(%task, problem, "result did not come; asking where it is now");
        match ask(client, task, output).await {
            Ok(Found::Value(value)) => return Ok(*value),
            Ok(Found::Failed(_, error)) => {
                let error = error.unwrap_or_else(|| Box::new(task_error(None)));
                return Err(ResultError::Task { task, error });
            }
            // It is made again, for as long as that takes.
            Ok(Found::Pending(_)) => continue,
            Ok(Found::Placed(location)) => {
                let came =
                    fetch::from_holders(client.peers(), location.object, &location.holders).await;
                match came {
                    Ok(value) => return Ok(value),
                    Err(again) => problem = again,
                }
            }
            Err(refused) if refused.reason == Reason::ObjectUnknown.name() => {
                return Err(ResultError::NotKept { task, output });
            }
            Err(refused) if is_settled(&refused) => {
                return Err(ResultError::Fetch { task, problem: refused.to_string() });
            }
            Err(refused) => problem = refused.to_string(),
        }
        tokio::time::sleep(pause(tries, &jitter).to_std()).await;
        tries += 1;
    }
    let problem = format!("{tries} tries; the last: {problem}");
    Err(ResultError::Fetch { task, problem })
}

/// Asks the scheduler for an output, and waits while it is being made.
async fn ask(client: &Inner, task: TaskId, output: u16) -> Result<Found, Refused> {
    let of = pb::get_result_request::Of::Task(TaskName::from(task).into());
    let request = pb::GetResultRequest {
        of: Some(of),
        output: output.into(),
        max_wait_us: limits::MAX_WAIT.0,
        inline_bytes: 0,
    };
    let mut cluster = client.peers().cluster();
    found(cluster.get_result(client.peers().call(request)).await?.into_inner())
}

/// Whether asking again is no use: the scheduler has understood, and there is no such thing.
fn is_settled(refused: &Refused) -> bool {
    let gone = [Reason::GraphUnknown, Reason::TaskUnknown, Reason::Malformed];
    gone.iter().any(|reason| reason.name() == refused.reason)
}
