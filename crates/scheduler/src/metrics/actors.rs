//! The numbers of actors for Prometheus: by class and method, never by id.

use std::fmt::Write as _;

use bireme_core::actor::place::ActorState;
use bireme_core::actor::statistics::MethodStatistics;

use crate::machine::actor::ClassCounts;

/// Quantiles that are shown, in thousandths.
const QUANTILES: [u64; 3] = [500, 900, 990];

/// Appends all of them.
pub(super) fn show(page: &mut String, states: &[(ActorState, u64)], classes: &ClassCounts) {
    family(page, "bireme_actors", "gauge", "Actors, by state.");
    for (state, count) in states {
        line(page, "bireme_actors", &format!("state=\"{}\"", state.name()), *count);
    }
    family(page, "bireme_actor_calls_total", "counter", "Calls to actors that ended.");
    each(page, classes, "bireme_actor_calls_total", |counted| counted.calls);
    let meaning = "Calls to actors that ended with an error of the user's code.";
    family(page, "bireme_actor_user_errors_total", "counter", meaning);
    each(page, classes, "bireme_actor_user_errors_total", |counted| counted.user_errors);
    let meaning = "Calls to actors that ended without an outcome of their own.";
    family(page, "bireme_actor_failures_total", "counter", meaning);
    each(page, classes, "bireme_actor_failures_total", |counted| counted.failures);
    let meaning = "How long calls ran, since the scheduler started.";
    family(page, "bireme_actor_call_seconds", "summary", meaning);
    summary(page, "bireme_actor_call_seconds", classes, |counted| &counted.run_us);
    let meaning = "How long calls waited in the mailbox, since the scheduler started.";
    family(page, "bireme_actor_wait_seconds", "summary", meaning);
    summary(page, "bireme_actor_wait_seconds", classes, |counted| &counted.queue_us);
}

fn each(
    page: &mut String,
    classes: &ClassCounts,
    name: &str,
    of: impl Fn(&MethodStatistics) -> u64,
) {
    for (key, counted) in classes {
        line(page, name, &labels(key), of(counted));
    }
}

fn summary(
    page: &mut String,
    name: &str,
    classes: &ClassCounts,
    of: impl Fn(&MethodStatistics) -> &bireme_core::actor::statistics::Histogram,
) {
    for (key, counted) in classes {
        let (labels, histogram) = (labels(key), of(counted));
        for quantile in QUANTILES {
            let (value, quantile) =
                (seconds(histogram.quantile(quantile)), format!("0.{}", quantile / 10));
            line(page, name, &format!("{labels},quantile=\"{quantile}\""), value);
        }
        line(page, &format!("{name}_sum"), &labels, seconds(histogram.sum));
        line(page, &format!("{name}_count"), &labels, histogram.count);
    }
}

/// Microseconds as seconds.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn labels((class, method): &(String, String)) -> String {
    format!("class=\"{}\",method=\"{}\"", escaped(class), escaped(method))
}

/// A label's value as Prometheus wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a string takes all");
}

fn line(page: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    writeln!(page, "{name}{{{labels}}} {value}").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_shown_by_class_and_method() {
        let mut counted = MethodStatistics { calls: 2, ..MethodStatistics::default() };
        counted.run_us.add(3);
        counted.run_us.add(1_500_000);
        let classes = [(("A \"b\"".to_owned(), "m".to_owned()), counted)].into();
        let mut page = String::new();
        show(&mut page, &[(ActorState::Alive, 4)], &classes);
        for expected in [
            "bireme_actors{state=\"alive\"} 4",
            "bireme_actor_calls_total{class=\"A \\\"b\\\"\",method=\"m\"} 2",
            "bireme_actor_call_seconds{class=\"A \\\"b\\\"\",method=\"m\",quantile=\"0.50\"} 0.000003",
            "bireme_actor_call_seconds_sum{class=\"A \\\"b\\\"\",method=\"m\"} 1.500003",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected} is not in\n{page}");
        }
    }
}
