//! What a client hears from the scheduler.

use bireme_core::graph::{GraphCounts, Watch};
use bireme_core::id::{GraphId, SubmissionId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, Notice, TaskUpdate};
use bireme_core::{TaskError, Time};
use bireme_scheduler::machine::ConnId;

use super::{Client, GraphStage, Stage, Ticket};
use crate::coverage::Moment;
use crate::load::Deed;
use crate::worker::life_at;
use crate::world::{Down, Up, World};

impl Client {
    pub(crate) fn on_down(&mut self, world: &mut World, conn: ConnId, message: Down) {
        if self.conn != Some(conn) {
            return;
        }
        match message {
            Down::Opened(opened, epoch) => {
                // One that is resumed may have been opened by a stream that broke before it could say so.
                let here = (epoch, opened.session);
                if self.session.is_some_and(|known| known != here || !opened.resumed) {
                    self.begin_anew();
                }
                self.session = Some(here);
                self.opened = true;
                if std::mem::take(&mut self.by_name) {
                    world.coverage.saw(&Moment::ByName);
                }
                // A wish may have been lost with the stream.
                self.graphs.iter_mut().for_each(|graph| graph.wanted = false);
                let again: Vec<Command> =
                    self.unanswered.iter().map(|(_, command)| command.clone()).collect();
                if !again.is_empty() {
                    world.send_up(conn, Up::Commands(again));
                }
                if self.stage == Stage::Away {
                    self.end(world, |plan| plan.options.detached);
                }
            }
            Down::Notices(notices) => {
                for notice in notices {
                    self.on_notice(world, notice);
                }
            }
            Down::Cut(reason) => {
                if reason == Reason::SessionUnknown {
                    self.on_session_unknown(world);
                }
                self.on_severed(world, conn);
            }
            Down::End => self.on_severed(world, conn),
            Down::AnnounceReply { .. } | Down::Joined(..) | Down::Orders(_) => {
                world.fail("a client was taken for a worker");
            }
        }
    }

    fn on_notice(&mut self, world: &mut World, notice: Notice) {
        match notice {
            Notice::Accepted { submission, graph, tasks } => {
                self.on_accepted(world, submission, graph, tasks);
            }
            Notice::Refused { submission, refusal } => self.on_refused(world, submission, &refusal),
            Notice::Graph { graph, .. } | Notice::Task { graph, .. } if !self.knows(graph) => {
                // It may come before the answer that names the graph.
                self.early.push((graph, notice));
            }
            Notice::Graph { graph, counts, done, error } => {
                if let Some(error) = &error {
                    world.coverage.saw_error(error);
                }
                let now = world.now();
                self.on_graph(now, graph, counts, done, error);
                self.expect_ends(world, graph);
            }
            Notice::Places { request, places } => {
                if self.answered(Ticket::Request(request)).is_some() {
                    self.on_places(world, places);
                }
            }
            Notice::Pong(request) => {
                self.answered(Ticket::Request(request));
            }
            Notice::Task { graph, update } => {
                update.error.iter().for_each(|error| world.coverage.saw_error(error));
                self.on_update(graph, update);
            }
            Notice::Warning { refusal, .. } => world.coverage.saw_refusal(refusal.reason),
            Notice::Workers(workers) => {
                for (peer, _) in workers {
                    match peer.addresses.first() {
                        Some(address) => self.workers.insert(peer.worker, life_at(address)),
                        None => self.workers.remove(&peer.worker),
                    };
                }
            }
            Notice::Closing(_) => {}
        }
    }

    fn knows(&self, id: GraphId) -> bool {
        self.graphs.iter().any(|graph| graph.id == Some(id))
    }

    /// Takes a command off the list of those without an answer; `None` if it was answered before.
    fn answered(&mut self, ticket: Ticket) -> Option<Command> {
        let at = self.unanswered.iter().position(|(other, _)| *other == ticket)?;
        Some(self.unanswered.remove(at).1)
    }

