//! The life of actors by calls, with workers that are played.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use bireme_core::id::HolderId;
use bireme_core::{ObjectId, Reason};
use bireme_proto::pb;
use bireme_proto::pb::actor_host_client::ActorHostClient;
use bireme_proto::pb::actor_host_server::{ActorHost, ActorHostServer};
use bireme_proto::pb::actors_client::ActorsClient;
use bireme_proto::pb::fleet_order::Order;
use bireme_proto::pb::fleet_report::Report;

use crate::support::{Authorized, FleetStream, Scheduler, reason, soon};

/// As long as a call may wait: the test's own guard is longer.
const LONG: u64 = 30_000_000;

async fn actors(scheduler: &Scheduler) -> ActorsClient<Authorized> {
    ActorsClient::with_interceptor(scheduler.channel().await, scheduler.bearer.clone())
}

fn named(name: &str) -> pb::ActorSelector {
    let name = pb::ActorName { name: name.to_owned(), ..pb::ActorName::default() };
    pb::ActorSelector { by: Some(pb::actor_selector::By::Name(name)) }
}

fn create(submission: u8, name: &str) -> pb::CreateActorRequest {
    let name = pb::ActorName { name: name.to_owned(), ..pb::ActorName::default() };
    let spec = pb::ActorSpec {
        name: Some(name),
        payload: vec![1].into(),
        class_name: "Counter".to_owned(),
        detached: true,
        restart: Some(pb::RestartPolicy { max_restarts: 1, ..pb::RestartPolicy::default() }),
        ..pb::ActorSpec::default()
    };
    let (submission_id, spec) = (vec![submission; 16].into(), Some(spec));
    pb::CreateActorRequest { submission_id, spec, ..pb::CreateActorRequest::default() }
}

/// The next order that `pick` takes; others are passed over.
async fn order<T>(worker: &mut FleetStream, mut pick: impl FnMut(Order) -> Option<T>) -> T {
    loop {
        let orders = worker.next().await.unwrap().orders;
        if let Some(found) = orders.into_iter().filter_map(|order| order.order).find_map(&mut pick)
        {
            return found;
        }
    }
}

/// Has a worker host the actor that it is told to next.
async fn host(worker: &mut FleetStream) -> pb::HostActor {
    let host = order(worker, |order| match order {
        Order::HostActor(host) => Some(host),
        _ => None,
    });
    let host = host.await;
    let (actor, incarnation) = (host.actor.clone(), host.incarnation);
    let alive = pb::HostedActor { actor, incarnation, alive: true, checkpoints: true };
    worker.report(Report::ActorAlive(alive)).await;
    host
}

async fn ended(worker: &FleetStream, host: &pb::HostActor, end: pb::ActorEnd) {
    worker
        .report(Report::ActorEnded(pb::ActorEnded {
            actor: host.actor.clone(),
            incarnation: host.incarnation,
            end: end.into(),
            ..pb::ActorEnded::default()
        }))
        .await;
}

