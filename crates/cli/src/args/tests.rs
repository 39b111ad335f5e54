//! What is understood, and what is refused.

use clap::CommandFactory as _;

use super::*;

fn typed(words: &[&str]) -> Command {
    Cli::try_parse_from(["bireme"].iter().chain(words)).unwrap().command
}

fn refused(words: &[&str]) -> String {
    Cli::try_parse_from(["bireme"].iter().chain(words)).unwrap_err().to_string()
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example() {
    fn check(path: &str, command: &clap::Command) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path} has no help");
        let subcommands: Vec<_> = command.get_subcommands().collect();
        if subcommands.is_empty() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "{path} has no example");
            assert!(after.contains(path.trim()), "{path} has another command's example");
        }
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {argument} has no help");
        }
        for subcommand in subcommands {
            check(&path, subcommand);
        }
    }
    check("", &Cli::command());
}

#[test]
fn examples_are_understood() {
    fn examples(command: &clap::Command, all: &mut Vec<String>) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = after.lines().map(|line| line.trim_start_matches("Example: ").trim());
        all.extend(lines.filter(|line| line.starts_with("bireme ")).map(str::to_owned));
        command.get_subcommands().for_each(|command| examples(command, all));
    }
    let mut all = Vec::new();
    examples(&Cli::command(), &mut all);
    assert!(all.len() > 20, "{all:?}");
    for example in all {
        let words = example.split(" > ").next().unwrap_or_default().replace('\'', "");
        let parsed = Cli::try_parse_from(words.split_whitespace());
        assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
    }
}

#[test]
fn a_local_run_has_two_workers_unless_told_otherwise() {
    let Command::Local(local) = typed(&["local", "run", "j.toml", "--param", "a=b=c"]) else {
        panic!("another command")
    };
    let Some(LocalCommand::Run(run)) = local.command else { panic!("another command") };
    assert_eq!((run.size.workers.get(), run.size.cpus), (2, None));
    assert_eq!(run.job.params, [Param { name: "a".into(), value: "b=c".into() }]);
    let Command::Local(local) = typed(&["local", "--workers", "3"]) else {
        panic!("another command")
    };
    assert!(local.command.is_none());
    assert_eq!(local.size.workers.get(), 3);
}

#[test]
fn the_words_of_a_command_are_left_alone() {
    let Command::Submit(submit) = typed(&["submit", "--wait", "--", "ls", "--output", "-l"]) else {
        panic!("another command")
    };
    assert_eq!(submit.command, ["ls", "--output", "-l"]);
    assert!(submit.after.wait);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    assert!(refused(&["run", "j", "--param", "a"]).contains("NAME=VALUE"));
    assert!(refused(&["local", "run", "j", "--workers", "0"]).contains("--workers"));
    assert!(refused(&["frobnicate"]).contains("frobnicate"));
    assert!(refused(&["submit", "ls"]).contains("ls"));
    assert!(refused(&["submit", "--array", "3-1", "--", "ls"]).contains("`3-1` is no range"));
    assert!(
        refused(&["submit", "--array", "1-2", "--each-line", "f", "--", "ls"])
            .contains("cannot be used with")
    );
    assert!(refused(&["tasks", "--state", "done"]).contains("finished"));
    assert!(refused(&["task", "show", "fit"]).contains("GRAPH/KEY"));
    assert!(refused(&["task", "retry"]).contains("<TASK>"));
    assert!(refused(&["token", "issue", "--role", "root"]).contains("submit"));
    assert!(refused(&["workers", "--timeout", "1s"]).contains("--wait"));
}
