//! Whatever is thrown at a host, in whatever order, it stays whole and answers for what it gave.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::*;
use crate::actor::call::{CallFailure, ReplyKind};
use crate::actor::{Journal, LaneSpec, MethodSpec};
use crate::object::ObjectId;

/// A sequence of numbers that looks like chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % sides
    }

    fn is(&mut self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }
}

fn any_spec(dice: &mut Dice) -> ActorSpec {
    let kinds = [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::EffectivelyOnce];
    let mut spec = spec(kinds[usize::try_from(dice.roll(3)).unwrap()]);
    spec.reentrant = dice.is(3);
    spec.mailbox.calls = 4;
    spec.mailbox.bytes = 2_000;
    spec.checkpoint.every_calls = dice.roll(4);
    spec.caller_ttl = Some(Span::secs(20));
    spec.lanes[0].concurrency = 1 + u32::try_from(dice.roll(2)).unwrap();
    if dice.is(2) {
        spec.lanes.push(LaneSpec { name: "other".to_owned(), concurrency: 2 });
    }
    let journal = Journal::Result;
    spec.methods = vec![MethodSpec { method: "odd".to_owned(), lane: 0, delivery: None, journal }];
    spec
}

fn any_call(dice: &mut Dice) -> Call {
    let object = ObjectId::Held { holder: crate::id::HolderId(1), n: 1 };
    let replies = [ReplyKind::Value, ReplyKind::None, ReplyKind::Stream, ReplyKind::Store];
    Call {
        inputs: if dice.is(4) { [object].into_iter().collect() } else { SmallVec::default() },
        lane: dice.is(3).then(|| u32::try_from(dice.roll(3)).unwrap()),
        reply: replies[usize::try_from(dice.roll(4)).unwrap()],
        deadline: dice.is(5).then(|| Span::secs(1 + dice.roll(9))),
        delivery: dice.is(6).then_some(Delivery::AtLeastOnce),
        chain: if dice.is(4) { vec![id(1, 1 + dice.roll(9))] } else { Vec::new() },
        receipt: dice.is(4),
        unordered: dice.is(4),
        ..call(if dice.is(5) { "odd" } else { "a" })
    }
}

fn any_word(dice: &mut Dice) -> ToHost {
    let seq = 1 + dice.roll(12);
    let n = u32::try_from(dice.roll(4)).unwrap();
    match dice.roll(14) {
        0 => ToHost::Ack { processed_up_to: dice.roll(8) },
        1 => ToHost::AckItems { seq, up_to: dice.roll(4) },
        2 => ToHost::Cancel { seq, grace: None },
        3 => ToHost::Close { forget: dice.is(2) },
        4 => ToHost::Credit { seq, n },
        5..8 => ToHost::Open(Open {
            caller: caller(1 + n),
            actor: ACTOR,
            incarnation: Incarnation(1),
            processed_up_to: dice.roll(6),
            on_unknown: if dice.is(3) { OnUnknown::Stop } else { OnUnknown::Continue },
            credit: n,
        }),
        _ => {
            let call = Arc::new(any_call(dice));
            ToHost::Call { seq, call, incarnation: Incarnation(1 + n) }
        }
    }
}

fn any_end(dice: &mut Dice) -> RunEnd {
    match dice.roll(6) {
        0 => RunEnd::Cancelled,
        1 => RunEnd::Done { items: 0 },
        2 => RunEnd::UserError(died("no")),
        _ => value("x"),
    }
}

fn any_event(dice: &mut Dice, run: RunNo) -> Event {
    let small = dice.roll(12);
    match dice.roll(60) {
        0 => Event::Alive { checkpoints: !dice.is(5) },
        1 => Event::CheckpointAsked { request: small },
        2 => {
            Event::EndAsked { grace: Span::secs(small), forget: dice.is(2), reason: String::new() }
        }
        3 if dice.is(3) => Event::Exited,
        4 => Event::LeaseEnded,
        5..8 => Event::LeaseRenewed,
        8 => Event::LogFailed(died("no space")),
        9 => Event::MoveAsked {
            request: small,
            quiesce: Some(Span::secs(small)),
            lose_state: dice.is(3),
        },
        10 => {
            let reached = Reached { started: run, runs: dice.is(2) };
            Event::ProcessLost { reached: dice.is(2).then_some(reached), error: died("died") }
        }
        11 if dice.is(4) => Event::Refused(died("no")),
        12 if dice.is(2) => Event::NotBegun(run),
        12 => Event::LineLost(Line(small % 4)),
        13..17 => {
            Event::StateKept(if dice.is(3) { Err(died("full")) } else { Ok(Checkpoint::default()) })
        }
        17..20 => Event::Item { run, n: 1 + small % 3, value: Box::new(Value::none()) },
        20..23 => {
            let failure = || Box::new(CallFailure::new(CallCode::ArgumentFailed, "lost"));
            let inputs = if dice.is(4) { Err(failure()) } else { Ok(()) };
            Event::Gathered { ticket: small * 3, inputs }
        }
        23..26 => Event::TimerDue,
        26..32 => Event::Durable { lsn: small * 4 },
        32..44 => Event::Ended { run, end: any_end(dice), took: Span(small) },
        _ => Event::Said { line: Line(small % 4), word: any_word(dice) },
    }
}

#[test]
fn a_host_stays_whole_whatever_happens() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut rig = Rig::new(any_spec(&mut dice), 0);
        rig.durable = dice.is(2);
        let mut given: BTreeSet<u64> = BTreeSet::new();
        for _ in 0..300 {
            rig.now = rig.now + Span::millis(dice.roll(800));
            let runs = rig.host().given.numbers().map(RunNo);
            let run = runs.last().filter(|_| !dice.is(8)).unwrap_or(RunNo(dice.roll(9)));
            let told = match dice.roll(40) {
                0 if rig.host().is_over() => {
                    given.clear();
                    rig.succeeds()
                }
                1 if rig.host().is_over() => {
                    given.clear();
                    rig.restarts(dice.is(4))
                }
                _ => rig.on(any_event(&mut dice, run)),
            };
            for run in told.iter().filter_map(|told| told.strip_prefix("run ")) {
                let run = run.split(' ').next().unwrap().parse().unwrap();
                assert!(given.insert(run), "seed {seed}: {run} is given twice");
            }
            assert_eq!(rig.host().check(), Ok(()), "seed {seed}");
        }
        rig.on(Event::EndAsked { grace: Span::ZERO, forget: true, reason: String::new() });
        rig.on(Event::EndAsked { grace: Span::ZERO, forget: true, reason: String::new() });
        rig.dies(None);
        assert_eq!(rig.host().mailbox.iter().count(), 0, "seed {seed}: calls have not ended");
    }
}

#[test]
fn timers_come_to_an_end() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut rig = Rig::new(any_spec(&mut dice), 2);
        for _ in 0..60 {
            let event = any_event(&mut dice, RunNo(1));
            rig.on(event);
        }
        let mut turns = 0;
        while let Some(at) = rig.host().next_timer() {
            rig.now = rig.now.max(at);
            // For as long as calls wait behind one that runs, somebody looks after them.
            let looks = rig.host().probes.due() == Some(at);
            rig.on(Event::TimerDue);
            let runs = rig.host().given.numbers().next();
            if let Some(run) = runs.filter(|_| looks) {
                rig.returns(run, "x");
            }
            turns += 1;
            assert!(turns < 200, "seed {seed}: {:?}", rig.host);
        }
    }
}
