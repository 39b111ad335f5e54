//! The page of the command line: the help of every command, as it is printed.

use std::fmt::Write as _;

use anyhow::Result;

use super::help::{commands, help};
use super::pages::HEAD;

pub(super) fn page() -> Result<String> {
    let mut page = format!(
        "{HEAD}# The command line\n\nWhat `bireme` and each of its commands print with `--help`. Standard output is data, standard error is talk;\n\
         what the variables mean is told in [configuration](configuration.md) too.\n"
    );
    add(&mut page, Vec::new())?;
    Ok(page)
}

/// Adds a command and all below it.
fn add(page: &mut String, words: Vec<String>) -> Result<()> {
    let help = help("bireme", &words)?;
    let title = ["bireme"].into_iter().chain(words.iter().map(String::as_str));
    let title: Vec<_> = title.collect();
    write!(page, "\n## {}\n\n```text\n{}\n```\n", title.join(" "), help.trim_end())?;
    for command in commands(&help) {
        let below = words.iter().cloned().chain([command]).collect();
        add(page, below)?;
    }
    Ok(())
}
