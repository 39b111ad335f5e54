//! One test for each row of the failure table that a host decides.

use super::*;

#[test]
fn calls_run_in_order_and_each_has_its_reply() {
    let mut rig = Rig::at_most_once(1);
    assert_eq!(rig.call(1, 1, "a"), ["run 1 s1#1"]);
    assert_eq!(rig.call(1, 2, "b"), ["run 2 s1#2"]);
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x"]);
    assert_eq!(rig.returns(2, "y"), ["1: 2 = y"]);
    let counted = rig.host().statistics(Time(9));
    assert_eq!(counted.methods["a"].calls + counted.methods["b"].calls, 2);
}

#[test]
fn arguments_and_results_that_cannot_be_coded_end_their_own_call() {
    let mut rig = Rig::at_most_once(1);
    let error = || Box::new(TaskError::new(ErrorClass::Serialize, "SERIALIZE", "a socket"));
    for seq in 1..=4 {
        rig.call(1, seq, "a");
    }
    assert_eq!(rig.ends(1, RunEnd::UnserializableArgs(error())), ["1: 1 = UNSERIALIZABLE_ARGS"]);
    assert_eq!(
        rig.ends(2, RunEnd::UnserializableResult(error())),
        ["1: 2 = UNSERIALIZABLE_RESULT"]
    );
    let methods = vec!["increment".to_owned()];
    assert_eq!(rig.ends(3, RunEnd::NoSuchMethod { methods }), ["1: 3 = NO_SUCH_METHOD"]);
    let large = Value::raw(vec![0; 70_000]);
    assert_eq!(rig.ends(4, RunEnd::Value(Box::new(large))), ["1: 4 = UNSERIALIZABLE_RESULT"]);
}

#[test]
fn a_broken_stream_is_taken_up_where_it_was() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "b");
    rig.returns(1, "x");
    rig.on(Event::LineLost(Line(1)));
    assert!(rig.returns(2, "y").is_empty(), "there is no line");
    assert_eq!(rig.open(5, 1, 1), ["5: opened 1 next 3 since 1", "5: 2 = y"]);
    assert_eq!(rig.call(5, 2, "b"), ["5: 2 = y"], "said again, not run again");
    assert!(rig.call(5, 1, "a").is_empty(), "it has that reply");
    rig.say(5, ToHost::Ack { processed_up_to: 2 });
    assert_eq!(rig.open(6, 1, 2), ["6: opened 1 next 3 since 1"]);
    assert!(rig.call(5, 3, "c").is_empty(), "an old line says nothing any more");
}

#[test]
fn a_crash_leaves_only_the_running_call_unknown() {
    let mut rig = Rig::at_most_once(1);
    for seq in 1..=4 {
        rig.call(1, seq, "a");
    }
    rig.returns(1, "x");
    assert_eq!(rig.dies(Some((2, true))), ["1: 2 = UNKNOWN", "over Crashed"]);
    assert!(rig.call(1, 5, "a").is_empty(), "it waits for the next incarnation");
    let told = ["1: opened 2 next 6 since 1", "run 1 s1#3", "run 2 s1#4", "run 3 s1#5"];
    assert_eq!(rig.succeeds(), told);
}

#[test]
fn without_a_mark_every_given_call_may_have_run() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    assert_eq!(rig.dies(None), ["1: 1 = UNKNOWN", "1: 2 = UNKNOWN", "over Crashed"]);
}

#[test]
fn a_call_that_ended_before_the_crash_without_a_word_is_unknown_too() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    assert_eq!(rig.dies(Some((1, false))), ["1: 1 = UNKNOWN", "over Crashed"]);
    assert_eq!(rig.succeeds(), ["1: opened 2 next 3 since 1", "run 1 s1#2"]);
}

#[test]
fn at_least_once_calls_run_again_in_their_place() {
    let mut rig = Rig::new(spec(Delivery::AtLeastOnce), 1);
    for seq in 1..=3 {
        rig.call(1, seq, "a");
    }
    assert_eq!(rig.dies(Some((1, true))), ["over Crashed"]);
    assert_eq!(rig.succeeds(), ["1: opened 2 next 4 since 1", "run 1 s1#1"], "it is suspect");
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x", "run 2 s1#2", "run 3 s1#3"]);
}

#[test]
fn a_lost_daemon_remembers_nobody() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.records.clear();
    let spec = spec(Delivery::AtMostOnce);
    rig.host = Some(Host::new(Time(9), config(2, spec, None)));
    rig.on(Event::Alive { checkpoints: true });
    assert_eq!(rig.open(2, 1, 0), ["2: opened 2 next 1 since 2"]);
    assert!(rig.say(2, ToHost::Cancel { seq: 1, grace: None }).is_empty());
    assert_eq!(rig.call(2, 1, "a"), ["2: 1 = CANCELLED"], "its number is used");
    assert_eq!(rig.call(2, 2, "a"), ["run 1 s1#2"]);
}

