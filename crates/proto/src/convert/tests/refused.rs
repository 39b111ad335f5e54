//! What no correct peer sends, and what this version does not know in a command: refused, with the path of the field.

use bireme_core::reason::Reason;
use bytes::Bytes;
use pb::session_command::Command as Wire;

use super::*;

const MALFORMED: Reason = Reason::Malformed;
const UNSUPPORTED: Reason = Reason::Unsupported;

fn check<T: std::fmt::Debug>(result: Result<T, Refusal>, reason: Reason, field: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (reason, field), "{refusal}");
    assert!(!refusal.message.is_empty());
}

/// Spoils the sample command of one arm and says why that must be refused.
fn command(spoil: impl Fn(&mut Wire) -> bool, reason: Reason, field: &str) {
    let mut spoilt = 0;
    for command in samples::commands() {
        let mut message = pb::SessionCommand::from(command);
        if spoil(message.command.as_mut().unwrap()) {
            check(session::command(message), reason, field);
            spoilt += 1;
        }
    }
    assert_eq!(spoilt, 1, "{field}: one arm is spoilt");
}

fn chunk(spoil: impl Fn(&mut pb::GraphChunk), reason: Reason, field: &str) {
    let spoil = |wire: &mut Wire| {
        let Wire::Chunk(chunk) = wire else { return false };
        spoil(chunk);
        true
    };
    command(spoil, reason, field);
}

fn class(spoil: impl Fn(&mut pb::TaskClass), reason: Reason, field: &str) {
    chunk(|chunk| spoil(&mut chunk.classes[1]), reason, &format!("chunk.classes[1].{field}"));
}

#[test]
fn commands_without_what_names_them() {
    let short = || Bytes::from_static(b"15 bytes, not 6");
    chunk(|chunk| chunk.submission_id = short(), MALFORMED, "chunk.submission_id");
    macro_rules! arm {
        ($arm:ident, $field:ident = $value:expr, $path:literal) => {
            let spoil = |wire: &mut Wire| {
                let Wire::$arm(inner) = wire else { return false };
                inner.$field = $value;
                true
            };
            command(spoil, MALFORMED, $path);
        };
    }
    arm!(Release, submission_id = short(), "release.submission_id");
    arm!(Cancel, submission_id = Bytes::new(), "cancel.submission_id");
    arm!(Retry, submission_id = short(), "retry.submission_id");
    arm!(Forget, submission_id = short(), "forget.submission_id");
    arm!(Put, submission_id = short(), "put.submission_id");
    arm!(Close, submission_id = short(), "close.submission_id");
    arm!(Want, graph = 0, "want.graph");
    arm!(Release, graph = 0, "release.graph");
    arm!(Cancel, graph = 0, "cancel.graph");
    arm!(Retry, graph = 0, "retry.graph");
    arm!(Forget, graph = 0, "forget.graph");
    check(session::command(pb::SessionCommand::default()), UNSUPPORTED, "command");
}

#[test]
fn commands_about_objects_that_cannot_be() {
    let put = |spoil: fn(&mut pb::PutObject), field: &str| {
        let spoil = |wire: &mut Wire| {
            let Wire::Put(put) = wire else { return false };
            spoil(&mut put.objects[0]);
            true
        };
        command(spoil, MALFORMED, field);
    };
    put(|put| put.object = None, "put.objects[0].object");
    put(|put| put.worker = 0, "put.objects[0].worker");
    let held = |holder, n| pb::ObjectId {
        producer: Some(pb::object_id::Producer::Held(pb::object_id::Held { holder, n })),
    };
    let output = |task, output| pb::ObjectId {
        producer: Some(pb::object_id::Producer::TaskOutput(pb::object_id::TaskOutput {
            task,
            output,
        })),
    };
    let task = Some(samples::task(1).into());
    let no_graph = Some(pb::TaskId { graph: 0, index: 3 });
    for (object, reason, field) in [
        (pb::ObjectId::default(), UNSUPPORTED, "producer"),
        (held(0, 1), MALFORMED, "held.holder"),
        (held(1, 0), MALFORMED, "held.n"),
        (output(None, 0), MALFORMED, "task_output.task"),
        (output(no_graph, 0), MALFORMED, "task_output.task.graph"),
        (output(task, 1 << 16), MALFORMED, "task_output.output"),
    ] {
        let path = format!("chunk.externals[1].{field}");
        chunk(|chunk| chunk.externals[1] = object, reason, &path);
    }
}

