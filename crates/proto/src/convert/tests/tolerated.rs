//! What this version does not know, in a report: passed over and counted, and the rest is taken.

use super::*;

fn finished(value: pb::Value) -> pb::fleet_report::Report {
    pb::fleet_report::Report::Finished(pb::AttemptFinished {
        attempt: Some(samples::attempt(1).into()),
        outputs: vec![pb::Output { size: 3, value: Some(value) }],
        timing: None,
    })
}

#[test]
fn an_unknown_report_is_no_reason_to_lose_the_others() {
    let known = pb::FleetReport::from(Report::Draining { waits: false });
    // Field 99, as a later version might send it.
    let later = pb::FleetReport::decode([0x9a, 0x06, 0x01, 0x00].as_slice()).unwrap();
    let read = fleet::reports(vec![later.clone(), known, later]);
    assert_eq!(read, Ok((vec![Report::Draining { waits: false }], 2)));
    let later = pb::SessionReport::decode([0x9a, 0x06, 0x01, 0x00].as_slice()).unwrap();
    let read = session::notices(vec![Notice::Pong(1).into(), later]);
    assert_eq!(read, Ok((vec![Notice::Pong(1)], 1)));
}

#[test]
fn an_attempt_finished_although_nobody_here_reads_its_value() {
    for value in [
        pb::Value { codec: 99, ..Value::raw("x").into() },
        pb::Value { compression: 99, ..Value::raw("x").into() },
        pb::Value { buffers: vec![pb::Buffer { place: None }], ..Value::raw("x").into() },
    ] {
        let (reports, unknown) = report(finished(value)).unwrap();
        assert_eq!(unknown, 1);
        let [Report::Finished { outputs, .. }] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!((outputs[0].size, outputs[0].value.is_none()), (3, true));
    }
}

#[test]
fn an_error_of_an_unknown_class_is_the_users() {
    let error = pb::TaskError { class: 99, ..samples::error().into() };
    let failed = pb::AttemptFailed {
        attempt: Some(samples::attempt(1).into()),
        error: Some(error),
        timing: None,
    };
    let (reports, unknown) = report(pb::fleet_report::Report::Failed(failed)).unwrap();
    let [Report::Failed { error, .. }] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(
        (error.class, error.reason.as_str(), unknown),
        (ErrorClass::User, "PROCESS_DIED", 1)
    );
}

#[test]
fn the_size_of_what_is_here_is_reckoned() {
    let lie = pb::Value { size: 1 << 60, ..Value::raw("abc").into() };
    assert_eq!(Value::try_from(lie), Ok(Value::raw("abc")));
}

#[test]
fn an_error_is_cut_to_its_limits_at_the_door() {
    let long = TaskError::new(ErrorClass::User, "R", "m".repeat(1 << 20));
    let error = round::<pb::TaskError, TaskError>(long).unwrap();
    assert!(error.message.len() <= limits::ERROR_MESSAGE_BYTES);
}

#[test]
fn an_end_in_an_unknown_state_is_passed_over() {
    let update = |state| pb::TaskUpdate { index: 1, state, ..Default::default() };
    let tasks = pb::TaskUpdates { graph: 1, tasks: vec![update(99), update(5), update(0)] };
    let message = pb::SessionReport { report: Some(pb::session_report::Report::Tasks(tasks)) };
    let (notices, unknown) = session::notices(vec![message]).unwrap();
    assert_eq!((notices.len(), unknown), (1, 2));
}

#[test]
fn what_is_left_out_has_its_default() {
    let chunk = pb::GraphChunk {
        submission_id: vec![1; 16].into(),
        classes: vec![pb::TaskClass::default()],
        ..Default::default()
    };
    let chunk = GraphChunk::try_from(chunk).unwrap();
    assert_eq!(chunk.graph, None);
    assert_eq!(chunk.classes, [bireme_core::TaskClass::default()]);

    let policy = pb::RetryPolicy { retry_on: vec![8, 1, 8], ..Default::default() };
    let policy = bireme_core::RetryPolicy::try_from(policy).unwrap();
    assert_eq!(policy.retry_on, [ErrorClass::Timeout, ErrorClass::User]);
    assert_eq!(policy.backoff_max, Span::secs(60));
    assert_eq!(policy.max_crashes, bireme_core::retry::DEFAULT_CRASHES);

    let open = pb::OpenSession { token: vec![1; 16].into(), ..Default::default() };
    let open = Open::try_from(open).unwrap();
    assert_eq!((open.weight_percent, open.ttl), (100, None));
}
