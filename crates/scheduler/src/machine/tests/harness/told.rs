//! What the peers are told, in words.

use bireme_core::graph::{Row, TaskState};
use bireme_core::id::{AttemptId, GraphId, TaskId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Input, Order};
use bireme_core::session::Notice;

use super::{Run, SESSION};

impl Run {
    /// Everything the peers are told.
    pub(super) fn tell(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        let workers: Vec<WorkerId> = self.machine.workers().map(|worker| worker.id).collect();
        for worker in workers {
            let mut orders = Vec::new();
            while self.machine.take_orders(worker, 1 << 20, &mut orders) {}
            told.extend(
                orders.iter().filter_map(|order| {
                    Some(format!("{}: {}", worker.0, self.order(worker, order)?))
                }),
            );
        }
        for session in &self.sessions {
            let mut notices = Vec::new();
            while self.machine.take_notices(*session, 1 << 20, &mut notices) {}
            let who = if *session == SESSION { "client" } else { "inner" };
            told.extend(
                notices
                    .iter()
                    .filter_map(|notice| Some(format!("{who}: {}", self.notice(notice)?))),
            );
        }
        told
    }

    fn order(&mut self, worker: WorkerId, order: &Order) -> Option<String> {
        let name = |run: &Self, attempt: &AttemptId| {
            format!("{}.{}", run.keys[&attempt.task], attempt.no.n)
        };
        Some(match order {
            Order::Start(start) => {
                let key = self.keys[&start.attempt.task].clone();
                self.attempts.insert(format!("{}{key}", worker.0), start.attempt.no.n);
                self.attempts.insert(key, start.attempt.no.n);
                let row = match start.row {
                    Row::Number(number) => format!(" row {number}"),
                    Row::None | Row::Value(_) => String::new(),
                };
                assert_eq!(start.key, self.keys[&start.attempt.task]);
                let ahead = if start.ahead { " ahead" } else { "" };
                format!("start {}{row}{ahead}", name(self, &start.attempt))
            }
            Order::Cancel { attempt, .. } => format!("cancel {}", name(self, attempt)),
            Order::Retract(attempt) => format!("retract {}", name(self, attempt)),
            Order::Settle(attempt) => format!("settle {}", name(self, attempt)),
            Order::Release(ObjectId::Output { task, .. }) => format!("release {}", self.keys[task]),
            Order::Drain { deadline: None } => "leave".to_owned(),
            Order::Drain { deadline: Some(left) } => format!("leave within {left}"),
            Order::Replicate(inputs) => {
                let name = |input: &Input| match input.object {
                    ObjectId::Output { task, .. } => self.keys[&task].clone(),
                    other @ ObjectId::Held { .. } => other.to_string(),
                };
                format!("copy {}", inputs.iter().map(name).collect::<Vec<_>>().join(","))
            }
            Order::Stop => "stop".to_owned(),
            Order::Peers(_) => return None,
            other => format!("{other:?}"),
        })
    }

    fn notice(&self, notice: &Notice) -> Option<String> {
        let key = |graph: GraphId, index: u32| self.keys[&TaskId { graph, index }].clone();
        Some(match notice {
            Notice::Task { graph, update } => {
                let state = update.state;
                assert_eq!(update.error.is_some(), state == TaskState::Failed);
                format!("{} {}", state.name(), key(*graph, update.index))
            }
            Notice::Graph { done: true, .. } => "done".to_owned(),
            Notice::Refused { refusal, .. } => format!("refused {}", refusal.reason),
            Notice::Warning { refusal, .. } => format!("warning {}", refusal.reason),
            Notice::Accepted { tasks: 0, .. } => "accepted".to_owned(),
            Notice::Graph { .. } | Notice::Accepted { .. } | Notice::Workers(_) => return None,
            other => format!("{other:?}"),
        })
    }
}
