//! Runs checks one after the other and says how each ended.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};

use super::checks::CHECKS;
use super::{Args, Extent};
use crate::cluster::{block_on, build, family, within};

/// Something that must hold of real processes.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Takes seconds.
    pub(super) slow: bool,
    /// It is given up after so long.
    pub(super) limit: Duration,
    pub(super) run: fn() -> Running,
}

pub(super) type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// The error of a check that this machine cannot run.
#[derive(Debug)]
pub(super) struct Skipped(pub(super) String);

impl std::error::Error for Skipped {}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many checks ended how.
#[derive(Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// Counts the end of a check and says it.
    fn add(&mut self, name: &str, end: &Result<()>) -> String {
        match end {
            Ok(()) => {
                self.passed += 1;
                format!("ok: {name}")
            }
            Err(error) if error.is::<Skipped>() => {
                self.skipped += 1;
                format!("skipped: {name}: {error}")
            }
            Err(error) => {
                self.failed += 1;
                format!("FAILED: {name}: {error:#}")
            }
        }
    }

    fn line(&self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.list {
        for check in CHECKS {
            println!("{}", check.name);
        }
        return Ok(());
    }
    let chosen = choose(&args.only, args.extent)?;
    build(&["bireme-scheduler", "bireme-worker", "bireme-cli"])?;
    let mut tally = Tally::default();
    block_on(async {
        for check in chosen {
            let end = within(check.limit, "the check", (check.run)()).await.and_then(|end| end);
            let left = family::end_orphans();
            let end = end.and_then(|()| {
                ensure!(left.is_empty(), "it left behind: {}", left.join(", "));
                Ok(())
            });
            println!("{}", tally.add(check.name, &end));
        }
        Ok(())
    })?;
    println!("{}", tally.line());
    if tally.failed > 0 {
        bail!("{} checks failed; one alone: cargo xtask it --only NAME", tally.failed);
    }
    Ok(())
}

/// The checks of these names; without names, all that are within the extent.
fn choose(names: &[String], extent: Option<Extent>) -> Result<Vec<&'static Check>> {
    let find = |name: &String| {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        CHECKS
            .iter()
            .find(|check| check.name == name)
            .ok_or_else(|| anyhow!("there is no check {name:?}; there are: {}", known.join(", ")))
    };
    if names.is_empty() {
        let quick = extent == Some(Extent::Quick);
        return Ok(CHECKS.iter().filter(|check| !(quick && check.slow)).collect());
    }
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_said_and_counted() {
        let mut tally = Tally::default();
        assert_eq!(tally.add("a", &Ok(())), "ok: a");
        let failed = Err(anyhow!("inner").context("outer"));
        assert_eq!(tally.add("b", &failed), "FAILED: b: outer: inner");
        let skipped = Err(Skipped("no files".into()).into());
        assert_eq!(tally.add("c", &skipped), "skipped: c: no files");
        assert_eq!(tally.line(), "1 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn quick_leaves_out_what_is_slow_unless_it_is_named() {
        let quick = choose(&[], Some(Extent::Quick)).unwrap();
        assert!(!quick.is_empty() && quick.iter().all(|check| !check.slow));
        let slow = CHECKS.iter().find(|check| check.slow).unwrap();
        let named = choose(&[slow.name.to_owned()], Some(Extent::Quick)).unwrap();
        assert_eq!(named.len(), 1);
        assert!(choose(&["none".to_owned()], None).is_err());
    }
}