    fn on_accepted(
        &mut self,
        world: &mut World,
        submission: SubmissionId,
        id: Option<GraphId>,
        tasks: u32,
    ) {
        let Some(command) = self.answered(Ticket::Submission(submission)) else { return };
        if let Some(reason) = self.rudeness.remove(&submission) {
            world.fail(format!("{command:?} was accepted, it must be refused as {reason}"));
        }
        match command {
            Command::Chunk(chunk) => {
                self.on_chunk_accepted(world, chunk.last, submission, id, tasks);
            }

            Command::Forget { graph, .. } => {
                if let Some(state) = self.graphs.iter_mut().find(|state| state.id == Some(graph)) {
                    state.stage = GraphStage::Forgotten;
                }
            }
            Command::Put { objects, .. } => {
                for put in objects {
                    self.on_value_accepted(put.object);
                }
            }
            Command::Close { .. } => {
                self.stage = Stage::Gone;
                if let Some(conn) = self.conn.take() {
                    world.send_up(conn, Up::End);
                }
            }
            _ => {}
        }
    }

    fn on_chunk_accepted(
        &mut self,
        world: &mut World,
        last: bool,
        submission: SubmissionId,
        id: Option<GraphId>,
        tasks: u32,
    ) {
        let Some(&graph) = self.chunks.get(&submission) else { return };
        let place = (self.place, graph);
        let state = self.graph_mut(graph);
        if id.is_none() || state.id.is_some_and(|known| Some(known) != id) {
            world.fail(format!("graph {graph} of session {} became {id:?}", place.0));
            return;
        }
        state.id = id;
        state.accepted = state.accepted.max(tasks);
        state.all_accepted |= last;
        if let Some(id) = id {
            world.accepted.insert(place, (id, state.accepted));
            let (early, others) =
                std::mem::take(&mut self.early).into_iter().partition(|(graph, _)| *graph == id);
            self.early = others;
            let early: Vec<(GraphId, Notice)> = early;
            for (_, notice) in early {
                self.on_notice(world, notice);
            }
        }
    }

    fn on_refused(&mut self, world: &mut World, submission: SubmissionId, refusal: &Refusal) {
        world.coverage.saw_refusal(refusal.reason);
        let Some(command) = self.answered(Ticket::Submission(submission)) else { return };
        match self.rudeness.remove(&submission) {
            Some(reason) if reason == refusal.reason => return,
            Some(reason) => {
                world.fail(format!("{command:?} was refused as {refusal}, not as {reason}"));
            }
            None => {}
        }
        let own = self.chunks.get(&submission).copied();
        match (&command, own) {
            // The graph was cancelled, or had too many failures, before all of it had come.
            (Command::Chunk(_), Some(graph)) if refusal.reason == Reason::GraphClosed => {
                self.graph_mut(graph).cut_short = true;
            }
            // A value was lost with its worker before a task could take it.
            (Command::Chunk(chunk), Some(graph))
                if refusal.reason == Reason::ObjectUnknown && !chunk.externals.is_empty() =>
            {
                self.put_anew(world, graph, refusal);
            }
            (Command::Put { objects, .. }, _) if refusal.reason == Reason::WorkerUnknown => {
                for put in objects {
                    self.on_value_lost(put.object);
                }
            }
            _ => world.fail(format!("{command:?} was refused: {refusal}")),
        }
    }

    fn on_graph(
        &mut self,
        now: Time,
        id: GraphId,
        counts: GraphCounts,
        done: bool,
        error: Option<Box<TaskError>>,
    ) {
        if let Some(graph) = self.graphs.iter_mut().find(|graph| graph.id == Some(id)) {
            graph.counts = counts;
            graph.done = done;
            graph.ended = done.then(|| graph.ended.unwrap_or(now));
            graph.error = error.map(|error| error.reason);
        }
    }

    /// Whoever hears that a graph is done has heard of every end that is to be heard of. One that was tried again may be done
    /// by an older word.
    fn expect_ends(&self, world: &mut World, id: GraphId) {
        let Some(place) = self.graphs.iter().position(|graph| graph.id == Some(id)) else { return };
        let (graph, plan) = (self.graph(place), world.load.graph(self.place, place));
        let is_retried = plan.deeds.iter().any(|(_, deed)| *deed == Deed::Retry);
        let hears_by_itself = plan.options.watch != Watch::Graph;
        if graph.done && hears_by_itself && !is_retried && !graph.has_heard(plan) {
            world.fail(format!("graph {id} is done, and not all of its ends were told"));
        }
    }

    fn on_update(&mut self, id: GraphId, update: TaskUpdate) {
        if let Some(graph) = self.graphs.iter_mut().find(|graph| graph.id == Some(id)) {
            graph.updates.insert(update.index, update);
        }
    }
}
