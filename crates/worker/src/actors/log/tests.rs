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
        Record::Unrun { lsn: 2 },
    ]
}

/// A log with six records in it.
fn written(directory: &Path) -> Log {
    let (mut log, found) = Log::open(directory.to_owned(), Durability::Process).unwrap();
    assert_eq!(found.restored, Restored::default());
    for (lsn, record) in (1..).zip(records()) {
        let inputs = if lsn == 2 { vec![pb::Value::from(Value::raw("x"))] } else { Vec::new() };
        log.append(lsn, &record, inputs);
    }
    assert_eq!(log.write().unwrap(), 6);
    log
}

#[test]
fn what_was_written_is_found() {
    let directory = tempfile::tempdir().unwrap();
    drop(written(directory.path()));
    let (log, found) = Log::open(directory.path().to_owned(), Durability::Process).unwrap();
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
    let (mut log, found) = Log::open(directory.path().to_owned(), Durability::Process).unwrap();
    assert_eq!(found.restored.records.len(), 5);
    log.append(6, &call(2), Vec::new());
    log.write().unwrap();
    drop(log);
    let (_, found) = Log::open(directory.path().to_owned(), Durability::Process).unwrap();
    assert_eq!(found.restored.records.last(), Some(&call(2)));
}

#[test]
fn a_gap_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = written(directory.path());
    log.turn_over().unwrap();
    log.append(7, &call(2), Vec::new());
    log.write().unwrap();
    drop(log);
    let first = path_of(directory.path(), 1);
    let whole = fs::read(&first).unwrap();
    fs::write(&first, whole.get(..whole.len() - 1).unwrap()).unwrap();
    assert!(matches!(
        Log::open(directory.path().to_owned(), Durability::Process),
        Err(LogError::Broken { .. })
    ));
    File::create(&first).unwrap().write_all(b"").unwrap();
    assert!(matches!(
        Log::open(directory.path().to_owned(), Durability::Process),
        Err(LogError::Broken { .. })
    ));
}

#[test]
fn a_checkpoint_takes_the_place_of_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = written(directory.path());
    log.turn_over().unwrap();
    log.append(7, &call(2), Vec::new());
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
    let table =
        Table { callers: vec![remembered], forgotten: vec![caller()], left_out: vec![0, 2] };
    let state = Some(pb::Value::from(Value::raw("state")));
    let kept = Kept::new(6, Incarnation(1), state, table.clone(), Vec::new());
    write_checkpoint(directory.path(), &kept, Durability::Disk).unwrap();
    log.drop_up_to(6).unwrap();
    assert_eq!(names(directory.path()).unwrap(), [7]);
    drop(log);
    let (_, found) = Log::open(directory.path().to_owned(), Durability::Process).unwrap();
    assert_eq!((found.restored.lsn, found.restored.records), (6, vec![call(2)]));
    assert_eq!(found.restored.table, table);
    let state = found.kept.unwrap().state.unwrap();
    assert_eq!(Value::try_from(state).unwrap(), Value::raw("state"));
}

#[test]
fn only_one_life_writes_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = written(directory.path());
    let second = lock::lock_within(directory.path(), Span::ZERO, Span::ZERO);
    assert!(matches!(second, Err(LogError::Locked)));
    drop(first);
    Log::open(directory.path().to_owned(), Durability::Process).unwrap();
    remove(directory.path()).unwrap();
    remove(directory.path()).unwrap();
}

/// Which files are meant: by their numbers in the file system.
fn numbers<'a>(files: impl IntoIterator<Item = &'a File>) -> Vec<u64> {
    use std::os::unix::fs::MetadataExt as _;
    files.into_iter().map(|file| file.metadata().unwrap().ino()).collect()
}

#[test]
fn what_was_written_before_a_new_file_and_its_name_are_synced_with_it() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("actors-1/a");
    let (mut log, _) = Log::open(directory.clone(), Durability::Disk).unwrap();
    log.append(1, &call(1), Vec::new());
    log.turn_over().unwrap();
    let opened = [path_of(&directory, 1), directory.clone(), path_of(&directory, 2)]
        .map(|path| File::open(path).unwrap());
    let unsynced = log.unsynced().unwrap();
    assert_eq!(numbers(unsynced.others.iter().chain([&unsynced.file])), numbers(&opened));
    unsynced.sync().unwrap();
    let again = log.unsynced().unwrap();
    assert_eq!(numbers(again.others.iter().chain([&again.file])), numbers(&opened[2..]));
}

#[test]
fn what_need_not_survive_a_power_cut_waits_for_no_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = written(directory.path());
    log.turn_over().unwrap();
    assert!(log.unsynced().unwrap().others.is_empty());
}

#[test]
fn nothing_is_written_behind_what_was_not_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = written(directory.path());
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let file = std::mem::replace(&mut log.file, full);
    log.append(7, &call(2), Vec::new());
    assert!(log.write().is_err());
    log.file = file;
    assert!(log.write().is_err() && log.turn_over().is_err() && log.has_unwritten());
}
