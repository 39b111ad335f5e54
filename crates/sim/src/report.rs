//! What a run leaves behind: how it went, or what went wrong and the way there.

use std::collections::VecDeque;
use std::fmt;

use bireme_core::{Span, Time};

use crate::coverage::Coverage;
use crate::rng::mix;

/// Lines kept for the report of a failure.
const LINES: usize = 40;

/// What is written down of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Lines are written at all: they cost more than the rest of the run.
    is_on: bool,
    digest: u64,
    lines: VecDeque<String>,
    max: usize,
}

/// How much is written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detail {
    /// Every line, and all are kept.
    All,
    /// Every line, and the last ones are kept.
    Last,
    /// Nothing but a digest of what happened when.
    Nothing,
}

impl Trace {
    pub(crate) fn new(detail: Detail) -> Self {
        let max = if detail == Detail::All { usize::MAX } else { LINES };
        Self { is_on: detail != Detail::Nothing, digest: 0, lines: VecDeque::new(), max }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, now: Time, line: impl FnOnce() -> String) {
        if !self.is_on {
            return;
        }
        let line = format!("{:>9} us {}", now.0, line());
        self.digest = line.bytes().fold(self.digest, |digest, byte| mix(digest, byte.into()));
        if self.lines.len() >= self.max {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Makes the digest depend on a number too.
    pub(crate) fn note(&mut self, number: u64) {
        self.digest = mix(self.digest, number);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines).into()
    }
}

/// A run that went as it must.
#[derive(Debug)]
pub struct Outcome {
    /// Of everything that happened: the same seed gives the same one.
    pub digest: u64,
    /// Events handled.
    pub steps: u64,
    /// How long it took in virtual time.
    pub took: Span,
    /// Tasks planned.
    pub tasks: u64,
    /// What was seen.
    pub coverage: Coverage,
    /// What was written down.
    pub lines: Vec<String>,
}

/// A run that did not.
#[derive(Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// With faults.
    pub faults: bool,
    /// The step it ended with.
    pub step: u64,
    /// What does not hold.
    pub what: String,
    /// What happened before.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.faults { "with faults" } else { "without faults" };
        writeln!(f, "seed {} {with}, step {}: {}", self.seed, self.step, self.what)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Failure {}
