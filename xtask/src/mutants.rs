//! `cargo xtask mutants`: plants bugs, one at a time, and sees whether the simulation finds each.
//!
//! A check that has never failed proves little. [`planted::ALL`] lists bugs as a text to find and one to put in its place; they
//! are planted in a copy of the crates below `target/mutants`, never in the tree itself. There the simulation runs seed after
//! seed until one fails. A bug that survives them all means that the load is too tame or a check is missing: mend those.

mod planted;
mod tree;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::planted::{ALL, Load, Mutant};
use self::tree::{Tree, Verdict};
use crate::workspace::{read_text, root};

/// Plant bugs in a copy of the machines and see whether the simulation finds each
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plant only this bug; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = ALL.iter().map(|mutant| mutant.name).collect::<Vec<_>>())]
    only: Vec<String>,
    /// Seeds that each bug has to survive, each run without and with faults
    #[arg(long, default_value_t = 400)]
    seeds: u64,
    /// Print what there is and what each is about
    #[arg(long)]
    list: bool,
    /// Only look whether every text to be replaced is there, exactly once
    #[arg(long, conflicts_with = "list")]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for Mutant { name, about, .. } in ALL {
            println!("{name:<34} {about}");
        }
        return Ok(());
    }
    check()?;
    if args.check {
        return Ok(());
    }
    let is_chosen =
        |mutant: &&Mutant| args.only.is_empty() || args.only.iter().any(|name| name == mutant.name);
    let chosen: Vec<&Mutant> = ALL.iter().filter(is_chosen).collect();
    let tree = Tree::new()?;
    let started = now();
    for load in [Load::Cluster, Load::Actors, Load::Copies] {
        if chosen.iter().any(|mutant| mutant.load() == load)
            && let Verdict::Failed(what) = tree.judge(seeds(args, load), load)?
        {
            bail!("the simulation fails without a planted bug: {what}");
        }
    }
    println!("without a planted bug: {} seeds, {}", args.seeds, seconds(now() - started));
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let started = now();
        let verdict = try_one(&tree, mutant, seeds(args, mutant.load()))
            .with_context(|| format!("cannot try {}", mutant.name))?;
        let took = seconds(now() - started);
        if let Verdict::Failed(what) = verdict {
            println!("found: {}: {what} (built and run in {took})", mutant.name);
        } else {
            println!("SURVIVED: {}: {} seeds, {took}", mutant.name, args.seeds);
            survivors.push(mutant.name);
        }
    }
    if !survivors.is_empty() {
        bail!("{} of {} survived: {}", survivors.len(), chosen.len(), survivors.join(", "));
    }
    println!("all {} were found", chosen.len());
    Ok(())
}

/// Looks whether every bug can still be planted.
pub(crate) fn check() -> Result<()> {
    let mut lost = Vec::new();
    for mutant in ALL {
        let text = read_text(&root().join(mutant.file))?;
        if let Err(what) = mutant.plant(&text) {
            lost.push(format!("{} in {}: {what}", mutant.name, mutant.file));
        }
    }
    if !lost.is_empty() {
        bail!("update xtask/src/mutants/planted.rs:\n{}", lost.join("\n"));
    }
    println!("{} planted bugs match the code", ALL.len());
    Ok(())
}

fn try_one(tree: &Tree, mutant: &Mutant, seeds: u64) -> Result<Verdict> {
    let sound = read_text(&root().join(mutant.file))?;
    let planted = mutant.plant(&sound).map_err(anyhow::Error::msg)?;
    tree.replace(mutant.file, &planted)?;
    let verdict = tree.judge(seeds, mutant.load());
    tree.replace(mutant.file, &sound)?;
    verdict
}

/// Runs of actors are short, so there are more of them.
fn seeds(args: &Args, load: Load) -> u64 {
    match load {
        Load::Actors => args.seeds * 5,
        Load::Cluster | Load::Copies => args.seeds,
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "how long a bug took to find is told to people only")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_can_be_planted() {
        if let Err(lost) = check() {
            panic!("{lost}");
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
