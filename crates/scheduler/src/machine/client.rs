//! What sessions ask, and how graphs end.

use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::id::{GraphId, SessionId, SubmissionId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, IndexRange};
use bireme_core::{Span, limits};

use super::number::{GraphNo, TaskRef};
use super::session::{News, Outcome};
use super::task::{Phase, flag};
use super::{Effect, Machine};

impl Machine {
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
            Command::Cancel { submission, graph, tasks, grace, reason } => {
                self.answer(id, submission, effects, |machine| {
                    machine.on_cancel(id, graph, &tasks, grace, &reason)
                });
            }
            Command::DropReplicas { submission, replicas } => {
                self.answer(id, submission, effects, |machine| {
                    machine.on_replicas_dropped(id, &replicas)
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
        why: &str,
    ) -> Outcome {
        let no = self.own_graph(session, graph)?;
        if ranges.is_empty() && !why.is_empty() {
            self.say_why(no, why);
        }
        for task in self.named(no, ranges) {
            self.cancel_from(task, grace, why);
        }
        if ranges.is_empty() {
            self.graph_mut(no).closed = true;
            self.note_progress(no);
        }
        self.done(no)
    }

    /// Whoever looks at a graph that is about to be cancelled is to read why, unless it has failed or is done.
    fn say_why(&mut self, no: GraphNo, why: &str) {
        let graph = self.graph_mut(no);
        if graph.error.is_none() && !graph.is_done() {
            let error = TaskError::new(ErrorClass::Cancelled, Reason::Cancelled.name(), why);
            graph.error = Some(Box::new(error.bounded()));
        }
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
            self.give_up(task);
        }
        self.done(no)
    }

    /// Nobody but other tasks needs the outputs of a task any more.
    fn give_up(&mut self, task: TaskRef) {
        self.task_mut(task).set(flag::GIVEN_UP);
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        if record.phase == Phase::Finished && !graph.needs(record) {
            self.release_outputs(task);
        }
        self.fold(task);
    }

    /// Drops the outputs of a graph that is done for as long as it asked for. One that runs again meanwhile gets its time anew.
    pub(super) fn on_expiry(&mut self, no: GraphNo) {
        let Some(graph) = self.graphs.get(no.0 as usize).and_then(Option::as_deref) else { return };
        let due = graph.ended.zip(graph.options.ttl).map(|(ended, ttl)| ended + ttl);
        if due.is_none_or(|due| due > self.now) {
            return;
        }
        self.graph_mut(no).expired = true;
        for task in self.named(no, &[]) {
            // What failed or was cancelled may be tried again.
            if self.task(task).phase == Phase::Finished {
                self.give_up(task);
            }
        }
    }

    fn on_retry(&mut self, session: SessionId, graph: GraphId, ranges: &[IndexRange]) -> Outcome {
        let no = self.own_graph(session, graph)?;
        let again: Vec<TaskRef> = self
            .named(no, ranges)
            .into_iter()
            .filter(|task| matches!(self.task(*task).phase, Phase::Failed | Phase::Cancelled))
            .collect();
        let graph = self.graph_mut(no);
        graph.error.take_if(|error| !again.is_empty() && error.class == ErrorClass::Cancelled);
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
            self.cancel_from(TaskRef { graph: no, index }, Span::ZERO, "");
        }
        self.note_progress(no);
    }

    /// Drops a graph and all it holds; cancels what has not ended.
    pub(super) fn drop_graph(&mut self, no: GraphNo) {
        self.graph_mut(no).closed = true;
        for index in 0..self.graph(no).len() {
            self.cancel_from(TaskRef { graph: no, index }, Span::ZERO, "");
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
