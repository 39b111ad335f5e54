//! What the machine knows of a session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bireme_core::id::{GraphId, SessionId, SessionToken, SubmissionId, WorkerId};
use bireme_core::link::Outbox;
use bireme_core::reason::Refusal;
use bireme_core::session::Owner;
use bireme_core::{ObjectId, Span, Time, limits};

use super::ConnId;
use super::number::{GraphNo, TaskRef};
use super::put::Numbers;

/// What became of a command: the graph it was about and how many tasks that has, or why it was refused.
pub(super) type Outcome = Result<(Option<GraphId>, u32), Refusal>;

/// Something a session has still to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// What became of a command.
    Answer(SubmissionId, Outcome),
    /// How a graph stands.
    Graph(GraphNo),
    /// Where objects are.
    Places(u64, Vec<ObjectId>),
    /// The answer to a ping.
    Pong(u64),
    /// How a task ended.
    Task(TaskRef),
    /// What a person should know about a graph or a task of it.
    Warning(Option<GraphId>, Option<u32>, Refusal),
    /// Where a worker is, or that it has gone.
    Worker(WorkerId),
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) token: SessionToken,
    /// Who opened it.
    pub(super) owner: Owner,
    pub(super) name: String,
    pub(super) ttl: Span,
    pub(super) weight_percent: u32,
    /// The stream; `None` while it is lost, or if there never was one.
    pub(super) conn: Option<ConnId>,
    pub(super) opened: Time,
    /// When it was last heard of, once its stream is lost.
    pub(super) left: Time,
    pub(super) outbox: Outbox<News>,
    /// Answers in the outbox: the part of it that the client's behaviour could make grow.
    pub(super) answers: usize,
    /// What it was given of the cluster for its weight: it goes before those that were given more.
    pub(super) served: u64,
    /// The task whose attempt it belongs to.
    pub(super) parent: Option<TaskRef>,
    /// How many attempts there are around it, each in the session of the next.
    pub(super) depth: u32,
    pub(super) graphs: BTreeSet<GraphNo>,
    /// The greatest number among its graphs.
    pub(super) last_graph: u32,
    recent: BTreeMap<SubmissionId, Outcome>,
    recent_order: VecDeque<SubmissionId>,
    /// Which of its values it has told of, those that are gone among them.
    pub(super) told: Numbers,
}

impl Session {
    pub(super) fn new(id: SessionId, token: SessionToken, now: Time) -> Self {
        Self {
            id,
            token,
            owner: Owner::default(),
            name: String::new(),
            ttl: limits::SESSION_TTL,
            weight_percent: 100,
            conn: None,
            opened: now,
            left: now,
            outbox: Outbox::default(),
            answers: 0,
            served: 0,
            parent: None,
            depth: 0,
            graphs: BTreeSet::new(),
            last_graph: 0,
            recent: BTreeMap::new(),
            recent_order: VecDeque::new(),
            told: Numbers::default(),
        }
    }

    /// What became of a command that came before under the same id.
    pub(super) fn answered(&self, submission: SubmissionId) -> Option<&Outcome> {
        self.recent.get(&submission)
    }

    /// Remembers what became of a command, and forgets the oldest one beyond the limit.
    pub(super) fn remember(&mut self, submission: SubmissionId, outcome: Outcome) {
        if self.recent.insert(submission, outcome).is_none() {
            self.recent_order.push_back(submission);
        }
        if self.recent_order.len() > limits::SUBMISSIONS
            && let Some(oldest) = self.recent_order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }

    /// What one task costs in [`Self::served`].
    pub(super) fn cost(&self) -> u64 {
        1_000_000 / u64::from(self.weight_percent.max(1))
    }
}