#[test]
fn the_end_for_good_ends_every_call() {
    let mut rig = Rig::at_most_once(2);
    rig.call(1, 1, "a");
    rig.call(2, 1, "b");
    rig.call(2, 2, "b");
    rig.dies(Some((1, true)));
    let end = |forget| Event::EndAsked { grace: Span::ZERO, forget, reason: "enough".to_owned() };
    assert_eq!(rig.on(end(true)), ["2: 1 = GONE", "2: 2 = GONE"]);
    assert_eq!(rig.call(2, 3, "b"), ["2: 3 = GONE"]);
    assert!(!rig.host().owes_nothing());
    let told = ["3: opened 1 next 4 since 1", "3: 3 = GONE"];
    assert_eq!(rig.open(3, 2, 2), told, "it may still have replies");
    rig.say(3, ToHost::Ack { processed_up_to: 3 });
    assert_eq!(rig.open(4, 3, 0), ["4: refused GONE"]);
    rig.say(1, ToHost::Ack { processed_up_to: 1 });
    assert_eq!(rig.open(5, 1, 1), ["5: refused GONE"]);
    assert!(rig.host().owes_nothing());
}

#[test]
fn what_follows_elsewhere_is_said_to_all() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    rig.dies(Some((1, true)));
    let end = Event::EndAsked { grace: Span::ZERO, forget: false, reason: String::new() };
    assert_eq!(rig.on(end), ["1: redirect 2"]);
    assert_eq!(rig.open(2, 1, 1), ["2: redirect 2"]);
}

#[test]
fn a_host_whose_lease_is_over_says_nothing() {
    let mut stops = spec(Delivery::AtMostOnce);
    stops.on_scheduler_loss = OnSchedulerLoss::Stop;
    let mut rig = Rig::new(stops, 1);
    rig.call(1, 1, "a");
    assert_eq!(rig.on(Event::LeaseEnded), ["1: refused FENCED"]);
    assert!(rig.returns(1, "x").is_empty());
    assert_eq!(rig.open(2, 1, 0), ["2: refused FENCED"]);
    assert!(rig.call(2, 2, "a").is_empty());
    rig.on(Event::LeaseRenewed);
    assert_eq!(rig.open(3, 1, 0), ["3: opened 1 next 2 since 1", "3: 1 = x"]);
    let mut goes_on = Rig::at_most_once(1);
    assert!(goes_on.on(Event::LeaseEnded).is_empty());
    assert_eq!(goes_on.call(1, 1, "a"), ["run 1 s1#1"]);
}

#[test]
fn a_caller_that_knows_a_later_incarnation_is_refused() {
    let mut rig = Rig::at_most_once(0);
    let (caller, incarnation) = (caller(1), Incarnation(2));
    let on_unknown = OnUnknown::Continue;
    let open =
        Open { caller, actor: ACTOR, incarnation, processed_up_to: 0, on_unknown, credit: 0 };
    assert_eq!(rig.say(1, ToHost::Open(open)), ["1: refused FENCED"]);
    let elsewhere = Open { actor: ActorId(8), incarnation: Incarnation(1), ..open };
    assert_eq!(rig.say(1, ToHost::Open(elsewhere)), ["1: refused FENCED"]);
}

#[test]
fn a_call_that_kills_is_poison() {
    let mut rig = Rig::new(spec(Delivery::AtLeastOnce), 1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "b");
    rig.dies(Some((1, true)));
    rig.succeeds();
    assert_eq!(rig.dies(Some((1, true))), ["1: 1 = POISONED", "over Crashed"]);
    assert_eq!(rig.succeeds(), ["1: opened 3 next 3 since 1", "run 1 s1#2"]);
}

#[test]
fn a_killed_process_blames_nobody() {
    let mut rig = Rig::new(spec(Delivery::AtLeastOnce), 1);
    rig.call(1, 1, "a");
    for _ in 0..5 {
        let end = Event::EndAsked { grace: Span::ZERO, forget: false, reason: "kill".to_owned() };
        assert_eq!(rig.on(end), ["over Killed"]);
        assert!(rig.dies(Some((1, true))).is_empty());
        assert!(rig.succeeds().contains(&"run 1 s1#1".to_owned()));
    }
}

