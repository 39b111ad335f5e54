//! What a host writes is what an heir finds, and what comes too late is not kept.

use std::io::Read as _;

use bireme_core::actor::host::{Record, Table};
use bytes::Bytes;

use super::*;
use crate::actors::log::{Batch, Found, Snapshot};

const ACTOR: ActorId = ActorId(7);
const OWN: WorkerUid = WorkerUid(1);

/// A host's log and a keeper beside it.
struct Scene {
    place: tempfile::TempDir,
    log: Log,
    keeper: Keeper,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(place.path().join("host"), Durability::Process).unwrap();
        log.hand_on();
        let keeper = Keeper::new(OWN, place.path().join("kept"));
        Self { place, log, keeper }
    }

    /// Writes so many records to the host's log.
    fn write(&mut self, count: u64) {
        for _ in 0..count {
            let lsn = self.log.written() + 1;
            self.log.append(lsn, &record(lsn), Vec::new());
            self.log.write().unwrap();
        }
    }

    fn begin(&self, life: u32) -> Result<Arc<Mutex<Copy>>, Refusal> {
        self.keeper.begin(hello(life, 1))
    }

    /// Begins a copy with all that there is.
    fn whole(&mut self, life: u32) -> Arc<Mutex<Copy>> {
        let copy = self.begin(life).unwrap();
        self.log.take_batches();
        let Snapshot { files, last, .. } = self.log.snapshot().unwrap();
        for (file, mut open, _) in files {
            let mut bytes = Vec::new();
            open.read_to_end(&mut bytes).unwrap();
            let (one, two) = bytes.split_at(bytes.len() / 2);
            for part in [one, two] {
                let frames = Bytes::copy_from_slice(part);
                let kept = keep(&copy, Said::Records { file, frames, last: 0 }).unwrap();
                assert!(!kept.is_whole && kept.lsn == 0);
            }
        }
        let kept = keep(&copy, Said::Whole { last }).unwrap();
        assert!(kept.is_whole && kept.lsn == last);
        copy
    }

    /// Hands on what was written since.
    fn follow(&mut self, copy: &Arc<Mutex<Copy>>) -> Result<Kept, Refusal> {
        let mut kept = Kept::default();
        for batch in self.log.take_batches() {
            let Batch { file, frames, last } = batch;
            kept = keep(copy, Said::Records { file, frames, last })?;
        }
        Ok(kept)
    }

    /// The next incarnation begins with the copy.
    fn inherit(&self, life: u32) -> Found {
        self.begin_here(life, Past::Here);
        Log::open(self.keeper.home_of(ACTOR), Durability::Process).unwrap().1
    }

    fn begin_here(&self, life: u32, past: Past<'_>) {
        self.keeper.begin_here(ACTOR, Incarnation(life), past, Durability::Process).unwrap();
    }

    /// The daemon that keeps copies is started anew: all that it knows is on its disk.
    fn restart(&mut self) {
        self.keeper = Keeper::new(OWN, self.place.path().join("kept"));
    }
}

fn record(lsn: u64) -> Record {
    Record::Poisoned { lsn }
}

fn hello(life: u32, stream: u64) -> Hello {
    let (incarnation, synced) = (Incarnation(life), life.is_multiple_of(2));
    Hello { actor: ACTOR, incarnation, worker: Some(OWN), stream, synced, first: 1 }
}

fn keep(copy: &Arc<Mutex<Copy>>, said: Said) -> Result<Kept, Refusal> {
    lock(copy).keep(said)
}

#[test]
fn an_heir_finds_what_the_host_has_written() {
    for life in [1, 2] {
        let mut scene = Scene::new();
        scene.write(3);
        let copy = scene.whole(life);
        scene.write(2);
        assert_eq!(scene.follow(&copy).unwrap().lsn, 5);
        let found = scene.inherit(life + 1);
        assert_eq!(found.restored.records, (1..=5).map(record).collect::<Vec<_>>());
    }
}

