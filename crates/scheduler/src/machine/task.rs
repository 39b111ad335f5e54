//! The records of tasks and of what they take: dense, so that a million of them fit and a step touches few cache lines.

use std::sync::Arc;

use bireme_core::TaskError;
use bireme_core::graph::TaskState;

use super::number::{ClassNo, ObjectNo};

/// Where a task stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// For `missing` inputs.
    Waiting,
    /// For the time of its next retry.
    Backoff,
    /// In its class's queue.
    Ready,
    /// It may have killed the worker it ran on: for a worker of its own.
    Suspect,
    /// Sent; holds resources of its worker.
    Reserved,
    /// Sent beyond what its worker can run at once.
    Prefilled,
    /// Sent to the worker that makes its missing inputs.
    Ahead,
    /// Its outputs are stored, or were until they were released.
    Finished,
    /// Its error is in the graph's table.
    Failed,
    /// By somebody, or with a task it needs.
    Cancelled,
}

impl Phase {
    /// A worker has been given the task and has not ended it.
    pub(super) fn is_sent(self) -> bool {
        matches!(self, Self::Reserved | Self::Prefilled | Self::Ahead)
    }

    /// Nothing more will happen unless somebody asks, or an output is lost.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }
}

/// One bit each in [`Task::flags`].
pub(super) mod flag {
    /// The session listed its outputs as kept.
    pub(in super::super) const LISTED: u8 = 1;
    /// The session gave its outputs up.
    pub(in super::super) const GIVEN_UP: u8 = 1 << 1;
    /// The attempt stands in a message that its worker was sent.
    pub(in super::super) const TOLD: u8 = 1 << 2;
    /// User code of the attempt is known to run.
    pub(in super::super) const STARTED: u8 = 1 << 3;
    /// The worker was asked to give the attempt back.
    pub(in super::super) const RETRACTING: u8 = 1 << 4;
    /// Its end is marked in its session's outbox.
    pub(in super::super) const NOTICE: u8 = 1 << 5;
    /// The session asked for its end.
    pub(in super::super) const WANTED: u8 = 1 << 6;
    /// An attempt may have killed its worker: the next ones run alone, until one has ended by itself.
    pub(in super::super) const SUSPECT: u8 = 1 << 7;
}

/// A task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) phase: Phase,
    pub(super) flags: u8,
    /// Failures of its own that were tried again.
    pub(super) retries: u8,
    /// Workers and processes that died while it ran.
    pub(super) crashes: u8,
    pub(super) outputs: u16,
    /// Attempts that ran: those that ended by themselves, or had started when their worker was lost.
    pub(super) ran: u16,
    pub(super) key_len: u16,
    pub(super) payload_len: u32,
    /// The chunk whose text holds key and payload, one after the other from `text` on.
    pub(super) chunk: u32,
    pub(super) text: u32,
    pub(super) class: ClassNo,
    /// Its inputs: a run of the graph's edges.
    pub(super) first_edge: u32,
    pub(super) edges: u32,
    /// The newest edge that leads from it; the others follow by [`Edge::next`].
    pub(super) dependents: u32,
    /// Inputs that are not stored.
    pub(super) missing: u32,
    /// Edges that lead from it to tasks that have not ended.
    pub(super) consumers: u32,
    pub(super) priority: i32,
    pub(super) order: u32,
    /// Number of the worker it is sent to.
    pub(super) worker: u32,
    /// Its place in that worker's list.
    pub(super) place: u32,
    /// Its newest attempt in this epoch; 0 is none.
    pub(super) attempt: u32,
    /// Its first output in the table of objects.
    pub(super) object: ObjectNo,
}

const _: () = assert!(size_of::<Task>() <= 128, "the hot record must stay small");

impl Task {
    pub(super) fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }

    pub(super) fn set(&mut self, bit: u8) {
        self.flags |= bit;
    }

    pub(super) fn clear(&mut self, bit: u8) {
        self.flags &= !bit;
    }

    /// One more attempt has run.
    pub(super) fn count_run(&mut self) {
        self.ran = self.ran.saturating_add(1);
    }

    /// What people are shown.
    pub(super) fn state(&self) -> TaskState {
        match self.phase {
            Phase::Waiting | Phase::Backoff => TaskState::Waiting,
            Phase::Ready | Phase::Suspect => TaskState::Ready,
            Phase::Reserved | Phase::Prefilled | Phase::Ahead if self.has(flag::STARTED) => {
                TaskState::Running
            }
            Phase::Reserved | Phase::Prefilled | Phase::Ahead => TaskState::Sent,
            Phase::Finished => TaskState::Finished,
            Phase::Failed => TaskState::Failed,
            Phase::Cancelled => TaskState::Cancelled,
        }
    }
}

/// An input of a task, and at the same time one link in the chain of its producer's dependents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Index of the producing task, or place in the table of externals.
    pub(super) producer: u32,
    pub(super) consumer: u32,
    /// The next older edge from the same producer.
    pub(super) next: u32,
    pub(super) output: u16,
    pub(super) external: bool,
}

/// Why a task failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Its own error.
    Own(Box<TaskError>),
    /// That of the task with this index, which it needs.
    Of(u32),
    /// That a task of another graph, which it needs, failed or was cancelled; all that need it share what is said.
    Elsewhere(Arc<TaskError>),
}