#[tokio::test]
async fn an_actor_is_made_found_restarted_and_ended() {
    let scheduler = Scheduler::start().await;
    let mut calls = actors(&scheduler).await;
    let early = soon(calls.create(create(1, "count"))).await.unwrap().into_inner();
    assert!(early.pending && early.created, "{early:?}");
    assert_eq!(early.unplaceable, ["there are no workers: start one"]);

    let mut worker = scheduler.worker("w").await;
    let first = host(&mut worker).await;
    assert_eq!((first.incarnation, &first.spec.as_ref().unwrap().payload[..]), (1, &[1][..]));
    let resolve = pb::ResolveActorRequest {
        actor: Some(named("count")),
        after_incarnation: 0,
        max_wait_us: LONG,
    };
    let found = soon(calls.resolve(resolve.clone())).await.unwrap().into_inner();
    let place = found.place.unwrap();
    assert!(!found.pending && place.state() == pb::ActorState::Alive, "{place:?}");
    assert_eq!(place.actor, early.actor);

    let again = soon(calls.create(create(1, "count"))).await.unwrap().into_inner();
    assert!(again.created && !again.pending && again.actor == early.actor, "the same request");
    let taken = soon(calls.create(create(2, "count"))).await.unwrap_err();
    assert_eq!(reason(&taken), Some(Reason::NameTaken));
    let get = pb::CreateActorRequest { get_if_exists: true, ..create(3, "count") };
    let got = soon(calls.create(get)).await.unwrap().into_inner();
    assert!(!got.created && got.actor == early.actor);

    ended(&worker, &first, pb::ActorEnd::Crashed).await;
    let later = pb::ResolveActorRequest { after_incarnation: 1, ..resolve.clone() };
    let waits = tokio::spawn({
        let (mut calls, later) = (calls.clone(), later.clone());
        async move { calls.resolve(later).await }
    });
    let second = host(&mut worker).await;
    assert_eq!(second.incarnation, 2);
    let place = soon(waits).await.unwrap().unwrap().into_inner().place.unwrap();
    assert_eq!((place.incarnation, place.state()), (2, pb::ActorState::Alive));

    let kill = pb::KillActorRequest {
        submission_id: vec![4; 16].into(),
        actor: Some(named("count")),
        ..pb::KillActorRequest::default()
    };
    let killed = soon(calls.kill(kill.clone())).await.unwrap().into_inner().place.unwrap();
    assert_eq!(killed.incarnation, 2, "where it was");
    let end = order(&mut worker, |order| match order {
        Order::EndActor(end) if end.incarnation == 2 => Some(end),
        _ => None,
    });
    assert!(end.await.forget);
    ended(&worker, &second, pb::ActorEnd::Killed).await;
    let by_id = pb::actor_selector::By::Actor(early.actor.unwrap());
    let by_id = Some(pb::ActorSelector { by: Some(by_id) });
    let dead = pb::ResolveActorRequest { actor: by_id, after_incarnation: 2, max_wait_us: LONG };
    let place = soon(calls.resolve(dead)).await.unwrap().into_inner().place.unwrap();
    assert_eq!(place.state(), pb::ActorState::Dead);
    assert_eq!(place.cause.unwrap().reason, "ACTOR_KILLED");
    assert!(soon(calls.kill(kill)).await.is_ok(), "the same request, though the name is free");
    let unknown = soon(calls.resolve(resolve)).await.unwrap_err();
    assert_eq!(reason(&unknown), Some(Reason::ActorUnknown));
}

