//! Calls that show what attempts printed, relayed from the workers that keep it.
//!
//! The machine knows where the newest attempt of a task is. Earlier ones may have run anywhere: for them every worker is
//! asked. Who follows is shown the next attempt when there is one, until the task has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

use bireme_core::id::{AttemptId, TaskId, WorkerId};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::auth::Bearer;
use bireme_proto::pb;
use bireme_proto::pb::logs_client::LogsClient;
use bireme_proto::pb::task_selector::By;
use bireme_proto::status::status;

use super::Watching;
use super::tasks::{resolve, unknown};
use super::work::present;
use crate::driver::mail::Mailbox;
use crate::machine::Machine;
use crate::relay::{Kind, Sender, Whereabouts};
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_task_logs(
        &self,
        request: Request<pb::TaskLogsRequest>,
    ) -> Result<Response<Watching<pb::TaskLogsResponse>>, Status> {
        let request = request.into_inner();
        let by = present(request.task.clone().and_then(|task| task.by), "task")?;
        let task = self.mailbox.look(move |scene| resolve_known(scene.machine, &by));
        let task = task.await.map_err(status)?.map_err(status)?;
        let reading = Reading {
            task,
            mailbox: self.mailbox.clone(),
            bearer: self.site.relay.bearer(),
            cursors: Arc::new(Mutex::new(Cursors::read(&request.cursor).map_err(status)?)),
            request,
        };
        let read = |sender| reading.run(sender);
        let stream = self.site.relay.stream(Kind::Transfer, read).map_err(status)?;
        Ok(Response::new(Box::pin(stream)))
    }
}

fn resolve_known(machine: &Machine, by: &By) -> Result<TaskId, Refusal> {
    let task = resolve(machine, by)?;
    machine.find_task_view(task).map(|_| task).ok_or_else(unknown)
}

/// One call.
#[derive(Clone)]
struct Reading {
    task: TaskId,
    mailbox: Mailbox,
    bearer: Bearer,
    cursors: Arc<Mutex<Cursors>>,
    request: pb::TaskLogsRequest,
}

/// Where a task is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stand {
    attempt: Option<AttemptId>,
    worker: Option<WorkerId>,
    ended: bool,
}

impl Stand {
    /// `None` once the task is forgotten.
    fn of(machine: &Machine, task: TaskId) -> Option<Self> {
        let view = machine.find_task_view(task)?;
        Some(Self { attempt: view.attempt, worker: view.worker, ended: view.state.is_final() })
    }
}

impl Reading {
    async fn run(self, sender: Sender<pb::TaskLogsResponse>) -> Result<(), Status> {
        let mut earlier = true;
        while let Some((stand, workers)) = self.look(earlier).await? {
            self.read_earlier(&stand, &workers, &sender).await;
            earlier = false;
            self.read_newest(&stand, &workers, &sender).await?;
            if stand.ended || !self.request.follow {
                return Ok(());
            }
            let (task, seen) = (self.task, stand);
            let moved = move |machine: &Machine| {
                let now = Stand::of(machine, task);
                (now.as_ref() != Some(&seen)).then_some(())
            };
            // An attempt that is on its way to its worker is asked for again after a while.
            let wait = self.mailbox.wait(limits::LOG_AGAIN, move |scene| moved(scene.machine));
            wait.await.map_err(status)?;
        }
        Ok(())
    }

    /// Where the task is and who may know what it printed; `None` once it is forgotten.
    async fn look(
        &self,
        earlier: bool,
    ) -> Result<Option<(Stand, BTreeMap<WorkerId, Whereabouts>)>, Status> {
        let task = self.task;
        let look = self.mailbox.look(move |scene| {
            let stand = Stand::of(scene.machine, task)?;
            let all = earlier && stand.attempt.is_some_and(|attempt| attempt.no.n > 1);
            let newest = stand.worker;
            let asked = scene.machine.workers().filter(|view| all || Some(view.id) == newest);
            let asked = asked.map(|view| (view.id, Whereabouts::from(view)));
            Some((stand, asked.collect()))
        });
        look.await.map_err(status)
    }