#[test]
fn tasks_and_arrays_that_cannot_be() {
    chunk(|it| it.tasks[0].dep_outputs = vec![1], MALFORMED, "chunk.tasks[0].dep_outputs");
    chunk(
        |it| it.tasks[1].dep_outputs = vec![1 << 16],
        Reason::OutputUnknown,
        "chunk.tasks[1].dep_outputs",
    );
    chunk(
        |it| it.arrays[1].inputs[0].output = 1 << 16,
        Reason::OutputUnknown,
        "chunk.arrays[1].inputs[0].output",
    );
    let no_rows = |it: &mut pb::GraphChunk| it.arrays[0].rows = Some(pb::RowArguments::default());
    chunk(no_rows, UNSUPPORTED, "chunk.arrays[0].rows.from");
}

#[test]
fn classes_that_cannot_be() {
    let long = || "x".repeat(limits::NAME_BYTES + 1);
    let runtime = |kind, name: &str| {
        Some(pb::Runtime { kind, name: name.to_owned(), ..pb::Runtime::default() })
    };
    let fresh = |kind| Some(pb::Runtime { kind, fresh_process: true, ..pb::Runtime::default() });
    class(|it| it.outputs = 257, Reason::GraphTooLarge, "outputs");
    class(|it| it.outputs = 1 << 16, Reason::GraphTooLarge, "outputs");
    class(|it| it.on_worker_lost = 99, UNSUPPORTED, "on_worker_lost");
    class(|it| it.runtime = runtime(99, ""), UNSUPPORTED, "runtime.kind");
    class(|it| it.runtime = runtime(4, ""), MALFORMED, "runtime.name");
    class(|it| it.runtime = runtime(1, "python"), MALFORMED, "runtime.name");
    class(|it| it.runtime = fresh(1), MALFORMED, "runtime.fresh_process");
    class(|it| it.workers = vec![String::new(), long()], MALFORMED, "workers[1]");
    class(|it| it.labels[0].key = String::new(), MALFORMED, "labels[0].key");
    class(|it| it.labels[0].value = long(), MALFORMED, "labels[0].value");
    class(|it| it.labels = vec![samples::label(1, 1); 65], MALFORMED, "labels");
    let retry = |it: &mut pb::TaskClass| it.retry.as_mut().unwrap().retry_on = vec![1, 99];
    class(retry, UNSUPPORTED, "retry.retry_on[1]");
    let twice = |it: &mut pb::TaskClass| {
        let others = &mut it.resources.as_mut().unwrap().others;
        others.push(others[0].clone());
    };
    class(twice, Reason::ResourceInvalid, "resources.others");
}

#[test]
fn what_is_reserved_and_given_all_the_same() {
    class(|it| it.output_names = vec!["a".into()], UNSUPPORTED, "output_names");
    class(|it| it.alternatives = vec![pb::Resources::default()], UNSUPPORTED, "alternatives");
    class(|it| it.gang_size = 2, UNSUPPORTED, "gang_size");
    class(|it| it.time_request_us = 1, UNSUPPORTED, "time_request_us");
    class(|it| it.memory_estimate_bytes = 1, UNSUPPORTED, "memory_estimate_bytes");
    class(|it| it.durable_uri = "s3://b".into(), UNSUPPORTED, "durable_uri");
    let options = |spoil: fn(&mut pb::GraphOptions), reason, field| {
        chunk(|chunk| spoil(chunk.options.as_mut().unwrap()), reason, field);
    };
    options(
        |it| drop(it.annotations.insert("a".into(), "b".into())),
        UNSUPPORTED,
        "chunk.options.annotations",
    );
    options(|it| it.outputs = 99, UNSUPPORTED, "chunk.options.outputs");
    options(|it| it.watch = 99, UNSUPPORTED, "chunk.options.watch");
    options(|it| it.name = "x".repeat(257), MALFORMED, "chunk.options.name");
}

#[test]
fn sessions_that_cannot_be() {
    let open = || pb::OpenSession::from(samples::open());
    let token = pb::OpenSession { token: Bytes::new(), ..open() };
    check(Open::try_from(token), MALFORMED, "token");
    let name = pb::OpenSession { name: "x".repeat(257), ..open() };
    check(Open::try_from(name), MALFORMED, "name");
    let known = pb::OpenSession { known: vec![pb::GraphKnown::default()], ..open() };
    check(Open::try_from(known), MALFORMED, "known[0].graph");
    check(Opened::try_from(pb::SessionOpened::default()), MALFORMED, "session");
}

#[test]
fn greetings_that_cannot_be() {
    let cluster = pb::Hello { cluster_id: Bytes::from_static(b"short"), ..Default::default() };
    check(Greeting::try_from(cluster), MALFORMED, "cluster_id");
    let many = vec!["f".to_owned(); limits::FEATURES + 1];
    let features = pb::Hello { features: many.clone(), ..Default::default() };
    check(Greeting::try_from(features), MALFORMED, "features");
    let required = pb::Hello { required_features: many, ..Default::default() };
    check(Greeting::try_from(required), MALFORMED, "required_features");
}

