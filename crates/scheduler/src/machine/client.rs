//! How sessions come, what they ask, and how graphs end with them.

use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::id::{GraphId, SessionId, SessionToken, SubmissionId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, IndexRange, Known, Open, Opened};
use bireme_core::{Span, limits};

use super::number::{GraphNo, TaskRef};
use super::session::{News, Outcome, Session};
use super::task::{Phase, flag};
use super::{ConnId, Effect, Machine, Timer};

impl Machine {
    pub(super) fn on_session_opened(
        &mut self,
        conn: Option<ConnId>,
        open: Open,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.tokens.get(&open.token).copied();
        let id = match known {
            Some(id) => id,
            None if self.sessions.len() >= limits::SESSIONS => {
                if let Some(conn) = conn {
                    let refusal = Refusal::new(
                        Reason::Busy,
                        format!("{} sessions, the limit", self.sessions.len()),
                    );
                    effects.push(Effect::Disconnect { conn, refusal });
                }
                return;
            }
            None => {
                let id = SessionId(self.next_session);
                self.next_session += 1;
                self.tokens.insert(open.token, id);
                self.sessions.insert(id, Session::new(id, open.token, self.now));
                id
            }
        };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // Whoever comes back keeps what he does not say anew.
        if known.is_none() || !open.name.is_empty() {
            session.name = open.name;
        }
        session.weight_percent = open.weight_percent.max(1);
        if let Some(ttl) = open.ttl.or(known.is_none().then_some(limits::SESSION_TTL)) {
            session.ttl = ttl.min(limits::SESSION_TTL_MAX);
        }
        session.left = self.now;
        let opened = Opened { session: id, resumed: known.is_some(), ttl: session.ttl };
        if let Some(conn) = conn {
            if let Some(old) = session.conn.replace(conn) {
                let refusal = Refusal::new(Reason::Superseded, "the session has connected anew");
                effects.push(Effect::Disconnect { conn: old, refusal });
            }
            session.outbox.open();
            session.answers = 0;
        } else {
            self.timers.insert((self.now + opened.ttl, Timer::Session(id)));
        }
        effects.push(Effect::SessionOpened { conn, opened });
        if conn.is_some() {
            self.tell_everything(id, &open.known);
        }
    }

    /// Marks everything a client that has just connected does not know.
    fn tell_everything(&mut self, id: SessionId, known: &[Known]) {
        let workers: Vec<_> = self.workers.keys().collect();
        for worker in workers {
            self.tell_session(id, News::Worker(worker));
        }
        let graphs: Vec<GraphNo> = self
            .sessions
            .get(&id)
            .map(|session| session.graphs.iter().copied().collect())
            .unwrap_or_default();
        for no in graphs {
            let graph = self.graph_mut(no);
            graph.notice = true;
            let seen = known
                .iter()
                .find(|known| known.graph == graph.id)
                .map_or(&[][..], |known| &known.seen);
            let has_seen = |index: u32| {
                seen.iter().any(|range| range.first <= index && index - range.first < range.count)
            };
            // What it saw finish may have failed since: an output was lost and could not be made again.
            let is_news = |index: u32| {
                let phase = graph.task(index).phase;
                phase.is_final() && (phase != Phase::Finished || !has_seen(index))
            };
            let ended: Vec<u32> = (0..graph.len()).filter(|index| is_news(*index)).collect();
            for index in 0..graph.len() {
                if graph.task(index).has(flag::NOTICE) {
                    graph.task_mut(index).clear(flag::NOTICE);
                }
            }
            self.tell_session(id, News::Graph(no));
            for index in ended {
                self.note_end(TaskRef { graph: no, index });
            }
        }
    }

    pub(super) fn on_session_disconnected(&mut self, conn: ConnId, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.conn != Some(conn) {
            return; // A newer stream has taken its place.
        }
        session.conn = None;
        session.left = self.now;
        session.outbox.close();
        let due = self.now + session.ttl;
        for no in session.graphs.clone() {
            self.graph_mut(no).notice = false;
        }
        self.timers.insert((due, Timer::Session(id)));
    }

    pub(super) fn on_session_timer(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.conn.is_some() {
            return;
        }
        let due = session.left + session.ttl;
        let detached = session.graphs.iter().any(|no| self.graph(*no).options.detached);
        if due > self.now {
            self.timers.insert((due, Timer::Session(id)));
        } else if detached {
            self.drop_attached(id);
            self.timers.insert((self.now + limits::SESSION_TTL_MAX, Timer::Session(id)));
        } else {
            self.end_session(id, effects);
        }
    }

    /// Drops the graphs of a session that do not outlive it.
    fn drop_attached(&mut self, id: SessionId) {
        let graphs =
            self.sessions.get(&id).map(|session| session.graphs.clone()).unwrap_or_default();
        for no in graphs {
            if !self.graph(no).options.detached {
                self.drop_graph(no);
            }
        }
    }

