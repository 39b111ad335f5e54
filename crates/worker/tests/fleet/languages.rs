//! Executors of other languages: processes started by a command, which is this test's binary again.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process;

use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_core::value::Buffer;
use bireme_core::{Codec, ErrorClass, Resources, TaskError, Value};
use bireme_executor::{Attempt, Description, Launch, Outcome, serve};
use bireme_proto::pb;
use bireme_proto::pb::fleet_order::Order;
use bireme_worker::{Config, LanguageRuntime};
use prost::Message as _;

use crate::played::attempt;
use crate::scene::{Ended, Scene};

/// What a call of `swell` takes for good, in bytes.
const SWELL: usize = 4 << 20;

/// A language in which the names of functions say what they do.
struct Words;

impl bireme_executor::Runtime for Words {
    fn describe(&self) -> Description {
        Description {
            runtime: "words".to_owned(),
            version: "1".to_owned(),
            language: "words".to_owned(),
            slots: 1,
            codecs: vec![Codec::Raw],
            functions: Vec::new(),
        }
    }

    fn run(&self, attempt: &Attempt) -> Outcome {
        use pb::external::Function;
        let payload = pb::Payload::decode(attempt.payload.clone()).unwrap();
        let Some(pb::payload::Work::External(external)) = payload.work else {
            panic!("no function of a language")
        };
        match external.function.unwrap() {
            Function::Blob(digest) => {
                let code = attempt.blobs.get(digest.try_into().unwrap());
                Ok(vec![Value::raw(code.expect("a blob comes with its attempt"))])
            }
            Function::Name(name) => match name.as_str() {
                "exit" => process::exit(7),
                "gpus" => {
                    let mut variables = attempt.environment.iter();
                    let held = variables.find(|(name, _)| name == "CUDA_VISIBLE_DEVICES");
                    let told = attempt.environment.len();
                    Ok(vec![Value::raw(
                        held.map_or_else(|| format!("{told} variables"), |(_, of)| of.clone()),
                    )])
                }
                "pid" => Ok(vec![Value::raw(process::id().to_string())]),
                "swell" => {
                    // Of its own for as long as it lives.
                    std::mem::forget(std::hint::black_box(vec![1_u8; SWELL]));
                    Ok(vec![Value::raw(process::id().to_string())])
                }
                "root" => {
                    let root = env::var("VIRTUAL_ENV").unwrap_or_default();
                    Ok(vec![Value::raw(root)])
                }
                other => Err(Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", other))),
            },
        }
    }
}

/// Not a test but the executor, where a worker has started this.
#[test]
fn executor() {
    if let Some(launch) = Launch::from_env().unwrap() {
        serve(launch, &Words).unwrap();
    }
}

pub(crate) fn language(name: &str, command: &[&str]) -> LanguageRuntime {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    LanguageRuntime { name: name.to_owned(), command }
}

/// The language, where a program starts its executor.
pub(crate) fn words(starter: &[&str]) -> LanguageRuntime {
    let program = env::current_exe().unwrap();
    let program = [program.to_str().unwrap(), "--exact", "languages::executor", "--nocapture"];
    language("words", &[starter, &program].concat())
}

/// A worker that has the language, and two in which nothing can be said.
fn speaking(config: Config) -> Config {
    speaking_by(&[], config)
}

/// The same, where a program starts the executor.
fn speaking_by(starter: &[&str], config: Config) -> Config {
    let words = words(starter);
    let mute = language("mute", &["sh", "-c", "echo no such module >&2; exit 3"]);
    let missing = language("missing", &["/nonexistent/program", "-m"]);
    Config { runtimes: vec![words, mute, missing], ..config }
}

fn task(n: u32, runtime: &str, function: pb::external::Function) -> Order {
    let external = pb::External { function: Some(function) };
    let payload =
        pb::Payload { work: Some(pb::payload::Work::External(external)), ..pb::Payload::default() };
    Order::Start(pb::StartAttempt {
        attempt: Some(attempt(n)),
        payload: payload.encode_to_vec().into(),
        key: n.to_string(),
        runtime: Some(Runtime::external(runtime).into()),
        ..pb::StartAttempt::default()
    })
}

pub(crate) fn call(n: u32, runtime: &str, name: &str) -> Order {
    task(n, runtime, pb::external::Function::Name(name.to_owned()))
}

/// Orders that ask for another runtime than a language as it is installed.
pub(crate) trait Asking: Sized {
    /// In an environment.
    fn within(self, environment: Digest) -> Self;

