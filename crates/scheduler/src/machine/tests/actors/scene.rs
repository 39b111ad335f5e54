//! Reads scripts about actors, drives the machine, writes transcripts.

use std::fmt::Write as _;

use bireme_core::actor::copies::CopiesTold;
use bireme_core::actor::place::{ActorOrder, ActorReport, ActorState, Checkpoint, EndKind, Hosted};
use bireme_core::actor::{ActorName, ActorSpec, Delivery, Durability, OnSchedulerLoss};
use bireme_core::graph::Runtime;
use bireme_core::id::{
    ActorId, Epoch, HolderId, Incarnation, SessionId, SessionToken, SubmissionId, WorkerId,
    WorkerLife, WorkerUid,
};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Announce, Heartbeat, Join, Order, Report};
use bireme_core::resources::UNITS;
use bireme_core::session::{Command, Open, Owner, Put};
use bireme_core::{ErrorClass, Resources, Span, TaskError, Time, limits};
use expect_test::Expect;

use crate::machine::actor::{ActorAnswer, ActorRequest, Asker};
use crate::machine::{Config, ConnId, Effect, Event, Machine, Peer};

const SESSION: SessionId = SessionId(1);
/// Whoever opened the session.
const USER: Owner = Owner { key: 7, is_admin: false };

/// Runs the steps of `script`, separated by `|`, and compares what each brought about.
pub(super) fn check(script: &str, expected: &Expect) {
    check_after("", script, expected);
}

/// As [`check`], with steps before of which nothing is written down.
pub(super) fn check_after(before: &str, script: &str, expected: &Expect) {
    let mut scene = Scene::new();
    for step in before.split(" | ").filter(|step| !step.is_empty()) {
        scene.step(step);
    }
    let steps: Vec<&str> = script.split(" | ").collect();
    let width = steps.iter().map(|step| step.len()).max().unwrap_or(0);
    let mut transcript = String::new();
    for step in steps {
        let told = scene.step(step).join(" | ");
        writeln!(transcript, "{}", format!("{step:width$} -> {told}").trim_end()).unwrap();
    }
    expected.assert_eq(&transcript);
}

struct Scene {
    machine: Machine,
    now: Time,
    submissions: u128,
    /// The last order of each kind that is answered with its number.
    request: u64,
    /// The last list of places for copies.
    list: u64,
    /// What the next actor takes.
    input: Option<ObjectId>,
}

impl Scene {
    fn new() -> Self {
        let small_bytes = limits::SMALL_VALUES_BYTES;
        let config = Config { epoch: Epoch(1), seed: 1, first_session: 1, small_bytes };
        let (machine, now) = (Machine::new(config), Time(1));
        let mut scene = Self { machine, now, submissions: 0, request: 0, list: 0, input: None };
        let open = Open { owner: USER, ..Open::new(SessionToken(7)) };
        scene.handle(Event::SessionOpened { conn: Some(ConnId(1)), open });
        scene
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.handle(self.now, event, &mut effects);
        assert_eq!(self.machine.check(), Ok(()));
        effects
    }

