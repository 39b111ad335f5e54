//! Turns what peers have still to be told into messages, with the state of the moment.

use bireme_core::actor::place::ActorOrder;
use bireme_core::graph::TaskState;
use bireme_core::id::{SessionId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Input, Order, Output, Peer as PeerAddress, Start};
use bireme_core::session::{Notice, Place, TaskUpdate};
use bireme_core::{ErrorClass, Reason, TaskError};
use smallvec::SmallVec;

use super::Machine;
use super::graph::Graph;
use super::number::{GraphNo, TaskRef};
use super::object::Object;
use super::session::News;
use super::task::{Failure, flag};
use super::worker::Errand;

/// Holders that are named for one object: enough to try others when one fails.
const HOLDERS: usize = 4;
/// What an order or notice takes on the wire besides its texts and values, in bytes; rather more than less.
const OVERHEAD: usize = 64;

impl Machine {
    /// Appends orders for a worker until about `budget` bytes are reached. Returns whether there are more.
    ///
    /// What it returns counts as told: the driver must deliver it on the worker's newest connection or report that
    /// connection as lost.
    pub fn take_orders(&mut self, worker: WorkerId, budget: usize, out: &mut Vec<Order>) -> bool {
        let mut used = 0;
        while used < budget {
            let Some(errand) = self.workers.get_mut(worker).and_then(|worker| worker.outbox.take())
            else {
                return false;
            };
            used += OVERHEAD;
            match errand {
                Errand::Actor(actor) => used += self.tell_actor(worker, actor, out),
                Errand::Cancel(attempt, grace) => out.push(Order::Cancel { attempt, grace }),
                Errand::EndActor(actor, life, forget) => {
                    out.push(Order::Actor(self.end_order(actor, life, forget)));
                }
                Errand::Leave(deadline) => out.push(Order::Drain { deadline }),
                Errand::Peer(peer) => out.push(Order::Peers(vec![self.peer(peer)])),
                Errand::Place(object) => used += self.tell_place(worker, object, out),
                Errand::Release(object) => out.push(Order::Release(object)),
                Errand::Replicate(object) => used += self.tell_replicate(worker, object, out),
                Errand::Retract(attempt) => out.push(Order::Retract(attempt)),
                Errand::Settle(attempt) => out.push(Order::Settle(attempt)),
                Errand::SettleActor(actor, incarnation) => {
                    out.push(Order::Actor(ActorOrder::Settle { actor, incarnation }));
                }
                Errand::Start(task, attempt) => used += self.tell_start(worker, task, attempt, out),
                Errand::Stop => out.push(Order::Stop),
            }
        }
        self.workers.get(worker).is_some_and(|worker| !worker.outbox.is_empty())
    }

    /// Appends where an object can be had, or that it cannot. Returns the size of the order in bytes, about.
    fn tell_place(&mut self, worker: WorkerId, object: ObjectId, out: &mut Vec<Order>) -> usize {
        if let Some(error) = self.gone_for_good(object) {
            let size = error.message.len();
            out.push(Order::Gone { object, error });
            return size;
        }
        let Some(record) = self.find_object(object).and_then(|no| self.objects.get(no)) else {
            return 0;
        };
        let input = self.input_of(object, Some(record), worker);
        self.introduce(worker, &input, out);
        self.note_sent_value(worker, &input);
        let size = input_bytes(&input);
        out.push(Order::Places(vec![input]));
        size
    }

    /// Appends the order to make a replica, unless the object is gone. Returns its size in bytes, about.
    fn tell_replicate(&mut self, worker: WorkerId, id: ObjectId, out: &mut Vec<Order>) -> usize {
        let Some(object) = self.find_object(id).and_then(|no| self.objects.get(no)) else {
            return 0;
        };
        let input = self.input_of(id, Some(object), worker);
        self.introduce(worker, &input, out);
        self.note_sent_value(worker, &input);
        let size = input_bytes(&input);
        out.push(Order::Replicate(vec![input]));
        size
    }

    /// Appends the order to start an attempt, unless the task has moved on. Returns its size in bytes, about.
    fn tell_start(
        &mut self,
        worker: WorkerId,
        task: TaskRef,
        attempt: u32,
        out: &mut Vec<Order>,
    ) -> usize {
        let is_current = self.find_task(task).is_some_and(|record| {
            record.phase.is_sent() && record.worker == worker.0 && record.attempt == attempt
        });
        if !is_current {
            return 0;
        }
        self.task_mut(task).set(flag::TOLD);
        let inputs = self.inputs_for(task, worker);
        for input in &inputs {
            self.introduce(worker, input, out);
            self.note_sent_value(worker, input);
        }
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        let class = &self.classes.get(record.class).spec;
        let start = Start {
            attempt: self.attempt_id(task),
            payload: graph.payload(record),
            ahead: record.missing > 0,
            inputs,
            resources: class.resources.clone(),
            outputs: record.outputs,
            key: graph.name(task.index),
            timeout: class.timeout,
            row: graph.tasks.row_argument(task.index),
            rank: self.worker_rank(task),
            runtime: class.runtime.clone(),
        };
        let size = start.payload.len()
            + start.key.len()
            + start.inputs.iter().map(input_bytes).sum::<usize>();
        out.push(Order::Start(start));
        size
    }

