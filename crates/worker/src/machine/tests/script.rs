//! Scripts in, transcripts out.
//!
//! Steps are separated by `|` or line ends. `7` is attempt 1 of task 7, or its output; `7#2` is attempt 2; `7@3@4` is object
//! 7 held by workers 3 and 4, `7!` comes with its value; of actors, `7#2` is incarnation 2; `run 7 gpu:0` holds piece 0. One step moves time by nothing; `at 5` moves it to 5 ms.

use bireme_core::actor::ActorSpec;
use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, HostOrder, Hosted};
use bireme_core::graph::Runtime;
use bireme_core::id::{
    ActorId, AttemptId, AttemptNo, Epoch, GraphId, Incarnation, TaskId, WorkerId,
};
use bireme_core::protocol::{Input, Order, Output, Report, Start, Timing};
use bireme_core::resources::{Pieces, UNITS};
use bireme_core::{ErrorClass, ObjectId, Resources, Span, TaskError, Time, Value};
use bytes::Bytes;
use expect_test::Expect;
use smallvec::SmallVec;

use crate::machine::{Config, Effect, Event, Hosting, Machine};

/// Runs a script on a worker with two cpus, two gpus, 100 bytes of memory and room for two followers.
pub(super) fn check(script: &str, expect: Expect) {
    let (mut machine, mut now, mut transcript) = (machine(2), Time(0), String::new());
    let steps = script.split(['|', '\n']).map(str::trim).filter(|step| !step.is_empty());
    for step in steps {
        let mut words = step.split_whitespace();
        let command = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        let outcome = match command {
            "announce" => announced(&machine),
            "told" => told(&mut machine),
            _ => {
                if command == "at" {
                    now = Time(words[0].parse::<u64>().unwrap() * 1_000);
                }
                let mut effects = Vec::new();
                machine.handle(now, event(command, &words), &mut effects);
                assert_eq!(machine.check(), Ok(()), "{step}");
                effects.iter().map(effect).collect::<Vec<_>>().join(", ")
            }
        };
        transcript.push_str(format!("{step:<24} -> {outcome}").trim_end());
        transcript.push('\n');
    }
    expect.assert_eq(&transcript);
}

pub(super) fn machine(followers: usize) -> Machine {
    let resources =
        Resources::new(2 * UNITS, 100).with_others([("gpu".to_owned(), 2 * UNITS)]).unwrap();
    Machine::new(Config { resources, followers, seed: 1 })
}

pub(super) fn attempt(name: &str) -> AttemptId {
    let (task, n) = name.split_once('#').unwrap_or((name, "1"));
    let task = TaskId { graph: GraphId(1), index: task.parse().unwrap() };
    AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: n.parse().unwrap() } }
}

pub(super) fn object(name: &str) -> ObjectId {
    ObjectId::output(attempt(name).task, 0)
}

/// `7#2` is incarnation 2 of actor 7.
fn actor(name: &str) -> (ActorId, Incarnation) {
    let (actor, n) = name.split_once('#').unwrap_or((name, "1"));
    (ActorId(actor.parse().unwrap()), Incarnation(n.parse().unwrap()))
}

fn workers<'a>(names: impl Iterator<Item = &'a str>) -> SmallVec<[WorkerId; 2]> {
    names.map(|name| WorkerId(name.parse().unwrap())).collect()
}

fn input(text: &str) -> Input {
    let value = text.ends_with('!').then(|| Box::new(Value::raw("12345")));
    let mut parts = text.trim_end_matches('!').split('@');
    let (object, holders) = (object(parts.next().unwrap()), workers(parts));
    Input { object, holders, size: 8, value, made_by: None }
}