    /// What earlier attempts printed, from whichever workers can be reached.
    async fn read_earlier(
        &self,
        stand: &Stand,
        workers: &BTreeMap<WorkerId, Whereabouts>,
        sender: &Sender<pb::TaskLogsResponse>,
    ) {
        let mut asked = JoinSet::new();
        for (id, at) in workers.iter().filter(|(id, _)| Some(**id) != stand.worker) {
            if asked.len() >= limits::LOG_WORKERS {
                asked.join_next().await;
            }
            let (reading, id, at, sender) = (self.clone(), *id, at.clone(), sender.clone());
            asked.spawn(async move {
                if let Err(why) = reading.read(id, &at, false, &sender).await {
                    tracing::debug!(worker = %at.name, why = why.message(), "worker shows no logs");
                }
            });
        }
        while asked.join_next().await.is_some() {}
    }

    /// What the newest attempt printed, and goes on to print.
    async fn read_newest(
        &self,
        stand: &Stand,
        workers: &BTreeMap<WorkerId, Whereabouts>,
        sender: &Sender<pb::TaskLogsResponse>,
    ) -> Result<(), Status> {
        let Some(id) = stand.worker else { return Ok(()) };
        match workers.get(&id) {
            Some(at) => self.read(id, at, self.request.follow && !stand.ended, sender).await,
            None if stand.ended => {
                let message = format!(
                    "worker {id}, where {} ran last, is gone, and with it what was printed there",
                    self.task
                );
                Err(status(Refusal::new(Reason::WorkerLost, message)))
            }
            None => Ok(()),
        }
    }

    /// Passes on what one worker shows.
    async fn read(
        &self,
        id: WorkerId,
        at: &Whereabouts,
        follow: bool,
        sender: &Sender<pb::TaskLogsResponse>,
    ) -> Result<(), Status> {
        let channel = at.reach().await.map_err(status)?;
        let cursor = self.cursors().of(id);
        let request = pb::ReadLogsRequest {
            task: Some(self.task.into()),
            attempt: self.request.attempt,
            stream: self.request.stream,
            tail_lines: if cursor == 0 { self.request.tail_lines } else { 0 },
            follow,
            cursor,
            ..pb::ReadLogsRequest::default()
        };
        let mut client = LogsClient::with_interceptor(channel, self.bearer.clone());
        let mut pieces = client.read_logs(request).await?.into_inner();
        while let Some(piece) = pieces.message().await? {
            let pb::ReadLogsResponse {
                attempt, stream, text, since_start_us, cursor, lagged, ..
            } = piece;
            let cursor = self.cursors().set(id, cursor);
            let worker = at.name.clone();
            let message = pb::TaskLogsResponse {
                attempt,
                worker,
                stream,
                text,
                since_start_us,
                cursor,
                lagged,
            };
            if sender.send(Ok(message)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn cursors(&self) -> std::sync::MutexGuard<'_, Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far each worker was read: `WORKER=CURSOR`, with commas between.
#[derive(Debug, Default, Eq, PartialEq)]
struct Cursors(BTreeMap<u32, u64>);

impl Cursors {
    fn read(text: &str) -> Result<Self, Refusal> {
        let entry = |entry: &str| {
            let (worker, cursor) = entry.split_once('=')?;
            Some((worker.parse().ok()?, cursor.parse().ok()?))
        };
        let entries = text.split(',').filter(|entry| !entry.is_empty()).take(limits::LOG_CURSORS);
        let read: Option<_> = entries.map(entry).collect();
        read.map(Self).ok_or_else(|| {
            let message = "it is none that a message carried: leave it out to begin with the first";
            Refusal::at(Reason::Malformed, "cursor", message)
        })
    }

    fn of(&self, worker: WorkerId) -> u64 {
        self.0.get(&worker.0).copied().unwrap_or(0)
    }

    /// Takes note of how far a worker was read, and shows that with all others. Beyond the limit the oldest workers are left
    /// out: what they show would be shown again.
    fn set(&mut self, worker: WorkerId, cursor: u64) -> String {
        self.0.insert(worker.0, cursor);
        while self.0.len() > limits::LOG_CURSORS {
            self.0.pop_first();
        }
        let entries: Vec<String> = self.0.iter().map(|(id, at)| format!("{id}={at}")).collect();
        entries.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_were_shown() {
        let mut cursors = Cursors::default();
        cursors.set(WorkerId(3), 70);
        let shown = cursors.set(WorkerId(1), 9);
        assert_eq!(shown, "1=9,3=70");
        assert_eq!(Cursors::read(&shown), Ok(cursors));
        assert_eq!(Cursors::read(""), Ok(Cursors::default()));
        assert_eq!(Cursors::read("1=x").unwrap_err().field, "cursor");
    }
}
