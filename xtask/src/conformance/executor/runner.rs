//! Runs checks one after the other and says how each ended.

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use super::checks::{CHECKS, Check, LeftOut};
use super::program::{Names, Program};
use crate::cluster::{block_on, family};
use crate::conformance::{Executor, Output};

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: u32,
    failed: u32,
    /// Of what an executor may leave out.
    left_out: u32,
}

/// How a check ended.
enum Verdict {
    Passed,
    Failed(String),
    LeftOut(String),
}

impl Tally {
    /// Counts the end of a check and says it.
    fn add(&mut self, name: &str, verdict: &Verdict, output: Output) -> String {
        let (word, why) = match verdict {
            Verdict::Passed => ("ok", None),
            Verdict::Failed(why) => ("failed", Some(why)),
            Verdict::LeftOut(why) => ("left out", Some(why)),
        };
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::LeftOut(_) => self.left_out += 1,
        }
        match (output, why) {
            (Output::Json, why) => json!({"check": name, "outcome": word, "why": why}).to_string(),
            (Output::Text, None) => format!("{word}: {name}"),
            (Output::Text, Some(why)) => format!("{word}: {name}: {why}"),
        }
    }
}

pub(super) fn run(args: &Executor) -> Result<()> {
    let Executor { only, list, output, module, native, command } = args;
    if *list {
        for check in &CHECKS {
            println!("{}", check.name);
        }
        return Ok(());
    }
    let checks = choose(only)?;
    let names = if *native { Names::Native } else { Names::Module };
    let program = Program::new(command.clone(), names(module.clone()));
    block_on(async {
        let tally = hold_to(&program, &checks, *output).await?;
        let Tally { passed, failed, left_out } = tally;
        if *output == Output::Text {
            println!("{passed} passed, {failed} failed, {left_out} left out");
        }
        if failed > 0 {
            bail!("the executor does not conform; one check alone: --only NAME");
        }
        Ok(())
    })
}

async fn hold_to(program: &Program, checks: &[&Check], output: Output) -> Result<Tally> {
    let mut tally = Tally::default();
    for check in checks {
        let dir = tempfile::Builder::new().prefix("conformance-").tempdir()?;
        let program = program.at(dir.path());
        let verdict = match (check.run)(&program).await {
            Ok(()) => Verdict::Passed,
            Err(error) => match error.downcast_ref::<LeftOut>() {
                Some(why) => Verdict::LeftOut(why.to_string()),
                None => Verdict::Failed(because(&error, &program.complaint())),
            },
        };
        // What the check has let go of is gone before the next begins.
        drop(family::end_orphans());
        println!("{}", tally.add(check.name, &verdict, output));
    }
    Ok(tally)
}

/// Why a check failed, with what the process had to complain of.
fn because(error: &anyhow::Error, complaint: &str) -> String {
    if complaint.is_empty() {
        return format!("{error:#}");
    }
    format!("{error:#}; it complained:\n{complaint}")
}

/// The checks of these names; without names, all.
fn choose(names: &[String]) -> Result<Vec<&'static Check>> {
    let find = |name: &String| {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        CHECKS
            .iter()
            .find(|check| check.name == name)
            .ok_or_else(|| anyhow!("there is no check {name:?}; there are: {}", known.join(", ")))
    };
    if names.is_empty() { Ok(CHECKS.iter().collect()) } else { names.iter().map(find).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_said_and_counted() {
        let mut tally = Tally::default();
        let failed = Verdict::Failed("because".to_owned());
        assert_eq!(tally.add("a", &Verdict::Passed, Output::Text), "ok: a");
        assert_eq!(tally.add("b", &failed, Output::Text), "failed: b: because");
        let line = r#"{"check":"b","outcome":"failed","why":"because"}"#;
        assert_eq!(tally.add("b", &failed, Output::Json), line);
        assert_eq!(tally, Tally { passed: 1, failed: 2, left_out: 0 });
    }

    #[test]
    fn checks_have_names_of_their_own() {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
        assert!(choose(&["none".to_owned()]).is_err());
    }
}
