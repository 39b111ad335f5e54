//! The example of the README, against what a shell makes of the same files.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::runner::Skipped;
use crate::cluster::{Child, Site};
use crate::workspace::root;

/// Where the example finds its files.
const TEXTS: &str = "/usr/share/common-licenses";
/// Lists that one task of the example adds up.
const FAN_IN: usize = 8;
/// What the example's own README gives as the same in a shell.
const PIPELINE: &str = r"cat TEXTS/* | tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | grep . |
  LC_ALL=C sort | uniq -c | LC_ALL=C sort -k1,1nr -k2,2 | head -n 10";

pub(super) async fn equals_a_pipeline() -> Result<()> {
    let files = files(Path::new(TEXTS))?;
    let site = Site::new()?;
    let mut shell = Command::new("sh");
    shell.args(["-c", &PIPELINE.replace("TEXTS", TEXTS)]);
    let expected = printed(site.start(shell, "pipeline", None)?).await?;
    let mut bireme = site.program("bireme");
    bireme.args(["local", "run"]).arg(root().join("examples/wordcount/job.toml"));
    bireme.args(["--workers", "2", "--param", &format!("dir={TEXTS}")]);
    let bireme = site.start(bireme, "bireme", None)?;
    let (counted, talk) = printed_with_log(bireme).await?;
    ensure!(counted == expected, "it printed\n{counted}\ninstead of\n{expected}");
    let tasks = files + merges(files) + 1;
    let line = talk.lines().last().context("it did not say how it went")?;
    let said = format!("wordcount: {tasks} tasks finished, {tasks} attempts on 2 workers in ");
    ensure!(line.starts_with(&said), "it said {line:?} instead of {said:?}");
    Ok(())
}

/// How many texts there are.
fn files(dir: &Path) -> Result<usize> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Err(Skipped(format!("there is no {}", dir.display())).into());
    };
    let files = entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file()));
    match files.count() {
        0 => Err(Skipped(format!("{} is empty", dir.display())).into()),
        files => Ok(files),
    }
}

/// Tasks that it takes to add up so many lists.
fn merges(lists: usize) -> usize {
    match lists.div_ceil(FAN_IN) {
        1 => 1,
        merged => merged + merges(merged),
    }
}

/// What a process prints until it ends well.
async fn printed(child: Child) -> Result<String> {
    Ok(printed_with_log(child).await?.0)
}

/// The same, and what it said on stderr.
async fn printed_with_log(mut child: Child) -> Result<(String, String)> {
    let text = child.rest().await?;
    let status = child.exit().await?;
    if !status.success() {
        bail!("it ended with {status}; {}", child.complaint());
    }
    Ok((text, child.log()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_as_many_merges_as_the_readme_says() {
        assert_eq!([1, 8, 9, 17, 64, 65].map(merges), [1, 1, 3, 4, 9, 12]);
    }
}