    /// A worker keeps the values that come with an order: it has a replica from here on.
    pub(super) fn note_sent_value(&mut self, worker: WorkerId, input: &Input) {
        if input.value.is_some()
            && let Some(no) = self.find_object(input.object)
            && let Some(object) = self.objects.get_mut(no)
        {
            object.used = true;
            self.add_holder(no, worker);
        }
    }

    /// The inputs of a task, as a worker is told them.
    fn inputs_for(&self, task: TaskRef, worker: WorkerId) -> SmallVec<[Input; 2]> {
        let graph = self.graph(task.graph);
        let edges = graph.inputs(graph.task(task.index));
        edges
            .iter()
            .filter_map(|edge| {
                let id = if edge.external {
                    *graph.externals.get(edge.producer as usize)?
                } else {
                    ObjectId::output(graph.id_of(edge.producer), edge.output)
                };
                let object = self.edge_object(task, edge).and_then(|no| self.objects.get(no));
                Some(self.input_of(id, object, worker))
            })
            .collect()
    }

    /// An input as a worker is told it: without holders where it is there already, or still being made there.
    pub(super) fn input_of(
        &self,
        id: ObjectId,
        object: Option<&Object>,
        worker: WorkerId,
    ) -> Input {
        let mut input =
            Input { object: id, holders: SmallVec::new(), size: 0, value: None, made_by: None };
        let Some(object) = object else { return input };
        input.size = object.size;
        if !object.holders().contains(&worker) {
            input.value = object.small();
            if input.value.is_none() {
                input.holders = named_holders(object);
                input.made_by = self.made_by(id);
            }
        }
        input
    }

    /// Tells a worker where the holders of an input are, those it was not told of on this stream.
    pub(super) fn introduce(&mut self, worker: WorkerId, input: &Input, out: &mut Vec<Order>) {
        for holder in &input.holders {
            let is_new =
                self.workers.get_mut(worker).is_some_and(|worker| worker.knows.insert(*holder));
            if is_new {
                out.push(Order::Peers(vec![self.peer(*holder)]));
            }
        }
    }

    fn peer(&self, worker: WorkerId) -> PeerAddress {
        let join = self.workers.get(worker).map(|worker| &worker.join);
        PeerAddress {
            worker,
            addresses: join.map(|join| join.addresses.clone()).unwrap_or_default(),
            machine: join.map(|join| join.machine.clone()).unwrap_or_default(),
        }
    }

    /// Appends notices for a session until about `budget` bytes are reached. Returns whether there are more.
    pub fn take_notices(
        &mut self,
        session: SessionId,
        budget: usize,
        out: &mut Vec<Notice>,
    ) -> bool {
        let mut used = 0;
        while used < budget {
            let Some(news) =
                self.sessions.get_mut(&session).and_then(|session| session.outbox.take())
            else {
                return false;
            };
            used += OVERHEAD;
            if matches!(
                news,
                News::Answer(..) | News::Places(..) | News::Pong(_) | News::Warning(..)
            ) && let Some(session) = self.sessions.get_mut(&session)
            {
                session.answers = session.answers.saturating_sub(1);
            }
            match news {
                News::Answer(submission, Ok((graph, tasks))) => {
                    out.push(Notice::Accepted { submission, graph, tasks });
                }
                News::Answer(submission, Err(refusal)) => {
                    used += refusal.message.len();
                    out.push(Notice::Refused { submission, refusal });
                }
                News::Graph(no) if self.has_untold_ends(session, no) => {
                    self.tell_session(session, news);
                }
                News::Graph(no) => {
                    let now = self.now;
                    let Some(graph) =
                        self.graphs.get_mut(no.0 as usize).and_then(Option::as_deref_mut)
                    else {
                        continue;
                    };
                    graph.notice = false;
                    graph.told = now;
                    let (counts, done, error) =
                        (graph.counts, graph.is_done(), graph.error.clone());
                    out.push(Notice::Graph { graph: graph.id, counts, done, error });
                }
                News::Places(request, objects) => {
                    let places: Vec<Place> =
                        objects.into_iter().map(|object| self.place_of(object)).collect();
                    used += places.len() * OVERHEAD;
                    out.push(Notice::Places { request, places });
                }
                News::Pong(number) => out.push(Notice::Pong(number)),
                News::Task(task) => used += self.tell_end(task, out),
                News::Warning(graph, task, refusal) => {
                    out.push(Notice::Warning { graph, task, refusal });
                }
                News::Worker(worker) => {
                    let name = self
                        .workers
                        .get(worker)
                        .map(|worker| worker.join.name.clone())
                        .unwrap_or_default();
                    out.push(Notice::Workers(vec![(self.peer(worker), name)]));
                }
            }
        }
        self.sessions.get(&session).is_some_and(|session| !session.outbox.is_empty())
    }

