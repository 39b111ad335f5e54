//! Scripts: what happens to a caller, and what it does about it.

mod ahead;
mod ends;
mod failures;
mod kept;
mod random;
mod talk;

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::Expect;

use super::{Caller, Config, Effect, Event, Unready};
use crate::actor::call::{Call, CallCode, CallFailure, CallerId, Ending, Outcome, ReplyKind, Who};
use crate::actor::place::{ActorPlace, ActorState};
use crate::actor::wire::{OnUnknown, Opened, ToCaller, ToHost};
use crate::actor::{Delivery, OnFull};
use crate::error::{ErrorClass, TaskError};
use crate::id::{ActorId, Incarnation, SessionId, WorkerId};
use crate::time::{Span, Time};
use crate::value::Value;

const ACTOR: ActorId = ActorId(7);

/// Runs a script, of steps between `|`, and compares the transcript. See [`Script::step`] for the words.
fn check(script: &str, expect: &Expect) {
    check_with(OnUnknown::Continue, script, expect);
}

fn check_with(on_unknown: OnUnknown, script: &str, expect: &Expect) {
    check_of(Config { on_unknown, ..Config::new(me(), ACTOR) }, script, expect);
}

fn check_of(config: Config, script: &str, expect: &Expect) {
    let mut run = Script::of(config);
    let mut transcript = String::new();
    let steps: Vec<&str> = script.split('|').map(str::trim).collect();
    let width = steps.iter().map(|step| step.len()).max().unwrap_or_default();
    for step in steps {
        let effects = run.play(step);
        let effects: Vec<String> = effects.iter().map(told).collect();
        writeln!(transcript, "{step:width$} -> {}", effects.join(", ")).unwrap();
    }
    expect.assert_eq(
        &transcript.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>(),
    );
}

/// What a step stands for: `begin OPTIONS` for a conversation with the first incarnation, `ahead METHODS` for a call of `a` right
/// behind its `Open` and calls of these after it, `elsewhere NEXT OPTIONS` for a conversation with the next on another worker;
/// else itself.
fn parts(step: &str) -> Vec<String> {
    let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
    match word {
        "ahead" => {
            let calls = ["a"].into_iter().chain(rest.split_whitespace());
            let calls = calls.map(|method| format!("call {method}"));
            calls.chain(["lives w1 i1", "up 1"].map(str::to_owned)).collect()
        }
        "begin" => {
            ["lives w1 i1", "up 1", &format!("opened i1 1 {rest}")].map(str::to_owned).into()
        }
        "elsewhere" => {
            let rest = if rest.is_empty() { "1" } else { rest };
            ["lives w2 i2", "up 2", &format!("opened i2 {rest}")].map(str::to_owned).into()
        }
        _ => vec![step.to_owned()],
    }
}

fn me() -> CallerId {
    CallerId { who: Who::Session(SessionId(1)), life: 1 }
}

struct Script {
    caller: Caller,
    now: Time,
}

impl Script {
    fn of(config: Config) -> Self {
        Self { caller: Caller::new(config), now: Time(1_000_000) }
    }

    /// All that a step stands for.
    fn play(&mut self, step: &str) -> Vec<Effect> {
        parts(step).iter().flat_map(|part| self.step(part)).collect()
    }

    /// One step: a word and what it is about.
    fn step(&mut self, step: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let words: Vec<&str> = step.split_whitespace().collect();
        let event = match *words.as_slice() {
            ["call", method, ref options @ ..] => {
                let call = Arc::new(a_call(method, options));
                self.caller.call(self.now, Ok(call), &mut effects);
                return effects;
            }
            ["unready"] => {
                self.caller.call(self.now, Err(Unready::default()), &mut effects);
                return effects;
            }
            ["after", ms] => {
                self.now = self.now + Span::millis(ms.parse().unwrap());
                if self.caller.next_timer().is_none_or(|at| at > self.now) {
                    return effects;
                }
                Event::TimerDue
            }
            ["ready", seq] => {
                Event::Prepared { seq: number(seq), call: Ok(Arc::new(a_call("big", &[]))) }
            }
            ["unencodable", seq] => {
                let failure = CallFailure::new(CallCode::UnserializableArgs, "no codec for it");
                Event::Prepared { seq: number(seq), call: Err(Box::new(failure)) }
            }
            ["kept", next] => Event::Kept { next_seq: number(next) },
            ["cancel", seq] => Event::Cancelled { seq: number(seq), grace: None },
            ["take", seq, up_to] => Event::ItemsTaken { seq: number(seq), up_to: number(up_to) },
            ["up", worker] => Event::StreamUp(WorkerId(u32::try_from(number(worker)).unwrap())),
            ["down", worker] => Event::StreamDown(WorkerId(u32::try_from(number(worker)).unwrap())),
            ["silence"] => Event::Unresolved,
            ["close"] => Event::Closed,
            ["lives", ref at @ ..] => Event::Resolved(Ok(Box::new(a_place(at)))),
            ["nobody"] => {
                Event::Resolved(Err(Box::new(CallFailure::new(CallCode::Gone, "no such actor"))))
            }
            ref said => Event::Said(a_word(said)),
        };
        self.caller.handle(self.now, event, &mut effects);
        effects
    }
}