#[test]
fn workers_that_cannot_be() {
    let join = |spoil: fn(&mut pb::JoinFleet), reason, field| {
        let mut message = pb::JoinFleet::from(samples::join());
        spoil(&mut message);
        check(Join::try_from(message), reason, field);
    };
    join(|it| it.uid = Bytes::new(), MALFORMED, "uid");
    join(|it| it.incarnation = Bytes::new(), MALFORMED, "incarnation");
    join(|it| it.name.clear(), MALFORMED, "name");
    join(|it| it.resources = None, MALFORMED, "resources");
    join(|it| it.labels = vec![samples::label(1, 1); 2], MALFORMED, "labels");
    join(|it| it.addresses[1].scheme = "ftp".into(), MALFORMED, "addresses[1].scheme");
    join(|it| it.addresses[0].host.clear(), MALFORMED, "addresses[0].host");
    join(|it| it.addresses[0].port = 65_536, MALFORMED, "addresses[0].port");
    join(|it| it.addresses = vec![it.addresses[0].clone(); 17], MALFORMED, "addresses");
    join(|it| it.functions[1] = "x".repeat(257), MALFORMED, "functions[1]");
    join(|it| it.topology = vec!["rack".into()], UNSUPPORTED, "topology");
    let worker = Some(pb::WorkerId { number: 0 });
    let joined = pb::Joined { worker, heartbeat_us: 1, ..Default::default() };
    check(Joined::try_from(joined), MALFORMED, "worker.number");
    check(Joined::try_from(pb::Joined::default()), MALFORMED, "heartbeat_us");
}

#[test]
fn values_that_cannot_be() {
    let value = |spoil: fn(&mut pb::Value), reason, field| {
        let mut message = pb::Value::from(samples::values().remove(0));
        spoil(&mut message);
        check(Value::try_from(message), reason, field);
    };
    let file = |name: &str, offset| {
        let file = pb::buffer::PoolFile { name: name.into(), offset, length: 2, generation: 1 };
        pb::Buffer { place: Some(pb::buffer::Place::PoolFile(file)) }
    };
    value(|it| it.codec = 0, UNSUPPORTED, "codec");
    value(|it| it.codec = 99, UNSUPPORTED, "codec");
    value(|it| it.compression = 99, UNSUPPORTED, "compression");
    value(|it| it.buffers[2].place = None, UNSUPPORTED, "buffers[2].place");
    value(|it| it.contains[1].target = None, UNSUPPORTED, "contains[1].target");
    value(|it| it.digest = Some(pb::Digest::default()), MALFORMED, "digest.blake3");
    for (buffer, field) in [
        (file("../up", 0), "buffers[0].pool_file.name"),
        (file("..", 0), "buffers[0].pool_file.name"),
        (file("", 0), "buffers[0].pool_file.name"),
        (file("p", u64::MAX), "buffers[0].pool_file.length"),
    ] {
        let message = pb::Value { buffers: vec![buffer], ..Value::raw("x").into() };
        check(Value::try_from(message), MALFORMED, field);
    }
}

#[test]
fn orders_that_cannot_be() {
    use pb::fleet_order::Order as Wire;
    check(fleet::orders(vec![pb::FleetOrder::default()]), UNSUPPORTED, "orders[0].order");
    let order = |order| {
        let stop = pb::FleetOrder::from(bireme_core::protocol::Order::Stop);
        fleet::orders(vec![stop, pb::FleetOrder { order: Some(order) }])
    };
    let start = |spoil: fn(&mut pb::StartAttempt)| {
        let mut start = pb::StartAttempt::from(samples::start());
        spoil(&mut start);
        order(Wire::Start(start))
    };
    check(start(|it| it.attempt = None), MALFORMED, "orders[1].start.attempt");
    let no_epoch = start(|it| it.attempt.as_mut().unwrap().epoch = 0);
    check(no_epoch, MALFORMED, "orders[1].start.attempt.epoch");
    check(start(|it| it.inputs[1].object = None), MALFORMED, "orders[1].start.inputs[1].object");
    let codec = start(|it| it.inputs[0].value.as_mut().unwrap().codec = 99);
    check(codec, UNSUPPORTED, "orders[1].start.inputs[0].value.codec");
    let settle = pb::SettleAttempts { attempts: vec![pb::AttemptId::default()] };
    check(order(Wire::Settle(settle)), MALFORMED, "orders[1].settle.attempts[0].epoch");
    let release = pb::ReleaseObjects { objects: vec![pb::ObjectId::default()] };
    check(order(Wire::Release(release)), UNSUPPORTED, "orders[1].release.objects[0].producer");
    let cancel = pb::CancelAttempt::default();
    check(order(Wire::Cancel(cancel)), MALFORMED, "orders[1].cancel.attempt");
    let retract = pb::RetractAttempt::default();
    check(order(Wire::Retract(retract)), MALFORMED, "orders[1].retract.attempt");
}