    fn step(&mut self, step: &str) -> Vec<String> {
        let words: Vec<&str> = step.split(' ').collect();
        let mut said = Vec::new();
        match words.as_slice() {
            ["join", worker, cpus, others @ ..] => {
                self.join(number(worker), number(cpus), 1, others);
            }
            ["anew", old, "as", worker, cpus, others @ ..] => {
                let uid = format!("uid:{old}");
                let others: Vec<&str> = others.iter().copied().chain([uid.as_str()]).collect();
                self.join(number(worker), number(cpus), 2, &others);
            }
            ["misses", worker, "what", from, "left", asked @ ..] => {
                let holder = HolderId(1 << 63 | u64::from(number(from)));
                let object = ObjectId::Held { holder, n: 1 };
                let asked = asked.iter().map(|asked| id(asked)).collect();
                let report = Report::InputMissing { object, asked, made_by: None };
                self.handle(Event::WorkerReported { worker: id(worker), report });
            }
            ["away", worker] => {
                let peer = Peer::Worker(id(worker));
                self.handle(Event::Disconnected { conn: conn(number(worker)), peer });
            }
            ["back", worker, hosted @ ..] => self.come_back(worker, hosted),
            ["tick", ms] => self.tick(Span::millis(number(ms).into())),
            ["put", n, worker] => self.put(n, id(worker)),
            ["create", name, options @ ..] => said.push(self.create(name, options)),
            ["again", name] => {
                self.submissions -= 1;
                said.push(self.create(name, &[]));
            }
            ["kill", name, options @ ..] => {
                let kill = ActorRequest::Kill {
                    actor: actor(name),
                    allow_restart: options.contains(&"life"),
                    grace: Span::ZERO,
                    released: options.contains(&"released"),
                };
                said.extend(self.ask(kill, options));
            }
            ["checkpoint", name] => {
                said.extend(self.ask(ActorRequest::Checkpoint { actor: actor(name) }, &[]));
            }
            ["move", name, options @ ..] => {
                let to = options.first().filter(|word| **word != "anyhow").map(|worker| id(worker));
                let lose_state = options.contains(&"anyhow");
                let actor = actor(name);
                said.extend(
                    self.ask(ActorRequest::Move { actor, to, quiesce: None, lose_state }, &[]),
                );
            }
            ["answer"] => said.push(self.answer()),
            ["alive", worker, name, rest @ ..] => {
                let hosted = self.hosted(name, true, rest.contains(&"checkpoints"));
                self.report(worker, ActorReport::Alive(hosted));
            }
            ["copied", worker, name, copies @ ..] => self.copied(worker, name, copies),
            ["copies", name] => return vec![self.copies(name)],
            ["made", worker, name] => self.made(worker, name, Ok(())),
            ["stays", worker, name] => self.made(worker, name, Err("it cannot")),
            ["ends", worker, name, how, rest @ ..] => self.end(worker, name, how, rest),
            ["drain", worker] => {
                let (submission, worker) = (self.submission(), id(worker));
                let (deadline, reason) = (None, String::new());
                self.handle(Event::WorkerDrainAsked { submission, worker, deadline, reason });
            }
            ["blockers", worker] => return self.machine.actors_in_the_way(id(worker)),
            ["waits", name] => return self.machine.actor_waits_for(actor(name)),
            ["why", name] => return self.machine.unplaceable(actor(name)),
            ["close"] => {
                let submission = self.submission();
                let command = Command::Close { submission };
                self.handle(Event::Commanded { session: SESSION, command });
            }
            ["where", name] => return vec![self.place(name)],
            ["free", worker] => return vec![self.free(worker)],
            _ => panic!("no such step: {step}"),
        }
        said.extend(self.tell());
        said
    }

    fn submission(&mut self) -> SubmissionId {
        self.submissions += 1;
        SubmissionId(self.submissions)
    }

    fn ask(&mut self, request: ActorRequest, options: &[&str]) -> Option<String> {
        let submission = self.submission();
        let stranger = Asker { session: None, owner: Owner { key: 9, is_admin: false } };
        let own = Asker { session: Some(SESSION), owner: USER };
        let asker = if options.contains(&"stranger") { stranger } else { own };
        self.handle(Event::ActorAsked { submission, asker, request });
        match self.machine.actor_answer(submission) {
            Some(ActorAnswer::Refused(refusal)) => Some(refusal.to_string()),
            _ => None,
        }
    }

    fn answer(&self) -> String {
        match self.machine.actor_answer(SubmissionId(self.submissions)) {
            Some(ActorAnswer::Checkpoint(Some(Ok((life, made))))) => {
                format!("checkpoint of {} in life {}", made.bytes, life.0)
            }
            Some(ActorAnswer::Checkpoint(Some(Err(error)))) => format!("none: {}", error.message),
            Some(ActorAnswer::Checkpoint(None)) => "not yet".to_owned(),
            Some(ActorAnswer::Moved(_, _, Some(error))) => format!("stays: {}", error.message),
            other => format!("{other:?}"),
        }
    }

