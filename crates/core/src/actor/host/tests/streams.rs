//! Streaming calls: credit, items that are kept, and items that come again.

use super::*;
use crate::ObjectId;
use crate::actor::call::ReplyKind;
use crate::id::HolderId;

fn stream() -> Call {
    Call { reply: ReplyKind::Stream, ..call("items") }
}

impl Rig {
    fn item(&mut self, run: u64, n: u64) -> Vec<String> {
        self.on(Event::Item { run: RunNo(run), n, value: Box::new(Value::text(n.to_string())) })
    }

    fn ack_items(&mut self, line: u64, seq: u64, up_to: u64) -> Vec<String> {
        self.say(line, ToHost::AckItems { seq, up_to })
    }

    /// The next incarnation begins in the same daemon: how many items the first call of its log may give at once.
    fn credit_of_replay(&mut self) -> Option<u32> {
        let (found, mut effects) = (self.found(), Vec::new());
        let host = self.host.take().unwrap();
        let next = Incarnation(host.incarnation.0 + 1);
        let mut host = host.succeed(self.now, next, Some(found), &mut effects);
        host.handle(self.now, Event::Alive { checkpoints: true }, &mut effects);
        effects.iter().find_map(|effect| match effect {
            Effect::Run(run) if run.replay => Some(run.credit),
            _ => None,
        })
    }
}

#[test]
fn items_flow_as_far_as_there_is_credit() {
    let mut rig = Rig::at_most_once(1);
    rig.send(1, 1, stream());
    assert_eq!(rig.item(1, 1), ["1: item 1.1"]);
    assert_eq!(rig.item(1, 2), ["1: item 1.2"]);
    assert!(rig.item(1, 3).is_empty(), "beyond its credit");
    assert_eq!(rig.ack_items(1, 1, 1), ["credit 1 1"]);
    assert_eq!(rig.say(1, ToHost::Credit { seq: 1, n: 4 }), ["credit 1 4"]);
    assert_eq!(rig.item(1, 3), ["1: item 1.3"]);
    assert_eq!(rig.ends(1, RunEnd::Done { items: 3 }), ["1: 1 = done 3"]);
    let told = ["2: opened 1 next 2 since 1", "2: item 1.2", "2: item 1.3", "2: 1 = done 3"];
    assert_eq!(rig.open(2, 1, 0), told);
    rig.ack_items(2, 1, 3);
    assert_eq!(rig.open(3, 1, 0), ["3: opened 1 next 2 since 1", "3: 1 = done 3"]);
    rig.say(3, ToHost::Ack { processed_up_to: 1 });
    assert_eq!(rig.host().callers.bytes, 0);
}

#[test]
fn streams_do_not_wait_long_for_a_caller_that_is_away() {
    let ends = |words: Vec<String>| {
        words.into_iter().filter(|word| !word.starts_with("probe")).collect::<Vec<_>>()
    };
    let mut rig = Rig::at_most_once(1);
    rig.send(1, 1, stream());
    let inputs = [ObjectId::Held { holder: HolderId(9), n: 1 }].into_iter().collect();
    assert_eq!(rig.send(1, 2, Call { inputs, ..stream() }), ["gather 2"]);
    rig.on(Event::LineLost(Line(1)));
    rig.open(2, 1, 0);
    assert!(ends(rig.wait(Span::secs(70))).is_empty(), "it is back");
    rig.on(Event::LineLost(Line(2)));
    assert!(ends(rig.wait(Span::secs(59))).is_empty());
    let flows = format!("credit 1 {}", u32::MAX);
    assert_eq!(ends(rig.wait(Span::secs(2))), [&flows, "stop 1", "ungather 2"]);
    assert!(ends(rig.wait(Span::secs(70))).is_empty(), "once is enough");
    rig.ends(1, RunEnd::Cancelled);
    let told = ["3: opened 1 next 3 since 1", "3: 1 = CANCELLED", "3: 2 = CANCELLED"];
    assert_eq!(rig.open(3, 1, 0), told);

    let mut rig = Rig::at_most_once(1);
    rig.send(1, 1, stream());
    rig.on(Event::LineLost(Line(1)));
    rig.wait(Span::secs(61));
    rig.ends(1, RunEnd::Done { items: 1 });
    let told = ["2: opened 1 next 2 since 1", "2: 1 = CANCELLED"];
    assert_eq!(rig.open(2, 1, 0), told, "what returned when it was stopped is not all");

    let mut rig = Rig::effectively_once(1);
    rig.send(1, 1, stream());
    rig.on(Event::LineLost(Line(1)));
    assert!(ends(rig.wait(Span::secs(70))).is_empty(), "it is in the log");
}

