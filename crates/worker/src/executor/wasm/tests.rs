//! Modules run by the executor, as the driver has it run them.

use std::time::Duration;

use bireme_core::graph::Row;
use bireme_core::id::{AttemptNo, Digest, Epoch, GraphId, TaskId};
use bireme_core::resources::Pieces;
use bireme_core::{ErrorClass, ObjectId, Resources, Time};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;
use smallvec::SmallVec;

use super::*;
use crate::inbox::{Inbox, Told};
use crate::machine::{Event, Execution};
use crate::rpc::payload::make;
use crate::store::{Store, Stored};

const GUARD: Duration = Duration::from_mins(1);
const WORDS: &str = include_str!("../../../../../examples/wasm/words.wat");
const BAD: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const -1))
  (func (export "spin") (loop $again (br $again)))
  (func (export "trap") unreachable)
  (func (export "outside") (result i64) (i64.const 0x7fffffff00000010))
  (func (export "greedy") (loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)
  (func $deep (export "deep") (call $deep))
  (func (export "takes") (param i32 i32))
  (func (export "odd") (param i32) (result f32) (f32.const 0)))"#;

/// What a payload may limit: memory in bytes, and time.
type Most = (u64, Span);
const NO_LIMIT: Most = (0, Span::ZERO);

struct Bench {
    wasm: Wasm,
    inbox: Arc<Inbox>,
    store: Arc<Store>,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (inbox, store) = (Arc::new(Inbox::default()), Arc::new(Store::scratch()));
        let relay = Relay::new(Arc::clone(&inbox), Arc::clone(&store), "w".to_owned());
        let clock = Clock::start();
        let logs = Logs::new(directory.path().to_owned(), clock);
        let wasm = Wasm::new(Arc::new(relay), logs, clock).unwrap();
        Self { wasm, inbox, store, _directory: directory }
    }

    fn start(&self, module: &str, function: &str, args: Vec<pb::Arg>, (memory, time): Most) {
        let module = wat::parse_str(module).unwrap();
        let digest = Digest(*blake3::hash(&module).as_bytes());
        let wasm = pb::Wasm {
            module: Some(digest.into()),
            function: function.to_owned(),
            memory_bytes: memory,
            time_us: time.0,
        };
        let work = Some(pb::payload::Work::Wasm(wasm));
        let payload = pb::Payload { work, args, named_args: Vec::new() }.encode_to_vec();
        let mut job = job(payload.into());
        job.blobs.push((digest, Stored::of(Value::raw(module))));
        self.wasm.start(job);
    }

    /// How the attempt ends.
    async fn end(&self) -> Result<Bytes, Box<TaskError>> {
        loop {
            let mut told = Vec::new();
            self.inbox.take(&mut told);
            for told in told {
                let Told::Event(Event::Ended { outcome, .. }) = told else { continue };
                let output = ObjectId::output(attempt().task, 0);
                let stored = || self.store.get(output).unwrap().load().unwrap();
                return outcome.map(|_| stored().bytes().unwrap());
            }
            let filled = self.inbox.filled();
            tokio::time::timeout(GUARD, filled).await.expect("nothing was told");
        }
    }

    async fn failure(&self, module: &str, function: &str, most: Most) -> Box<TaskError> {
        self.start(module, function, Vec::new(), most);
        self.end().await.unwrap_err()
    }
}

fn attempt() -> AttemptId {
    let no = AttemptNo { epoch: Epoch(1), n: 1 };
    AttemptId { task: TaskId { graph: GraphId(1), index: 0 }, no }
}

fn job(payload: Bytes) -> Job {
    let execution = Execution {
        attempt: attempt(),
        key: "k".to_owned(),
        payload,
        inputs: SmallVec::new(),
        resources: Resources::one_cpu(),
        held: Pieces::none(),
        outputs: 1,
        timeout: None,
        row: Row::None,
        runtime: Runtime::Wasm,
    };
    Job::new(Box::new(execution), SmallVec::new(), Time(0))
}

fn text(text: &str) -> pb::Arg {
    make::value(Value::text(text))
}

#[tokio::test]
async fn bytes_go_in_and_bytes_come_out() {
    let bench = Bench::new();
    let long = "word ".repeat(100_000);
    for (words, count) in [("to be or not to be", "6"), (" \n", "0"), (&long, "100000")] {
        bench.start(WORDS, "count", vec![text(words)], NO_LIMIT);
        assert_eq!(bench.end().await.unwrap(), count);
    }
}

#[tokio::test]
async fn what_a_module_says_of_its_failure_is_the_error() {
    let bench = Bench::new();
    bench.start(WORDS, "count", vec![text("")], NO_LIMIT);
    let error = bench.end().await.unwrap_err();
    assert_eq!((error.class, error.message.as_str()), (ErrorClass::User, "there is no text"));
    assert_eq!(error.language, "wasm");
}

#[tokio::test]
async fn code_that_never_ends_is_ended() {
    let bench = Bench::new();
    let error = bench.failure(BAD, "spin", (0, Span::millis(20))).await;
    assert_eq!(error.class, ErrorClass::Timeout, "{error:?}");
    bench.start(BAD, "spin", Vec::new(), NO_LIMIT);
    bench.wasm.kill(attempt(), Kill::AT_ONCE);
    assert_eq!(bench.end().await.unwrap_err().class, ErrorClass::Cancelled);
}

#[tokio::test]
async fn each_way_to_misbehave_costs_the_attempt_and_says_so() {
    let bench = Bench::new();
    let greedy = bench.failure(BAD, "greedy", (4 << 20, Span::ZERO)).await;
    assert_eq!(greedy.class, ErrorClass::OutOfMemory, "{greedy:?}");
    assert!(greedy.message.contains("4194304 bytes"), "{greedy:?}");
    for (function, class, says) in [
        ("trap", ErrorClass::User, "unreachable"),
        ("deep", ErrorClass::User, "stack"),
        ("outside", ErrorClass::Serialize, "outside its memory"),
        ("odd", ErrorClass::Malformed, "takes 1 numbers"),
        ("missing", ErrorClass::NotFound, "exports: memory, alloc"),
    ] {
        let error = bench.failure(BAD, function, NO_LIMIT).await;
        assert_eq!(error.class, class, "{function}: {error:?}");
        assert!(error.message.contains(says), "{function}: {error:?}");
    }
    bench.start(BAD, "takes", vec![text("x")], NO_LIMIT);
    assert_eq!(bench.end().await.unwrap_err().class, ErrorClass::Deserialize);
    let alien = r#"(module (import "env" "open" (func)) (memory (export "memory") 1))"#;
    let error = bench.failure(alien, "f", NO_LIMIT).await;
    assert!(error.message.contains("env"), "{error:?}");
}
