//! Streams as they should be, and clients that do not read.

use bireme_core::Reason;
use bireme_proto::pb;
use bireme_proto::pb::session_command::Command;
use bireme_proto::pb::session_report::Report;

use crate::support::{Scheduler, joining, one_task, reason, soon};

#[tokio::test]
async fn a_session_opens_and_is_answered() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let first = session.next().await.unwrap();
    let hello = first.hello.unwrap();
    assert_eq!(hello.cluster_id, scheduler.cluster.to_bytes().to_vec());
    assert_eq!(hello.epoch, 1);
    let opened = first.opened.unwrap();
    assert_eq!((opened.session.unwrap().number, opened.resumed), (1, false));
    session.send(Command::Ping(5)).await;
    session.report(|report| matches!(report, Report::Pong(5)).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_comes_back_takes_the_place_of_its_old_stream() {
    let scheduler = Scheduler::start().await;
    let mut old = scheduler.session(1).await;
    old.next().await.unwrap();
    let mut new = scheduler.session(1).await;
    let opened = new.next().await.unwrap().opened.unwrap();
    assert_eq!((opened.session.unwrap().number, opened.resumed), (1, true));
    let ended = old.next().await.unwrap_err().unwrap();
    assert_eq!(reason(&ended), Some(Reason::Superseded), "{ended}");
    new.send(Command::Ping(1)).await;
    new.report(|report| matches!(report, Report::Pong(1)).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_never_reads_costs_others_nothing() {
    let scheduler = Scheduler::start().await;
    let deaf = scheduler.session(1).await;
    // Enough answers to fill its socket, its stream and its queue many times over; the scheduler hangs up before.
    let ping = |n| pb::SessionCommand { command: Some(Command::Ping(n)) };
    let flood = pb::SessionUp { commands: (0..10_000).map(ping).collect(), ..Default::default() };
    let mut sent = 0;
    while sent < 1_000 && soon(deaf.up.send(flood.clone())).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 1_000, "somebody keeps ten million answers");
    let mut other = scheduler.session(2).await;
    other.send(Command::Ping(5)).await;
    other.report(|report| matches!(report, Report::Pong(5)).then_some(())).await;
}

#[tokio::test]
async fn who_reads_late_misses_nothing() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    // The answers are several times what the stream and its queue hold.
    let (requests, objects) = (200, 1_000);
    let object = |n| {
        let held = pb::object_id::Held { holder: 1 << 40, n };
        pb::ObjectId { producer: Some(pb::object_id::Producer::Held(held)) }
    };
    for request in 1..=requests {
        let objects = (1..=objects).map(object).collect();
        session.send(Command::Locate(pb::LocateObjects { request, objects })).await;
    }
    let mut other = scheduler.session(2).await;
    other.send(Command::Ping(1)).await;
    other.report(|report| matches!(report, Report::Pong(1)).then_some(())).await;
    let mut told = Vec::new();
    while told.len() < 200 {
        for report in session.next().await.unwrap().reports {
            if let Some(Report::Places(places)) = report.report {
                assert_eq!(places.objects.len(), 1_000);
                told.push(places.request);
            }
        }
    }
    assert!(told.into_iter().eq(1..=requests));
}

#[tokio::test]
async fn a_worker_is_asked_for_what_it_holds() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.worker("a").await;
    let digest = Some(pb::Digest { blake3: vec![1; 32].into() });
    let announce = Some(pb::Announce { digest, ..pb::Announce::default() });
    worker.up.send(pb::FleetUp { announce, ..pb::FleetUp::default() }).await.unwrap();
    let reply = loop {
        if let Some(reply) = worker.next().await.unwrap().announce_reply {
            break reply;
        }
    };
    assert!(!reply.equal);
}

#[tokio::test]
async fn a_worker_whose_state_is_known_need_not_tell_it() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.join(joining(scheduler.hello(), "a")).await.unwrap();
    // Of nothing at all, which is what a new worker is believed to hold.
    let digest = blake3::hash(&[]).as_bytes().to_vec();
    let digest = Some(pb::Digest { blake3: digest.into() });
    let announce = Some(pb::Announce { digest, ..pb::Announce::default() });
    worker.up.send(pb::FleetUp { announce, ..pb::FleetUp::default() }).await.unwrap();
    let reply = loop {
        if let Some(reply) = worker.next().await.unwrap().announce_reply {
            break reply;
        }
    };
    assert!(reply.equal);
    let submit = pb::SubmitGraphRequest { chunk: Some(one_task(1)), ..Default::default() };
    soon(scheduler.calls().await.submit_graph(submit)).await.unwrap();
    assert_eq!(worker.start().await.key, "only");
}

#[tokio::test]
async fn closing_is_answered() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let submission_id: bytes::Bytes = vec![9; 16].into();
    session.send(Command::Close(pb::CloseSession { submission_id: submission_id.clone() })).await;
    let accepted = session.report(|report| match report {
        Report::Accepted(accepted) => Some(accepted),
        _ => None,
    });
    assert_eq!(accepted.await.submission_id, submission_id);
}
