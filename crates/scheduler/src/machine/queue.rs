//! Phases of tasks and the queues of their classes. Every change of phase goes through [`Machine::set_phase`].

use bireme_core::Time;

use super::class::{Lane, Rank};
use super::number::{ClassNo, GraphNo, TaskRef};
use super::session::News;
use super::task::{Phase, flag};
use super::{Machine, Peer, Timer};
use bireme_core::id::SessionId;
use bireme_core::limits;

impl Machine {
    /// Moves a task to a phase and keeps every count in step.
    pub(super) fn set_phase(&mut self, task: TaskRef, phase: Phase) {
        let graph = self
            .graphs
            .get_mut(task.graph.0 as usize)
            .and_then(Option::as_deref_mut)
            .expect("the graph is there");
        let record = graph.task_mut(task.index);
        let (old, before) = (record.phase, record.state());
        record.phase = phase;
        if !phase.is_sent() {
            record.clear(flag::TOLD | flag::STARTED | flag::RETRACTING);
        }
        let (after, class) = (record.state(), record.class);
        if before != after {
            *graph.counts.of_mut(before) -= 1;
            *graph.counts.of_mut(after) += 1;
            self.note_progress(task.graph);
        }
        match (old.is_final(), phase.is_final()) {
            (false, true) => self.unfinished -= 1,
            (true, false) => self.unfinished += 1,
            _ => {}
        }
        if old == Phase::Ready && phase != Phase::Ready {
            let class_record = self.classes.get_mut(class);
            class_record.ready -= 1;
            if class_record.ready == 0 {
                self.active.remove(&class);
            }
        } else if phase == Phase::Ready && old != Phase::Ready {
            let class_record = self.classes.get_mut(class);
            class_record.ready += 1;
            if class_record.ready == 1 {
                self.active.insert(class);
            }
        }
    }

    /// Puts a task whose inputs are all stored into the queue of its class.
    pub(super) fn enqueue(&mut self, task: TaskRef) {
        let graph = self.graph(task.graph);
        let (session, record) = (graph.session, graph.task(task.index));
        let rank =
            Rank::new(task, record.priority.saturating_add(graph.options.priority), record.order);
        let class = record.class;
        if record.has(flag::SUSPECT) {
            self.set_phase(task, Phase::Suspect);
            self.suspects.entry(task).or_insert(None);
            return;
        }
        self.set_phase(task, Phase::Ready);
        self.lane(class, session).push(rank);
    }

    /// Puts the rows of an array, which are ready and have no records, into the queue of their class.
    pub(super) fn enqueue_rows(&mut self, first: TaskRef, count: u32) {
        if count == 0 {
            return;
        }
        let graph = self.graph(first.graph);
        let (session, record) = (graph.session, graph.task(first.index));
        let rank =
            Rank::new(first, record.priority.saturating_add(graph.options.priority), record.order);
        let class = record.class;
        let queue = self.classes.get_mut(class);
        queue.ready += count;
        self.active.insert(class);
        self.lane(class, session).push_rows(rank, count);
    }

    /// The lane of a session in the queue of a class.
    fn lane(&mut self, class: ClassNo, session: SessionId) -> &mut Lane {
        let lane = self.classes.get_mut(class).lanes.entry(session).or_default();
        if lane.is_empty()
            && let Some(session) = self.sessions.get_mut(&session)
        {
            // A session that asked for nothing has saved nothing up.
            session.served = session.served.max(self.served);
        }
        lane
    }

    /// How a worker ranks a task among those it has.
    pub(super) fn worker_rank(&self, task: TaskRef) -> u64 {
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        Rank::new(task, record.priority.saturating_add(graph.options.priority), record.order)
            .for_worker()
    }