#[test]
fn reports_that_cannot_be() {
    use pb::fleet_report::Report as Wire;
    let attempt = Some(pb::AttemptId::from(samples::attempt(1)));
    let no_count = attempt.map(|attempt| pb::AttemptId { n: 0, ..attempt });
    let finished = |attempt, outputs| {
        report(Wire::Finished(pb::AttemptFinished { attempt, outputs, timing: None }))
    };
    check(finished(None, Vec::new()), MALFORMED, "reports[0].finished.attempt");
    check(finished(no_count, Vec::new()), MALFORMED, "reports[0].finished.attempt.n");
    let many = vec![pb::Output::default(); 257];
    check(finished(attempt, many), MALFORMED, "reports[0].finished.outputs");
    let digest = Some(pb::Digest::default());
    let value = Some(pb::Value { digest, ..Value::raw("x").into() });
    let outputs = vec![pb::Output { size: 1, value }];
    let field = "reports[0].finished.outputs[0].value.digest.blake3";
    check(finished(attempt, outputs), MALFORMED, field);
    let large = Value::raw(vec![0; 4_097]);
    let outputs = vec![pb::Output { size: 4_097, value: Some(large.into()) }];
    check(finished(attempt, outputs), MALFORMED, "reports[0].finished.outputs[0].value");
    let failed = pb::AttemptFailed { attempt, error: None, timing: None };
    check(report(Wire::Failed(failed)), MALFORMED, "reports[0].failed.error");
    let error = pb::TaskError { attempt: no_count, ..samples::error().into() };
    let error = pb::TaskError { cause: Some(Box::new(error)), ..samples::error().into() };
    let failed = pb::AttemptFailed { attempt, error: Some(error), timing: None };
    check(report(Wire::Failed(failed)), MALFORMED, "reports[0].failed.error.cause.attempt.n");
    let lost = report(Wire::ReplicaLost(pb::ReplicaLost::default()));
    check(lost, MALFORMED, "reports[0].replica_lost.object");
    let ended =
        vec![pb::FleetReport { report: Some(Wire::Started(pb::AttemptStarted::default())) }];
    let announced = fleet::announced(pb::Announce { ended, ..Default::default() });
    check(announced, MALFORMED, "ended[0].started.attempt");
}

#[test]
fn notices_that_cannot_be() {
    use pb::session_report::Report as Wire;
    let notice = |report| session::notices(vec![pb::SessionReport { report: Some(report) }]);
    let no_graph = notice(Wire::Tasks(pb::TaskUpdates::default()));
    check(no_graph, MALFORMED, "reports[0].tasks.graph");
    let accepted = notice(Wire::Accepted(pb::Accepted::default()));
    check(accepted, MALFORMED, "reports[0].accepted.submission_id");
    let refused = notice(Wire::Refused(pb::Refused::default()));
    check(refused, MALFORMED, "reports[0].refused.submission_id");
    let counts = Some(pb::GraphCounts { failed: 1 << 32, ..Default::default() });
    let graph = pb::GraphUpdate { graph: 1, counts, ..Default::default() };
    check(notice(Wire::Graph(graph)), MALFORMED, "reports[0].graph.counts.failed");
    let objects = vec![pb::ObjectPlace::default()];
    let places = notice(Wire::Places(pb::ObjectPlaces { request: 1, objects }));
    check(places, MALFORMED, "reports[0].places.objects[0].object");
    let workers = vec![pb::WorkerPlace::default()];
    let workers = notice(Wire::Workers(pb::WorkerPlaces { workers }));
    check(workers, MALFORMED, "reports[0].workers.workers[0].worker");
}

#[test]
fn a_command_that_cannot_be_read_can_still_be_answered() {
    for command in samples::commands() {
        let expected = match &command {
            Command::Cancel { submission, graph, .. }
            | Command::Forget { submission, graph }
            | Command::Release { submission, graph, .. }
            | Command::Retry { submission, graph, .. } => (Some(*submission), Some(*graph)),
            Command::Chunk(chunk) => (Some(chunk.submission), chunk.graph),
            Command::Close { submission }
            | Command::DropReplicas { submission, .. }
            | Command::Put { submission, .. }
            | Command::ReleaseValues { submission, .. } => (Some(*submission), None),
            Command::Want { graph, .. } => (None, Some(*graph)),
            Command::Locate { .. } | Command::Ping(_) => (None, None),
        };
        let subject = session::Subject::of(&command.into());
        assert_eq!((subject.submission, subject.graph), expected);
    }
}