#[test]
fn a_full_mailbox_refuses() {
    let mut small = spec(Delivery::AtMostOnce);
    small.mailbox.calls = 2;
    small.mailbox.on_full = OnFull::Refuse;
    let mut rig = Rig::new(small, 2);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    assert_eq!(rig.call(1, 3, "a"), ["1: 3 = MAILBOX_FULL"]);
    assert_eq!(rig.call(2, 1, "a"), ["run 3 s2#1"], "another caller has a window of its own");
    rig.returns(1, "x");
    assert_eq!(rig.call(1, 3, "a"), ["1: 3 = MAILBOX_FULL"], "said again, it has that end");
    assert_eq!(rig.call(1, 4, "a"), ["run 4 s1#4"]);
    let mut large = call("a");
    large.arguments = vec![0; 1 << 20].into();
    rig.host().spec = Arc::new(ActorSpec {
        mailbox: crate::actor::MailboxSpec { bytes: 1 << 20, ..Default::default() },
        ..(*rig.host().spec).clone()
    });
    assert_eq!(rig.send(2, 2, large), ["2: 2 = MAILBOX_FULL"]);
}

#[test]
fn callers_send_one_call_at_a_time_while_the_mailbox_is_half_full() {
    let mut small = spec(Delivery::AtMostOnce);
    small.mailbox.bytes = 1_000;
    small.mailbox.calls = 8;
    let mut rig = Rig::new(small, 2);
    let large = Call { arguments: vec![0; 600].into(), ..call("a") };
    assert_eq!(rig.send(1, 1, large), ["run 1 s1#1", "1: window 1", "2: window 1"]);
    assert_eq!(rig.call(2, 1, "a"), ["run 2 s2#1"], "what is under way fits in");
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x", "1: window 8", "2: window 8"]);
}

