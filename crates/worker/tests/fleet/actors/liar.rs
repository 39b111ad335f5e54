//! A process that speaks for an actor which another one has.

use std::env;

use bireme_core::actor::ActorSpec;
use bireme_core::actor::call::{CallCode, Ending};
use bireme_core::actor::place::EndKind;
use bireme_core::actor::wire::ToHost;
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Epoch};
use bireme_core::link::Hello;
use bireme_core::{Reason, Span, Value};
use bireme_executor::Launch;
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::executor_client::ExecutorClient;
use bireme_proto::pb::executor_order::{ActorCall, ActorCreate, Answer, Order};
use bireme_proto::pb::executor_report::actor_reply::Outcome;
use bireme_proto::pb::executor_report::{
    ActorItem, ActorReady, ActorReply, OrderRefused, Report, Secede,
};
use bireme_worker::Config;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::caller::{authorized, call, client};
use super::shared::{host_of, selector};
use super::{COUNTER, address, end, host, opened, spec};
use crate::languages::language;
use crate::scene::Scene;

const LIAR: ActorId = ActorId(9);

/// Not a test but the executor, where a worker has started this.
#[test]
fn executor() {
    if let Some(launch) = Launch::from_env().unwrap() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(lie(launch));
    }
}

/// Makes any actor, and ends each of its calls when the worker has answered a question that it does not serve. Before that it
/// says how the first call of the counter went. Calls of `refuse` it does not take.
async fn lie(launch: Launch) {
    let (say, said) = mpsc::channel(16);
    let greeting = Greeting::new(Hello::new(None, Epoch(0)));
    let attach = pb::AttachExecutor {
        runtime: "liar".to_owned(),
        slots: 1,
        actors: true,
        started_as: launch.started_as,
        ..pb::AttachExecutor::default()
    };
    let hello = Some(Greeting { token: launch.token, ..greeting }.into());
    say.send(pb::ExecutorUp { hello, attach: Some(attach), reports: Vec::new() }).await.unwrap();
    let channel = Endpoint::from_shared(format!("unix:{}", launch.socket.display())).unwrap();
    let mut worker = ExecutorClient::new(channel.connect().await.unwrap());
    let orders = worker.attach(ReceiverStream::new(said)).await;
    let mut orders = orders.unwrap().into_inner();
    while let Ok(Some(down)) = orders.message().await {
        let reports = down.orders.into_iter().filter_map(|order| order.order).flat_map(said_to);
        let reports = reports.map(|report| pb::ExecutorReport { report: Some(report) }).collect();
        let up = pb::ExecutorUp { reports, ..pb::ExecutorUp::default() };
        if say.send(up).await.is_err() {
            return;
        }
    }
}

fn said_to(order: Order) -> Vec<Report> {
    match order {
        Order::ActorCreate(create) => {
            let ActorCreate { actor, incarnation, .. } = *create;
            vec![Report::ActorReady(ActorReady { actor, incarnation, ..ActorReady::default() })]
        }
        Order::ActorCall(ActorCall { actor, call, method, .. }) if method == "refuse" => {
            let reason = Reason::Malformed.name().to_owned();
            let message = "it says nothing".to_owned();
            let refused = pb::Refused { reason, message, ..pb::Refused::default() };
            let refused = Some(refused);
            vec![Report::Refused(OrderRefused {
                actor,
                request: call,
                refused,
                ..OrderRefused::default()
            })]
        }
        Order::ActorCall(ActorCall { call, .. }) => {
            let item = ActorItem {
                actor: Some(COUNTER.into()),
                call: 1,
                n: 1,
                value: Some(Value::text("forged").into()),
            };
            vec![
                Report::ActorItem(item),
                reply(COUNTER, 1),
                Report::Secede(Secede { request: call, ..Secede::default() }),
            ]
        }
        Order::Answer(Answer { request, .. }) => vec![reply(LIAR, request)],
        _ => Vec::new(),
    }
}

fn reply(actor: ActorId, call: u64) -> Report {
    let outcome = Some(Outcome::Value(Value::text("forged").into()));
    Report::ActorReply(ActorReply {
        actor: Some(actor.into()),
        call,
        outcome,
        ..ActorReply::default()
    })
}

/// How a call to the liar ends, if it does.
async fn asked(at: &str, submission: u8, method: &str) -> Option<Ending> {
    let request = pb::CallRequest {
        submission_id: vec![submission; 16].into(),
        actor: Some(selector(LIAR)),
        method: method.to_owned(),
        max_wait_us: 30_000_000,
        ..pb::CallRequest::default()
    };
    let response = client(at).await.call(authorized(request)).await.unwrap().into_inner();
    bireme_proto::convert::actor::ending(response).unwrap()
}

#[tokio::test]
async fn no_process_answers_for_the_actor_of_another_and_each_is_answered() {
    let program = env::current_exe().unwrap();
    let command = [program.to_str().unwrap(), "--exact", "actors::liar::executor", "--nocapture"];
    let runtimes = vec![language("liar", &command)];
    let mut scene = Scene::new(|config| Config { runtimes, ..config }).await;
    scene.stream.tell(host(spec(), 1)).await;
    scene.stream.alive(1).await;
    let function = Some(pb::external::Function::Name("Liar".to_owned()));
    let work = Some(pb::payload::Work::External(pb::External { function }));
    let payload = pb::Payload { work, ..pb::Payload::default() }.encode_to_vec();
    let liar = ActorSpec::new("Liar", Runtime::external("liar"), payload);
    scene.stream.tell(host_of(LIAR, 1, liar)).await;
    scene.stream.alive(1).await;

    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("sleep", Some("600000000"))).await;
    let at = address(&scene.join);
    let lied = asked(&at, 1, "lie").await;
    assert!(lied.is_some(), "the worker does not answer its process");
    let refused = asked(&at, 2, "refuse").await.expect("the call ends");
    assert_eq!(refused.outcome.code(), Some(CallCode::UnserializableArgs), "{refused:?}");
    assert!(format!("{refused:?}").contains("it says nothing"), "{refused:?}");
    caller.say([ToHost::Cancel { seq: 1, grace: None }]).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Cancelled)), "{ending:?}");
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    scene.close().await;
}
