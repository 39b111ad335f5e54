//! How a graph comes along: a bar on a terminal, else a line now and then.

use std::io::IsTerminal as _;

use bireme_core::graph::{GraphCounts, TaskState};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Lines that are written where there is no terminal, at most.
const LINES: u32 = 10;

pub(super) struct Bar {
    name: String,
    /// On a terminal.
    drawn: Option<ProgressBar>,
    /// How many tenths of the work the lines so far told of.
    told: u32,
}

impl Bar {
    pub(super) fn new(name: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len} {msg}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_prefix(name.to_owned());
            bar.with_style(style.expect("the template is sound").progress_chars("=> "))
        });
        Self { name: name.to_owned(), drawn: bar, told: 0 }
    }

    pub(super) fn show(&mut self, counts: &GraphCounts) {
        let (ended, total) = (counts.ended(), counts.total());
        if let Some(bar) = &self.drawn {
            bar.set_length(total.into());
            bar.set_message(message(counts));
            bar.set_position(ended.into());
        } else if let Some(tenths) = news(self.told, ended, total) {
            self.told = tenths;
            output::say(&format!("{}: {ended} of {total} tasks {}", self.name, message(counts)));
        }
    }

    /// Says something without spoiling the bar.
    pub(super) fn say(&self, line: &str) {
        match &self.drawn {
            Some(bar) => bar.suspend(|| output::say(line)),
            None => output::say(line),
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.drawn {
            bar.finish_and_clear();
        }
    }
}

/// How many parts of the work are done, if that is more than was told and not yet all.
fn news(told: u32, ended: u32, total: u32) -> Option<u32> {
    let tenths = u64::from(ended) * u64::from(LINES) / u64::from(total.max(1));
    let tenths = u32::try_from(tenths).unwrap_or(LINES);
    (tenths > told && ended < total).then_some(tenths)
}

fn message(counts: &GraphCounts) -> String {
    let (running, failed) = (counts.of(TaskState::Running), counts.of(TaskState::Failed));
    match failed {
        0 => format!("({running} running)"),
        _ => format!("({running} running, {failed} failed)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_few_lines_whatever_the_number_of_tasks() {
        for total in [1, 3, 10, 22, 100_000] {
            let mut told = 0;
            let mut lines = 0;
            for ended in 0..=total {
                if let Some(tenths) = news(told, ended, total) {
                    told = tenths;
                    lines += 1;
                }
            }
            assert!(lines < LINES, "{lines} lines for {total} tasks");
        }
        assert_eq!(news(0, 0, 0), None);
    }
}