#[test]
fn a_caller_that_grants_without_end_is_held_back() {
    let mut rig = Rig::at_most_once(1);
    rig.send(1, 1, stream());
    let most = crate::limits::CALL_ITEMS_KEPT;
    assert_eq!(
        rig.say(1, ToHost::Credit { seq: 1, n: u32::MAX }),
        [format!("credit 1 {}", most - 2)]
    );
    assert_eq!(rig.ack_items(1, 1, 10), ["credit 1 10"]);
}

#[test]
fn items_rest_on_the_record_of_their_call_and_come_again_in_a_replay() {
    let mut rig = Rig::effectively_once(1);
    rig.durable = false;
    rig.send(1, 1, stream());
    assert!(rig.item(1, 1).is_empty());
    assert!(rig.item(1, 2).is_empty());
    assert_eq!(rig.on(Event::Durable { lsn: 2 }), ["1: item 1.1", "1: item 1.2"]);
    rig.ends(1, RunEnd::Done { items: 2 });
    rig.durable = true;
    rig.restarts(false);
    rig.open(2, 1, 0);
    assert_eq!(rig.item(1, 1), ["2: item 1.1"]);
    rig.ack_items(2, 1, 2);
    assert!(rig.item(1, 2).is_empty(), "the caller has it");
    assert_eq!(rig.ends(1, RunEnd::Done { items: 2 }), ["2: 1 = done 2"]);
}

#[test]
fn a_log_is_played_on_though_the_caller_of_a_stream_has_left() {
    let mut rig = Rig::effectively_once(1);
    rig.send(1, 1, stream());
    rig.say(1, ToHost::Close { forget: true });
    rig.dies(Some((1, true)));
    assert_eq!(rig.credit_of_replay(), Some(u32::MAX), "nobody will grant it any");
}

#[test]
fn a_log_of_which_the_end_is_lost_is_played_on_though_the_caller_of_a_stream_has_done_with_it() {
    for has_done in [false, true] {
        let mut rig = Rig::effectively_once(1);
        rig.send(1, 1, stream());
        assert_eq!(rig.on(Event::LogFailed(died("no space"))), ["over Crashed"]);
        if has_done {
            rig.say(1, ToHost::Cancel { seq: 1, grace: None });
            rig.say(1, ToHost::Ack { processed_up_to: 1 });
        }
        let credit = if has_done { u32::MAX } else { crate::limits::CALL_ITEMS };
        assert_eq!(rig.credit_of_replay(), Some(credit));
    }
}

#[test]
fn a_log_does_not_wait_long_for_the_caller_of_a_stream() {
    let mut rig = Rig::effectively_once(1);
    rig.send(1, 1, stream());
    rig.restarts(false);
    assert!(rig.wait(Span::secs(29)).is_empty());
    assert_eq!(rig.wait(Span::secs(2)), [format!("credit 1 {}", u32::MAX)]);
    let told = ["2: opened 2 next 1 since 2 forgotten"];
    assert_eq!(rig.open(2, 1, 0), told, "it may have had some of the items");
    rig.ends(1, RunEnd::Done { items: 9 });
    assert_eq!(rig.call(2, 2, "a"), ["log 5 s1#2", "run 2 s1#2"]);
}