/// What a host says.
fn a_word(words: &[&str]) -> ToCaller {
    match *words {
        ["opened", incarnation, next, ref options @ ..] => ToCaller::Opened(Box::new(Opened {
            incarnation: an_incarnation(incarnation),
            next_seq: number(next),
            delivery: match options {
                _ if options.contains(&"twice") => Delivery::AtLeastOnce,
                _ if options.contains(&"once") => Delivery::EffectivelyOnce,
                _ => Delivery::AtMostOnce,
            },
            methods: Vec::new(),
            lanes: vec![String::new()],
            window: if options.contains(&"narrow") { 2 } else { 100 },
            on_full: if options.contains(&"refuses") { OnFull::Refuse } else { OnFull::Wait },
            lease: None,
            forgotten: options.contains(&"forgotten"),
            remembers_from: options
                .iter()
                .find_map(|word| word.strip_prefix("from="))
                .map_or(an_incarnation(incarnation), an_incarnation),
        })),
        ["reply", seq] => reply(number(seq), Outcome::Value(Box::new(Value::text("ok")))),
        ["reply", seq, code] => {
            reply(number(seq), Outcome::failure(a_code(code), "the host says so"))
        }
        ["refused", code] => ToCaller::OpenRefused(Box::new(CallFailure::new(a_code(code), "no"))),
        ["redirect", incarnation] => {
            ToCaller::Redirect { incarnation: an_incarnation(incarnation), place: None }
        }
        ["redirect", worker, incarnation] => ToCaller::Redirect {
            incarnation: an_incarnation(incarnation),
            place: Some(Box::new(a_place(&[worker, incarnation]))),
        },
        ["item", seq, n] => ToCaller::Item {
            seq: number(seq),
            n: number(n),
            value: Box::new(Value::text("an item")),
        },
        ["window", n] => ToCaller::Window(u32::try_from(number(n)).unwrap()),
        _ => panic!("no such step: {words:?}"),
    }
}

fn reply(seq: u64, outcome: Outcome) -> ToCaller {
    let incarnation = Incarnation(1);
    let ending = Ending { outcome, queue: Span::ZERO, run: Span::ZERO, lsn: 0, incarnation };
    ToCaller::Reply { seq, ending: Box::new(ending) }
}

fn a_call(method: &str, options: &[&str]) -> Call {
    let mut call = Call { method: method.to_owned(), ..Call::default() };
    for option in options {
        match option.split_once('=') {
            Some(("deadline", ms)) => call.deadline = Some(Span::millis(ms.parse().unwrap())),
            None if *option == "stream" => call.reply = ReplyKind::Stream,
            None if *option == "weak" => call.delivery = Some(Delivery::AtMostOnce),
            _ => panic!("no such option: {option}"),
        }
    }
    call
}

/// `w1 i1`, `restarting i1` or `dead`.
fn a_place(words: &[&str]) -> ActorPlace {
    let mut place = ActorPlace {
        actor: ACTOR,
        incarnation: words.get(1).map_or(Incarnation(1), |word| an_incarnation(word)),
        state: ActorState::Alive,
        worker: None,
        addresses: Vec::new(),
        machine: String::new(),
        lease: Span::ZERO,
        cause: None,
    };
    match words[0] {
        "restarting" => place.state = ActorState::Restarting,
        "dead" => {
            place.state = ActorState::Dead;
            place.cause = Some(Box::new(TaskError::new(
                ErrorClass::ProcessDied,
                "PROCESS_DIED",
                "killed by signal 9",
            )));
        }
        worker => place.worker = Some(WorkerId(worker[1..].parse().unwrap())),
    }
    place
}

fn number(word: &str) -> u64 {
    word.parse().unwrap()
}

fn an_incarnation(word: &str) -> Incarnation {
    Incarnation(word[1..].parse().unwrap())
}

fn a_code(name: &str) -> CallCode {
    let all = [
        CallCode::Cancelled,
        CallCode::Fenced,
        CallCode::Gone,
        CallCode::MailboxFull,
        CallCode::NotRun,
        CallCode::Unknown,
    ];
    all.into_iter().find(|code| code.name() == name).expect("a code the scripts use")
}

/// An effect in a few words.
fn told(effect: &Effect) -> String {
    match effect {
        Effect::Ended { seq, ending } => match &ending.outcome {
            Outcome::Failure(failure) => {
                format!("END {seq} {}: {}", failure.code.name(), failure.message)
            }
            _ => format!("END {seq} ok"),
        },
        Effect::Item { seq, n, .. } => format!("ITEM {seq}.{n}"),
        Effect::Reach(place) => {
            format!("reach w{} i{}", place.worker.unwrap().0, place.incarnation.0)
        }
        Effect::Resolve { after, wait } => format!("resolve >i{} {}ms", after.0, wait.0 / 1_000),
        Effect::Room => "ROOM".to_owned(),
        Effect::Say(word) => match word {
            ToHost::Ack { processed_up_to } => format!("ack {processed_up_to}"),
            ToHost::AckItems { seq, up_to } => format!("ack-items {seq}.{up_to}"),
            ToHost::Call { seq, call, incarnation } => {
                let left =
                    call.deadline.map(|left| format!(" {}ms", left.0 / 1_000)).unwrap_or_default();
                format!("call {seq} {} i{}{left}", call.method, incarnation.0)
            }
            ToHost::Cancel { seq, .. } => format!("cancel {seq}"),
            ToHost::Close { forget } => if *forget { "forget-me" } else { "bye" }.to_owned(),
            ToHost::Credit { seq, n } => format!("credit {seq} +{n}"),
            ToHost::Open(open) => {
                format!("open i{} done {}", open.incarnation.0, open.processed_up_to)
            }
            ToHost::Probe { seq, .. } => format!("probe {seq}"),
        },
    }
}