    /// The next ready task of a class: of the most deeply nested session, among equals of the one that was served least, the one that comes first.
    pub(super) fn peek_ready(&mut self, class: ClassNo) -> Option<(SessionId, TaskRef)> {
        loop {
            let record = self.classes.get(class);
            let session = match record.lanes.len() {
                0 => return None,
                1 => *record.lanes.first_key_value()?.0,
                _ => *record.lanes.keys().min_by_key(|session| self.turn_of(**session))?,
            };
            let rank = record.lanes.get(&session)?.peek();
            let Some(task) = rank.map(Rank::task) else {
                self.classes.get_mut(class).lanes.remove(&session);
                continue;
            };
            if self.find_task(task).is_some_and(|task| task.phase == Phase::Ready) {
                return Some((session, task));
            }
            self.pop_ready(class, session);
        }
    }

    /// Takes away what [`Self::peek_ready`] showed.
    pub(super) fn pop_ready(&mut self, class: ClassNo, session: SessionId) {
        let lanes = &mut self.classes.get_mut(class).lanes;
        if let Some(lane) = lanes.get_mut(&session) {
            lane.pop();
            if lane.is_empty() {
                lanes.remove(&session);
            }
        }
    }

    /// Charges a session for a task of its that was sent.
    pub(super) fn charge(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            self.served = self.served.max(session.served);
            session.served += session.cost();
        }
    }

    /// How a graph stands has changed: the end of this step sees to it that its session hears of it.
    pub(super) fn note_progress(&mut self, no: GraphNo) {
        let graph = self.graph_mut(no);
        if !graph.stirred {
            graph.stirred = true;
            self.stirred.push(no);
        }
    }

    /// Tells sessions how graphs stand that changed in this step, but not more often than need be. It comes after the ends of
    /// tasks, so that whoever hears that a graph is done has heard of all of them.
    pub(super) fn tell_progress(&mut self) {
        while let Some(no) = self.stirred.pop() {
            let now = self.now;
            let Some(graph) = self.graphs.get_mut(no.0 as usize).and_then(Option::as_deref_mut)
            else {
                continue;
            };
            graph.stirred = false;
            if !graph.is_done() {
                graph.ended = None;
            } else if graph.ended.is_none() {
                graph.ended = Some(now);
                let expires = graph.options.ttl.map(|ttl| (now + ttl, Timer::Expire(no)));
                self.timers.extend(expires);
            }
            let due = graph.told + limits::GRAPH_UPDATE;
            if graph.notice {
                continue;
            }
            if graph.is_done()
                || graph.error.is_some()
                || now >= due
                || graph.told == Time::default()
            {
                graph.notice = true;
                let session = graph.session;
                self.tell_session(session, News::Graph(no));
            } else if !graph.timer {
                graph.timer = true;
                self.timers.insert((due, Timer::Graph(no)));
            }
        }
    }

    pub(super) fn on_graph_timer(&mut self, no: GraphNo) {
        let Some(graph) = self.graphs.get_mut(no.0 as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        graph.timer = false;
        if !graph.notice {
            graph.notice = true;
            let session = graph.session;
            self.tell_session(session, News::Graph(no));
        }
    }

    /// A task has ended: its session is told if it asked for that.
    pub(super) fn note_end(&mut self, task: TaskRef) {
        let graph = self.graph_mut(task.graph);
        let record = graph.task(task.index);
        if graph.announces(record) && !record.has(flag::NOTICE) {
            graph.task_mut(task.index).set(flag::NOTICE);
            let session = graph.session;
            if !self.tell_session(session, News::Task(task)) {
                self.task_mut(task).clear(flag::NOTICE);
            }
        }
    }

    /// A task may have nothing to say that its array does not.
    pub(super) fn fold(&mut self, task: TaskRef) {
        if let Some(graph) =
            self.graphs.get_mut(task.graph.0 as usize).and_then(Option::as_deref_mut)
        {
            graph.tasks.fold(task.index);
        }
    }

    /// Has a session told something. Returns whether its stream is up.
    pub(super) fn tell_session(&mut self, session: SessionId, news: News) -> bool {
        let Some(record) = self.sessions.get_mut(&session) else { return false };
        let wake = record.outbox.mark(news);
        let up = record.outbox.is_up();
        self.wake(wake, Peer::Session(session));
        up
    }
}
