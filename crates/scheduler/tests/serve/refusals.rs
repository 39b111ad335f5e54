//! What a scheduler does not take, and that it goes on after it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use bireme_core::Reason;
use bireme_core::id::ClusterId;
use bireme_core::link::Hello;
use bireme_daemon::auth::{Bearer, Token};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::session_command::Command;
use bireme_proto::pb::session_report::Report;

use crate::support::{Scheduler, joining, one_task, open, reason, soon};

#[tokio::test]
async fn a_peer_that_cannot_be_talked_to_hears_why() {
    let scheduler = Scheduler::start().await;
    let hello = scheduler.hello();
    for (theirs, expected) in [
        (Hello { protocol_min: 90, protocol_max: 91, ..hello.clone() }, Reason::ProtocolVersion),
        (Hello { cluster: Some(ClusterId(1)), ..hello.clone() }, Reason::WrongCluster),
        (
            Hello { required_features: vec!["flight".into()], ..hello.clone() },
            Reason::FeatureMissing,
        ),
    ] {
        let up = pb::SessionUp {
            hello: Some(Greeting::new(theirs.clone()).into()),
            open: Some(open(1)),
            commands: Vec::new(),
        };
        let refused = scheduler.attach(up).await.err().unwrap();
        assert_eq!(reason(&refused), Some(expected), "{refused}");
        let refused = scheduler.join(joining(theirs, "w")).await.err().unwrap();
        assert_eq!(reason(&refused), Some(expected), "{refused}");
    }
}

#[tokio::test]
async fn a_stream_begins_with_hello_and_what_belongs_to_it() {
    let scheduler = Scheduler::start().await;
    let hello: Option<pb::Hello> = Some(Greeting::new(scheduler.hello()).into());
    for (hello, open, field) in
        [(None, None, "hello"), (None, Some(open(1)), "hello"), (hello.clone(), None, "open")]
    {
        let up = pb::SessionUp { hello, open, commands: Vec::new() };
        let refused = scheduler.attach(up).await.err().unwrap();
        let refusal = bireme_proto::status::refusal(&refused).unwrap();
        assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::HelloExpected, field));
    }
    let up = pb::FleetUp { hello, ..pb::FleetUp::default() };
    let refused = scheduler.join(up).await.err().unwrap();
    assert_eq!(reason(&refused), Some(Reason::HelloExpected), "{refused}");
}

#[tokio::test]
async fn nobody_comes_in_without_a_token() {
    let mut scheduler = Scheduler::start().await;
    let stranger = Bearer::new(&Token::new("not-the-one-that-was-issued").unwrap());
    for bearer in [Bearer::none(), stranger] {
        let mut calls = ClusterClient::with_interceptor(scheduler.channel().await, bearer.clone());
        let refused = soon(calls.get_status(pb::GetStatusRequest {})).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(reason(&refused), Some(Reason::Unauthenticated), "{refused}");
        let rightful = std::mem::replace(&mut scheduler.bearer, bearer);
        let up = pb::SessionUp { open: Some(open(1)), ..pb::SessionUp::default() };
        let refused = scheduler.attach(up).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated);
        scheduler.bearer = rightful;
    }
    let mut calls = scheduler.calls().await;
    soon(calls.get_status(pb::GetStatusRequest {})).await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let http_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".repeat(64);
    let noise: Vec<u8> =
        (0..4_096_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for garbage in [&noise[..], &http_2, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b""] {
        let mut socket = TcpStream::connect(scheduler.addr).await.unwrap();
        // The scheduler may have hung up already, in either direction.
        let _ = socket.write_all(garbage).await;
        let _ = socket.shutdown().await;
        let _ = soon(socket.read_to_end(&mut Vec::new())).await;
    }
    session.send(Command::Ping(7)).await;
    let pong = session.report(|report| matches!(report, Report::Pong(7)).then_some(())).await;
    assert_eq!(pong, ());
}

#[tokio::test]
async fn a_bad_command_costs_a_refusal_and_no_more() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let (submission_id, graph) = (vec![3; 16].into(), 0);
    session.send(Command::Forget(pb::ForgetGraph { submission_id, graph })).await;
    session.send(Command::Ping(1)).await;
    let refused = session.report(|report| match report {
        Report::Refused(refused) => Some(refused),
        _ => None,
    });
    let refused = refused.await;
    assert_eq!(refused.submission_id, vec![3; 16]);
    assert_eq!(refused.reason, Reason::Malformed.name(), "{refused:?}");
    assert!(refused.field.contains("graph"), "{refused:?}");
    session.send(Command::Ping(2)).await;
    session.report(|report| matches!(report, Report::Pong(2)).then_some(())).await;
}

#[tokio::test]
async fn a_graph_with_an_unreadable_chunk_fails_rather_than_waits() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let opened = session.next().await.unwrap().opened.unwrap().session.unwrap();
    let graph = u64::from(opened.number) << 32 | 1;
    let first = pb::GraphChunk { graph, last: false, ..one_task(4) };
    session.send(Command::Chunk(first)).await;
    // The last chunk, and unreadable: its task names a class of another kind than there are.
    let class = pb::TaskClass { gang_size: 2, ..pb::TaskClass::default() };
    let last = pb::GraphChunk {
        graph,
        first_index: 1,
        classes: vec![class],
        options: None,
        ..one_task(5)
    };
    session.send(Command::Chunk(last)).await;
    let over = session.report(|report| match report {
        Report::Graph(update) if update.done => Some(update),
        _ => None,
    });
    let over = over.await;
    assert_eq!(over.graph, graph);
    assert_eq!(over.error.unwrap().reason, Reason::Unsupported.name());
    assert_eq!(over.counts.unwrap().cancelled, 1);
}

#[tokio::test]
async fn a_worker_that_sends_nonsense_is_hung_up_on() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.worker("liar").await;
    worker.report(pb::fleet_report::Report::Finished(pb::AttemptFinished::default())).await;
    let ended = loop {
        match worker.next().await {
            Ok(_) => {}
            Err(ended) => break ended.unwrap(),
        }
    };
    assert_eq!(reason(&ended), Some(Reason::Malformed), "{ended}");
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_its_stream() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let mut chunk = one_task(1);
    chunk.tasks =
        vec![pb::TaskSpec { payload: vec![0; 300 << 10].into(), ..chunk.tasks[0].clone() }];
    session.send(Command::Chunk(chunk)).await;
    let ended = loop {
        match session.next().await {
            Ok(_) => {}
            Err(ended) => break ended.unwrap(),
        }
    };
    assert_eq!(reason(&ended), Some(Reason::MessageTooLarge), "{ended}");
}
