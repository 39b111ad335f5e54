//! The pool, driven as the driver drives it.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
use bireme_core::{ObjectId, Resources, Span, Time, Value};
use bytes::Bytes;
use smallvec::SmallVec;

use super::*;
use crate::executor::command::Commands;
use crate::executor::{Executors, Native};
use crate::inbox::{Inbox, Told};
use crate::machine::{Event, Execution};
use crate::rpc::payload::make;
use crate::store::Store;
use crate::sync::lock;

const GUARD: Duration = Duration::from_mins(1);

/// Executors with `builtin/*`, a function `gate` that ends when the test says so, and one that panics.
struct Bench {
    executors: Executors,
    inbox: Arc<Inbox>,
    store: Arc<Store>,
    entered: Receiver<String>,
    leave: SyncSender<()>,
}

impl Bench {
    fn new() -> Self {
        let (enter, entered) = sync_channel(16);
        let (leave, left) = sync_channel::<()>(16);
        let left = Arc::new(Mutex::new(left));
        let (enter_away, left_away) = (enter.clone(), Arc::clone(&left));
        let registry = crate::builtin::register(Registry::default())
            .task("gate", move |context: &mut Context<'_>| {
                enter.send(context.key().to_owned()).unwrap();
                lock(&left).recv_timeout(GUARD).unwrap();
            })
            .task("away", move |context: &mut Context<'_>| {
                context.without_cpus(|| {
                    enter_away.send(context.key().to_owned()).unwrap();
                    lock(&left_away).recv_timeout(GUARD).unwrap();
                })
            })
            .task("panic", || -> () { panic!("on purpose") });
        let (inbox, store) = (Arc::new(Inbox::default()), Arc::new(Store::scratch()));
        let relay = Arc::new(Relay::new(inbox.clone(), store.clone(), "w".to_owned()));
        let clock = Clock::start();
        let pool = Pool::new(relay.clone(), Arc::new(registry), Scheduler::default(), clock);
        let commands = Commands::alone(relay.clone(), clock);
        let executors = Executors::new(relay, Native::InProcess(pool), commands);
        Self { executors, inbox, store, entered, leave }
    }

    fn execute(&self, n: u32, payload: Bytes, follow: bool) {
        self.executors.execute(job(n, payload), follow);
    }

    fn gate(&self, n: u32, follow: bool) {
        self.execute(n, make::native("gate", Vec::new()), follow);
    }

    /// The next key that came to the gate.
    fn entered(&self) -> String {
        self.entered.recv_timeout(GUARD).expect("nobody came to the gate")
    }

    /// Waits for `count` events, shown in short.
    async fn told(&self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            let mut told = Vec::new();
            self.inbox.take(&mut told);
            if told.is_empty() {
                tokio::time::timeout(GUARD, self.inbox.filled()).await.expect("nothing was told");
            }
            all.extend(told.iter().map(show));
        }
        all
    }
}

fn attempt(n: u32) -> AttemptId {
    let no = AttemptNo { epoch: Epoch(1), n: 1 };
    AttemptId { task: TaskId { graph: GraphId(1), index: n }, no }
}

fn job(n: u32, payload: Bytes) -> Job {
    let execution = Execution {
        attempt: attempt(n),
        key: n.to_string(),
        payload,
        inputs: SmallVec::new(),
        resources: Resources::one_cpu(),
        held: bireme_core::resources::Pieces::none(),
        outputs: 1,
        timeout: None,
        row: bireme_core::graph::Row::None,
        runtime: Runtime::Native,
    };
    Job::new(Box::new(execution), SmallVec::new(), Time(0))
}

