//! What is submitted for what was typed.

use std::fmt::Write as _;

use bireme_core::graph::GraphChunk;
use bireme_core::id::SubmissionId;
use bireme_proto::pb;
use clap::Parser as _;
use expect_test::{Expect, expect};
use prost::Message as _;

use super::*;
use crate::args::{Cli, Command};

fn typed(words: &[&str]) -> Result<Plan, Failure> {
    let words = ["bireme", "submit"].iter().chain(words);
    let Command::Submit(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("another command")
    };
    plan(&args)
}

fn chunk(words: &[&str]) -> GraphChunk {
    let graph = typed(words).map_err(|failure| failure.to_string()).unwrap().graph;
    graph.into_chunks(None, || SubmissionId(1)).next().unwrap()
}

fn command(payload: &Bytes) -> String {
    let payload = pb::Payload::decode(payload.clone()).unwrap();
    let Some(pb::payload::Work::Command(command)) = payload.work else { panic!("no command") };
    let mut words = command.argv;
    let variables = command.environment.into_iter();
    words.extend(variables.map(|variable| format!("{}={}", variable.name, variable.value)));
    words.join(" ")
}

fn check(words: &[&str], expected: Expect) {
    let chunk = chunk(words);
    let mut text = String::new();
    for task in &chunk.tasks {
        writeln!(text, "{}: {}", task.key, command(&task.payload)).unwrap();
    }
    for array in &chunk.arrays {
        let (prefix, count) = (&array.key_prefix, array.count);
        writeln!(text, "{count} of {prefix}: {}", command(&array.payload)).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn a_command_is_one_task_called_by_its_program() {
    check(
        &["--env", "A={row}", "--", "/bin/echo", "{row}"],
        expect![[r"
            echo: /bin/echo {row} A={row}
        "]],
    );
}

#[test]
fn an_array_is_a_task_for_each_number() {
    check(
        &["--array", "1-3:2", "--name", "sim", "--env", "SEED={row}", "--", "sim", "{row}"],
        expect![[r"
            sim[1]: sim 1 BIREME_ROW=1 SEED=1
            sim[3]: sim 3 BIREME_ROW=3 SEED=3
        "]],
    );
}

#[test]
fn an_array_from_zero_without_placeholders_is_one_record() {
    check(
        &["--array", "0-9", "--", "sim"],
        expect![[r"
            10 of sim: sim
        "]],
    );
}

#[test]
fn each_file_is_a_task() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.txt", "a.txt", "c.csv"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let pattern = dir.path().join("*.txt");
    let words = ["--each-file", pattern.to_str().unwrap(), "--", "sort", "{file.name}"];
    let keys: Vec<_> = chunk(&words).tasks.into_iter().map(|task| task.key).collect();
    assert_eq!(keys, ["sort[0]", "sort[1]"]);
    let none = dir.path().join("*.none");
    let refused = typed(&["--each-file", none.to_str().unwrap(), "--", "x"]).err().unwrap();
    assert!(refused.to_string().contains("no file matches"), "{refused}");
}

#[test]
fn what_a_task_takes_is_in_its_class() {
    let words = ["--cpus", "0.5", "--memory", "1GiB", "--resource", "gpu=1", "--retries", "3"];
    let more = ["--max-crashes", "0", "--timeout", "30s", "--priority", "-2", "--", "x"];
    let chunk = chunk(&[words.as_slice(), &more].concat());
    let class = &chunk.classes[0];
    assert_eq!(class.resources.to_string(), "cpus=0.5 memory=1073741824 gpu=1");
    assert_eq!(class.retry.max_crashes, 0);
    assert_eq!((class.retry.max_retries, class.timeout), (3, Some(bireme_core::Span::secs(30))));
    assert_eq!(chunk.tasks[0].priority, -2);
    assert!(chunk.options.unwrap().detached);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_submitted() {
    let refused = |words: &[&str]| typed(words).err().unwrap().to_string();
    assert!(refused(&["--cpus", "two", "--", "x"]).contains("cpus is `two`"));
    assert!(refused(&["--cpus", "0.00001", "--", "x"]).contains("at most 4 digits"));
    assert!(refused(&["--resource", "memory=1", "--", "x"]).contains("write --memory"));
    assert!(refused(&["--stdin", "/nowhere", "--", "x"]).contains("cannot read /nowhere"));
    assert!(refused(&["--array", "1,1", "--", "x"]).contains("x[1]"));
    let long = "x".repeat(limits::PAYLOAD_BYTES);
    assert!(refused(&["--", &long]).contains("the limit is"));
}
