//! An executor over a real socket, against a worker that the test plays.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod stage;

use std::sync::atomic::{AtomicBool, Ordering};

use bireme_core::id::{AttemptNo, Digest, Epoch, GraphId, TaskId};
use bireme_core::value::Buffer;
use bireme_core::{AttemptId, Codec, ErrorClass, TaskError, Value};
use bireme_executor::{Attempt, Description, Outcome, Reached, Runtime};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Order, answer};
use bireme_proto::pb::executor_report::Report;

use crate::stage::{GUARD, Stage, guarded};

/// What the played runtime does with an attempt is written in its key.
struct Played(AtomicBool);

impl Runtime for Played {
    fn describe(&self) -> Description {
        Description {
            runtime: "played".to_owned(),
            version: "1".to_owned(),
            language: "none".to_owned(),
            slots: 1,
            codecs: vec![Codec::Raw],
            functions: Vec::new(),
        }
    }

    fn leaves(&self) -> Option<String> {
        self.0.load(Ordering::Relaxed).then(|| "it was the last".to_owned())
    }

    fn run(&self, attempt: &Attempt) -> Outcome {
        match attempt.key.as_str() {
            "last" => {
                assert!(attempt.stop.wait(GUARD), "nobody asked it to return");
                self.0.store(true, Ordering::Relaxed);
                Ok(vec![])
            }
            "echo" => Ok(attempt.inputs.iter().map(|input| (**input).clone()).collect()),
            "wait" => {
                assert!(attempt.stop.wait(GUARD), "nobody asked it to return");
                Err(Box::new(TaskError::new(ErrorClass::Cancelled, "CANCELLED", "stopped")))
            }
            "blob" => match attempt.blobs.get(Digest([5; 32])) {
                Some(bytes) => Ok(vec![Value::raw(bytes)]),
                None => Err(Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", "no blob"))),
            },
            "large" => Ok(vec![Value::raw(vec![7; 100_000])]),
            "headed" => {
                let buffers = ["head".into(), vec![7; 200_000].into()].map(Buffer::Inline).into();
                Ok(vec![Value { buffers, size: 200_004, ..Value::raw("") }])
            }
            other => Err(Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", other))),
        }
    }
}

fn attempt(n: u32) -> AttemptId {
    let task = TaskId { graph: GraphId(1), index: n };
    AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 1 } }
}

fn run(n: u32, key: &str, inputs: Vec<pb::Value>) -> Order {
    Order::Run(Box::new(pb::executor_order::Run {
        attempt: Some(attempt(n).into()),
        key: key.to_owned(),
        inputs,
        ..Default::default()
    }))
}

fn cancel(n: u32, reason: pb::ErrorClass) -> Order {
    let (attempt, reason) = (Some(attempt(n).into()), reason.into());
    Order::Cancel(pb::executor_order::Cancel { attempt, grace_us: 0, reason })
}

fn finished(report: Report) -> Vec<Value> {
    let Report::Finished(finished) = report else { panic!("{report:?}") };
    finished.outputs.into_iter().map(|output| output.try_into().unwrap()).collect()
}

fn failed(report: Report) -> (u32, String) {
    let Report::Failed(failed) = report else { panic!("{report:?}") };
    let task = failed.attempt.unwrap().task.unwrap();
    (task.index, failed.error.unwrap().reason)
}

#[tokio::test]
async fn it_says_who_it_is_and_runs_what_it_is_given() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    let first = stage.first.clone();
    assert_eq!(first.hello.unwrap().token, "secret");
    let attach = first.attach.unwrap();
    assert_eq!((attach.started_as, attach.runtime.as_str()), (7, "played"));
    stage.order([run(1, "echo", vec![Value::text("x").into()]), run(2, "why", vec![])]).await;
    assert_eq!(finished(stage.report().await), [Value::text("x")]);
    assert_eq!(failed(stage.report().await), (2, "USER_ERROR".to_owned()));
    stage.close().await;
}