#[test]
fn a_circle_of_calls_is_a_deadlock_at_once() {
    let mut rig = Rig::at_most_once(2);
    rig.call(1, 1, "a");
    let other = CallId { caller: caller(9), actor: ActorId(8), seq: 4 };
    let back = Call { chain: vec![id(1, 1), other], ..call("back") };
    let mut effects = Vec::new();
    let word = ToHost::Call { seq: 1, call: Arc::new(back.clone()), incarnation: Incarnation(1) };
    rig.host().handle(Time(1), Event::Said { line: Line(2), word }, &mut effects);
    let [Effect::Say { word: ToCaller::Reply { ending, .. }, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    let Outcome::Failure(failure) = &ending.outcome else { panic!("{ending:?}") };
    assert_eq!(failure.code, CallCode::Deadlock);
    assert_eq!(failure.cycle, [id(1, 1), other, id(2, 1)]);
    let long = Call { chain: vec![other; 65], ..call("back") };
    assert_eq!(rig.send(2, 2, long), ["2: 2 = DEADLOCK"]);
    let innocent = Call { chain: vec![other], ..call("in") };
    assert_eq!(rig.send(2, 3, innocent), ["run 2 s2#3"]);
}

#[test]
fn a_reentrant_actor_takes_a_call_back_in() {
    let mut reentrant = spec(Delivery::AtMostOnce);
    reentrant.reentrant = true;
    let mut rig = Rig::new(reentrant, 2);
    rig.call(1, 1, "a");
    assert_eq!(
        rig.send(2, 1, Call { chain: vec![id(1, 1)], ..call("back") }),
        ["run 2 s2#1 beside"]
    );
    assert_eq!(rig.returns(2, "y"), ["2: 1 = y"]);
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x"]);
}

#[test]
fn inputs_that_are_lost_end_the_call_and_the_lane_goes_on() {
    let mut rig = Rig::at_most_once(1);
    let object = crate::object::ObjectId::Held { holder: crate::id::HolderId(1), n: 1 };
    let needs = Call { inputs: [object].into_iter().collect(), ..call("a") };
    assert_eq!(rig.send(1, 1, needs.clone()), ["gather 1"]);
    assert!(rig.call(1, 2, "b").is_empty(), "its place is behind");
    assert_eq!(rig.send(1, 3, Call { unordered: true, ..call("c") }), ["run 1 s1#3"]);
    let lost =
        Err(Box::new(crate::actor::call::CallFailure::new(CallCode::ArgumentFailed, "lost")));
    let told = ["ungather 1", "1: 1 = ARGUMENT_FAILED", "run 2 s1#2"];
    assert_eq!(rig.on(Event::Gathered { ticket: 1, inputs: lost }), told);
    assert_eq!(rig.send(1, 4, needs), ["gather 4"]);
    assert_eq!(rig.on(Event::Gathered { ticket: 4, inputs: Ok(()) }), ["run 3 s1#4"]);
}

#[test]
fn cancelled_and_overdue_calls_do_not_run() {
    let mut spec = spec(Delivery::AtMostOnce);
    spec.lanes[0].concurrency = 2;
    let mut rig = Rig::new(spec, 1);
    for seq in 1..=3 {
        rig.call(1, seq, "a");
    }
    let late = Call { deadline: Some(Span::secs(1)), ..call("a") };
    assert!(rig.send(1, 4, late).is_empty());
    assert_eq!(rig.say(1, ToHost::Cancel { seq: 3, grace: None }), ["1: 3 = CANCELLED"]);
    assert_eq!(rig.say(1, ToHost::Cancel { seq: 1, grace: None }), ["stop 1"]);
    assert_eq!(rig.wait(Span::secs(2)), ["1: 4 = DEADLINE"]);
    assert_eq!(rig.ends(1, RunEnd::Cancelled), ["1: 1 = CANCELLED"]);
}

#[test]
fn a_caller_that_stays_away_is_forgotten_and_told_so() {
    let mut rig = Rig::at_most_once(2);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    rig.returns(1, "x");
    rig.on(Event::LineLost(Line(1)));
    rig.wait(Span::secs(601));
    assert_eq!(rig.host().status(Time(0)).callers, 1);
    assert_eq!(rig.open(3, 1, 0), ["3: opened 1 next 1 since 1 forgotten"]);
    assert_eq!(
        rig.open(4, 1, 0),
        ["4: opened 1 next 1 since 1 forgotten"],
        "it may not have heard"
    );
    rig.say(4, ToHost::Cancel { seq: 1, grace: None });
    rig.say(4, ToHost::Ack { processed_up_to: 1 });
    assert_eq!(rig.open(5, 1, 1), ["5: opened 1 next 2 since 1"]);
}

#[test]
fn a_caller_that_only_skips_numbers_may_still_not_know_that_it_was_forgotten() {
    let mut spec = spec(Delivery::EffectivelyOnce);
    spec.caller_ttl = Some(Span::secs(60));
    let mut rig = Rig::new(spec, 1);
    rig.call(1, 1, "a");
    rig.returns(1, "x");
    rig.on(Event::LineLost(Line(1)));
    rig.wait(Span::secs(61));
    assert_eq!(rig.open(2, 1, 0), ["2: opened 1 next 1 since 1 forgotten"]);
    rig.say(2, ToHost::Cancel { seq: 1, grace: None });
    // The next process of an actor with a call log, which makes its calls again: it would be told that the first never ran.
    assert_eq!(rig.open(3, 1, 0), ["3: opened 1 next 2 since 1 forgotten"]);
    rig.say(3, ToHost::Ack { processed_up_to: 1 });
    assert_eq!(rig.open(4, 1, 1), ["4: opened 1 next 2 since 1"]);
}

#[test]
fn a_caller_that_leaves_is_forgotten_when_its_calls_have_ended() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.say(1, ToHost::Close { forget: true });
    assert_eq!(rig.host().status(Time(0)).callers, 1);
    assert!(rig.returns(1, "x").is_empty());
    assert_eq!(rig.host().status(Time(0)).callers, 0);
}

#[test]
fn later_calls_stop_after_an_unknown_one_where_that_is_wanted() {
    let mut rig = Rig::at_most_once(0);
    rig.open_as(1, 1, 0, OnUnknown::Stop);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    let told = ["1: 1 = UNKNOWN", "1: 2 = NOT_RUN", "over Crashed"];
    assert_eq!(rig.dies(Some((1, true))), told);
    assert_eq!(rig.call(1, 3, "a"), ["1: 3 = NOT_RUN"], "made before its caller heard");
    assert_eq!(rig.succeeds(), ["1: opened 2 next 4 since 1"]);
    assert_eq!(rig.call(1, 4, "a"), ["run 1 s1#4"]);
}

#[test]
fn numbers_of_any_size_are_taken_for_what_they_are() {
    for delivery in [Delivery::AtMostOnce, Delivery::EffectivelyOnce] {
        let mut rig = Rig::new(spec(delivery), 2);
        rig.call(1, 1, "a");
        for line in [1, 2] {
            for up_to in [u64::MAX - 1, u64::MAX] {
                rig.say(line, ToHost::Ack { processed_up_to: up_to });
                rig.say(line, ToHost::Cancel { seq: u64::MAX, grace: Some(Span(u64::MAX)) });
                rig.say(line, ToHost::Credit { seq: u64::MAX, n: u32::MAX });
                rig.say(line, ToHost::AckItems { seq: u64::MAX, up_to: u64::MAX });
                let deadline = Some(Span(u64::MAX));
                let streams =
                    Call { reply: crate::actor::call::ReplyKind::Stream, deadline, ..call("a") };
                rig.send(line, u64::MAX, streams);
                rig.open(line, u32::try_from(line).unwrap(), up_to);
            }
        }
        rig.returns(1, "x");
        for run in 2..=3 {
            rig.ends(run, RunEnd::Done { items: u64::MAX });
        }
        rig.on(Event::CheckpointAsked { request: u64::MAX });
        rig.kept();
        rig.restarts(false);
        let told = format!("1: opened 2 next {} since 2", u64::MAX);
        assert_eq!(rig.open(1, 1, u64::MAX), [told], "{delivery:?}");
    }
}
