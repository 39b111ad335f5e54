//! Actors whose logs are copied to other workers, over real sockets: the test plays the scheduler of each.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use bireme_core::Span;
use bireme_core::actor::copies::{CopiesTold, CopyPlace, CopyPlaces};
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind};
use bireme_core::actor::{ActorSpec, CheckpointPolicy, Durability};
use bireme_core::id::{Incarnation, WorkerUid};
use bireme_core::protocol::{Order, Report};
use bireme_proto::convert::fleet;
use bireme_worker::Config;

use super::caller::{Caller, call};
use super::{COUNTER, address, durable, end, host_with, opened};
use crate::played::GUARD;
use crate::scene::Scene;

async fn worker(directory: &Path) -> Scene {
    let state_dir = Some(directory.to_owned());
    Scene::new(|config| Config { state_dir, ..config }).await
}

fn uid(scene: &Scene) -> WorkerUid {
    WorkerUid::from_slice(&scene.join.uid).unwrap()
}

fn places(version: u64, scenes: &[&Scene]) -> CopyPlaces {
    let place = |scene: &&Scene| {
        let addresses = scene.join.addresses.iter().cloned();
        let addresses = addresses.map(|address| address.try_into().unwrap());
        CopyPlace { worker: uid(scene), addresses: addresses.collect() }
    };
    CopyPlaces { version, members: scenes.iter().map(place).collect(), unheard: false }
}

fn copied(durability: Durability) -> ActorSpec {
    let checkpoint = CheckpointPolicy { every_calls: 7, ..CheckpointPolicy::default() };
    ActorSpec { peers: 1, durability, checkpoint, ..durable() }
}

fn copy(incarnation: u32, copies: CopyPlaces) -> Order {
    let incarnation = Incarnation(incarnation);
    Order::Actor(ActorOrder::Copy { actor: COUNTER, incarnation, copies })
}

/// A worker, and what it has told and nobody has asked for.
struct Watched {
    scene: Scene,
    told: VecDeque<ActorReport>,
}

impl Watched {
    async fn new(directory: &Path) -> Self {
        Self { scene: worker(directory).await, told: VecDeque::new() }
    }

    async fn tell(&self, order: Order) {
        self.scene.stream.tell(order).await;
    }

    async fn report(&mut self) -> ActorReport {
        let wait = async {
            loop {
                if let Some(report) = self.told.pop_front() {
                    return report;
                }
                let said = self.scene.stream.next().await.expect("the worker has left");
                let (reports, _) = fleet::reports(said.reports).expect("reports make sense");
                self.told.extend(reports.into_iter().filter_map(|report| match report {
                    Report::Actor(report) => Some(report),
                    _ => None,
                }));
            }
        };
        tokio::time::timeout(GUARD, wait).await.expect("it reports in time")
    }

    /// What it tells of its copies next.
    async fn copies(&mut self) -> CopiesTold {
        match self.report().await {
            ActorReport::Copied { actor: COUNTER, told, .. } => told,
            other => panic!("it should tell of copies: {other:?}"),
        }
    }

    async fn alive(&mut self, life: u32) {
        match self.report().await {
            ActorReport::Alive(hosted) => assert_eq!(hosted.incarnation, Incarnation(life)),
            other => panic!("it should be alive: {other:?}"),
        }
    }

    /// Ends an incarnation for good.
    async fn end(mut self, life: u32) {
        self.tell(end(life, Span::ZERO, true)).await;
        loop {
            if let ActorReport::Ended { incarnation, end, .. } = self.report().await {
                assert_eq!((incarnation, end), (Incarnation(life), EndKind::Killed));
                break;
            }
        }
        self.scene.close().await;
    }
}

fn in_sync(version: u64, scene: &Scene) -> CopiesTold {
    CopiesTold { version, in_sync: vec![uid(scene)], failed: Vec::new() }
}

