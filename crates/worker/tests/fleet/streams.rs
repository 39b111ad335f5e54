//! What a worker and its scheduler say to each other.

use bireme_core::Resources;
use bireme_daemon::Shutdown;
use bireme_daemon::auth::Token;
use bireme_proto::pb;
use bireme_worker::{Config, Registry, Scheduler, ServeError, Server};
use tokio::task::JoinHandle;

use crate::played::{self, GUARD, Stream, TOKEN, attempt, start};

/// A worker, and its scheduler's side.
struct Scene {
    scheduler: played::Scheduler,
    shutdown: Shutdown,
    worker: JoinHandle<Result<(), ServeError>>,
}

impl Scene {
    async fn new() -> Self {
        let played = played::Scheduler::new().await;
        let address = Some(format!("http://{}", played.address));
        let token = Some(Token::new(TOKEN).expect("a token"));
        let config = Config {
            scheduler: Scheduler { address, token, ..Scheduler::default() },
            name: Some("w".to_owned()),
            resources: Resources::new(10_000, 0),
            registry: Registry::default().task("double", |n: i64| 2 * n),
            ..Config::default()
        };
        let shutdown = Shutdown::manual();
        let server = Server::bind(config).await.expect("a worker");
        let worker = tokio::spawn(server.run(shutdown.clone()));
        Self { scheduler: played, shutdown, worker }
    }

    async fn stream(&mut self) -> Stream {
        self.scheduler.stream().await
    }

    async fn ended(self) -> Result<(), ServeError> {
        let ended = tokio::time::timeout(GUARD, self.worker).await;
        ended.expect("the worker stays").expect("it does not panic")
    }
}

#[tokio::test]
async fn it_joins_works_and_leaves_when_told() {
    let mut scene = Scene::new().await;
    let mut stream = scene.stream().await;
    let (join, _) = stream.admit().await;
    assert_eq!((join.name.as_str(), join.uid.len(), join.incarnation.len()), ("w", 16, 16));
    assert!(join.functions.contains(&"double".to_owned()));
    assert!(join.functions.contains(&"builtin/noop".to_owned()));
    let announce_reply = Some(pb::AnnounceReply { equal: true });
    stream.answer(pb::FleetDown { announce_reply, ..pb::FleetDown::default() }).await;

    stream.order(start(0, "double", "21")).await;
    let pb::fleet_report::Report::Finished(finished) = stream.report().await else {
        panic!("it did not finish")
    };
    assert_eq!(finished.attempt, Some(attempt(0)));
    let value = finished.outputs[0].value.clone().expect("it is small");
    let Some(pb::buffer::Place::Inline(bytes)) = value.buffers[0].place.clone() else {
        panic!("it is not inline")
    };
    assert_eq!(bytes.as_ref(), [42], "a msgpack integer");

    stream.order(start(1, "double", "no number")).await;
    let pb::fleet_report::Report::Failed(failed) = stream.report().await else {
        panic!("it did not fail")
    };
    let error = failed.error.expect("it says why");
    assert_eq!((error.reason.as_str(), error.worker.as_str()), ("MALFORMED", "w"));

    stream.order(pb::fleet_order::Order::Drain(pb::Drain { deadline_us: 0 })).await;
    assert!(matches!(stream.report().await, pb::fleet_report::Report::Draining(_)));
    assert!(stream.next().await.is_none_or(|said| said.reports.is_empty()));
    drop(stream);
    scene.ended().await.unwrap();
}

#[tokio::test]
async fn it_comes_back_and_says_what_it_holds() {
    let mut scene = Scene::new().await;
    let mut stream = scene.stream().await;
    let (first, empty) = stream.admit().await;
    stream.order(start(0, "double", "4")).await;
    assert!(matches!(stream.report().await, pb::fleet_report::Report::Finished(_)));
    drop(stream);

    let mut stream = scene.stream().await;
    let (again, digest) = stream.admit().await;
    assert_eq!((again.uid, again.incarnation), (first.uid, first.incarnation));
    assert_ne!(digest, empty);
    let announce_reply = Some(pb::AnnounceReply { equal: false });
    stream.answer(pb::FleetDown { announce_reply, ..pb::FleetDown::default() }).await;
    let part = loop {
        if let Some(part) = stream.next().await.expect("it announces").announce {
            break part;
        }
    };
    assert!(part.last && part.objects.len() == 1, "{part:?}");

    scene.shutdown.trigger();
    let pb::fleet_report::Report::Draining(leaves) = stream.report().await else {
        panic!("it does not say that it leaves")
    };
    assert!(leaves.waits, "it has a value");
    stream.order(pb::fleet_order::Order::Drain(pb::Drain { deadline_us: 0 })).await;
    assert!(stream.next().await.is_none_or(|said| said.reports.is_empty()));
    drop(stream);
    scene.ended().await.unwrap();
}

#[tokio::test]
async fn a_final_refusal_ends_it() {
    use bireme_core::reason::{Reason, Refusal};
    let mut scene = Scene::new().await;
    let stream = scene.stream().await;
    let refusal = Refusal::new(Reason::WorkerNameTaken, "another worker is called w");
    stream.answer.send(Err(bireme_proto::status::status(refusal))).await.unwrap();
    let error = scene.ended().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the scheduler refuses this worker: WORKER_NAME_TAKEN: another worker is called w"
    );
}

#[tokio::test]
async fn nobody_to_join_does_not_keep_it_from_leaving() {
    let scene = Scene::new().await;
    scene.shutdown.trigger();
    scene.ended().await.unwrap();
}
