//! Where an event loop spends its time, by kind of step.
//!
//! Always on: a step costs one look at the clock, which the loop needs anyway to know the time of the next.

use std::fmt::Write as _;
use std::marker::PhantomData;

use bireme_core::time::{Span, Time};

/// The kinds of work of a loop.
pub trait Step: Copy {
    /// Their names, in their order.
    const NAMES: &'static [&'static str];

    /// Where its name is.
    fn index(self) -> usize;
}

/// The time one kind of step took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// How often.
    pub count: u64,
    /// All together, in nanoseconds.
    pub total_ns: u64,
    /// The longest, in nanoseconds, where several together count as one.
    pub max_ns: u64,
}

/// The accounts of one event loop.
#[derive(Clone, Debug)]
pub struct Accounts<S> {
    steps: Vec<Account>,
    /// Turns of the loop.
    pub turns: u64,
    /// Most events handled in one turn.
    pub batch_max: u64,
    /// Events handled.
    pub events: u64,
    /// Time spent waiting for something to do.
    pub idle: Span,
    /// The most that a timer came late.
    pub lag_max: Span,
    /// Parts of messages that this version does not know.
    pub ignored: u64,
    kinds: PhantomData<fn(S)>,
}

impl<S: Step> Default for Accounts<S> {
    fn default() -> Self {
        Self {
            steps: vec![Account::default(); S::NAMES.len()],
            turns: 0,
            batch_max: 0,
            events: 0,
            idle: Span::ZERO,
            lag_max: Span::ZERO,
            ignored: 0,
            kinds: PhantomData,
        }
    }
}

impl<S: Step> Accounts<S> {
    /// Enters steps of one kind that were done together.
    pub fn enter(&mut self, step: S, count: u64, took_ns: u64) {
        if let Some(account) = self.steps.get_mut(step.index()) {
            account.count += count;
            account.total_ns += took_ns;
            account.max_ns = account.max_ns.max(took_ns);
        }
    }

    /// Enters one turn of the loop.
    pub fn turn(&mut self, events: u64, idle: Span) {
        self.turns += 1;
        self.events += events;
        self.batch_max = self.batch_max.max(events);
        self.idle = Span(self.idle.0 + idle.0);
    }

    /// Enters how late a timer came.
    pub fn lag(&mut self, due: Time, now: Time) {
        self.lag_max = self.lag_max.max(now.since(due));
    }

    /// All accounts with their names.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, Account)> {
        S::NAMES.iter().copied().zip(self.steps.iter().copied())
    }

    /// Time with something to do, in nanoseconds.
    pub fn busy_ns(&self) -> u64 {
        self.steps.iter().map(|account| account.total_ns).sum()
    }

    /// Writes them for Prometheus, under names that begin with that of a program, such as `bireme_worker`.
    pub fn show(&self, program: &str, page: &mut String) {
        for (name, kind, meaning, value) in [
            ("loop_turns_total", "counter", "Turns of the event loop.", self.turns),
            ("loop_events_total", "counter", "Events handled.", self.events),
            ("loop_batch_max", "gauge", "Most events handled in one turn.", self.batch_max),
            ("loop_idle_us_total", "counter", "Time with nothing to do.", self.idle.0),
            ("loop_lag_max_us", "gauge", "Most that a timer came late.", self.lag_max.0),
        ] {
            family(page, program, (name, kind, meaning));
            line(page, format_args!("{program}_{name} {value}"));
        }
        let columns: [((&str, &str, &str), Column); 3] = [
            (("step_count_total", "counter", "Steps of the event loop, by kind."), |it| it.count),
            (("step_ns_total", "counter", "Time that they took."), |it| it.total_ns),
            (("step_max_ns", "gauge", "The longest of them."), |it| it.max_ns),
        ];
        for (about, column) in columns {
            family(page, program, about);
            for (step, account) in self.steps() {
                let value = column(&account);
                line(page, format_args!("{program}_{}{{step=\"{step}\"}} {value}", about.0));
            }
        }
    }
}

/// One of the numbers of an account.
type Column = fn(&Account) -> u64;

fn family(page: &mut String, program: &str, (name, kind, meaning): (&str, &str, &str)) {
    line(page, format_args!("# HELP {program}_{name} {meaning}"));
    line(page, format_args!("# TYPE {program}_{name} {kind}"));
}

fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Kind {
        Read,
        Write,
    }

    impl Step for Kind {
        const NAMES: &'static [&'static str] = &["read", "write"];

        fn index(self) -> usize {
            self as usize
        }
    }

    #[test]
    fn steps_are_entered_under_their_names() {
        let mut accounts = Accounts::default();
        accounts.enter(Kind::Write, 1, 5);
        accounts.enter(Kind::Write, 3, 7);
        accounts.enter(Kind::Read, 1, 1);
        let of = |name| accounts.steps().find(|(other, _)| *other == name).unwrap().1;
        let writes = of("write");
        assert_eq!((writes.count, writes.total_ns, writes.max_ns), (4, 12, 7));
        assert_eq!((of("read").count, accounts.busy_ns()), (1, 13));
    }

    #[test]
    fn every_kind_is_shown_even_before_it_happens() {
        let mut accounts = Accounts::<Kind>::default();
        accounts.turn(3, Span(8));
        accounts.enter(Kind::Read, 2, 40);
        let mut page = String::new();
        accounts.show("daemon", &mut page);
        for line in [
            "daemon_loop_events_total 3",
            "daemon_loop_idle_us_total 8",
            "daemon_step_count_total{step=\"read\"} 2",
            "daemon_step_ns_total{step=\"read\"} 40",
            "daemon_step_max_ns{step=\"write\"} 0",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
        }
        assert_eq!(page.matches("# HELP").count(), 8);
    }
}
