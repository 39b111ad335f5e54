//! What is sent is what is received, for every variant; and each thing that is refused.

mod actors;
mod hosting;
mod refused;
mod samples;
mod tolerated;

use bireme_core::graph::{GraphChunk, GraphCounts, TaskState};
use bireme_core::id::{ClusterId, Epoch, SessionId};
use bireme_core::link::Hello;
use bireme_core::protocol::{Announce, Heartbeat, Held, Join, Joined, Report, Secret};
use bireme_core::reason::Refusal;
use bireme_core::session::{Command, Notice, Open, Opened};
use bireme_core::{ErrorClass, Span, TaskError, Value, limits};
use prost::Message;

use super::common::{Clock, Greeting, PeerLimits};
use super::{enums, fleet, session};
use crate::pb;

/// Over the wire.
fn over<M: Message + Default>(message: M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// There by `From`, over the wire, back by `TryFrom`.
fn round<P, T>(value: T) -> Result<T, Refusal>
where
    P: Message + Default + From<T> + TryInto<T, Error = Refusal>,
{
    over(P::from(value)).try_into()
}

fn same<P, T>(value: T)
where
    T: Clone + std::fmt::Debug + PartialEq,
    P: Message + Default + From<T> + TryInto<T, Error = Refusal>,
{
    assert_eq!(round::<P, T>(value.clone()), Ok(value));
}

#[test]
fn values_and_errors_arrive_as_they_were() {
    samples::values().into_iter().for_each(same::<pb::Value, Value>);
    same::<pb::TaskError, TaskError>(samples::error());
    same::<pb::TaskError, TaskError>(TaskError::new(ErrorClass::Timeout, "TIMED_OUT", "late"));
}

#[test]
fn chunks_arrive_as_they_were() {
    samples::chunks().into_iter().for_each(same::<pb::GraphChunk, GraphChunk>);
}

#[test]
fn commands_arrive_as_they_were() {
    let commands = samples::commands();
    assert!(commands.len() > 9, "every variant");
    commands.into_iter().for_each(same::<pb::SessionCommand, Command>);
}

#[test]
fn sessions_are_opened_as_asked() {
    same::<pb::OpenSession, Open>(samples::open());
    let ttl = limits::SESSION_TTL;
    same::<pb::SessionOpened, Opened>(Opened {
        session: SessionId(7),
        resumed: true,
        ttl,
        last_graph: 3,
        last_value: 4,
    });
}

#[test]
fn notices_arrive_as_they_were_and_in_order() {
    let notices = samples::notices();
    let sent: Vec<_> = session::down(notices.clone()).into_iter().map(over).collect();
    assert_eq!(session::notices(sent), Ok((notices.clone(), 0)));
    let singly: Vec<_> = notices.iter().cloned().map(pb::SessionReport::from).collect();
    assert_eq!(session::notices(singly), Ok((notices, 0)));
}

#[test]
fn ends_of_tasks_of_one_graph_share_a_report() {
    let task = |graph, index| samples::task_notice(graph, index, TaskState::Finished, None);
    let notices = vec![task(1, 0), task(1, 1), task(2, 0), Notice::Pong(1), task(2, 1), task(2, 2)];
    let lengths: Vec<_> = session::down(notices)
        .into_iter()
        .map(|report| match report.report {
            Some(pb::session_report::Report::Tasks(updates)) => updates.tasks.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(lengths, [2, 1, 0, 2]);
}

#[test]
fn a_report_of_many_large_ends_is_cut() {
    let value = vec![7; 4_096];
    let task = |index| {
        samples::task_notice(1, index, TaskState::Finished, Some(Value::raw(value.clone())))
    };
    let reports = session::down((0..500).map(task).collect());
    assert!(reports.len() > 10);
    for report in &reports {
        assert!(report.encoded_len() < limits::MESSAGE_BYTES, "{}", report.encoded_len());
    }
    let runs = super::batches(reports.clone());
    assert_eq!(runs.concat(), reports);
}

#[test]
fn batches_keep_order_and_fit() {
    let items: Vec<_> = (0..1_000).map(|n| samples::label(n, 1_000)).collect();
    let runs = super::batches(items.clone());
    assert_eq!(runs.concat(), items);
    for run in &runs {
        let bytes: usize = run.iter().map(Message::encoded_len).sum();
        assert!(bytes <= limits::BATCH_BYTES && bytes > limits::BATCH_BYTES / 2 || run.len() < 200);
    }
    assert!(super::batches(Vec::<pb::Label>::new()).is_empty());
    let huge = vec![samples::label(0, limits::MESSAGE_BYTES), samples::label(1, 1)];
    assert_eq!(super::batches(huge).len(), 2, "what is too long stands alone");
}

#[test]
fn orders_arrive_as_they_were_and_in_order() {
    let orders = samples::orders();
    let sent: Vec<_> = fleet::down(orders.clone()).into_iter().map(over).collect();
    assert!(sent.len() < orders.len(), "some are put together");
    assert_eq!(fleet::orders(sent), Ok(orders.clone()));
    let singly: Vec<_> = orders.iter().cloned().map(pb::FleetOrder::from).collect();
    assert_eq!(fleet::orders(singly), Ok(orders));
}

#[test]
fn counters_of_actors_arrive_as_they_were() {
    let sent: Vec<_> = fleet::beats_sent(vec![hosting::beat()]).into_iter().map(over).collect();
    assert_eq!(fleet::beats(sent), Ok(vec![hosting::beat()]));
}

#[test]
fn reports_arrive_as_they_were() {
    let reports = samples::reports();
    let sent: Vec<_> = reports.iter().cloned().map(pb::FleetReport::from).map(over).collect();
    assert_eq!(fleet::reports(sent), Ok((reports, 0)));
}

#[test]
fn announcements_arrive_as_they_were() {
    let announce = Announce {
        objects: vec![
            Held { object: samples::output(), size: 12, made_by: Some(samples::attempt(4).no) },
            Held { object: samples::held(), size: 1 << 40, made_by: None },
        ],
        attempts: vec![(samples::attempt(1), false), (samples::attempt(2), true)],
        actors: vec![hosting::hosted()],
        ended: samples::reports(),
        last: true,
    };
    let announced = fleet::announced(over(announce.clone().into())).unwrap();
    assert_eq!((announced.announce, announced.digest, announced.unknown), (announce, None, 0));
    let digest = pb::Announce { digest: Some(samples::digest().into()), ..Default::default() };
    assert_eq!(fleet::announced(over(digest)).unwrap().digest, Some(samples::digest()));
}

#[test]
fn workers_join_and_beat_as_they_are() {
    same::<pb::JoinFleet, Join>(samples::join());
    same::<pb::Joined, Joined>(Joined {
        worker: samples::worker(3),
        heartbeat: limits::HEARTBEAT,
        lost_after: limits::WORKER_LOST,
        inline_bytes: limits::INLINE_BYTES,
        token_key: Some(Secret([3; 32])),
    });
    let heartbeat = Heartbeat {
        stored_bytes: 1,
        spilled_bytes: 2,
        resident_bytes: 3,
        executors_bytes: 4,
        running: 5,
        queued: 6,
        paused: true,
        loop_lag: Span(7),
        cpu_percent: 8,
    };
    assert_eq!(Heartbeat::from(over(pb::Heartbeat::from(heartbeat))), heartbeat);
}

#[test]
fn greetings_arrive_as_they_were_and_do_not_show_the_token() {
    let greeting = Greeting {
        product: "other 9".to_owned(),
        limits: PeerLimits { message_bytes: 1 << 20, inline_bytes: 1 },
        clock: Some(Clock { wall_us: 1, monotonic_us: 2 }),
        token: "s3cret".to_owned(),
        traceparent: "00-1-2-01".to_owned(),
        ..Greeting::new(Hello {
            features: vec!["a".to_owned(), "b".to_owned()],
            required_features: vec!["b".to_owned()],
            ..Hello::new(Some(ClusterId(5)), Epoch(3))
        })
    };
    assert!(!format!("{greeting:?}").contains("s3cret"));
    same::<pb::Hello, Greeting>(greeting);
    same::<pb::Hello, Greeting>(Greeting::new(Hello::new(None, Epoch(0))));
}

#[test]
fn counts_arrive_and_the_total_is_reckoned() {
    let mut counts = GraphCounts::default();
    for (state, count) in TaskState::ALL.into_iter().zip(1..) {
        *counts.of_mut(state) = count;
    }
    same::<pb::GraphCounts, GraphCounts>(counts);
    assert_eq!(pb::GraphCounts::from(counts).total, 28);
}

#[test]
fn enums_have_the_same_values_on_both_sides() {
    fn check<T: enums::Twin>(values: usize) {
        let numbers = (1..100).filter(|&number| T::Wire::try_from(number).is_ok());
        let mut seen = 0;
        for number in numbers {
            let value: T = enums::commanded(number, "f").unwrap();
            assert_eq!(enums::number(value), number);
            seen += 1;
        }
        assert_eq!(seen, values);
    }
    check::<bireme_core::Codec>(9);
    check::<bireme_core::value::Compression>(2);
    check::<ErrorClass>(15);
    check::<TaskState>(7);
    check::<bireme_core::graph::Outputs>(4);
    check::<bireme_core::graph::Watch>(3);
    check::<bireme_core::graph::OnWorkerLost>(2);
}

/// A report from a batch of one.
fn report(message: pb::fleet_report::Report) -> Result<(Vec<Report>, usize), Refusal> {
    fleet::reports(vec![pb::FleetReport { report: Some(message) }])
}
