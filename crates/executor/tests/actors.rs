//! Actors in an executor over a real socket, against a worker that the test plays.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bireme_core::actor::call::{Callee, ReplyKind};
use bireme_core::actor::{ActorSpec, Isolation, LaneSpec};
use bireme_core::graph::Runtime as Kind;
use bireme_core::{ActorId, Codec, ErrorClass, TaskError, Value};
use bireme_executor::{
    Actor, Actors, Attempt, Call, CallEnd, Creation, Description, Outcome, Reached, Runtime, State,
};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{
    ActorCall, ActorCancel, ActorCheckpoint, ActorCreate, ActorCredit, ActorDrop, ActorKept,
    ActorRestore, Order, answer,
};
use bireme_proto::pb::executor_report::actor_reply::Outcome as Reply;
use bireme_proto::pb::executor_report::{ActorReply, Report};

use crate::stage::{GUARD, Stage};

/// A runtime of one class, which counts.
struct Counters;

#[derive(Debug)]
struct Maker;

struct Counter {
    /// What it was made with and what was added since.
    count: AtomicU64,
}

impl Runtime for Counters {
    fn describe(&self) -> Description {
        Description {
            runtime: "counters".to_owned(),
            version: "1".to_owned(),
            language: "none".to_owned(),
            slots: 1,
            codecs: vec![Codec::Raw],
            functions: Vec::new(),
        }
    }

    fn run(&self, _: &Attempt) -> Outcome {
        Ok(Vec::new())
    }

    fn actors(&self) -> Option<Arc<dyn Actors>> {
        Some(Arc::new(Maker))
    }
}

fn failure(message: &str) -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", message))
}

fn number(value: &Value) -> u64 {
    String::from_utf8(value.bytes().unwrap().into()).unwrap().parse().unwrap()
}

fn text(number: u64) -> Value {
    Value::text(number.to_string())
}

impl Actors for Maker {
    fn create(&self, creation: &Creation) -> Result<Box<dyn Actor>, Box<TaskError>> {
        let count = match (&creation.restored, creation.inputs.first()) {
            (Some(state), _) => number(&state.value),
            (None, Some(input)) => number(input),
            (None, None) => return Err(failure("a counter begins somewhere")),
        };
        Ok(Box::new(Counter { count: count.into() }))
    }
}

impl Actor for Counter {
    fn methods(&self) -> Vec<String> {
        vec!["add".to_owned(), "exit".to_owned()]
    }

    fn checkpoints(&self) -> bool {
        true
    }

    fn call(&self, call: &Call) -> CallEnd {
        match call.method.as_str() {
            "add" => {
                let by = call.inputs.iter().map(|input| number(input)).sum::<u64>();
                CallEnd::Returned(text(self.count.fetch_add(by, Ordering::Relaxed) + by))
            }
            "exit" => CallEnd::Exit(text(self.count.load(Ordering::Relaxed))),
            "count" => {
                for n in 1..=3 {
                    if let Err(error) = call.items.send(text(n)) {
                        return CallEnd::Failed(error);
                    }
                }
                CallEnd::Returned(Value::none())
            }
            "left_out" => CallEnd::Returned(text(call.left_out.into())),
            "large" => CallEnd::Returned(Value::raw(vec![7; 100_000])),
            "wait" => {
                // Whoever gave it credit hears that it has begun.
                if call.reply == ReplyKind::Stream && call.items.send(text(call.number)).is_err() {
                    return CallEnd::Failed(failure("nobody heard that it has begun"));
                }
                assert!(call.stop.wait(GUARD), "nobody asked it to return");
                CallEnd::Failed(Box::new(TaskError::new(ErrorClass::Cancelled, "CANCELLED", "")))
            }
            _ => CallEnd::NoSuchMethod,
        }
    }

    fn checkpoint(&self) -> Result<State, Box<TaskError>> {
        let callees = vec![Callee { lane: 0, actor: ActorId(9), next_seq: 4, left_out: 2 }];
        Ok(State { value: text(self.count.load(Ordering::Relaxed)), callees })
    }

    fn kept(&self, callees: &[Callee]) {
        let sum: u64 = callees.iter().map(|callee| callee.next_seq).sum();
        self.count.fetch_add(100 * sum, Ordering::Relaxed);
    }

    fn wants_checkpoint(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= 400
    }
}

fn create(n: u128, spec: ActorSpec, from: u64) -> ActorCreate {
    ActorCreate {
        actor: Some(actor(n)),
        incarnation: 3,
        spec: Some(spec.into()),
        inputs: vec![text(from).into()],
        ..ActorCreate::default()
    }
}

fn spec() -> ActorSpec {
    ActorSpec::new("Counter", Kind::Native, "")
}

fn call(n: u128, number: u64, method: &str, by: &[u64]) -> ActorCall {
    ActorCall {
        actor: Some(actor(n)),
        call: number,
        method: method.to_owned(),
        inputs: by.iter().map(|by| text(*by).into()).collect(),
        ..ActorCall::default()
    }
}

fn actor(n: u128) -> pb::ActorId {
    ActorId(n).into()
}