    fn create(&mut self, name: &str, options: &[&str]) -> String {
        let mut spec = ActorSpec::new("C", Runtime::Native, "payload");
        spec.inputs = self.input.take().into_iter().collect();
        let mut get_if_exists = false;
        let mut asker = Asker { session: Some(SESSION), owner: USER };
        for option in options {
            match option.split_once(':').unwrap_or((option, "")) {
                ("restarts", max) => spec.restart.max_restarts = Some(number(max)),
                ("forever", "") => spec.restart.max_restarts = None,
                ("backoff", ms) => spec.restart.backoff = Span::millis(number(ms).into()),
                ("cpus", cpus) => spec.resources.cpu_units = u64::from(number(cpus)) * UNITS,
                ("once", "") => {
                    spec.delivery = Delivery::EffectivelyOnce;
                    spec.on_scheduler_loss = OnSchedulerLoss::Stop;
                }
                ("peers", peers) => spec.peers = number(peers),
                ("disk", "") => spec.durability = Durability::Disk,
                ("stop", "") => spec.on_scheduler_loss = OnSchedulerLoss::Stop,
                ("detached", "") => spec.detached = true,
                ("on", worker) => spec.workers = vec![worker.to_owned()],
                ("class", class) => spec.class_name = class.to_owned(),
                ("get", "") => get_if_exists = true,
                ("named", name) => {
                    let (namespace, name) = (String::new(), name.to_owned());
                    spec.name = Some(ActorName { namespace, name });
                }
                ("sessionless", "") => asker.session = None,
                _ => panic!("no such option: {option}"),
            }
        }
        let submission = self.submission();
        let request =
            ActorRequest::Create { actor: actor(name), spec: Box::new(spec), get_if_exists };
        self.handle(Event::ActorAsked { submission, asker, request });
        match self.machine.actor_answer(submission) {
            Some(ActorAnswer::Created(id, true)) => format!("made {}", letter(*id)),
            Some(ActorAnswer::Created(id, false)) => format!("found {}", letter(*id)),
            Some(ActorAnswer::Refused(refusal)) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn place(&self, name: &str) -> String {
        let Some(view) = self.machine.actor(actor(name)) else { return "nowhere".to_owned() };
        let worker =
            view.place.worker.map(|worker| format!(" on {}", worker.0)).unwrap_or_default();
        let chain = std::iter::successors(view.place.cause.as_ref(), |error| error.cause.as_ref());
        let cause: Vec<_> = chain.map(ToString::to_string).collect();
        let cause =
            if cause.is_empty() { String::new() } else { format!(": {}", cause.join(" <- ")) };
        assert_eq!(view.place.state == ActorState::Dead, view.place.cause.is_some());
        format!(
            "{}{worker} in life {} after {} restarts and {} deaths{cause}",
            view.place.state.name(),
            view.place.incarnation.0,
            view.restarts,
            view.deaths.len()
        )
    }

    /// Whose copies are in step.
    fn copies(&self, name: &str) -> String {
        self.machine.actor(actor(name)).map(|view| view.copies.join(" ")).unwrap_or_default()
    }

    /// A host tells of its copies: `+2` is in step, `-3` has failed. It speaks of the last list, or with `old` of the one before.
    fn copied(&mut self, worker: &str, name: &str, copies: &[&str]) {
        let those = |sign: char| {
            let those = copies.iter().filter_map(|copy| copy.strip_prefix(sign));
            those.map(|uid| WorkerUid(number(uid).into())).collect()
        };
        let version = self.list - u64::from(copies.contains(&"old"));
        let told = CopiesTold { version, in_sync: those('+'), failed: those('-') };
        let (actor, incarnation) = (actor(name), self.life(name));
        self.report(worker, ActorReport::Copied { actor, incarnation, told });
    }

    fn free(&self, worker: &str) -> String {
        let mut workers = self.machine.workers();
        let view = workers.find(|view| view.id == id(worker)).unwrap();
        format!("{} cpus, {} actors", view.free.cpu_units / UNITS, view.actors)
    }

    // ---- workers ----------------------------------------------------------------------------------------------------

    fn join(&mut self, worker: u32, cpus: u32, life: u128, others: &[&str]) {
        let find = |key: &str| others.iter().find_map(|other| other.strip_prefix(key));
        let uid = find("uid:").map_or(worker, number);
        let functions =
            if others.contains(&"bare") { Vec::new() } else { vec!["actor:C".to_owned()] };
        let join = Join {
            uid: WorkerUid(uid.into()),
            life: WorkerLife(life),
            name: format!("w{uid}"),
            resources: Resources::new(u64::from(cpus) * UNITS, 0),
            labels: Vec::new(),
            addresses: Vec::new(),
            machine: find("boot:").unwrap_or_default().to_owned(),
            pid: 0,
            functions,
            runtimes: Vec::new(),
            previous: None,
        };
        self.admit(worker, join, Vec::new());
    }

    fn admit(&mut self, worker: u32, join: Join, actors: Vec<Hosted>) {
        self.handle(Event::WorkerJoined { conn: conn(worker), join });
        let announce = Announce { actors, last: true, ..Announce::default() };
        self.handle(Event::WorkerAnnounced { worker: WorkerId(worker), announce });
        let (heartbeat, actors) = (Heartbeat::default(), Vec::new());
        self.handle(Event::WorkerBeat { worker: WorkerId(worker), heartbeat, actors });
    }

    /// A worker's stream is up again. It hosts the actors named: `+a` is alive there, `a@2` is in its second life.
    fn come_back(&mut self, worker: &str, names: &[&str]) {
        let find = |machine: &Machine| machine.workers().find(|view| view.id == id(worker));
        let join = find(&self.machine).unwrap().join;
        let hosted = |word: &&str| {
            let (name, life) = word.split_once('@').unwrap_or((word, ""));
            let hosted = self.hosted(name.trim_start_matches('+'), name.starts_with('+'), false);
            let incarnation =
                if life.is_empty() { hosted.incarnation } else { Incarnation(number(life)) };
            Hosted { incarnation, ..hosted }
        };
        let hosted: Vec<Hosted> = names.iter().map(hosted).collect();
        self.admit(number(worker), join, hosted);
    }

    fn put(&mut self, n: &str, worker: WorkerId) {
        let object = ObjectId::Held { holder: SESSION.into(), n: number(n).into() };
        let put = Put { object, size: 1, worker, copies: 1 };
        let submission = self.submission();
        let command = Command::Put { submission, objects: vec![put] };
        self.handle(Event::Commanded { session: SESSION, command });
        self.input = Some(object);
    }

    /// Time goes by. Workers whose stream is up are heard of once a second.
    fn tick(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            let next = (self.now + limits::HEARTBEAT).min(end);
            while let Some(due) = self.machine.next_timer().filter(|due| *due <= next) {
                self.now = due.max(self.now);
                self.handle(Event::TimerDue);
            }
            self.now = next;
            let up = self.machine.workers().filter(|worker| worker.connected);
            let up: Vec<WorkerId> = up.map(|worker| worker.id).collect();
            for worker in up {
                let (heartbeat, actors) = (Heartbeat::default(), Vec::new());
                self.handle(Event::WorkerBeat { worker, heartbeat, actors });
            }
        }
    }

    // ---- what workers tell ------------------------------------------------------------------------------------------

    fn life(&self, name: &str) -> Incarnation {
        self.machine.actor_place(actor(name)).map_or(Incarnation(1), |place| place.incarnation)
    }

    fn hosted(&self, name: &str, alive: bool, checkpoints: bool) -> Hosted {
        Hosted { actor: actor(name), incarnation: self.life(name), alive, checkpoints }
    }

    fn report(&mut self, worker: &str, report: ActorReport) {
        let (worker, report) = (id(worker), Report::Actor(report));
        self.handle(Event::WorkerReported { worker, report });
    }

    fn made(&mut self, worker: &str, name: &str, made: Result<(), &str>) {
        let made = made.map(|()| Checkpoint { lsn: 1, bytes: 5, took: Span(2) });
        let made = made.map_err(|why| error(ErrorClass::User, why));
        let (incarnation, request) = (self.life(name), self.request);
        let actor = actor(name);
        self.report(worker, ActorReport::Checkpointed { actor, incarnation, request, made });
    }

    fn end(&mut self, worker: &str, name: &str, how: &str, rest: &[&str]) {
        let end = match how {
            "crashed" => EndKind::Crashed,
            "diverged" => EndKind::Diverged,
            "exited" => EndKind::Exited,
            "failed" => EndKind::Failed,
            "killed" => EndKind::Killed,
            "moved" => EndKind::Moved,
            _ => panic!("no such end: {how}"),
        };
        let class =
            if rest.contains(&"storage") { ErrorClass::Store } else { ErrorClass::ProcessDied };
        let cause = matches!(end, EndKind::Crashed | EndKind::Diverged | EndKind::Failed)
            .then(|| error(class, how));
        let holder = HolderId(1 << 63 | u64::from(number(worker)));
        let checkpoint = (end == EndKind::Moved && !rest.contains(&"empty"))
            .then_some((ObjectId::Held { holder, n: 1 }, 5));
        let life = rest.iter().find_map(|word| word.strip_prefix('@'));
        let incarnation = life.map_or(self.life(name), |life| Incarnation(number(life)));
        let actor = actor(name);
        self.report(worker, ActorReport::Ended { actor, incarnation, end, cause, checkpoint });
    }

    // ---- what workers are told --------------------------------------------------------------------------------------

    fn tell(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        let workers: Vec<WorkerId> = self.machine.workers().map(|worker| worker.id).collect();
        for worker in workers {
            let mut orders = Vec::new();
            while self.machine.take_orders(worker, 1 << 20, &mut orders) {}
            for order in orders {
                if let Some(text) = self.order(order) {
                    told.push(format!("{}: {text}", worker.0));
                }
            }
        }
        told
    }

    fn order(&mut self, order: Order) -> Option<String> {
        let order = match order {
            Order::Actor(order) => order,
            Order::Peers(_) => return None,
            Order::Release(ObjectId::Held { holder, n }) if holder.0 >> 63 == 1 => {
                return Some(format!("release {n} of {}", holder.0 & 0xff));
            }
            Order::Drain { deadline: None } => return Some("leave".to_owned()),
            other => return Some(format!("{other:?}")),
        };
        let name = |actor: ActorId, life: Incarnation| format!("{}.{}", letter(actor), life.0);
        Some(match order {
            ActorOrder::Checkpoint { actor, incarnation, request } => {
                self.request = request;
                format!("checkpoint {}", name(actor, incarnation))
            }
            ActorOrder::Copy { actor, incarnation, copies } => {
                self.list = copies.version;
                let members = copies.members.iter().map(|place| place.worker.0.to_string());
                let members: Vec<_> = members.collect();
                let unheard = if copies.unheard { " unheard" } else { "" };
                format!("copy {} to [{}]{unheard}", name(actor, incarnation), members.join(" "))
            }
            ActorOrder::End { actor, incarnation, forget, reason, .. } => {
                let how = if forget { "forget" } else { "end" };
                format!("{how} {} ({reason})", name(actor, incarnation))
            }
            ActorOrder::Host(host) => {
                self.list = host.copies.version;
                let restores = if host.restores { " restoring" } else { "" };
                let with = if host.checkpoint.is_some() { " with checkpoint" } else { "" };
                let inputs: Vec<_> = host
                    .inputs
                    .iter()
                    .chain(&host.checkpoint)
                    .map(|input| {
                        format!(
                            " from {:?}",
                            input.holders.iter().map(|id| id.0).collect::<Vec<_>>()
                        )
                    })
                    .collect();
                let copies = host.copies.members.iter();
                let copies = copies.map(|place| format!(" and copy to {}", place.worker.0));
                format!(
                    "host {}{restores}{with}{}{}",
                    name(host.actor, host.incarnation),
                    inputs.concat(),
                    copies.collect::<String>()
                )
            }
            ActorOrder::Move { actor, incarnation, request, lose_state, .. } => {
                self.request = request;
                let anyhow = if lose_state { " anyhow" } else { "" };
                format!("move {}{anyhow}", name(actor, incarnation))
            }
            ActorOrder::Settle { actor, incarnation } => {
                format!("settle {}", name(actor, incarnation))
            }
        })
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap()
}

fn id(worker: &str) -> WorkerId {
    WorkerId(number(worker))
}

fn conn(worker: u32) -> ConnId {
    ConnId(100 + u64::from(worker))
}

/// Actors are called by letters.
fn actor(name: &str) -> ActorId {
    ActorId(u128::from(name.as_bytes()[0]))
}

fn letter(id: ActorId) -> char {
    char::from(u8::try_from(id.0).unwrap())
}

fn error(class: ErrorClass, message: &str) -> Box<TaskError> {
    Box::new(TaskError::new(class, "USER_ERROR", message))
}
