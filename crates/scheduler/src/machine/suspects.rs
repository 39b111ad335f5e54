//! Where tasks run that may have killed a worker: each on a worker that runs nothing else meanwhile.
//!
//! A worker is set apart for a suspect when it is the one with least to finish: it is given nothing more, and the suspect
//! once it is empty. If that worker dies too, nobody else is harmed, and it is known who did it.

use bireme_core::id::WorkerId;
use smallvec::SmallVec;

use super::Machine;
use super::number::{ClassNo, TaskRef};
use super::task::{Phase, flag};

impl Machine {
    /// Finds suspects workers of their own, and gives back workers whose suspect has ended or moved.
    pub(super) fn place_suspects(&mut self) {
        if self.suspects.is_empty() {
            return;
        }
        let mut blocked: SmallVec<[ClassNo; 4]> = SmallVec::new();
        let suspects: Vec<(TaskRef, Option<WorkerId>)> =
            self.suspects.iter().map(|(task, worker)| (*task, *worker)).collect();
        for (task, apart) in suspects {
            let record = self.find_task(task).filter(|record| record.has(flag::SUSPECT));
            let waits = record.is_some_and(|record| record.phase == Phase::Suspect);
            let runs = record.is_some_and(|record| {
                record.phase.is_sent() && apart == Some(WorkerId(record.worker))
            });
            if runs {
                continue;
            }
            if !waits {
                self.give_back(task, apart);
                self.suspects.remove(&task);
                continue;
            }
            let class = self.task(task).class;
            let apart = apart.filter(|worker| self.keeps_apart(task, *worker)).or_else(|| {
                self.give_back(task, apart);
                (!blocked.contains(&class)).then(|| self.set_apart(task)).flatten()
            });
            self.suspects.insert(task, apart);
            match apart {
                None => blocked.push(class),
                Some(worker) if self.workers.get(worker).is_some_and(|w| w.sent.is_empty()) => {
                    self.send_one(task, worker, Phase::Reserved);
                }
                Some(_) => {}
            }
        }
    }

    /// Whether the worker that was set apart for a suspect still serves.
    fn keeps_apart(&self, task: TaskRef, worker: WorkerId) -> bool {
        let worker = self.workers.get(worker);
        worker.is_some_and(|worker| worker.alone == Some(task) && worker.is_up())
    }

    /// Sets the worker apart that could run a suspect and has least to finish.
    fn set_apart(&mut self, task: TaskRef) -> Option<WorkerId> {
        let spec = std::sync::Arc::clone(&self.classes.get(self.task(task).class).spec);
        let able = self
            .workers
            .values()
            .filter(|worker| worker.is_open() && worker.refuses(&spec).is_none());
        let id = able.min_by_key(|worker| (worker.sent.len(), worker.id))?.id;
        if let Some(worker) = self.workers.get_mut(id) {
            worker.alone = Some(task);
        }
        self.touch(id);
        Some(id)
    }

    /// Lets a worker run anything again that was set apart for a task.
    fn give_back(&mut self, task: TaskRef, worker: Option<WorkerId>) {
        let Some(id) = worker else { return };
        if let Some(worker) = self.workers.get_mut(id).filter(|worker| worker.alone == Some(task)) {
            worker.alone = None;
        }
        self.touch(id);
    }
}