#[tokio::test]
async fn a_worker_with_a_copy_goes_on_with_it_and_the_host_before_answers_nobody() {
    for durability in [Durability::Process, Durability::Disk] {
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut home = Watched::new(directories[0].path()).await;
        let mut heir = Watched::new(directories[1].path()).await;
        home.tell(host_with(copied(durability), 1, places(1, &[&heir.scene]))).await;
        assert_eq!(home.copies().await, in_sync(1, &heir.scene));
        home.alive(1).await;
        let mut caller = opened(&home.scene.join, 1).await;
        for seq in 1..=30 {
            caller.call(seq, call("increment", None)).await;
        }
        for seq in 1..=30 {
            assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
        }
        heir.tell(host_with(copied(durability), 2, places(2, &[]))).await;
        heir.alive(2).await;
        // The host before does not know, and nothing that it does is kept any more.
        caller.call(31, call("increment", None)).await;
        let failed = vec![uid(&heir.scene)];
        assert_eq!(home.copies().await, CopiesTold { version: 1, in_sync: vec![], failed });
        let mut again = Caller::new(&address(&heir.scene.join)).await;
        assert_eq!(again.open(1, 2, 30).await.next_seq, 31);
        again.call(31, call("get", None)).await;
        assert_eq!(again.number().await, (31, 30));
        home.end(1).await;
        heir.end(2).await;
    }
}

#[tokio::test]
async fn a_copy_that_is_lost_is_left_out_and_another_catches_up() {
    let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut home = Watched::new(directories[0].path()).await;
    let (first, second) =
        (worker(directories[1].path()).await, worker(directories[2].path()).await);
    home.tell(host_with(copied(Durability::Process), 1, places(1, &[&first]))).await;
    assert_eq!(home.copies().await, in_sync(1, &first));
    home.alive(1).await;
    let mut caller = opened(&home.scene.join, 1).await;
    for seq in 1..=10 {
        caller.call(seq, call("increment", None)).await;
        assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
    }
    let failed = CopiesTold { version: 1, in_sync: Vec::new(), failed: vec![uid(&first)] };
    first.close().await;
    assert_eq!(home.copies().await, failed);
    caller.call(11, call("increment", None)).await;
    home.tell(copy(1, places(2, &[&second]))).await;
    assert_eq!(home.copies().await, CopiesTold { version: 2, ..CopiesTold::default() });
    assert_eq!(caller.number().await, (11, 11));
    assert_eq!(home.copies().await, in_sync(2, &second));
    for seq in 12..=20 {
        caller.call(seq, call("increment", None)).await;
        assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
    }
    home.end(1).await;
    second.close().await;
}

#[tokio::test]
async fn an_incarnation_answers_nobody_before_the_scheduler_has_heard_of_it() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut home = Watched::new(directories[0].path()).await;
    let peer = worker(directories[1].path()).await;
    let unheard = |version| CopyPlaces { unheard: true, ..places(version, &[&peer]) };
    home.tell(host_with(copied(Durability::Process), 1, unheard(1))).await;
    assert_eq!(home.copies().await, in_sync(1, &peer));
    home.alive(1).await;
    let mut caller = opened(&home.scene.join, 1).await;
    caller.call(1, call("increment", None)).await;
    // What another list says is heard by then, and this does not lift it.
    home.tell(copy(1, unheard(2))).await;
    assert_eq!(home.copies().await, in_sync(2, &peer));
    let early = tokio::time::timeout(Duration::ZERO, caller.number()).await;
    assert!(early.is_err(), "it was answered: {early:?}");
    home.tell(copy(1, places(2, &[&peer]))).await;
    assert_eq!(home.copies().await, in_sync(2, &peer));
    assert_eq!(caller.number().await, (1, 1));
    home.end(1).await;
    peer.close().await;
}

#[tokio::test]
async fn one_that_has_moved_waits_to_be_heard_of_without_copies_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut home = Watched::new(directory.path()).await;
    let alone = |unheard| CopyPlaces { unheard, ..CopyPlaces::default() };
    home.tell(host_with(durable(), 1, alone(true))).await;
    home.alive(1).await;
    let mut caller = opened(&home.scene.join, 1).await;
    caller.call(1, call("increment", None)).await;
    home.tell(copy(1, alone(true))).await;
    assert_eq!(home.copies().await, CopiesTold::default());
    let early = tokio::time::timeout(Duration::ZERO, caller.number()).await;
    assert!(early.is_err(), "it was answered: {early:?}");
    home.tell(copy(1, alone(false))).await;
    assert_eq!(home.copies().await, CopiesTold::default());
    assert_eq!(caller.number().await, (1, 1));
    home.end(1).await;
}