#[test]
fn a_checkpoint_takes_the_place_of_records() {
    let mut scene = Scene::new();
    let copy = scene.whole(1);
    scene.write(4);
    scene.log.turn_over().unwrap();
    scene.write(1);
    scene.follow(&copy).unwrap();
    let bytes = Bytes::from_static(b"half");
    let kept = keep(&copy, Said::Checkpoint { bytes: bytes.clone(), complete: None }).unwrap();
    assert_eq!((kept.lsn, kept.checkpoint), (5, 0));
    let kept = keep(&copy, Said::Checkpoint { bytes, complete: Some(4) }).unwrap();
    assert_eq!((kept.lsn, kept.checkpoint), (5, 4));
    let mut names = Vec::new();
    for entry in fs::read_dir(scene.keeper.copy_of(ACTOR)).unwrap() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["checkpoint", "life", "lock", "log-00000000000000000005"]);
    let written = fs::read(scene.keeper.copy_of(ACTOR).join("checkpoint")).unwrap();
    assert_eq!(written, b"halfhalf");
}

#[test]
fn nothing_of_an_earlier_incarnation_is_kept_once_a_later_one_lives_here() {
    let mut scene = Scene::new();
    let copy = scene.whole(1);
    scene.write(1);
    scene.follow(&copy).unwrap();
    assert_eq!(scene.inherit(2).restored.records.len(), 1);
    scene.write(1);
    assert_eq!(scene.follow(&copy).unwrap_err().reason, Reason::Superseded);
    for life in [1, 2] {
        assert_eq!(scene.begin(life).unwrap_err().reason, Reason::Superseded);
    }
    scene.begin(3).unwrap();
}

#[test]
fn the_last_whole_copy_is_good_until_another_is_whole() {
    let mut scene = Scene::new();
    let first = scene.whole(1);
    scene.write(2);
    scene.follow(&first).unwrap();
    let later = scene.begin(2).unwrap();
    let frames = Bytes::from_static(b"torn");
    keep(&later, Said::Records { file: 1, frames, last: 0 }).unwrap();
    scene.write(1);
    assert_eq!(scene.follow(&first).unwrap_err().reason, Reason::Superseded);
    assert_eq!(scene.inherit(3).restored.records.len(), 2);
}

#[test]
fn what_is_forgotten_is_removed_but_for_a_later_incarnation() {
    let mut scene = Scene::new();
    scene.whole(2);
    let copy = scene.keeper.copy_of(ACTOR);
    for _ in 0..2 {
        scene.keeper.forget(ACTOR, Incarnation(1)).unwrap();
        assert!(copy.exists());
        scene.restart();
    }
    scene.keeper.forget(ACTOR, Incarnation(2)).unwrap();
    assert!(!copy.exists());
    scene.begin_here(3, Past::None);
    scene.keeper.forget(ACTOR, Incarnation(2)).unwrap();
    assert!(scene.keeper.home_of(ACTOR).exists(), "a later incarnation lives here");
    scene.keeper.forget(ACTOR, Incarnation(3)).unwrap();
    assert!(!scene.keeper.home_of(ACTOR).exists());
    assert!(scene.begin(1).is_ok(), "nobody remembers");
}

#[test]
fn a_daemon_that_was_started_anew_still_keeps_nothing_of_an_earlier_incarnation() {
    let mut scene = Scene::new();
    scene.write(2);
    scene.whole(1);
    assert_eq!(scene.inherit(2).restored.records.len(), 2);
    scene.restart();
    for life in [1, 2] {
        assert_eq!(scene.begin(life).unwrap_err().reason, Reason::Superseded);
    }
    scene.whole(3);
    scene.restart();
    assert_eq!(scene.begin(2).unwrap_err().reason, Reason::Superseded);
}

#[test]
fn what_an_earlier_version_noted_of_a_copy_counts() {
    let mut scene = Scene::new();
    scene.whole(3);
    fs::write(scene.keeper.copy_of(ACTOR).join("life"), "3\n").unwrap();
    assert_eq!(scene.begin(2).unwrap_err().reason, Reason::Superseded);
    assert!(scene.begin(3).is_ok());
}