#[tokio::test]
async fn large_values_pass_through_files() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    let bytes: Vec<u8> = (0..=250).cycle().take(50_000).collect();
    std::fs::write(stage.dir.path().join("in"), [&[0; 64], bytes.as_slice()].concat()).unwrap();
    let place =
        pb::buffer::PoolFile { name: "in".to_owned(), offset: 64, length: 50_000, generation: 1 };
    let place = Some(pb::buffer::Place::PoolFile(place));
    let input = pb::Value { buffers: vec![pb::Buffer { place }], ..Value::raw("").into() };
    stage.order([run(1, "echo", vec![input])]).await;
    let Report::AllocatePool(asked) = stage.report().await else { panic!("no room asked for") };
    assert_eq!(asked.lengths, [50_000]);
    std::fs::write(stage.dir.path().join("out"), vec![0; 60_000]).unwrap();
    let file =
        pb::buffer::PoolFile { name: "out".to_owned(), offset: 128, length: 50_000, generation: 2 };
    let answer =
        Some(answer::Answer::Allocated(pb::executor_order::Allocated { files: vec![file] }));
    stage
        .order([Order::Answer(pb::executor_order::Answer { request: asked.request, answer })])
        .await;
    let Report::ReleaseObjects(released) = stage.report().await else { panic!("still mapped") };
    assert_eq!(released.attempts, [attempt(1).into()]);
    let outputs = finished(stage.report().await);
    assert!(matches!(&outputs[0].buffers[..], [Buffer::PoolFile(file)] if file.name == "out"));
    assert_eq!(std::fs::read(stage.dir.path().join("out")).unwrap()[128..50_128], bytes);
    stage.close().await;
}

/// A file that is there, and may be mapped to be written.
fn room(stage: &Stage, length: u64) -> pb::buffer::PoolFile {
    let name = "room".to_owned();
    std::fs::write(stage.dir.path().join(&name), vec![0; 300_000]).unwrap();
    pb::buffer::PoolFile { name, offset: 64, length, generation: 1 }
}

#[tokio::test]
async fn room_that_fits_is_used_and_short_buffers_need_none() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    let given = |room| {
        let Order::Run(order) = run(1, "headed", vec![]) else { unreachable!() };
        Order::Run(Box::new(pb::executor_order::Run { room: vec![room], ..*order }))
    };
    stage.order([given(room(&stage, 200_000))]).await;
    let outputs = finished(stage.report().await);
    let [Buffer::Inline(head), Buffer::PoolFile(file)] = &outputs[0].buffers[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((&head[..], file.name.as_str(), file.length), (&b"head"[..], "room", 200_000));
    let written = std::fs::read(stage.dir.path().join("room")).unwrap();
    assert!(written[64..200_064].iter().all(|byte| *byte == 7));
    assert_eq!((written[63], written[200_064]), (0, 0));

    stage.order([given(room(&stage, 199_999))]).await;
    let Report::AllocatePool(asked) = stage.report().await else { panic!("it does not fit") };
    assert_eq!(asked.lengths, [200_000]);
    let refused = answer::Answer::Refused(pb::Refused::default());
    let answer = pb::executor_order::Answer { request: asked.request, answer: Some(refused) };
    stage.order([Order::Answer(answer)]).await;
    assert_eq!(failed(stage.report().await).0, 1);
    stage.close().await;
}

#[tokio::test]
async fn blobs_stay_until_they_are_released() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    let digest = pb::Digest::from(Digest([5; 32]));
    let with = |n, place| {
        let bytes = Some(pb::Buffer { place: Some(place) });
        let blob = pb::executor_order::Blob { digest: Some(digest.clone()), bytes };
        let Order::Run(run) = run(n, "blob", vec![]) else { unreachable!("it is a run") };
        Order::Run(Box::new(pb::executor_order::Run { blobs: vec![blob], ..*run }))
    };
    let release = || {
        let blobs = vec![digest.clone()];
        Order::ReleaseObjects(pb::executor_order::ReleaseObjects { blobs, ..Default::default() })
    };
    let inline = pb::buffer::Place::Inline("code".into());
    stage.order([with(1, inline), run(2, "blob", vec![])]).await;
    assert_eq!(finished(stage.report().await), [Value::raw("code")]);
    assert_eq!(finished(stage.report().await), [Value::raw("code")]);
    stage.order([release(), run(3, "blob", vec![])]).await;
    assert_eq!(failed(stage.report().await), (3, "USER_ERROR".to_owned()));
    std::fs::write(stage.dir.path().join("pooled"), "-pooled").unwrap();
    let file = |length| {
        let name = "pooled".to_owned();
        let file = pb::buffer::PoolFile { name, offset: 1, length, generation: 1 };
        pb::buffer::Place::PoolFile(file)
    };
    stage.order([with(4, file(7))]).await;
    assert_eq!(failed(stage.report().await), (4, "INPUT_LOST".to_owned()), "it is shorter");
    stage.order([with(5, file(6))]).await;
    assert_eq!(finished(stage.report().await), [Value::raw("pooled")]);
    stage.close().await;
}

