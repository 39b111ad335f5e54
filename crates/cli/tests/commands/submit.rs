//! `bireme submit`

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::support::{Site, guarded, interrupt};

#[tokio::test]
async fn the_number_of_the_graph_is_printed_and_the_graph_goes_on_alone() {
    let site = Site::start().await;
    let graph = site.ok(&["submit", "--", "echo", "hello"]).await;
    let graph = graph.trim();
    let done = site.json(&["graph", "wait", graph]).await;
    assert_eq!(done["ok"], true);
    assert_eq!(done["tasks"]["finished"], 1);
    assert_eq!(site.ok(&["result", "get", &format!("{graph}/echo")]).await, "hello\n");
    let json = site.json(&["submit", "--name", "two", "--array", "0-1", "--", "true"]).await;
    assert_eq!((&json["name"], &json["tasks"]), (&"two".into(), &2.into()));
    site.stop().await;
}

#[tokio::test]
async fn each_row_knows_its_own_and_has_its_own_file() {
    let site = Site::start().await;
    let words = ["submit", "--array", "1-5:2", "--env", "B=<{row}>", "--stdout", "out/{row}.txt"];
    let command = ["--", "sh", "-c", "echo {row} $BIREME_ROW $B"];
    site.ok(&[words.as_slice(), &command].concat()).await;
    for row in [1, 3, 5] {
        let printed = std::fs::read_to_string(site.path(&format!("out/{row}.txt"))).unwrap();
        assert_eq!(printed, format!("{row} {row} <{row}>\n"));
    }
    let words = ["submit", "--array", "0-1", "--stdout", "-", "--", "sh", "-c", "echo $BIREME_ROW"];
    assert_eq!(site.ok(&words).await, "0\n1\n");
    site.write("lines", "first line\n\nsecond\n");
    let words = ["submit", "--each-line", "lines", "--stdout", "-", "--", "echo", "{line}|{row}"];
    assert_eq!(site.ok(&words).await, "first line|0\nsecond|1\n");
    site.write("a.txt", "a\n");
    let words = ["submit", "--each-file", "*.txt", "--stdout", "{file.stem}.out", "--", "cat"];
    site.ok(&[words.as_slice(), &["{file}"]].concat()).await;
    assert_eq!(std::fs::read_to_string(site.path("a.out")).unwrap(), "a\n");
    site.stop().await;
}

#[tokio::test]
async fn a_command_runs_where_and_with_what_it_was_told() {
    let site = Site::start().await;
    site.write("input", "from a file\n");
    let words = ["submit", "--cwd", ".", "--stdin", "input", "--stdout", "-"];
    let printed = site.ok(&[words.as_slice(), &["--", "sh", "-c", "cat; pwd"]].concat()).await;
    let here = std::fs::canonicalize(site.path(".")).unwrap();
    assert_eq!(printed, format!("from a file\n{}\n", here.display()));
    site.stop().await;
}

#[tokio::test]
async fn a_failure_is_told_of_by_name_and_is_exit_code_1() {
    let site = Site::start().await;
    let words = ["submit", "--wait", "--name", "poor", "--array", "1-2"];
    let command = ["--", "sh", "-c", "echo no luck >&2; exit {row}"];
    let said = site.fails(1, &[words.as_slice(), &command].concat()).await;
    assert!(said.contains("task poor[1] failed") && said.contains("no luck"), "{said}");
    assert!(said.contains("task poor[2] failed"), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("poor: 0 tasks finished, 2 failed in "), "{said}");
    let said = site.fails(2, &["submit", "--cpus", "x", "--", "true"]).await;
    assert!(said.contains("cpus is `x`"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn an_interrupted_wait_leaves_the_graph_alone() {
    let site = Site::start().await;
    // Nobody ever opens it.
    let made = std::process::Command::new("mkfifo").arg(site.path("gate")).status().unwrap();
    assert!(made.success());
    let gate = site.path("gate");
    let mut command = site.command(&["submit", "--wait", "--", "cat", gate.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    guarded("the number of the graph", stdout.read_line(&mut line)).await.unwrap();
    let graph = line.trim();
    interrupt(&child).await;
    let status = guarded("its end", child.wait()).await.unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("graph {graph} goes on")), "{said}");
    assert_eq!(site.json(&["graph", "show", graph]).await["done"], false);
    site.ok(&["graph", "cancel", graph, "--grace", "0"]).await;
    assert_eq!(site.run(&["graph", "wait", graph]).await.code, Some(1));
    site.stop().await;
}

#[tokio::test]
async fn where_nobody_works_what_is_submitted_says_that_it_waits() {
    let site = Site::start().await;
    let ended = site.run(&["submit", "--", "true"]).await;
    assert!(!ended.stderr.contains("no worker"), "{ended:?}");
    for worker in ["local-1", "local-2"] {
        let drained = site.json(&["worker", "drain", worker]).await;
        assert_eq!(drained["left"], true, "{drained}");
    }
    let ended = site.run(&["submit", "--", "true"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("warning: no worker has joined"), "{ended:?}");
    site.stop().await;
}
