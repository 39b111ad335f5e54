//! Sessions that outlive their clients: until their time is up, and for whoever comes back.

use std::collections::BTreeMap;

use bireme_core::graph::{GraphChunk, GraphOptions, TaskClass};
use bireme_core::id::{Epoch, GraphId, SessionId, SessionToken, SubmissionId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::protocol::Report;
use bireme_core::reason::Reason;
use bireme_core::session::{Command, Open, Opened, Owner, Put};
use bireme_core::{Span, Time, limits};

use super::harness::cluster;
use crate::machine::{Config, ConnId, Effect, Event, Machine, Peer};

const ANA: Owner = Owner { key: 1, is_admin: false };
const BEN: Owner = Owner { key: 2, is_admin: false };
const ROOT: Owner = Owner { key: 3, is_admin: true };

struct Run {
    machine: Machine,
    now: Time,
    conns: u64,
    /// The newest connection of each session.
    streams: BTreeMap<SessionId, ConnId>,
}

impl Run {
    fn new() -> Self {
        let machine = Machine::new(Config {
            epoch: Epoch(1),
            seed: 1,
            first_session: 1,
            small_bytes: limits::SMALL_VALUES_BYTES,
        });
        Self { machine, now: Time(1), conns: 0, streams: BTreeMap::new() }
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.handle(self.now, event, &mut effects);
        assert_eq!(self.machine.check(), Ok(()));
        effects
    }

    /// Opens a session named `job`, or comes back to it, over a new connection.
    fn open(&mut self, token: u128, owner: Owner, by_name: bool) -> Result<Opened, Reason> {
        self.conns += 1;
        let open = Open {
            token: SessionToken(token),
            name: "job".to_owned(),
            by_name,
            owner,
            ttl: Some(Span::secs(10)),
            weight_percent: 100,
            known: Vec::new(),
            parent: None,
        };
        let conn = Some(ConnId(self.conns));
        let effects = self.handle(Event::SessionOpened { conn, open });
        let mut answers = effects.into_iter().filter_map(|effect| match effect {
            Effect::SessionOpened { opened, .. } => Some(Ok(opened)),
            Effect::Disconnect { refusal, conn: ended } if Some(ended) == conn => {
                Some(Err(refusal.reason))
            }
            _ => None,
        });
        let answer = answers.next_back().expect("an answer");
        if let Ok(opened) = answer {
            self.streams.insert(opened.session, ConnId(self.conns));
        }
        answer
    }

    /// A session's stream is lost.
    fn leave(&mut self, session: SessionId) {
        let (conn, peer) = (self.streams[&session], Peer::Session(session));
        self.handle(Event::Disconnected { conn, peer });
    }

    /// Lets time pass. Returns the sessions that end by that.
    fn pass(&mut self, span: Span) -> Vec<SessionId> {
        let (end, mut gone) = (self.now + span, Vec::new());
        while let Some(due) = self.machine.next_timer().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            for effect in self.handle(Event::TimerDue) {
                gone.extend(match effect {
                    Effect::SessionGone(session) => Some(session),
                    _ => None,
                });
            }
        }
        self.now = end;
        gone
    }

    fn submit(&mut self, session: SessionId, detached: bool) {
        let chunk = GraphChunk {
            submission: SubmissionId(u128::from(session.0)),
            graph: Some(GraphId::new(session, 3)),
            first_index: 0,
            tasks: Vec::new(),
            arrays: Vec::new(),
            classes: vec![TaskClass::default()],
            externals: Vec::new(),
            outputs: Vec::new(),
            options: Some(GraphOptions { detached, ..GraphOptions::default() }),
            last: false,
        };
        self.handle(Event::Commanded { session, command: Command::Chunk(Box::new(chunk)) });
    }

    fn graphs(&self) -> usize {
        self.machine.graphs().count()
    }
}