fn show(told: &Told) -> String {
    let n = |attempt: &AttemptId| attempt.task.index;
    match told {
        Told::Event(Event::Ended { attempt, outcome, next, .. }) => {
            let outcome = match outcome {
                Ok(outputs) => format!("{} bytes", outputs[0].size),
                Err(error) => error.reason.clone(),
            };
            match next {
                Some(next) => format!("{} ended with {outcome}, next {}", n(attempt), n(next)),
                None => format!("{} ended with {outcome}", n(attempt)),
            }
        }
        Told::Event(Event::Recalled { attempt, taken_back }) => {
            format!("{} {}", n(attempt), if *taken_back { "taken back" } else { "runs" })
        }
        Told::Event(Event::Seceded(attempt)) => format!("{} waits", n(attempt)),
        Told::Event(Event::Rejoining(attempt)) => format!("{} wants its cpus", n(attempt)),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn followers_run_in_order_and_each_end_names_the_next() {
    let bench = Bench::new();
    bench.gate(1, false);
    assert_eq!(bench.entered(), "1");
    bench.execute(2, make::native("builtin/noop", Vec::new()), true);
    bench.execute(3, make::native("builtin/bytes", vec![make::value(seven())]), true);
    bench.leave.send(()).unwrap();
    assert_eq!(
        bench.told(3).await,
        ["1 ended with 0 bytes, next 2", "2 ended with 0 bytes, next 3", "3 ended with 7 bytes"]
    );
    let stored = bench.store.get(ObjectId::output(attempt(3).task, 0)).unwrap();
    assert_eq!((stored.value.size, stored.made_by), (7, Some(attempt(3))));
}

fn seven() -> Value {
    Value::inline(bireme_core::Codec::Json, "7")
}

#[tokio::test]
async fn a_follower_with_other_resources_waits_to_be_promoted() {
    let bench = Bench::new();
    bench.gate(1, false);
    assert_eq!(bench.entered(), "1");
    let mut other = job(2, make::native("builtin/noop", Vec::new()));
    other.execution.resources = Resources::none();
    bench.executors.execute(other, true);
    bench.leave.send(()).unwrap();
    assert_eq!(bench.told(1).await, ["1 ended with 0 bytes"]);
    bench.executors.promote(attempt(2));
    assert_eq!(bench.told(1).await, ["2 ended with 0 bytes"]);
}

#[tokio::test]
async fn a_follower_is_recalled_or_runs_and_never_both() {
    let bench = Bench::new();
    bench.gate(1, false);
    bench.gate(2, true);
    bench.gate(3, true);
    assert_eq!(bench.entered(), "1");
    bench.executors.recall(attempt(3));
    assert_eq!(bench.told(1).await, ["3 taken back"]);
    bench.leave.send(()).unwrap();
    assert_eq!(bench.entered(), "2");
    bench.executors.recall(attempt(2));
    assert_eq!(bench.told(2).await, ["1 ended with 0 bytes, next 2", "2 runs"]);
    bench.leave.send(()).unwrap();
    assert_eq!(bench.told(1).await, ["2 ended with 0 bytes"]);
}

#[tokio::test]
async fn a_follower_of_another_kind_waits_to_be_promoted() {
    let bench = Bench::new();
    bench.gate(1, false);
    assert_eq!(bench.entered(), "1");
    let mut command = job(2, Bytes::new());
    command.execution.runtime = Runtime::Command;
    bench.executors.execute(command, true);
    bench.leave.send(()).unwrap();
    let told = bench.told(1).await;
    assert_eq!(told, ["1 ended with 0 bytes"]);
    bench.executors.promote(attempt(2));
    assert_eq!(bench.told(1).await, ["2 ended with MALFORMED"]);
}

#[tokio::test]
async fn who_waits_gives_its_cpus_back_and_goes_on_when_it_has_them_again() {
    let bench = Bench::new();
    bench.execute(1, make::native("away", Vec::new()), false);
    assert_eq!(bench.entered(), "1");
    assert_eq!(bench.told(1).await, ["1 waits"]);
    bench.leave.send(()).unwrap();
    assert_eq!(bench.told(1).await, ["1 wants its cpus"]);
    bench.executors.rejoined(attempt(2));
    bench.executors.rejoined(attempt(1));
    assert_eq!(bench.told(1).await, ["1 ended with 0 bytes"]);
}

#[tokio::test]
async fn who_is_killed_waits_for_no_cpus() {
    let bench = Bench::new();
    bench.execute(1, make::native("away", Vec::new()), false);
    assert_eq!(bench.entered(), "1");
    bench.leave.send(()).unwrap();
    assert_eq!(bench.told(2).await, ["1 waits", "1 wants its cpus"]);
    bench.executors.kill(attempt(1), Kill { grace: Span::ZERO, timed_out: true });
    assert_eq!(bench.told(1).await, ["1 ended with TIMED_OUT"]);
}

#[tokio::test]
async fn what_is_killed_ends_as_killed_whether_it_ran_or_not() {
    let bench = Bench::new();
    let sleep = |us: &'static str| {
        let us = Value::inline(bireme_core::Codec::Json, us);
        make::native("builtin/sleep", vec![make::value(us)])
    };
    bench.execute(1, sleep("600000000"), false);
    bench.execute(2, sleep("600000000"), true);
    let kill = |timed_out| Kill { grace: Span::ZERO, timed_out };
    bench.executors.kill(attempt(2), kill(false));
    assert_eq!(bench.told(1).await, ["2 ended with CANCELLED"]);
    bench.executors.kill(attempt(1), kill(true));
    assert_eq!(bench.told(1).await, ["1 ended with TIMED_OUT"]);
    bench.execute(3, sleep("0"), false);
    assert_eq!(bench.told(1).await, ["3 ended with 0 bytes"], "the thread is as good as new");
}

#[tokio::test]
async fn what_goes_wrong_in_an_attempt_stays_in_it() {
    let bench = Bench::new();
    for (payload, end) in [
        (make::native("panic", Vec::new()), "1 ended with USER_PANIC"),
        (make::native("nosuch", Vec::new()), "1 ended with FUNCTION_UNKNOWN"),
        (make::native("builtin/echo", vec![make::input(0)]), "1 ended with MALFORMED"),
        (Bytes::from_static(b"\xff"), "1 ended with MALFORMED"),
        (make::native("builtin/noop", Vec::new()), "1 ended with 0 bytes"),
    ] {
        bench.execute(1, payload, false);
        assert_eq!(bench.told(1).await, [end]);
    }
    let mut two = job(1, make::native("builtin/echo", vec![make::value(seven())]));
    two.execution.outputs = 2;
    bench.executors.execute(two, false);
    assert_eq!(bench.told(1).await, ["1 ended with USER_ERROR"]);
    let mut wasm = job(1, Bytes::new());
    wasm.execution.runtime = Runtime::Wasm;
    bench.executors.execute(wasm, false);
    assert_eq!(bench.told(1).await, ["1 ended with RUNTIME_UNKNOWN"]);
}