#[test]
fn an_earlier_stream_of_an_incarnation_that_comes_last_is_not_kept() {
    let mut scene = Scene::new();
    let later = scene.keeper.begin(hello(1, 2)).unwrap();
    for _ in 0..2 {
        let refusal = scene.keeper.begin(hello(1, 1)).unwrap_err();
        assert_eq!(refusal.reason, Reason::Superseded);
        scene.restart();
    }
    assert!(keep(&later, Said::Whole { last: 0 }).unwrap().is_whole, "it goes on");
    scene.restart();
    assert_eq!(scene.keeper.begin(hello(1, 1)).unwrap_err().reason, Reason::Superseded);
    assert!(scene.keeper.begin(hello(1, 3)).is_ok());
}

#[test]
fn what_another_is_to_keep_is_refused() {
    let scene = Scene::new();
    let meant = WorkerUid(2);
    let refusal = scene.keeper.begin(Hello { worker: Some(meant), ..hello(1, 1) }).unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::WorkerUnknown, "hello.worker"));
    assert!(refusal.message.contains(&meant.to_string()), "{}", refusal.message);
    assert!(!scene.keeper.unfinished(ACTOR).exists());
    let of_an_earlier_version = Hello { worker: None, stream: 0, ..hello(1, 1) };
    assert!(scene.keeper.begin(of_an_earlier_version).is_ok());
}

#[test]
fn a_log_that_is_later_than_a_copy_is_not_given_up_for_it() {
    let mut scene = Scene::new();
    scene.write(1);
    scene.whole(1);
    let kept = scene.keeper.copy_of(ACTOR);
    let aside = scene.place.path().join("aside");
    fs::rename(&kept, &aside).unwrap();
    scene.begin_here(2, Past::None);
    let (mut own, _) = Log::open(scene.keeper.home_of(ACTOR), Durability::Process).unwrap();
    for lsn in 1..=2 {
        own.append(lsn, &record(lsn), Vec::new());
    }
    own.write().unwrap();
    drop(own);
    fs::rename(&aside, &kept).unwrap();
    assert_eq!(scene.inherit(3).restored.records.len(), 2);
    assert!(!kept.exists());
}

#[test]
fn a_copy_is_good_until_what_was_brought_is_there() {
    let mut scene = Scene::new();
    scene.write(3);
    scene.whole(1);
    // The directory that is to be made cannot be.
    fs::write(scene.keeper.home_of(ACTOR), "in the way").unwrap();
    let (past, process) = (brought(5), Durability::Process);
    let begun = scene.keeper.begin_here(ACTOR, Incarnation(2), Past::Brought(&past), process);
    assert!(begun.is_err());
    fs::remove_file(scene.keeper.home_of(ACTOR)).unwrap();
    assert_eq!(scene.inherit(3).restored.records.len(), 3);
    scene.begin_here(4, Past::Brought(&past));
    assert_eq!(scene.inherit(5).restored.lsn, 5);
}

#[test]
fn a_copy_whose_stream_is_over_takes_up_no_room() {
    let mut scene = Scene::new();
    let copy = scene.whole(1);
    assert_eq!(lock(&scene.keeper.open).len(), 1);
    scene.keeper.ended(ACTOR, &copy);
    assert!(lock(&scene.keeper.open).is_empty());
    scene.write(1);
    assert_eq!(scene.follow(&copy).unwrap_err().reason, Reason::Superseded);
}

#[test]
fn a_copy_becomes_whole_once() {
    let mut scene = Scene::new();
    let copy = scene.whole(1);
    assert_eq!(keep(&copy, Said::Whole { last: 9 }).unwrap_err().reason, Reason::Malformed);
    assert!(scene.keeper.copy_of(ACTOR).exists());
}

/// What an incarnation leaves that comes to rest after so many records.
fn brought(lsn: u64) -> Brought {
    Brought::new(lsn, Incarnation(1), None, Table::default(), Vec::new())
}