/// The number of a call that returned, and what.
fn returned(report: Report) -> (u64, Value) {
    match report {
        Report::ActorReply(ActorReply { call, outcome: Some(Reply::Value(value)), .. }) => {
            (call, value.try_into().unwrap())
        }
        other => panic!("{other:?}"),
    }
}

/// The number of a call that failed, and why.
fn failed(report: Report) -> (u64, String) {
    match report {
        Report::ActorReply(ActorReply { call, outcome: Some(Reply::Error(error)), .. }) => {
            (call, error.reason)
        }
        other => panic!("{other:?}"),
    }
}

/// An executor that hosts actor 1, which counts from 40.
async fn counting() -> Stage {
    let mut stage = Stage::open(Counters).await;
    assert!(stage.first.attach.as_ref().unwrap().actors);
    stage.order([Order::ActorCreate(Box::new(create(1, spec(), 40)))]).await;
    let Report::ActorReady(ready) = stage.report().await else { panic!("it is not made") };
    assert_eq!((ready.incarnation, ready.checkpoints, ready.methods.len()), (3, true, 2));
    stage
}

#[tokio::test]
async fn calls_run_in_order_and_the_mark_tells_how_far() {
    let mut stage = counting().await;
    assert_eq!(stage.mark.get().unwrap(), Some(Reached::default()));
    let calls = (1..=100).map(|n| Order::ActorCall(call(1, n, "add", &[n])));
    stage.order(calls).await;
    let mut sum = 40;
    for n in 1..=100 {
        sum += n;
        assert_eq!(returned(stage.report().await), (n, text(sum)));
    }
    stage.order([Order::ActorCall(call(1, 101, "wait", &[]))]).await;
    stage.reached(101).await;
    stage.order([Order::ActorCall(call(1, 102, "add", &[1]))]).await;
    for call in [102, 101] {
        stage
            .order([Order::ActorCancel(ActorCancel { actor: Some(actor(1)), call, grace_us: 0 })])
            .await;
        assert_eq!(failed(stage.report().await), (call, "CANCELLED".to_owned()));
    }
    stage.order([Order::ActorCall(call(1, 103, "none", &[]))]).await;
    let Report::ActorReply(reply) = stage.report().await else { panic!("no reply") };
    let Some(Reply::NoSuchMethod(there)) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(there.methods, ["add", "exit"]);
    stage.close().await;
}

#[tokio::test]
async fn a_checkpoint_holds_what_was_given_before_it_and_another_life_goes_on_from_there() {
    let mut stage = counting().await;
    let checkpoint = ActorCheckpoint { actor: Some(actor(1)), incarnation: 3, lsn: 7 };
    stage
        .order([
            Order::ActorCall(call(1, 1, "add", &[1])),
            Order::ActorCheckpoint(checkpoint),
            Order::ActorCall(call(1, 2, "add", &[1])),
        ])
        .await;
    assert_eq!(returned(stage.report().await), (1, text(41)));
    let Report::ActorState(kept) = stage.report().await else { panic!("no state") };
    assert_eq!((kept.lsn, kept.state.clone()), (7, Some(text(41).into())));
    assert_eq!(returned(stage.report().await), (2, text(42)));
    let callees = kept.callees.clone();
    stage
        .order([
            Order::ActorKept(ActorKept { actor: Some(actor(1)), callees }),
            Order::ActorCall(call(1, 3, "add", &[0])),
        ])
        .await;
    let told = stage.report().await;
    assert!(matches!(&told, Report::ActorReply(reply) if reply.wants_checkpoint), "{told:?}");
    assert_eq!(returned(told), (3, text(442)));
    stage
        .order([Order::ActorDrop(ActorDrop { actor: Some(actor(1)), ..ActorDrop::default() })])
        .await;
    let Report::ActorDropped(dropped) = stage.report().await else { panic!("it is here still") };
    assert_eq!(dropped.incarnation, 3);
    let create = Some(ActorCreate { incarnation: 4, ..create(1, spec(), 0) });
    let callees = kept.callees;
    let restore = ActorRestore { create, state: kept.state, lsn: 7, callees };
    stage.order([Order::ActorRestore(Box::new(restore))]).await;
    assert!(matches!(stage.report().await, Report::ActorReady(ready) if ready.incarnation == 4));
    let behind = ActorCall { left_out: 3, ..call(1, 2, "left_out", &[]) };
    stage.order([Order::ActorCall(call(1, 1, "add", &[0])), Order::ActorCall(behind)]).await;
    assert_eq!(returned(stage.report().await), (1, text(41)));
    assert_eq!(returned(stage.report().await), (2, text(3)));
    stage.close().await;
}