#[test]
fn a_session_ends_when_its_time_is_up_and_not_before() {
    let mut run = Run::new();
    let session = run.open(1, ANA, false).unwrap().session;
    run.submit(session, false);
    assert_eq!(run.pass(Span::secs(60)), [], "its stream is up");
    run.leave(session);
    assert_eq!(run.pass(Span::millis(9_999)), []);
    assert!(run.open(1, ANA, false).unwrap().resumed, "it is back in time");
    run.leave(session);
    assert_eq!((run.pass(Span::millis(9_999)), run.graphs()), (vec![], 1));
    assert_eq!((run.pass(Span::millis(1)), run.graphs()), (vec![session], 0));
    assert!(!run.open(1, ANA, false).unwrap().resumed, "the token is a new session's now");
}

#[test]
fn what_is_detached_outlives_the_time_of_its_session() {
    let mut run = Run::new();
    let session = run.open(1, ANA, false).unwrap().session;
    run.submit(session, true);
    run.leave(session);
    assert_eq!((run.pass(Span::secs(60)), run.graphs()), (vec![], 1));
    let opened = run.open(9, ANA, true).unwrap();
    assert_eq!((opened.session, opened.resumed), (session, true));
}

#[test]
fn whoever_opened_a_session_comes_back_by_its_name() {
    let mut run = Run::new();
    let session = run.open(1, ANA, false).unwrap().session;
    run.submit(session, false);
    run.leave(session);
    assert_eq!(run.open(2, BEN, true), Err(Reason::SessionUnknown), "another's");
    let opened = run.open(3, ANA, true).unwrap();
    assert_eq!((opened.session, opened.resumed, opened.last_graph), (session, true, 3));
    // Whose answer was lost asks again with the same token.
    assert_eq!(run.open(3, ANA, true), Ok(opened));
    run.leave(session);
    assert!(!run.open(1, ANA, false).unwrap().resumed, "the old token is good no more");
    assert_eq!(run.open(3, ANA, false).unwrap().session, session);
    run.leave(session);
    assert_eq!(run.open(4, ROOT, true).unwrap().session, session, "an administrator's, too");
}

#[test]
fn a_session_that_a_client_has_is_not_taken_by_name() {
    let mut run = Run::new();
    assert_eq!(run.open(8, ANA, true), Err(Reason::SessionUnknown));
    let session = run.open(1, ANA, false).unwrap().session;
    assert_eq!(run.open(2, ANA, true), Err(Reason::SessionHeld));
    assert!(run.machine.sessions().any(|view| view.id == session && view.connected));
    let other = run.open(3, ANA, false).unwrap().session;
    run.leave(other);
    run.leave(session);
    assert_eq!(run.open(4, ANA, true), Err(Reason::SessionHeld), "there are two of the name");
}

#[test]
fn whoever_comes_back_numbers_no_value_twice() {
    let mut machine = cluster();
    let (session, mut effects) = (SessionId(1), Vec::new());
    let object = ObjectId::Held { holder: session.into(), n: 5 };
    let put = Put { object, size: 1, worker: WorkerId(1), copies: 1 };
    let command = Command::Put { submission: SubmissionId(1), objects: vec![put] };
    machine.handle(Time(2), Event::Commanded { session, command }, &mut effects);
    // A further one, of which the worker was heard first.
    let object = ObjectId::Held { holder: session.into(), n: 6 };
    let report = Report::ReplicaAdded { object, size: 1 };
    machine.handle(Time(3), Event::WorkerReported { worker: WorkerId(1), report }, &mut effects);
    let open = Open::new(SessionToken(7));
    effects.clear();
    machine.handle(Time(4), Event::SessionOpened { conn: Some(ConnId(2)), open }, &mut effects);
    let opened = effects.iter().find_map(|effect| match effect {
        Effect::SessionOpened { opened, .. } => Some(*opened),
        _ => None,
    });
    assert_eq!(opened.expect("it is back").last_value, 6);
}
