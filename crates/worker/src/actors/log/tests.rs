//! What is kept is found again, and what was not written whole is told.

use std::io::Write as _;
use std::sync::Arc;

use bireme_core::Span;
use bireme_core::actor::call::{Call, CallId, CallerId, Ending, Outcome, Who};
use bireme_core::actor::host::{Remembered, Table};
use bireme_core::id::{ActorId, Incarnation, SessionId};

use super::*;

fn caller() -> CallerId {
    CallerId { who: Who::Session(SessionId(3)), life: 1 }
}

fn call(seq: u64) -> Record {
    let id = CallId { caller: caller(), actor: ActorId(7), seq };
    let call = Arc::new(Call { method: "add".to_owned(), ..Call::default() });
    Record::Call { id, call, lane: 0, ticket: 0 }
}

fn records() -> Vec<Record> {
    vec![
        Record::Life { incarnation: Incarnation(1) },
        call(1),
        Record::Ended { lsn: 2, digest: u64::MAX },
        Record::Crash { running: vec![2, 5] },
        Record::Poisoned { lsn: 5 },
    ]
}

/// A log with five records in it.
fn written(directory: &Path) -> Log {
    let (mut log, found) = Log::open(directory.to_owned()).unwrap();
    assert_eq!(found.restored, Restored::default());
    for (lsn, record) in (1..).zip(records()) {
        let inputs = if lsn == 2 { vec![pb::Value::from(Value::raw("x"))] } else { Vec::new() };
        log.append(lsn, &record, inputs);
    }
    assert_eq!(log.write().unwrap(), 5);
    log
}

#[test]
fn what_was_written_is_found() {
    let directory = tempfile::tempdir().unwrap();
    drop(written(directory.path()));
    let (log, found) = Log::open(directory.path().to_owned()).unwrap();
    assert_eq!(found.restored.records, records());
    assert_eq!(found.inputs, [(2, vec![Value::raw("x")])]);
    assert!(found.kept.is_none() && log.bytes() > 0 && !log.has_unwritten());
}

#[test]
fn what_was_not_written_whole_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    drop(written(directory.path()));
    let path = path_of(directory.path(), 1);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, whole.get(..whole.len() - 1).unwrap()).unwrap();
    let (mut log, found) = Log::open(directory.path().to_owned()).unwrap();
    assert_eq!(found.restored.records.len(), 4);
    log.append(5, &call(2), Vec::new());
    log.write().unwrap();
    drop(log);
    let (_, found) = Log::open(directory.path().to_owned()).unwrap();
    assert_eq!(found.restored.records.last(), Some(&call(2)));
}

#[test]
fn a_gap_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = written(directory.path());
    log.turn_over().unwrap();
    log.append(6, &call(2), Vec::new());
    log.write().unwrap();
    drop(log);
    let first = path_of(directory.path(), 1);
    let whole = fs::read(&first).unwrap();
    fs::write(&first, whole.get(..whole.len() - 1).unwrap()).unwrap();
    assert!(matches!(Log::open(directory.path().to_owned()), Err(LogError::Broken { .. })));
    File::create(&first).unwrap().write_all(b"").unwrap();
    assert!(matches!(Log::open(directory.path().to_owned()), Err(LogError::Broken { .. })));
}

#[test]
fn a_checkpoint_takes_the_place_of_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = written(directory.path());
    log.turn_over().unwrap();
    log.append(6, &call(2), Vec::new());
    log.write().unwrap();
    let ending = Ending {
        outcome: Outcome::Done { items: 3 },
        queue: Span(1),
        run: Span(2),
        lsn: 2,
        incarnation: Incarnation(1),
    };
    let remembered = Remembered {
        caller: caller(),
        since: Incarnation(1),
        seen_up_to: 2,
        seen: vec![4],
        processed_up_to: 1,
        replies: vec![(2, ending)],
        items: Vec::new(),
    };
    let table = Table { callers: vec![remembered], forgotten: vec![caller()] };
    let state = Some(pb::Value::from(Value::raw("state")));
    let kept = Kept::new(5, Incarnation(1), state, table.clone(), Vec::new());
    write_checkpoint(directory.path(), &kept, true).unwrap();
    log.drop_up_to(5).unwrap();
    assert_eq!(names(directory.path()).unwrap(), [6]);
    drop(log);
    let (_, found) = Log::open(directory.path().to_owned()).unwrap();
    assert_eq!((found.restored.lsn, found.restored.records), (5, vec![call(2)]));
    assert_eq!(found.restored.table, table);
    let state = found.kept.unwrap().state.unwrap();
    assert_eq!(Value::try_from(state).unwrap(), Value::raw("state"));
}

#[test]
fn only_one_life_writes_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = written(directory.path());
    assert!(matches!(Log::open(directory.path().to_owned()), Err(LogError::Locked)));
    drop(first);
    Log::open(directory.path().to_owned()).unwrap();
    remove(directory.path()).unwrap();
    remove(directory.path()).unwrap();
}