#[tokio::test]
async fn checkpoints_and_moves_are_answered_when_they_are_made() {
    let scheduler = Scheduler::start().await;
    let mut calls = actors(&scheduler).await;
    let mut from = scheduler.worker("from").await;
    soon(calls.create(create(1, "count"))).await.unwrap();
    let first = host(&mut from).await;

    let checkpoint = pb::CheckpointActorRequest {
        submission_id: vec![2; 16].into(),
        actor: Some(named("count")),
        max_wait_us: 0,
        ..pb::CheckpointActorRequest::default()
    };
    assert!(soon(calls.checkpoint(checkpoint.clone())).await.unwrap().into_inner().pending);
    let asked = order(&mut from, |order| match order {
        Order::CheckpointActor(asked) => Some(asked),
        _ => None,
    });
    let pb::CheckpointActor { actor, incarnation, request } = asked.await;
    from.report(Report::ActorCheckpointed(pb::ActorCheckpointed {
        actor,
        incarnation,
        request,
        lsn: 7,
        state_bytes: 8,
        took_us: 9,
        error: None,
    }))
    .await;
    let again = pb::CheckpointActorRequest { max_wait_us: LONG, ..checkpoint };
    let made = soon(calls.checkpoint(again)).await.unwrap().into_inner();
    assert_eq!((made.pending, made.lsn, made.state_bytes, made.took_us), (false, 7, 8, 9));

    let mut to = scheduler.worker("to").await;
    let moving = pb::MoveActorRequest {
        submission_id: vec![3; 16].into(),
        actor: Some(named("count")),
        max_wait_us: LONG,
        ..pb::MoveActorRequest::default()
    };
    let moved = tokio::spawn({
        let mut calls = calls.clone();
        async move { calls.r#move(moving).await }
    });
    order(&mut from, |order| matches!(order, Order::MoveActor(_)).then_some(())).await;
    let rest: pb::ObjectId = ObjectId::Held { holder: HolderId(1 << 63 | 1), n: 1 }.into();
    from.report(Report::ActorEnded(pb::ActorEnded {
        actor: first.actor.clone(),
        incarnation: 1,
        end: pb::ActorEnd::Moved.into(),
        checkpoint: Some(rest),
        size: 8,
        cause: None,
    }))
    .await;
    let second = host(&mut to).await;
    assert_eq!((second.incarnation, second.checkpoint.unwrap().object), (2, Some(rest)));
    let place = soon(moved).await.unwrap().unwrap().into_inner();
    assert!(!place.pending && place.place.unwrap().incarnation == 2);
    order(&mut from, |order| matches!(order, Order::Release(_)).then_some(())).await;
}

#[tokio::test]
async fn lists_watches_and_counts_show_actors() {
    let scheduler = Scheduler::start().await;
    let mut calls = actors(&scheduler).await;
    let mut worker = scheduler.worker("w").await;
    for (submission, name) in [(1, "a"), (2, "b"), (3, "c")] {
        soon(calls.create(create(submission, name))).await.unwrap();
    }
    let list = |filter: &str, page_size, page_token: String| {
        let page = pb::PageRequest { page_size, page_token, filter: filter.to_owned() };
        pb::ListActorsRequest { page: Some(page) }
    };
    let all = soon(calls.list(list("class=Counter", 2, String::new()))).await.unwrap().into_inner();
    let rest = soon(calls.list(list("", 2, all.next_page_token.clone()))).await.unwrap();
    assert_eq!((all.actors.len(), rest.into_inner().actors.len()), (2, 1));
    let one = soon(calls.list(list("name=b state=starting", 9, String::new()))).await.unwrap();
    assert_eq!(one.into_inner().actors.len(), 1);

    let mut watch =
        soon(calls.watch(pb::WatchActorsRequest::default())).await.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!((first.changed.len(), first.gone.len(), first.lagged), (3, 0, false));
    let hosted = host(&mut worker).await;
    let change = soon(watch.message()).await.unwrap().unwrap();
    let changed = change.changed.first().unwrap().place.clone().unwrap();
    assert_eq!((changed.state(), &changed.actor), (pb::ActorState::Alive, &hosted.actor));

    let increment = pb::MethodStatistics { method: "m".to_owned(), calls: 5, ..Default::default() };
    let counted = pb::ActorStatistics {
        actor: hosted.actor.clone(),
        incarnation: 1,
        methods: vec![increment],
        ..pb::ActorStatistics::default()
    };
    let heartbeat = Some(pb::Heartbeat { actors: vec![counted], ..pb::Heartbeat::default() });
    worker.up.send(pb::FleetUp { heartbeat, ..pb::FleetUp::default() }).await.unwrap();
    let shown = loop {
        let listed = soon(calls.list(list("state=alive", 9, String::new()))).await.unwrap();
        let actor = listed.into_inner().actors.remove(0);
        if !actor.statistics.as_ref().unwrap().methods.is_empty() {
            break actor;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(shown.statistics.unwrap().methods[0].calls, 5);
    let mut cluster = scheduler.calls().await;
    let status = soon(cluster.get_status(pb::GetStatusRequest::default())).await.unwrap();
    assert_eq!(status.into_inner().actors, 3);

    drop(watch);
    let (cursor, filter) = (change.cursor, String::new());
    let resumed = pb::WatchActorsRequest { cursor, filter, interval_us: 0 };
    let mut resumed = soon(calls.watch(resumed)).await.unwrap().into_inner();
    ended(&worker, &hosted, pb::ActorEnd::Exited).await;
    loop {
        let news = soon(resumed.message()).await.unwrap().unwrap();
        assert!(!news.lagged && news.changed.len() <= 1, "{news:?}");
        let dead = |actor: &pb::ActorSummary| {
            actor.place.as_ref().is_some_and(|place| place.state() == pb::ActorState::Dead)
        };
        if news.changed.iter().any(dead) {
            break;
        }
    }
}

/// A worker's side of single calls, that says what it was asked. Of the first call of `moved` it says that the actor has gone.
#[derive(Default)]
struct Played {
    has_moved: AtomicBool,
    /// Told when that was said.
    said: Arc<Notify>,
}

#[tonic::async_trait]
impl ActorHost for Played {
    type CallsStream = tokio_stream::Empty<Result<pb::HostBatch, Status>>;

    async fn calls(
        &self,
        _: Request<Streaming<pb::CallerBatch>>,
    ) -> Result<Response<Self::CallsStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn call(
        &self,
        request: Request<pb::CallRequest>,
    ) -> Result<Response<pb::CallResponse>, Status> {
        let request = request.into_inner();
        let by = request.actor.and_then(|actor| actor.by);
        assert!(matches!(by, Some(pb::actor_selector::By::Actor(_))), "{by:?}");
        if request.method == "moved" && !self.has_moved.swap(true, Ordering::Relaxed) {
            self.said.notify_one();
            let code = pb::CallCode::Fenced.into();
            let failure = pb::CallFailure { code, ..pb::CallFailure::default() };
            let outcome = Some(pb::call_outcome::Outcome::Failure(Box::new(failure)));
            let outcome = Some(pb::CallOutcome { outcome });
            return Ok(Response::new(pb::CallResponse { outcome, ..pb::CallResponse::default() }));
        }
        let run_us = request.arguments.len() as u64;
        Ok(Response::new(pb::CallResponse { run_us, ..pb::CallResponse::default() }))
    }

    async fn describe(
        &self,
        request: Request<pb::DescribeActorRequest>,
    ) -> Result<Response<pb::ActorStatus>, Status> {
        let callers = u32::from(request.into_inner().stacks);
        Ok(Response::new(pb::ActorStatus { callers, ..pb::ActorStatus::default() }))
    }
}

#[tokio::test]
async fn single_calls_are_passed_on_to_the_host() {
    let scheduler = Scheduler::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let played = Played::default();
    let said = Arc::clone(&played.said);
    let server = tonic::transport::Server::builder().add_service(ActorHostServer::new(played));
    let serving = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut worker = scheduler.worker_at("w", at).await;
    let mut actors = actors(&scheduler).await;
    soon(actors.create(create(1, "count"))).await.unwrap();

    let channel = scheduler.channel().await;
    let mut calls = ActorHostClient::with_interceptor(channel, scheduler.bearer.clone());
    let call = pb::CallRequest {
        submission_id: vec![2; 16].into(),
        actor: Some(named("count")),
        method: "m".to_owned(),
        arguments: vec![0; 3].into(),
        ..pb::CallRequest::default()
    };
    assert!(soon(calls.call(call.clone())).await.unwrap().into_inner().pending, "it is not alive");
    let hosted = host(&mut worker).await;
    let waiting = pb::CallRequest { max_wait_us: LONG, ..call };
    assert_eq!(soon(calls.call(waiting.clone())).await.unwrap().into_inner().run_us, 3);
    let describe = pb::DescribeActorRequest { actor: Some(named("count")), stacks: true };
    assert_eq!(soon(calls.describe(describe)).await.unwrap().into_inner().callers, 1);

    let moved = pb::CallRequest { method: "moved".to_owned(), ..waiting.clone() };
    let (answer, hosted) = tokio::join!(soon(calls.call(moved)), async {
        soon(said.notified()).await;
        ended(&worker, &hosted, pb::ActorEnd::Crashed).await;
        host(&mut worker).await
    });
    assert_eq!(answer.unwrap().into_inner().run_us, 3, "it is for the next incarnation");
    assert_eq!(hosted.incarnation, 2);

    ended(&worker, &hosted, pb::ActorEnd::Failed).await;
    let by_id = pb::actor_selector::By::Actor(hosted.actor.clone().unwrap());
    let late = pb::CallRequest { actor: Some(pb::ActorSelector { by: Some(by_id) }), ..waiting };
    loop {
        let answer = soon(calls.call(late.clone())).await.unwrap().into_inner();
        if let Some(outcome) = answer.outcome {
            let failure = bireme_proto::convert::actor::ending(pb::CallResponse {
                outcome: Some(outcome),
                ..pb::CallResponse::default()
            });
            let code = failure.unwrap().unwrap().outcome.code();
            assert_eq!(code, Some(bireme_core::actor::call::CallCode::Gone));
            break;
        }
    }
    serving.abort();
}