fn event(command: &str, words: &[&str]) -> Event {
    let first = words.first().copied().unwrap_or_default();
    let option =
        |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let millis = |text: &str| Span::millis(text.parse().unwrap());
    let order = match command {
        "alive" => {
            let (actor, incarnation) = actor(first);
            let hosted = Hosted { actor, incarnation, alive: true, checkpoints: true };
            return Event::ActorTold(ActorReport::Alive(hosted));
        }
        "at" => return Event::TimerDue,
        "checkpoint" => {
            let (actor, incarnation) = actor(first);
            Order::Actor(ActorOrder::Checkpoint { actor, incarnation, request: 1 })
        }
        "over" => {
            let (actor, incarnation) = actor(first);
            let (end, cause, checkpoint) = (EndKind::Crashed, None, None);
            let ended = ActorReport::Ended { actor, incarnation, end, cause, checkpoint };
            return Event::ActorTold(ended);
        }
        "end-actor" => {
            let (actor, incarnation) = actor(first);
            let (grace, reason) = (Span::ZERO, "no more".to_owned());
            let forget = words.contains(&"forget");
            Order::Actor(ActorOrder::End { actor, incarnation, grace, forget, reason })
        }
        "settle-actor" => {
            let (actor, incarnation) = actor(first);
            Order::Actor(ActorOrder::Settle { actor, incarnation })
        }
        "gather" => {
            let objects = words.get(1..).unwrap_or_default().iter().map(|name| object(name));
            return Event::Gather { ticket: first.parse().unwrap(), objects: objects.collect() };
        }
        "ungather" => return Event::Ungather(first.parse().unwrap()),
        "host" => {
            let (actor, incarnation) = actor(first);
            let mut spec = ActorSpec::new("Counter", Runtime::Native, Bytes::new());
            let number =
                |name, otherwise| option(name).map_or(otherwise, |text| text.parse().unwrap());
            let gpus =
                option("gpu").map(|gpus| ("gpu".to_owned(), gpus.parse::<u64>().unwrap() * UNITS));
            spec.resources = Resources::new(number("cpus", 0) * UNITS, number("memory", 0))
                .with_others(gpus)
                .unwrap();
            let inputs = option("in").map(|list| list.split(',').map(input).collect());
            let order = HostOrder {
                actor,
                incarnation,
                spec,
                inputs: inputs.unwrap_or_default(),
                checkpoint: option("checkpoint").map(input),
                restores: false,
                copies: CopyPlaces::default(),
            };
            Order::Actor(ActorOrder::Host(Box::new(order)))
        }
        "cancel" => Order::Cancel { attempt: attempt(first), grace: Span::millis(7) },
        "down" => return Event::Disconnected,
        "drain" => Order::Drain { deadline: words.first().map(|text| millis(text)) },
        "end" => {
            let error = TaskError::new(ErrorClass::User, "USER_ERROR", "no");
            let output = Output { size: 8, value: None };
            let outcome = match words.get(1) {
                Some(&"failed") => Err(Box::new(error)),
                Some(&"empty") => Ok(SmallVec::new()),
                _ => Ok(SmallVec::from_iter([output])),
            };
            let next = option("next").map(attempt);
            return Event::Ended {
                attempt: attempt(first),
                outcome,
                timing: Timing::default(),
                next,
            };
        }
        "fetched" => return Event::Fetched { object: object(first), size: 8 },
        "lacking" => {
            let Input { object, holders: asked, .. } = input(first);
            return Event::FetchFailed { object, asked };
        }
        "leave" => {
            let deadline = words.first().map(|text| millis(text));
            return Event::DrainAsked { deadline };
        }
        "gone" => {
            let error = TaskError::new(ErrorClass::InputLost, "INPUT_LOST", "it was lost");
            Order::Gone { object: object(first), error: Box::new(error) }
        }
        "lose" => return Event::Lost(object(first)),
        "pause" => return Event::Paused(true),
        "places" => Order::Places(words.iter().map(|text| input(text)).collect()),
        "recalled" => {
            return Event::Recalled { attempt: attempt(first), taken_back: words[1] == "back" };
        }
        "prepared" => return Event::Prepared(attempt(first)),
        "prepares" => return Event::Prepares(attempt(first)),
        "rejoin" => return Event::Rejoining(attempt(first)),
        "release" => Order::Release(object(first)),
        "replicate" => Order::Replicate(words.iter().map(|text| input(text)).collect()),
        "replied" => return Event::AnnounceReplied { equal: false },
        "resume" => return Event::Paused(false),
        "retract" => Order::Retract(attempt(first)),
        "secede" => return Event::Seceded(attempt(first)),
        "settle" => Order::Settle(attempt(first)),
        "stored" => return Event::Stored { object: object(first), size: 8 },
        "start" => {
            let number =
                |name, otherwise| option(name).map_or(otherwise, |text| text.parse().unwrap());
            let cpus = if words.contains(&"half") { UNITS / 2 } else { number("cpus", 1) * UNITS };
            let gpus = option("gpu").map(|gpus| {
                let (whole, tenths) = gpus.split_once('.').unwrap_or((gpus, "0"));
                let number = |text: &str| text.parse::<u64>().unwrap();
                ("gpu".to_owned(), number(whole) * UNITS + number(tenths) * UNITS / 10)
            });
            let inputs = option("in").map(|list| list.split(',').map(input).collect());
            Order::Start(Start {
                inputs: inputs.unwrap_or_default(),
                resources: Resources::new(cpus, number("memory", 0)).with_others(gpus).unwrap(),
                timeout: option("timeout").map(millis),
                rank: number("rank", 0),
                ahead: words.contains(&"ahead"),
                runtime: if words.contains(&"command") {
                    Runtime::Command
                } else {
                    Runtime::Native
                },
                ..start(attempt(first))
            })
        }
        "stop" => Order::Stop,
        "up" => return Event::Connected,
        unknown => panic!("no such step: {unknown:?}"),
    };
    Event::Ordered(order)
}

