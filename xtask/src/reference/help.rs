//! What our programs say when they are asked for help.

use anyhow::Result;

use crate::cluster::Site;
use crate::workspace::read;

/// A flag, as a help page tells of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Flag {
    /// With its dashes.
    pub(super) name: String,
    /// What it is given, such as `FILE`; empty for a switch.
    pub(super) value: String,
    pub(super) meaning: String,
    pub(super) variable: String,
    pub(super) default: String,
}

/// The help page of a program, or of one of its commands, as wide as people's terminals are.
pub(super) fn help(program: &str, words: &[String]) -> Result<String> {
    // A clean environment, as values of variables would be shown; a width, as the terminal's would count.
    let mut command = Site::bare(program);
    let page = read(command.args(words).arg("--help").env("COLUMNS", "100"))?;
    Ok(page.lines().map(|line| line.trim_end().to_owned() + "\n").collect())
}

/// The commands that a help page lists.
pub(super) fn commands(page: &str) -> Vec<String> {
    let lines = page.lines().skip_while(|line| *line != "Commands:").skip(1);
    let rows = lines.take_while(|line| line.starts_with("  "));
    // A row that is indented further goes on with the text of the one before.
    let names = rows
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long flags that a help page tells of, but for help and version.
pub(super) fn flags(page: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for line in page.lines() {
        if let Some((name, value, rest)) = flag_line(line) {
            flags.push(Flag { name, value, meaning: rest, ..Flag::default() });
        } else if !line.is_empty() && !line.starts_with(' ') {
            // A heading or a closing remark: what follows is of no flag.
            flags.push(Flag::default());
        } else if let Some(flag) = flags.last_mut() {
            flag.meaning.push('\n');
            flag.meaning.push_str(line.trim());
        }
    }
    flags.iter_mut().for_each(settle);
    flags.retain(|flag| !matches!(flag.name.as_str(), "" | "--help" | "--version"));
    flags
}

/// Name, value and what else stands in the line with which a flag begins.
fn flag_line(line: &str) -> Option<(String, String, String)> {
    let text = line.trim_start();
    if line.len() - text.len() > 6 {
        return None;
    }
    let at = if text.starts_with("--") { 0 } else { text.find(", --")? + 2 };
    let text = text.get(at..)?;
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let (value, rest) = value.unwrap_or(("", rest));
    Some((name.to_owned(), value.to_owned(), rest.trim_start_matches("...").trim().to_owned()))
}

/// Takes variable and default out of the text.
fn settle(flag: &mut Flag) {
    if let Some(variable) = take(&mut flag.meaning, "[env: ") {
        variable.split('=').next().unwrap_or_default().clone_into(&mut flag.variable);
    }
    flag.default = take(&mut flag.meaning, "[default: ").unwrap_or_default();
    if let Some((text, values)) = flag.meaning.clone().split_once("Possible values:") {
        let names =
            values.split("\n- ").skip(1).filter_map(|value| value.split([':', '\n']).next());
        let names: Vec<_> = names.map(|name| format!("`{}`", name.trim())).collect();
        flag.meaning = format!("{}: {}", text.trim_end(), names.join(", "));
    } else if let Some(values) = take(&mut flag.meaning, "[possible values: ") {
        let names: Vec<_> = values.split(", ").map(|name| format!("`{name}`")).collect();
        flag.meaning = format!("{}: {}", flag.meaning.trim_end(), names.join(", "));
    }
    flag.meaning = flag.meaning.trim().to_owned();
}

/// Cuts `[label: TEXT]` out of a text and returns TEXT.
fn take(text: &mut String, label: &str) -> Option<String> {
    let start = text.find(label)?;
    let (before, rest) = text.split_at(start);
    let (inner, after) = rest.get(label.len()..)?.split_once(']')?;
    let inner = inner.replace('\n', " ");
    *text = format!("{before}{after}");
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "A program\n\nCommands:\n  run   Runs\n          more words\n  help  Helps\n\nOptions:\n      --where <PLACE>\n          \
        Where it\n          runs\n\n          Possible values:\n          - here:  At hand\n          - there: Far away\n\n          \
        [env: BIREME_WHERE=]\n          [default: here]\n\n      --on  Whether it [env: BIREME_ON=]\n  -h, --help\n          Print help\n\nMore words\n";

    #[test]
    fn flags_are_read_with_all_that_belongs_to_them() {
        let flags = flags(PAGE);
        let of = |name: &str, value: &str, meaning: &str, variable: &str, default: &str| {
            let [name, value, meaning] = [name, value, meaning].map(str::to_owned);
            Flag { name, value, meaning, variable: variable.into(), default: default.into() }
        };
        assert_eq!(
            flags,
            [
                of("--where", "PLACE", "Where it\nruns: `here`, `there`", "BIREME_WHERE", "here"),
                of("--on", "", "Whether it", "BIREME_ON", ""),
            ]
        );
    }

    #[test]
    fn commands_are_those_of_the_list_but_help() {
        assert_eq!(commands(PAGE), ["run"]);
    }
}
