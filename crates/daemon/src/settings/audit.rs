//! The promise that every flag is a variable and a key as well.

use clap::{ArgAction, Command};

/// What is amiss with a program's flags: a variable that is missing or not named after the flag, no help, or an action
/// that neither a variable nor the file could trigger. Empty when all is well; each daemon's tests assert that.
pub fn audit(command: &Command) -> Vec<String> {
    let mut faults = Vec::new();
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long() else { continue };
        match arg.get_action() {
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version => {
                continue;
            }
            ArgAction::Append if arg.get_value_delimiter().is_none() => {
                faults.push(format!(
                    "--{long} is a list without `value_delimiter`: its variable holds one value"
                ));
            }
            ArgAction::Append | ArgAction::Set | ArgAction::SetTrue => {}
            other => faults
                .push(format!("--{long} has the action {other:?}, which only a flag can have")),
        }
        let expected = format!("BIREME_{}", long.to_uppercase().replace('-', "_"));
        if arg.get_env().is_none_or(|variable| variable != expected.as_str()) {
            faults.push(format!("--{long} lacks the variable {expected}"));
        }
        if arg.get_help().is_none_or(|help| help.to_string().trim().is_empty()) {
            faults.push(format!("--{long} lacks a help text"));
        }
    }
    faults
}