/// An order to accept an attempt that takes one cpu and nothing in.
pub(super) fn start(attempt: AttemptId) -> Start {
    Start {
        attempt,
        payload: Bytes::new(),
        inputs: SmallVec::new(),
        resources: Resources::one_cpu(),
        outputs: 1,
        key: String::new(),
        timeout: None,
        row: bireme_core::graph::Row::None,
        rank: 0,
        ahead: false,
        runtime: Runtime::Native,
    }
}

fn id(AttemptId { task, no }: AttemptId) -> String {
    if no.n == 1 { task.index.to_string() } else { format!("{}#{}", task.index, no.n) }
}

fn name(object: ObjectId) -> String {
    object.task().unwrap().index.to_string()
}

fn at(holders: &[WorkerId]) -> String {
    holders.iter().flat_map(|worker| ["@".to_owned(), worker.0.to_string()]).collect()
}

/// Pieces, as `gpu:0,1`.
fn held(pieces: &Pieces) -> String {
    let of = pieces.iter().map(|(name, pieces)| {
        let numbers: Vec<_> = pieces.iter().map(|piece| piece.number.to_string()).collect();
        format!(" {name}:{}", numbers.join(","))
    });
    of.collect()
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Actor(order) => match order {
            ActorOrder::Checkpoint { actor, .. } => format!("checkpoint {}", actor.0),
            ActorOrder::Copy { actor, .. } => format!("copy {}", actor.0),
            ActorOrder::End { actor, incarnation, forget, .. } => {
                let for_good = if *forget { " for good" } else { "" };
                format!("end {}#{}{for_good}", actor.0, incarnation.0)
            }
            ActorOrder::Move { actor, .. } => format!("move {}", actor.0),
            ActorOrder::Host(_) | ActorOrder::Settle { .. } => {
                unreachable!("they are not passed on")
            }
        },
        Effect::Host(hosting) => {
            let Hosting { actor, incarnation, .. } = **hosting;
            format!("host {}#{}{}", actor.0, incarnation.0, held(&hosting.held))
        }
        Effect::Gathered { ticket, missing: None, .. } => format!("gathered {ticket}"),
        Effect::Gathered { ticket, missing: Some((object, _)), .. } => {
            format!("gave {ticket} up for {}", name(*object))
        }
        Effect::Drop(object) => format!("drop {}", name(*object)),
        Effect::Execute { execution, follow: true } => format!("follow {}", id(execution.attempt)),
        Effect::Execute { execution, follow: false } => {
            format!("run {}{}", id(execution.attempt), held(&execution.held))
        }
        Effect::Fetch { object, holders, .. } => format!("fetch {}{}", name(*object), at(holders)),
        Effect::Keep(object, _) => format!("keep {}", name(*object)),
        Effect::Kill { attempt, grace, timed_out } => {
            let why = if *timed_out { " timed out" } else { "" };
            format!("kill {} in {}{why}", id(*attempt), grace)
        }
        Effect::Leave => "leave".to_owned(),
        Effect::Peers(_) => "peers".to_owned(),
        Effect::Promote(attempt) => format!("promote {}", id(*attempt)),
        Effect::Recall(attempt) => format!("recall {}", id(*attempt)),
        Effect::Rejoined(attempt) => format!("rejoined {}", id(*attempt)),
        Effect::Wake => "wake".to_owned(),
    }
}