    /// Whether a graph is done and not all of its ends are told: they go first, so that whoever hears that it is done has heard
    /// of all of them.
    fn has_untold_ends(&self, session: SessionId, no: GraphNo) -> bool {
        let graph = self.graphs.get(no.0 as usize).and_then(Option::as_deref);
        let is_end = |news: &News| matches!(news, News::Task(task) if task.graph == no);
        graph.is_some_and(Graph::is_done)
            && self.sessions.get(&session).is_some_and(|session| session.outbox.iter().any(is_end))
    }

    /// Appends how a task ended, if it has. Returns the size of that in bytes, about.
    fn tell_end(&mut self, task: TaskRef, out: &mut Vec<Notice>) -> usize {
        let Some(record) = self.find_task(task) else { return 0 };
        let state = record.state();
        self.task_mut(task).clear(flag::NOTICE);
        if !state.is_final() {
            return 0; // It runs again; its next end will be told.
        }
        let graph = self.graph(task.graph);
        let update = TaskUpdate {
            index: task.index,
            state,
            outputs: if state == TaskState::Finished {
                self.outputs_of(task)
            } else {
                SmallVec::new()
            },
            error: Self::error_of(graph, task.index),
        };
        let texts = |error: &TaskError| error.message.len() + error.traceback.len();
        let size = update
            .outputs
            .iter()
            .map(|(output, _)| value_bytes(output.value.as_deref()))
            .sum::<usize>()
            + update.error.as_deref().map_or(0, texts);
        out.push(Notice::Task { graph: graph.id, update });
        self.fold(task);
        size
    }

    fn outputs_of(&self, task: TaskRef) -> SmallVec<[(Output, SmallVec<[WorkerId; 2]>); 1]> {
        let graph = self.graph(task.graph);
        (0..graph.task(task.index).outputs)
            .filter_map(|output| {
                let object = self.objects.get(graph.object(task.index, output)?)?;
                let output = Output { size: object.size, value: object.small() };
                let holders =
                    if output.value.is_some() { SmallVec::new() } else { named_holders(object) };
                Some((output, holders))
            })
            .collect()
    }

    /// Why a task failed, with the chain that led there.
    pub(super) fn error_of(graph: &Graph, index: u32) -> Option<Box<TaskError>> {
        match graph.failures.get(&index)? {
            Failure::Own(error) => Some(error.clone()),
            Failure::Elsewhere(error) => Some(Box::new(TaskError::clone(error))),
            Failure::Of(root) => {
                if let Some(Failure::Elsewhere(error)) = graph.failures.get(root) {
                    return Some(Box::new(TaskError::clone(error)));
                }
                let name = graph.name(*root);
                let message = format!("task {name:?}, which this one needs, failed");
                let mut error = TaskError::new(
                    ErrorClass::Dependency,
                    Reason::DependencyFailed.name(),
                    message,
                );
                error.cause = match graph.failures.get(root) {
                    Some(Failure::Own(cause)) => Some(cause.clone()),
                    _ => None,
                };
                Some(Box::new(error))
            }
        }
    }

    pub(super) fn place_of(&self, id: ObjectId) -> Place {
        let object = self.find_object(id).and_then(|no| self.objects.get(no));
        Place {
            object: id,
            size: object.map_or(0, |object| object.size),
            holders: object.map(named_holders).unwrap_or_default(),
            value: object.and_then(Object::small),
        }
    }
}

fn named_holders(object: &Object) -> SmallVec<[WorkerId; 2]> {
    object.holders().iter().copied().take(HOLDERS).collect()
}

fn input_bytes(input: &Input) -> usize {
    OVERHEAD / 2 + value_bytes(input.value.as_deref())
}

fn value_bytes(value: Option<&bireme_core::Value>) -> usize {
    value.map_or(0, |value| usize::try_from(value.size).unwrap_or(usize::MAX) + OVERHEAD / 2)
}
