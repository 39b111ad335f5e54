//! What happened to a task.

use tonic::{Request, Response, Status};

use bireme_core::id::{AttemptId, AttemptNo};
use bireme_proto::pb;

use super::show;
use crate::driver::Scene;
use crate::machine::story::Turn;
use crate::machine::view::TaskView;
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_task_story(
        &self,
        request: Request<pb::TaskStoryRequest>,
    ) -> Result<Response<pb::TaskStoryResponse>, Status> {
        let pb::TaskStoryRequest { task, count } = request.into_inner();
        let epoch = self.site.hello.epoch;
        let told = self.with_task(task, move |scene, task| {
            let (turns, older) = scene.machine.story(task.id);
            let mut steps: Vec<_> = turns
                .into_iter()
                .map(|turn| pb::TaskTransition { epoch: epoch.0, ..transition(scene, turn, epoch) })
                .collect();
            steps.push(pb::TaskTransition { epoch: epoch.0, ..standing(scene, &task) });
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let surplus = if count == 0 { 0 } else { steps.len().saturating_sub(count) };
            steps.drain(..surplus);
            pb::TaskStoryResponse { transitions: steps, truncated: older || surplus > 0 }
        });
        told.await.map(Response::new)
    }
}

fn transition(scene: &Scene<'_>, turn: Turn, epoch: bireme_core::id::Epoch) -> pb::TaskTransition {
    let Turn { at, task, attempt: n, worker, from, to, cause, message } = turn;
    let attempt = (n > 0).then_some(AttemptId { task, no: AttemptNo { epoch, n } });
    pb::TaskTransition {
        ago_us: scene.now.since(at).0,
        from: show::state(from),
        to: show::state(to),
        attempt: attempt.map(Into::into),
        worker,
        cause,
        message,
        epoch: 0,
    }
}

/// Where the task stands: the end of the story so far.
fn standing(scene: &Scene<'_>, task: &TaskView) -> pb::TaskTransition {
    let worker = task.worker.and_then(|id| scene.machine.workers().find(|there| there.id == id));
    let summary = scene.machine.explain(task.id).map(|explained| explained.summary);
    pb::TaskTransition {
        to: show::state(task.state),
        attempt: task.attempt.map(Into::into),
        worker: worker.map_or_else(String::new, |worker| worker.join.name),
        cause: "STANDING".to_owned(),
        message: summary.unwrap_or_default(),
        ..pb::TaskTransition::default()
    }
}
