//! Job files in, graphs out.

use std::fmt::Write as _;

use bireme_core::Span;
use bireme_core::id::SubmissionId;
use expect_test::{Expect, expect};
use prost::Message as _;

use super::*;

mod keys;

/// Files that are not there.
struct Fixed;

impl Files for Fixed {
    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let count = pattern.strip_prefix("/files/").map_or(0, |count| count.parse().unwrap());
        Ok((0..count).map(|n| format!("/files/{n}.txt")).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let text = match path {
            "/list" => "a\n \nb\n",
            "/rows.jsonl" => "{\"n\": 1, \"name\": \"x y\"}\n\n{\"n\": 2.5, \"name\": \"z\"}\n",
            "/rows.json" => "[{\"n\": 1}, {\"n\": [2, 3]}]",
            "/bad.jsonl" => "{\"n\": 1}\n[2]\n",
            "/none" => "",
            _ => return Err(format!("cannot read `{path}`")),
        };
        Ok(text.into())
    }
}

fn origin(params: &[(&str, &str)]) -> Origin {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    Origin {
        path: "job.toml".into(),
        dir: "/jobs".into(),
        params: params.iter().map(own).collect(),
    }
}

/// Every task: its key, the tasks it takes inputs from, and its payload in short.
fn render(plan: Plan) -> String {
    let mut text = String::new();
    let shown = plan.shown;
    for chunk in plan.graph.into_chunks(None, || SubmissionId(0)) {
        for (n, task) in chunk.tasks.iter().enumerate() {
            let deps: Vec<_> = task.deps.iter().map(|dep| dep.task).collect();
            let payload = show_payload(&task.payload);
            writeln!(text, "{n} {} {deps:?} {payload}", task.key).unwrap();
        }
    }
    for Shown { table, tasks, .. } in shown {
        writeln!(text, "show {table} {tasks:?}").unwrap();
    }
    text
}