    /// In a process of its own.
    fn alone(self) -> Self;
}

impl Asking for Order {
    fn within(mut self, environment: Digest) -> Self {
        if let Self::Start(start) = &mut self {
            start.runtime.as_mut().unwrap().environment = Some(environment.into());
        }
        self
    }

    fn alone(mut self) -> Self {
        if let Self::Start(start) = &mut self {
            start.runtime.as_mut().unwrap().fresh_process = true;
        }
        self
    }
}

fn code(n: u32, digest: Digest) -> Order {
    task(n, "words", pb::external::Function::Blob(digest.into()))
}

pub(crate) fn made(end: &Ended) -> String {
    let output = end.as_ref().unwrap().outputs.first().expect("it has an output");
    let value = Value::try_from(output.value.clone().expect("it is small")).unwrap();
    let Some(Buffer::Inline(bytes)) = value.buffers.first() else { panic!("{value:?}") };
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_language_is_announced_and_runs_its_tasks() {
    let mut scene = Scene::new(speaking).await;
    assert_eq!(scene.join.runtimes, ["missing", "mute", "words"]);
    scene.order((0..500).map(|n| call(n, "words", "pid"))).await;
    let ends = scene.ends(500).await;
    let pids: BTreeSet<_> = ends.iter().map(|(_, end)| made(end)).collect();
    assert!((1..=2).contains(&pids.len()), "one for each cpu: {pids:?}");
    scene.order([call(500, "words", "oh no")]).await;
    assert_eq!(scene.ends(1).await[0].1.as_ref().unwrap_err().message, "oh no");
    scene.close().await;
}

#[tokio::test]
async fn a_function_is_fetched_once_and_sent_to_each_process_once() {
    let mut scene = Scene::new(speaking).await;
    let small = scene.scheduler.blobs.put("def f(): pass");
    let large = scene.scheduler.blobs.put("x".repeat(200_000));
    let nobodys = Digest([9; 32]);
    let which = |n| [small, large, nobodys][n as usize % 3];
    scene.order((0..300).map(|n| code(n, which(n)))).await;
    for (n, end) in scene.ends(300).await {
        match n % 3 {
            0 => assert_eq!(made(&end), "def f(): pass"),
            1 => assert_eq!(end.unwrap().outputs[0].size, 200_000),
            _ => {
                let error = end.unwrap_err();
                assert_eq!(error.reason, "BLOB_UNKNOWN");
                assert!(error.message.contains(&"09".repeat(32)), "{}", error.message);
            }
        }
    }
    let blobs = &scene.scheduler.blobs;
    assert_eq!((blobs.fetched(small), blobs.fetched(large)), (1, 1));
    scene.close().await;
}

#[tokio::test]
async fn what_kills_its_process_is_blamed_and_nobody_else() {
    let unmarked: &[_] = &["env", "-u", bireme_executor::variables::MARK];
    for starter in [&[], unmarked] {
        let mut scene = Scene::new(|config| speaking_by(starter, config)).await;
        let name = |n| if n % 20 == 7 { "exit" } else { "pid" };
        scene.order((0..60).map(|n| call(n, "words", name(n)))).await;
        let ends: BTreeMap<_, _> = scene.ends(60).await.into_iter().collect();
        for n in [7, 27, 47] {
            let error = ends[&n].as_ref().unwrap_err();
            assert_eq!((error.reason.as_str(), error.exit.unwrap().code), ("PROCESS_DIED", 7));
        }
        assert_eq!(ends.values().filter(|end| end.is_err()).count(), 3);
        scene.close().await;
    }
}

#[tokio::test]
async fn an_executor_that_cannot_be_started_fails_its_tasks_and_says_why() {
    let mut scene = Scene::new(speaking).await;
    for (from, runtime, says, code) in [
        (0, "mute", "`sh -c echo no such module >&2; exit 3`", Some(3)),
        (100, "missing", "`/nonexistent/program -m`", None),
    ] {
        scene.order((from..from + 100).map(|n| call(n, runtime, "pid"))).await;
        for (_, end) in scene.ends(100).await {
            let error = end.unwrap_err();
            assert_eq!(error.reason, "RUNTIME_BROKEN");
            assert!(error.message.contains(says), "{}", error.message);
            assert_eq!(error.exit.map(|exit| exit.code), code);
            if code.is_some() {
                assert_eq!(error.last_lines, ["no such module"]);
            }
        }
    }
    scene.order([call(200, "words", "pid")]).await;
    assert!(scene.ends(1).await[0].1.is_ok(), "others are not concerned");
    scene.close().await;
}

#[tokio::test]
async fn what_a_worker_does_not_have_is_refused_by_name() {
    let mut scene = Scene::new(speaking).await;
    let environment = call(0, "words", "pid").within(scene.scheduler.blobs.put("numpy\n"));
    scene.order([environment, call(1, "cobol", "pid")]).await;
    let ends: BTreeMap<_, _> = scene.ends(2).await.into_iter().collect();
    let errors = [0, 1].map(|n| ends[&n].as_ref().unwrap_err());
    assert_eq!(errors[0].reason, "UNSUPPORTED", "it has no interpreter of Python");
    assert_eq!(errors[1].reason, "RUNTIME_UNKNOWN");
    assert!(errors[1].message.contains("it has missing, mute, words"), "{}", errors[1].message);
    scene.close().await;
}

#[tokio::test]
async fn who_holds_pieces_is_told_which_and_others_are_told_nothing() {
    let gpus = [("gpu".to_owned(), 20_000)];
    let resources = Resources::new(20_000, 0).with_others(gpus).unwrap();
    let mut scene = Scene::new(|config| Config { resources, ..speaking(config) }).await;
    let one = || Resources::one_cpu().with_others([("gpu".to_owned(), 10_000)]).unwrap();
    let call = |n| {
        let Order::Start(start) = call(n, "words", "gpus") else { unreachable!("it starts") };
        let resources = if n == 2 { Resources::one_cpu() } else { one() };
        Order::Start(pb::StartAttempt { resources: Some(resources.into()), ..start })
    };
    scene.order((0..3).map(call)).await;
    let ends: BTreeMap<_, _> = scene.ends(3).await.into_iter().collect();
    let told: Vec<_> = ends.values().map(made).collect();
    assert!(told[..2].iter().all(|gpu| gpu == "0" || gpu == "1"), "{told:?}");
    assert_eq!(told[2], "0 variables");
    scene.close().await;
}

#[tokio::test]
async fn a_process_ends_after_so_many_tasks() {
    let mut scene = Scene::new(|config| Config { runtime_tasks: 10, ..speaking(config) }).await;
    scene.order((0..100).map(|n| call(n, "words", "pid"))).await;
    let mut by_process = BTreeMap::<_, u32>::new();
    for (_, end) in scene.ends(100).await {
        *by_process.entry(made(&end)).or_default() += 1;
    }
    assert!(by_process.values().all(|tasks| *tasks <= 10), "{by_process:?}");
    scene.close().await;
}

#[tokio::test]
async fn a_process_that_has_grown_too_large_ends_after_its_task() {
    let grows = |config| Config { runtime_memory_growth: 5 * SWELL as u64 / 2, ..speaking(config) };
    let mut scene = Scene::new(grows).await;
    let mut pids = Vec::new();
    for n in 0..9 {
        scene.order([call(n, "words", "swell")]).await;
        pids.push(made(&scene.ends(1).await[0].1));
    }
    pids.dedup();
    assert_eq!(pids.len(), 3, "the third task of each is one too many: {pids:?}");
    scene.close().await;
}

#[tokio::test]
async fn tasks_have_a_process_each_where_they_ask_for_it() {
    let mut scene = Scene::new(speaking).await;
    let order =
        |n| if n % 2 == 0 { call(n, "words", "pid").alone() } else { call(n, "words", "pid") };
    scene.order((0..40).map(order)).await;
    let (mut alone, mut together) = (Vec::new(), BTreeSet::new());
    for (n, end) in scene.ends(40).await {
        if n % 2 == 0 { alone.push(made(&end)) } else { together.extend([made(&end)]) }
    }
    assert_eq!(alone.iter().collect::<BTreeSet<_>>().len(), 20, "{alone:?}");
    assert!(alone.iter().all(|pid| !together.contains(pid)) && together.len() <= 2);
    scene.close().await;
}
