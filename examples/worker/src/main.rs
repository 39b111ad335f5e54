//! A worker with functions and an actor of its own, beside the built-in ones.
//!
//! `docs/guides/worker-binary.md` tells how to run it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::process::ExitCode;

use bireme_client::{decode, encode};
use bireme_worker::{Actor, Arguments, Context, Failure, Methods};

fn main() -> ExitCode {
    bireme_worker::main(|registry| {
        registry.task("count", count).task("tally", tally).actor::<Counter>("Counter")
    })
}

/// Counts the lines of a file. An error fails the attempt, with its text.
fn count(path: String) -> io::Result<String> {
    Ok(format!("{} {path}\n", lines(&path)?))
}

/// Adds the lines of a file to what the actor named `lines` has counted, and returns that.
fn tally(context: &mut Context<'_>, path: String) -> Result<i64, Failure> {
    let counter = context.find_actor("lines")?;
    let sum = context.wait(counter.call("increment", encode(&lines(&path)?)?))??;
    Ok(decode(&sum)?)
}

fn lines(path: &str) -> io::Result<u64> {
    let mut lines = 0;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        line?;
        lines += 1;
    }
    Ok(lines)
}

/// Counts whatever its callers count.
struct Counter {
    count: i64,
}

impl Actor for Counter {
    /// Begins with its first argument, or with 0.
    fn create(arguments: &Arguments<'_>) -> Result<Self, Failure> {
        let count = if arguments.is_empty() { 0 } else { arguments.get(0)? };
        Ok(Self { count })
    }

    fn methods(methods: &mut Methods<Self>) {
        methods.method("increment", Self::increment);
        methods.shared("get", |this: &Self| this.count);
        // What it is made from again after a crash, or on another worker.
        methods.checkpoint(|this| this.count, |count| Ok(Self { count }));
    }
}

impl Counter {
    /// Adds to the count and returns it. An error fails the call, and the actor goes on.
    fn increment(&mut self, by: i64) -> Result<i64, String> {
        let sum = self.count.checked_add(by);
        self.count = sum.ok_or_else(|| format!("{} and {by} are too much", self.count))?;
        Ok(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_with_the_last_one() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned();
        let lines = std::fs::read_to_string(&own).unwrap().lines().count();
        assert_eq!(count(own.clone()).unwrap(), format!("{lines} {own}\n"));
        assert!(count("/nowhere".to_owned()).is_err());
    }

    #[test]
    fn a_counter_does_not_wrap() {
        let mut counter = Counter { count: 1 };
        assert_eq!(counter.increment(2), Ok(3));
        assert!(counter.increment(i64::MAX).is_err());
        assert_eq!(counter.count, 3);
    }
}