fn report(report: &Report) -> String {
    match report {
        Report::Actor(ActorReport::Alive(hosted)) => {
            format!("alive {}#{}", hosted.actor.0, hosted.incarnation.0)
        }
        Report::Actor(ActorReport::Checkpointed { actor, request, made, .. }) => {
            let made = if made.is_ok() { "made" } else { "not made" };
            format!("checkpoint {request} of {} is {made}", actor.0)
        }
        Report::Actor(ActorReport::Copied { actor, told, .. }) => {
            format!("copies of {} as of list {}", actor.0, told.version)
        }
        Report::Actor(ActorReport::Ended { actor, incarnation, end, .. }) => {
            format!("{}#{} {end:?}", actor.0, incarnation.0).to_lowercase()
        }
        Report::Draining { waits: false } => "draining".to_owned(),
        Report::Draining { waits: true } => "wants to leave".to_owned(),
        Report::Failed { attempt, error, .. } => {
            format!("failed {} {:?} {}", id(*attempt), error.class, error.reason)
        }
        Report::Finished { attempt, timing, .. } => {
            format!("finished {} after {}", id(*attempt), timing.wait)
        }
        Report::InputMissing { object, asked, .. } => {
            format!("missing {}{}", name(*object), at(asked))
        }
        Report::ReplicaAdded { object, size } => format!("replica {} of {size}", name(*object)),
        Report::ReplicaLost(object) => format!("lost {}", name(*object)),
        Report::Retracted(attempt) => format!("retracted {}", id(*attempt)),
        Report::Rejoined(attempt) => format!("rejoined {}", id(*attempt)),
        Report::Seceded(attempt) => format!("seceded {}", id(*attempt)),
        Report::Started(attempt) => format!("started {}", id(*attempt)),
    }
}

fn told(machine: &mut Machine) -> String {
    let mut reports = Vec::new();
    assert!(!machine.take_reports(usize::MAX, &mut reports));
    reports.iter().map(report).collect::<Vec<_>>().join(", ")
}

fn announced(machine: &Machine) -> String {
    let parts = machine.announce();
    assert!(parts.len() == 1 && parts[0].last);
    let objects =
        parts[0].objects.iter().map(|held| format!("{} of {}", name(held.object), held.size));
    let attempts = parts[0].attempts.iter().map(|(attempt, started)| {
        format!("{}{}", id(*attempt), if *started { " started" } else { "" })
    });
    let actors = parts[0].actors.iter().map(|hosted| {
        let alive = if hosted.alive { " alive" } else { "" };
        format!("actor {}#{}{alive}", hosted.actor.0, hosted.incarnation.0)
    });
    objects
        .chain(attempts)
        .chain(actors)
        .chain(parts[0].ended.iter().map(report))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The end of an attempt with one output.
pub(super) fn ended(attempt: AttemptId, value: Option<Value>) -> Event {
    let output = Output { size: 1, value: value.map(Box::new) };
    Event::Ended {
        attempt,
        outcome: Ok(SmallVec::from_iter([output])),
        timing: Timing::default(),
        next: None,
    }
}