#[tokio::test]
async fn a_process_that_leaves_says_so_before_the_end_of_its_last_attempt() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    stage.order([run(1, "last", vec![]), run(2, "echo", vec![])]).await;
    stage.reached(1).await;
    stage.order([cancel(1, pb::ErrorClass::Cancelled)]).await;
    let Report::Leaving(leaving) = stage.report().await else { panic!("it does not leave") };
    assert_eq!(leaving.reason, "it was the last");
    assert!(finished(stage.report().await).is_empty());
    assert!(finished(stage.report().await).is_empty(), "what was here before is run");
    assert!(guarded(stage.said.message()).await.unwrap().is_none(), "it says no more");
    drop(stage.down);
    let joined = tokio::task::spawn_blocking(|| stage.executor.join());
    guarded(joined).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_waits_is_taken_back_and_what_runs_goes_on() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    stage.order([run(1, "wait", vec![]), run(2, "echo", vec![]), run(3, "echo", vec![])]).await;
    stage.reached(1).await;
    let back = pb::ErrorClass::Reschedule;
    stage.order([cancel(1, back), cancel(2, back), cancel(3, pb::ErrorClass::Cancelled)]).await;
    assert_eq!(failed(stage.report().await), (2, "BUSY".to_owned()));
    assert_eq!(failed(stage.report().await), (3, "CANCELLED".to_owned()));
    assert_eq!(stage.mark.get().unwrap(), Some(Reached { started: 1, runs: true }));
    stage.order([cancel(1, pb::ErrorClass::Cancelled)]).await;
    assert_eq!(failed(stage.report().await), (1, "CANCELLED".to_owned()));
    // Numbers go on behind what was taken back.
    stage.order([run(4, "wait", vec![])]).await;
    stage.reached(4).await;
    // A process that is told to leave while code runs would end, and this test with it.
    stage.order([cancel(4, pb::ErrorClass::Cancelled)]).await;
    assert_eq!(failed(stage.report().await), (4, "CANCELLED".to_owned()));
    stage.close().await;
}

fn actor_create() -> pb::executor_order::ActorCreate {
    let actor = Some(bireme_core::ActorId(1).into());
    pb::executor_order::ActorCreate { actor, ..Default::default() }
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_by_name() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    stage
        .order([
            Order::DumpStacks(pb::executor_order::DumpStacks { request: 9 }),
            Order::ActorCreate(Box::new(actor_create())),
        ])
        .await;
    for (what, request) in [("dump_stacks", 9), ("actor_create", 0)] {
        let Report::Refused(refused) = stage.report().await else { panic!("not refused") };
        let why = refused.refused.unwrap();
        assert_eq!((refused.request, why.field.as_str()), (request, what));
        assert_eq!(why.reason, "UNSUPPORTED");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_room_that_is_refused_fails_the_attempt() {
    let mut stage = Stage::open(Played(AtomicBool::new(false))).await;
    stage.order([run(1, "large", vec![])]).await;
    let Report::AllocatePool(asked) = stage.report().await else { panic!("no room asked for") };
    let refused = pb::Refused { reason: "STORE_FULL".to_owned(), ..pb::Refused::default() };
    let answer = Some(answer::Answer::Refused(refused));
    stage
        .order([Order::Answer(pb::executor_order::Answer { request: asked.request, answer })])
        .await;
    assert_eq!(failed(stage.report().await), (1, "STORE_FULL".to_owned()));
    stage.close().await;
}
