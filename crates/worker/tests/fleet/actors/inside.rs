//! Actors inside the daemon.

use std::sync::{Condvar, Mutex, PoisonError};

use bireme_core::actor::call::{CallCode, Outcome};
use bireme_core::actor::place::{ActorReport, EndKind};
use bireme_core::actor::{ActorSpec, Isolation, LaneSpec};
use bireme_core::id::HolderId;
use bireme_core::{ObjectId, Span};
use bireme_worker::{Actor, Arguments, Config, Failure, Methods, Native, Registry};
use tokio::sync::Notify;

use super::caller::{call, number, stored};
use super::{end, host, native, opened, spec};
use crate::scene::Scene;

/// Code that does not return before the test lets it.
struct Stuck;

static HAS_BEGUN: Notify = Notify::const_new();
static MAY_RETURN: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Actor for Stuck {
    fn create(_: &Arguments<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn methods(methods: &mut Methods<Self>) {
        methods.shared("hang", |_: &Self| {
            HAS_BEGUN.notify_one();
            let may = MAY_RETURN.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(MAY_RETURN.1.wait_while(may, |may| !*may));
        });
    }
}

fn inside() -> ActorSpec {
    ActorSpec { isolation: Isolation::InProcess, ..spec() }
}

async fn scene_with(spec: ActorSpec) -> Scene {
    let registry = Registry::default().actor::<Stuck>("Stuck");
    let change =
        |config| Config { native: Native::InProcess, executor_program: None, registry, ..config };
    let mut scene = Scene::new(change).await;
    scene.stream.tell(host(spec, 1)).await;
    scene.stream.alive(1).await;
    scene
}

async fn over(mut scene: Scene) {
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    scene.close().await;
}

#[tokio::test]
async fn calls_run_in_order_and_a_panic_ends_only_its_call() {
    let scene = scene_with(inside()).await;
    let mut caller = opened(&scene.join, 1).await;
    for seq in 1..=1_000 {
        caller.call(seq, call("increment", None)).await;
    }
    for seq in 1..=1_000 {
        assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
    }
    caller.call(1_001, call("panic", Some("\"on purpose\""))).await;
    let (_, failed) = caller.reply().await;
    let Outcome::UserError(error) = failed.outcome else { panic!("{failed:?}") };
    assert_eq!(
        (error.reason.as_str(), error.message.as_str()),
        ("USER_PANIC", "on purpose, at 1000")
    );
    caller.call(1_002, call("get", None)).await;
    assert_eq!(caller.number().await, (1_002, 1_000), "it goes on");
    over(scene).await;
}

#[tokio::test]
async fn large_values_go_through_the_store() {
    let scene = scene_with(inside()).await;
    let mut caller = opened(&scene.join, 1).await;
    let object = ObjectId::Held { holder: HolderId(3), n: 1 };
    caller.call(1, stored("bytes", "1000000", object)).await;
    let (_, ending) = caller.reply().await;
    let Outcome::Stored { size, .. } = ending.outcome else { panic!("{ending:?}") };
    assert_eq!(size, 1_000_000);
    let inputs = std::iter::once(object).collect();
    let arguments = super::caller::input(0);
    caller
        .call(2, bireme_core::actor::call::Call { inputs, arguments, ..call("take", None) })
        .await;
    let (_, ending) = caller.reply().await;
    assert_eq!(number(&ending.outcome), 1_000_000);
    over(scene).await;
}

#[tokio::test]
async fn lanes_run_beside_each_other() {
    let lane = |name: &str| LaneSpec { name: name.to_owned(), concurrency: 1 };
    let scene = scene_with(ActorSpec { lanes: vec![lane(""), lane("other")], ..inside() }).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("sleep", Some("600000000"))).await;
    let other = bireme_core::actor::call::Call { lane: Some(1), ..call("get", None) };
    caller.call(2, other).await;
    assert_eq!(caller.number().await, (2, 0), "the first lane sleeps");
    caller.say([bireme_core::actor::wire::ToHost::Cancel { seq: 1, grace: None }]).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Cancelled)));
    over(scene).await;
}

#[tokio::test]
async fn an_actor_that_ends_itself_leaves_its_threads() {
    let mut scene = scene_with(inside()).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("exit", None)).await;
    assert_eq!(caller.number().await, (1, 0));
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Exited);
    scene.close().await;
}

#[tokio::test]
async fn code_that_does_not_return_is_given_up() {
    let mut scene = scene_with(ActorSpec { payload: native("Stuck").into(), ..inside() }).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("hang", None)).await;
    let begun = tokio::time::timeout(crate::played::GUARD, HAS_BEGUN.notified());
    begun.await.expect("it runs");
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Unknown)));
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    *MAY_RETURN.0.lock().unwrap() = true;
    MAY_RETURN.1.notify_all();
    scene.close().await;
}

#[tokio::test]
async fn a_worker_that_keeps_native_code_apart_says_how_it_would_not() {
    let mut scene = Scene::new(|config| config).await;
    scene.stream.tell(host(inside(), 1)).await;
    let ActorReport::Ended { end, cause, .. } = scene.stream.actor_report().await else {
        panic!("it lives")
    };
    let cause = cause.expect("it says why");
    assert_eq!((end, cause.reason.as_str()), (EndKind::Failed, "UNSUPPORTED"));
    assert!(cause.message.contains("`--native in-process`"), "{cause}");
    scene.close().await;
}