    /// Ends a session that asked for it, unless a graph of it lives on. One with a stream ends with that, once the answer is
    /// read; nobody can come back to it.
    fn close_session(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.graphs.is_empty())
        else {
            return;
        };
        if session.conn.is_none() {
            return self.end_session(id, effects);
        }
        session.ttl = Span::ZERO;
        let token = session.token;
        self.forget_token(id, token);
    }

    /// Lets nobody come back to a session by its token, which by now may be another's.
    fn forget_token(&mut self, id: SessionId, token: SessionToken) {
        if self.tokens.get(&token) == Some(&id) {
            self.tokens.remove(&token);
        }
    }

    fn end_session(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let graphs =
            self.sessions.get(&id).map(|session| session.graphs.clone()).unwrap_or_default();
        for no in graphs {
            self.drop_graph(no);
        }
        self.drop_values(id);
        if let Some(session) = self.sessions.remove(&id) {
            self.forget_token(id, session.token);
        }
        effects.push(Effect::SessionGone(id));
    }

    pub(super) fn on_commanded(
        &mut self,
        id: SessionId,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.left = self.now;
        if session.answers > limits::ANSWERS
            && let Some(conn) = session.conn
        {
            let message =
                format!("{} answers are unread; read the stream, then come back", session.answers);
            effects.push(Effect::Disconnect { conn, refusal: Refusal::new(Reason::Busy, message) });
            self.on_session_disconnected(conn, id);
            return;
        }
        match command {
            Command::Chunk(chunk) => {
                let submission = chunk.submission;
                self.answer(id, submission, effects, |machine| machine.on_chunk(id, *chunk));
            }
            Command::Cancel { submission, graph, tasks, grace } => {
                self.answer(id, submission, effects, |machine| {
                    machine.on_cancel(id, graph, &tasks, grace)
                });
            }
            Command::Forget { submission, graph } => {
                self.answer(id, submission, effects, |machine| machine.on_forget(id, graph));
            }
            Command::Put { submission, objects } => {
                self.answer(id, submission, effects, |machine| machine.on_put(id, &objects));
            }
            Command::Release { submission, graph, tasks } => {
                self.answer(id, submission, effects, |machine| {
                    machine.on_release(id, graph, &tasks)
                });
            }
            Command::ReleaseValues { submission, objects } => {
                self.answer(id, submission, effects, |machine| {
                    machine.on_values_released(id, &objects)
                });
            }
            Command::Retry { submission, graph, tasks } => {
                self.answer(id, submission, effects, |machine| machine.on_retry(id, graph, &tasks));
            }
            Command::Close { submission } => {
                self.answer(id, submission, effects, |_| Ok((None, 0)));
                self.drop_attached(id);
                self.close_session(id, effects);
            }
            Command::Locate { request, objects } => {
                self.count_answer(id);
                self.tell_session(id, News::Places(request, objects));
            }
            Command::Ping(number) => {
                self.count_answer(id);
                self.tell_session(id, News::Pong(number));
            }
            Command::Want { graph, tasks, values: _ } => self.on_want(id, graph, &tasks),
        }
    }

    /// Carries a command out unless it came before, and has whoever waits for the answer told.
    fn answer(
        &mut self,
        id: SessionId,
        submission: SubmissionId,
        effects: &mut Vec<Effect>,
        carry_out: impl FnOnce(&mut Self) -> Outcome,
    ) {
        let before =
            self.sessions.get(&id).and_then(|session| session.answered(submission)).cloned();
        let outcome = before.unwrap_or_else(|| carry_out(self));
        if let Some(session) = self.sessions.get_mut(&id) {
            session.remember(submission, outcome.clone());
        }
        self.count_answer(id);
        self.tell_session(id, News::Answer(submission, outcome.clone()));
        effects.push(Effect::Answered { session: id, submission, outcome });
    }

    pub(super) fn count_answer(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.outbox.is_up()
        {
            session.answers += 1;
        }
    }

    /// The session's own graph with this number.
    fn own_graph(&self, session: SessionId, graph: GraphId) -> Result<GraphNo, Refusal> {
        let own =
            self.graph_numbers.get(&graph).copied().filter(|no| self.graph(*no).session == session);
        own.ok_or_else(|| {
            Refusal::at(
                Reason::GraphUnknown,
                "graph",
                format!("session {} has no graph {graph}", session.0),
            )
        })
    }

    /// The tasks that ranges name; all of the graph if there are none.
    fn named(&self, no: GraphNo, ranges: &[IndexRange]) -> Vec<TaskRef> {
        let tasks = self.graph(no).len();
        let all = [IndexRange { first: 0, count: tasks }];
        let ranges = if ranges.is_empty() { &all } else { ranges };
        ranges
            .iter()
            .flat_map(|range| range.within(tasks))
            .map(|index| TaskRef { graph: no, index })
            .collect()
    }

    #[expect(clippy::unnecessary_wraps, reason = "what every command answers")]
    fn done(&self, no: GraphNo) -> Outcome {
        let graph = self.graph(no);
        Ok((Some(graph.id), graph.len()))
    }

    fn on_cancel(
        &mut self,
        session: SessionId,
        graph: GraphId,
        ranges: &[IndexRange],
        grace: Span,
    ) -> Outcome {
        let no = self.own_graph(session, graph)?;
        for task in self.named(no, ranges) {
            self.cancel_from(task, grace);
        }
        if ranges.is_empty() {
            self.graph_mut(no).closed = true;
            self.note_progress(no);
        }
        self.done(no)
    }

    fn on_forget(&mut self, session: SessionId, graph: GraphId) -> Outcome {
        let no = self.own_graph(session, graph)?;
        let tasks = self.graph(no).len();
        self.drop_graph(no);
        Ok((Some(graph), tasks))
    }

    fn on_release(&mut self, session: SessionId, graph: GraphId, ranges: &[IndexRange]) -> Outcome {
        let no = self.own_graph(session, graph)?;
        for task in self.named(no, ranges) {
            self.task_mut(task).set(flag::GIVEN_UP);
            let graph = self.graph(no);
            let record = graph.task(task.index);
            if record.phase == Phase::Finished && !graph.needs(record) {
                self.release_outputs(task);
            }
            self.fold(task);
        }
        self.done(no)
    }

    fn on_retry(&mut self, session: SessionId, graph: GraphId, ranges: &[IndexRange]) -> Outcome {
        let no = self.own_graph(session, graph)?;
        let again: Vec<TaskRef> = self
            .named(no, ranges)
            .into_iter()
            .filter(|task| matches!(self.task(*task).phase, Phase::Failed | Phase::Cancelled))
            .collect();
        for &task in &again {
            self.begin_again(task);
        }
        // Inputs are counted once every task to be tried again has left its final state.
        for task in again {
            if self.task(task).phase == Phase::Waiting {
                self.begin(task);
            }
        }
        self.done(no)
    }

    /// Takes a failed or cancelled task back to where it was submitted.
    fn begin_again(&mut self, task: TaskRef) {
        let before = self.before(task);
        self.set_phase(task, Phase::Waiting);
        self.tell_story(before, "RETRIED", "somebody asked for another try");
        self.graph_mut(task.graph).forget_failure(task.index);
        let record = self.task_mut(task);
        record.retries = 0;
        record.crashes = 0;
        record.clear(flag::SUSPECT);
        let (first, count) = (record.first_edge, record.edges);
        for at in first..first + count {
            let edge = *self.graph(task.graph).edge(at);
            if edge.external {
                self.link_external(task.graph, edge);
            } else {
                self.task_mut(TaskRef { graph: task.graph, index: edge.producer }).consumers += 1;
            }
        }
    }

    fn on_want(&mut self, session: SessionId, graph: GraphId, ranges: &[IndexRange]) {
        let Ok(no) = self.own_graph(session, graph) else { return };
        for task in self.named(no, ranges) {
            self.task_mut(task).set(flag::WANTED);
            if self.task(task).phase.is_final() {
                self.note_end(task);
            }
        }
    }

    /// A chunk that nobody can read was refused: its graph fails if an earlier one has made it.
    pub(super) fn on_chunk_unreadable(
        &mut self,
        session: SessionId,
        graph: GraphId,
        refusal: &Refusal,
    ) {
        if let Ok(no) = self.own_graph(session, graph)
            && !self.graph(no).closed
        {
            self.fail_graph(no, refusal);
        }
    }

    /// A later chunk of a graph was refused: what ran is cancelled.
    pub(super) fn fail_graph(&mut self, no: GraphNo, refusal: &Refusal) {
        if self.graph(no).error.is_none() {
            let message = format!("a chunk was refused: {}", refusal.message);
            self.end_graph(
                no,
                TaskError::new(ErrorClass::Malformed, refusal.reason.name(), message),
            );
        }
    }

    /// Ends a graph with an error of its own and cancels what has not ended.
    pub(super) fn end_graph(&mut self, no: GraphNo, error: TaskError) {
        let graph = self.graph_mut(no);
        graph.closed = true;
        graph.error = Some(Box::new(error));
        for index in 0..self.graph(no).len() {
            self.cancel_from(TaskRef { graph: no, index }, Span::ZERO);
        }
        self.note_progress(no);
    }

    /// Drops a graph and all it holds; cancels what has not ended.
    pub(super) fn drop_graph(&mut self, no: GraphNo) {
        self.graph_mut(no).closed = true;
        for index in 0..self.graph(no).len() {
            self.cancel_from(TaskRef { graph: no, index }, Span::ZERO);
        }
        for index in 0..self.graph(no).len() {
            let task = TaskRef { graph: no, index };
            self.fail_takers(task);
            self.release_outputs(task);
        }
        let Some(graph) = self.graphs.get_mut(no.0 as usize).and_then(Option::take) else { return };
        self.graph_numbers.remove(&graph.id);
        graph.classes.iter().for_each(|(class, _)| self.classes.release(*class));
        if let Some(session) = self.sessions.get_mut(&graph.session) {
            session.graphs.remove(&no);
        }
    }

    /// Tasks of other graphs that take an output of a task which is about to be dropped cannot run any more.
    fn fail_takers(&mut self, task: TaskRef) {
        for taker in self.takers_of(task) {
            let error =
                super::inputs::lost_input("the graph that an input comes from was forgotten");
            self.fail_from(taker, super::task::Failure::Own(Box::new(error)));
        }
    }
}