fn show_payload(payload: &[u8]) -> String {
    use bireme_proto::pb;
    let payload = pb::Payload::decode(payload).unwrap();
    match payload.work.unwrap() {
        pb::payload::Work::Command(command) => {
            let files = command.files.iter().map(|file| show_arg(file.content.as_ref().unwrap()));
            let files: Vec<_> = files.collect();
            let stdin = command.stdin.as_ref().map_or("-".into(), show_arg);
            format!("{} files={} stdin={stdin}", command.argv.join(" "), files.join(","))
        }
        pb::payload::Work::Native(native) => {
            let args: Vec<_> = payload.args.iter().map(show_arg).collect();
            format!("{}({})", native.name, args.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn show_arg(arg: &bireme_proto::pb::Arg) -> String {
    use bireme_proto::pb::arg::Kind;
    match arg.kind.as_ref().unwrap() {
        Kind::Input(n) => format!("#{n}"),
        Kind::List(list) => {
            format!("[{}]", list.items.iter().map(show_arg).collect::<Vec<_>>().join(" "))
        }
        Kind::Value(value) => {
            let value: bireme_core::Value = value.clone().try_into().unwrap();
            let bytes = value.bytes().unwrap();
            format!("{}:{}", value.codec.name(), String::from_utf8_lossy(&bytes))
        }
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check(text: &str, params: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&render(expand(text, &origin(params), &Fixed).unwrap()));
}

const COUNT: &str = r#"
[params]
n = 1

[[task]]
name = "merge"
reduce = { from = "count", fan_in = 3 }
command = ["sh", "-c", "cat {inputs}", "sh", "{inputs}"]

[[task]]
name = "count"
for_each = { glob = "/files/{param.n}" }
command = ["wc", "{item}"]
"#;

#[test]
fn a_tree_takes_all_items_in_even_runs() {
    check(
        COUNT,
        &[("n", "7")],
        expect![[r"
            0 count[0] [] wc /files/0.txt files= stdin=-
            1 count[1] [] wc /files/1.txt files= stdin=-
            2 count[2] [] wc /files/2.txt files= stdin=-
            3 count[3] [] wc /files/3.txt files= stdin=-
            4 count[4] [] wc /files/4.txt files= stdin=-
            5 count[5] [] wc /files/5.txt files= stdin=-
            6 count[6] [] wc /files/6.txt files= stdin=-
            7 merge[0] [0, 1, 2] sh -c cat in/0 in/1 in/2 sh in/0 in/1 in/2 files=#0,#1,#2 stdin=-
            8 merge[1] [3, 4] sh -c cat in/0 in/1 sh in/0 in/1 files=#0,#1 stdin=-
            9 merge[2] [5, 6] sh -c cat in/0 in/1 sh in/0 in/1 files=#0,#1 stdin=-
            10 merge[3] [7, 8, 9] sh -c cat in/0 in/1 in/2 sh in/0 in/1 in/2 files=#0,#1,#2 stdin=-
            show merge [10]
        "]],
    );
}

#[test]
fn a_tree_of_one_is_one_task() {
    check(
        COUNT,
        &[],
        expect![[r"
            0 count[0] [] wc /files/0.txt files= stdin=-
            1 merge[0] [0] sh -c cat in/0 sh in/0 files=#0 stdin=-
            show merge [1]
        "]],
    );
}

#[test]
fn inputs_go_to_stdin_files_and_arguments() {
    check(
        r#"
        [[task]]
        name = "a"
        for_each = { lines = "/list" }
        function = "builtin/echo"
        args = ["{item} {index}", 3, true]

        [[task]]
        name = "b"
        for_each = { task = "a" }
        inputs = ["c"]
        command = ["paste", "{inputs.c}", "-"]
        stdin = "{inputs.a}"

        [[task]]
        name = "c"
        command = ["cat"]
        stdin = "in {job.dir}\n"

        [[task]]
        name = "d"
        inputs = ["b", "c"]
        function = "builtin/concat"
        args = ["{inputs}"]

        [[task]]
        name = "e"
        inputs = ["b"]
        command = ["cat"]
        stdin = "{inputs}"

        [output]
        show = ["b", "d"]
        "#,
        &[],
        expect![[r"
            0 a[0] [] builtin/echo(utf8:a 0, json:3, json:true)
            1 a[1] [] builtin/echo(utf8:b 1, json:3, json:true)
            2 c [] cat files= stdin=utf8:in /jobs

            3 b[0] [0, 2] paste in/1 - files=#1 stdin=#0
            4 b[1] [1, 2] paste in/1 - files=#1 stdin=#0
            5 d [3, 4, 2] builtin/concat(#0, #1, #2)
            6 e [3, 4] cat files= stdin=[#0 #1]
            show b [3, 4]
            show d [5]
        "]],
    );
}

#[test]
fn what_tasks_take_becomes_their_class() {
    let text = r#"
        [[task]]
        name = "a"
        command = ["true"]
        resources = { cpus = 0.5, memory = "1GiB", gpu = 2 }
        retries = 3
        backoff = "2s"
        timeout = "1m30s"
        priority = -4
    "#;
    let plan = expand(text, &origin(&[]), &Fixed).unwrap();
    let chunk = plan.graph.into_chunks(None, || SubmissionId(0)).next().unwrap();
    let class = &chunk.classes[0];
    assert_eq!(class.resources.to_string(), "cpus=0.5 memory=1073741824 gpu=2");
    assert_eq!((class.retry.max_retries, class.retry.backoff), (3, Span::secs(2)));
    assert_eq!((class.timeout, chunk.tasks[0].priority), (Some(Span::secs(90)), -4));
    assert_eq!(class.runtime, bireme_core::graph::Runtime::Command);
}

/// A job of one table with these lines besides its name and command.
fn with(lines: &str) -> String {
    format!("[params]\nn = 1\n[[task]]\nname = \"a\"\n{lines}\n")
}

/// What is said about each of these jobs, a line or a paragraph each.
#[track_caller]
fn check_refused(jobs: &[String], expected: Expect) {
    let refused = |job: &String| expand(job, &origin(&[]), &Fixed).unwrap_err().to_string();
    expected.assert_eq(&jobs.iter().map(|job| refused(job) + "\n").collect::<String>());
}

#[test]
fn errors_name_the_file_the_table_the_key_and_the_remedy() {
    let lines = [
        r#"function = "f", command = ["x"]"#,
        "",
        "command = []",
        r#"function = "f", stdin = """#,
        r#"command = ["x"], args = [1]"#,
        r#"command = ["x"], inputs = ["b"]"#,
        r#"command = ["{item}"]"#,
        r#"command = ["{inputs}"]"#,
        r#"command = ["x"], stdin = "a {inputs}""#,
        r#"command = ["x"], for_each = { glob = "/none/*" }"#,
        r#"command = ["x"], for_each = { lines = "/none" }"#,
        r#"command = ["x"], for_each = { list = [] }"#,
        r#"command = ["x"], for_each = { glob = "{param.dri}" }"#,
        r#"command = ["x"], resources = { memory = 5 }"#,
        r#"command = ["x"], resources = { cpus = -1 }"#,
        r#"command = ["x"], resources = { "a b" = 1 }"#,
        r#"command = ["x"], timeout = "5""#,
    ];
    let job = |line: &str| with(&line.replace(", ", "\n"));
    check_refused(
        &lines.map(job),
        expect![[r#"
        job.toml: [[task]] "a", key `command`: there is `function` too; a task is one or the other
        job.toml: [[task]] "a", key `command`: missing: say what to run, by `command = ["PROGRAM", ...]` or `function = "NAME"`
        job.toml: [[task]] "a", key `command`: empty: the program comes first, then its arguments
        job.toml: [[task]] "a", key `stdin`: goes with `command`, not with `function`
        job.toml: [[task]] "a", key `args`: goes with `function`; the arguments of a command stand in `command`
        job.toml: [[task]] "a", key `inputs`: no [[task]] is called "b": there are `a`
        job.toml: [[task]] "a", key `command`: `{item}` needs `for_each` with a glob, lines, list, range or rows
        job.toml: [[task]] "a", key `command`: `{inputs}` needs inputs: name tasks in `inputs`, `reduce` or `for_each`
        job.toml: [[task]] "a", key `stdin`: `{inputs}` must be all of it, or none
        job.toml: [[task]] "a", key `for_each.glob`: no file matches `/none/*`; directories do not count
        job.toml: [[task]] "a", key `for_each.lines`: `/none` has no line that is not blank
        job.toml: [[task]] "a", key `for_each.list`: the list is empty; leave `for_each` out for a single task
        job.toml: [[task]] "a", key `for_each.glob`: `{param.dri}` is not in [params]: there are `n`
        job.toml: [[task]] "a", key `resources`: memory is `5`: write a text such as "512MiB"
        job.toml: [[task]] "a", key `resources`: cpus is -1: write a number from 0 to 1000000000
        job.toml: [[task]] "a", key `resources`: "a b" cannot name a resource: use 1 to 64 of a-z A-Z 0-9 _ - . and neither cpus nor memory
        job.toml: [[task]] "a", key `timeout`: `5` has no unit: write one such as 30s, 5m or 1h30m
    "#]],
    );
}

#[test]
fn errors_of_the_format_show_the_line() {
    let lines = [r#"comand = ["x"]"#, r#"for_each = { files = "*" }"#, r#"retries = "two""#];
    check_refused(
        &lines.map(with),
        expect![[r#"
            job.toml: TOML parse error at line 5, column 1
              |
            5 | comand = ["x"]
              | ^^^^^^
            unknown field `comand`, expected one of `name`, `for_each`, `reduce`, `inputs`, `command`, `stdin`, `files`, `outputs`, `ok_exit`, `function`, `args`, `save`, `priority`, `cwd`, `inherit_env`, `retries`, `max_crashes`, `backoff`, `backoff_max`, `retry_on`, `timeout`, `workers`, `on_worker_lost`, `env`, `labels`, `resources`
            job.toml: TOML parse error at line 5, column 14
              |
            5 | for_each = { files = "*" }
              |              ^^^^^
            unknown variant `files`, expected one of `glob`, `lines`, `list`, `range`, `rows`, `task`
            job.toml: TOML parse error at line 5, column 11
              |
            5 | retries = "two"
              |           ^^^^^
            invalid type: string "two", expected u32
        "#]],
    );
}

#[test]
fn names_and_references_are_judged_as_a_whole() {
    let job = |tasks: &[(&str, &str)]| {
        let table = |(name, inputs): &(&str, &str)| {
            format!("[[task]]\nname = \"{name}\"\ncommand = [\"x\"]\ninputs = [{inputs}]\n")
        };
        tasks.iter().map(table).collect::<String>()
    };
    let jobs = [
        String::new(),
        job(&[("a", ""), ("a", "")]),
        job(&[("a b", "")]),
        job(&[("a", ""), ("b", "'a', 'a'")]),
        job(&[("a", "'a'")]),
        job(&[("a", "'c'"), ("b", "'a'"), ("c", "'b'")]),
        job(&[("count", "")]) + "[output]\nshow = \"cuont\"",
    ];
    check_refused(
        &jobs,
        expect![[r#"
        job.toml: there is no [[task]]; add one with `name` and `command`
        job.toml: [[task]] "a", key `name`: another [[task]] has this name; give each its own
        job.toml: [[task]] number 1, key `name`: "a b" cannot be a name: use a letter, then letters, digits and _, at most 64
        job.toml: [[task]] "b", key `inputs`: "a" is an input already; name it once
        job.toml: [[task]] "a": tasks need each other in a circle: a <- a
        job.toml: [[task]] "a": tasks need each other in a circle: a <- c <- b <- a
        job.toml: [output], key `show`: no [[task]] is called "cuont": did you mean `count`?
    "#]],
    );
}

#[test]
fn a_tree_is_merged_as_it_grows() {
    let plan = expand(COUNT, &origin(&[("n", "9")]), &Fixed).unwrap();
    let chunks: Vec<_> = plan.graph.into_chunks(None, || SubmissionId(0)).collect();
    let tasks = chunks.iter().flat_map(|chunk| &chunk.tasks);
    let mut keys: Vec<_> = tasks.map(|task| (task.order, task.key.as_str())).collect();
    keys.sort_unstable();
    let keys: Vec<_> = keys.into_iter().map(|(_, key)| key).collect();
    expect!["count[0] count[1] count[2] merge[0] count[3] count[4] count[5] merge[1] count[6] count[7] count[8] merge[2] merge[3]"].assert_eq(&keys.join(" "));
}

#[test]
fn parameters_must_exist_and_fit() {
    let refused = |name, value| {
        let job = with(r#"command = ["x"]"#);
        expand(&job, &origin(&[(name, value)]), &Fixed).unwrap_err().to_string()
    };
    expect!["job.toml: [params], key `m`: the job has no parameter `m`: there are `n`"]
        .assert_eq(&refused("m", "3"));
    expect!["job.toml: [params], key `n`: `x` is not a whole number, as the default is"]
        .assert_eq(&refused("n", "x"));
}

#[test]
fn runs_are_even() {
    let lengths = |items: u32, most| {
        let items: Vec<_> = (0..items).collect();
        let runs: Vec<_> = even_runs(&items, most).map(<[u32]>::len).collect();
        runs
    };
    assert_eq!(lengths(17, 8), [6, 6, 5]);
    assert_eq!(lengths(8, 8), [8]);
    assert_eq!(lengths(9, 8), [5, 4]);
    assert_eq!(lengths(0, 8), [0; 0]);
}