#[tokio::test]
async fn items_wait_for_credit_and_large_results_pass_through_files() {
    let mut stage = counting().await;
    let stream =
        ActorCall { credit: 1, reply: pb::ReplyKind::Stream.into(), ..call(1, 1, "count", &[]) };
    stage.order([Order::ActorCall(stream)]).await;
    for n in 1..=3 {
        let Report::ActorItem(item) = stage.report().await else { panic!("no item") };
        assert_eq!((item.n, item.value), (n, Some(text(n).into())));
        stage
            .order([Order::ActorCredit(ActorCredit { actor: Some(actor(1)), call: 1, n: 1 })])
            .await;
    }
    assert_eq!(returned(stage.report().await), (1, Value::none()));
    stage.order([Order::ActorCall(call(1, 2, "large", &[]))]).await;
    let Report::AllocatePool(asked) = stage.report().await else { panic!("no room asked for") };
    assert_eq!((asked.actor, asked.lengths), (Some(actor(1)), vec![100_000]));
    std::fs::write(stage.dir.path().join("out"), vec![0; 100_000]).unwrap();
    let name = "out".to_owned();
    let file = pb::buffer::PoolFile { name, offset: 0, length: 100_000, generation: 2 };
    let given = answer::Answer::Allocated(pb::executor_order::Allocated { files: vec![file] });
    let (request, answer) = (asked.request, Some(given));
    stage.order([Order::Answer(pb::executor_order::Answer { request, answer })]).await;
    let (2, value) = returned(stage.report().await) else { panic!("another call") };
    assert!(!value.is_inline());
    assert_eq!(std::fs::read(stage.dir.path().join("out")).unwrap(), vec![7; 100_000]);
    stage.close().await;
}

#[tokio::test]
async fn an_actor_that_ends_itself_says_so_behind_the_reply() {
    let mut stage = counting().await;
    let exit = Order::ActorCall(call(1, 1, "exit", &[]));
    stage.order([exit, Order::ActorCall(call(1, 2, "add", &[1]))]).await;
    let mut said = stage.report().await;
    if let Report::ActorReply(ActorReply { call: 2, outcome, .. }) = &said {
        assert_eq!(*outcome, Some(Reply::NotBegun(true)), "it had come before the first one ran");
        said = stage.report().await;
    }
    assert_eq!(returned(said), (1, text(40)));
    assert!(matches!(stage.report().await, Report::ActorDropped(_)), "2 was not begun");
    stage.order([Order::ActorCall(call(1, 3, "add", &[1])), Order::Ping(9)]).await;
    assert_eq!(stage.report().await, Report::Pong(9), "nobody is there to answer");
    let nothing = ActorCreate { inputs: Vec::new(), ..create(1, spec(), 0) };
    stage.order([Order::ActorCreate(Box::new(nothing))]).await;
    let Report::ActorFailed(failed) = stage.report().await else { panic!("it is made of nothing") };
    assert_eq!(failed.error.unwrap().message, "a counter begins somewhere");
    stage.close().await;
}

#[tokio::test]
async fn lanes_and_shared_actors_do_not_wait_for_each_other() {
    let mut stage = Stage::open(Counters).await;
    let lane = |name: &str, concurrency| LaneSpec { name: name.to_owned(), concurrency };
    let lanes = vec![lane("", 1), lane("wide", 2)];
    let shared = ActorSpec { isolation: Isolation::Shared, lanes, ..spec() };
    let creates = [1, 2].map(|n| Order::ActorCreate(Box::new(create(n, shared.clone(), 0))));
    stage.order(creates).await;
    for _ in 0..2 {
        assert!(matches!(stage.report().await, Report::ActorReady(_)));
    }
    assert_eq!(stage.mark.get().unwrap(), None, "several threads cannot share it");
    let reply = pb::ReplyKind::Stream.into();
    let waits = |n, lane| ActorCall { lane, credit: 1, reply, ..call(1, n, "wait", &[]) };
    stage
        .order([
            Order::ActorCall(waits(1, 0)),
            Order::ActorCall(waits(2, 1)),
            Order::ActorCall(ActorCall { lane: 1, ..call(1, 3, "add", &[3]) }),
            Order::ActorCall(ActorCall { lane: 2, ..call(1, 4, "add", &[4]) }),
        ])
        .await;
    let (mut begun, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        match stage.report().await {
            Report::ActorItem(item) => begun.push(item.call),
            Report::ActorReply(reply) => ends.push(reply.call),
            other => panic!("{other:?}"),
        }
    }
    begun.sort_unstable();
    ends.sort_unstable();
    assert_eq!((begun, ends), (vec![1, 2], vec![3, 4]), "one ran beside, one named no lane");
    stage.order([Order::ActorCall(call(2, 1, "add", &[5]))]).await;
    assert_eq!(returned(stage.report().await), (1, text(5)));
    stage
        .order([Order::ActorDrop(ActorDrop { actor: Some(actor(1)), ..ActorDrop::default() })])
        .await;
    for _ in 0..2 {
        assert_eq!(failed(stage.report().await).1, "CANCELLED");
    }
    assert!(matches!(stage.report().await, Report::ActorDropped(_)));
    stage.close().await;
}

#[tokio::test]
async fn a_call_of_an_actor_that_is_not_here_is_refused_by_its_number() {
    let mut stage = counting().await;
    stage.order([Order::ActorCall(call(2, 7, "add", &[1]))]).await;
    let Report::Refused(refused) = stage.report().await else { panic!("somebody takes it") };
    assert_eq!((refused.actor, refused.request), (Some(actor(2)), 7));
    stage.close().await;
}
