//! `bireme local`

use std::process::Stdio;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::support::{Gate, bireme, guarded, interrupt, run};

/// Starts a cluster. Returns what it printed once it was ready.
async fn start(dir: &std::path::Path) -> (Child, Json) {
    let words = ["--output", "json", "local", "--workers", "1", "--cpus", "1"];
    let mut command = bireme(dir, &words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    let printed = guarded("the cluster's address", document(stdout)).await;
    (child, printed)
}

async fn document(stdout: &mut ChildStdout) -> Json {
    let mut text = Vec::new();
    loop {
        text.push(stdout.read_u8().await.expect("it says where it is"));
        if let Ok(json) = serde_json::from_slice(&text) {
            return json;
        }
    }
}

#[tokio::test]
async fn others_find_a_local_cluster_by_its_access_file_and_may_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let (child, printed) = start(dir.path()).await;
    let file = printed["access_file"].as_str().unwrap();
    assert!(file.starts_with(dir.path().to_str().unwrap()), "{printed}");
    let ended = run(bireme(dir.path(), &["submit", "--stdout", "-", "--", "echo", "hi"])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "hi\n"), "{ended:?}");
    let second = run(bireme(dir.path(), &["local"])).await;
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains("--access-file"), "{second:?}");
    let ended = run(bireme(dir.path(), &["shutdown", "--workers"])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let local = guarded("the cluster's end", child.wait_with_output()).await.unwrap();
    assert_eq!(local.status.code(), Some(0), "{}", String::from_utf8_lossy(&local.stderr));
    assert!(!std::path::Path::new(file).exists());
}

#[tokio::test]
async fn a_local_cluster_ends_at_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let (child, _) = start(dir.path()).await;
    interrupt(&child).await;
    let local = guarded("the cluster's end", child.wait_with_output()).await.unwrap();
    assert_eq!(local.status.code(), Some(0), "{}", String::from_utf8_lossy(&local.stderr));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = start(dir.path()).await;
    let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
    let gate = Gate::make(dir.path().join("gate"));
    let script = format!("exec sleep 600 > {}", gate.path());
    let submitted = run(bireme(dir.path(), &["submit", "--", "sh", "-c", &script])).await;
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    let sleeper = gate.writer().await;
    interrupt(&child).await;
    until_said(&mut talk, "a second signal ends it at once").await;
    interrupt(&child).await;
    until_said(&mut talk, "SIGINT again: the cluster ends at once").await;
    let code = guarded("the cluster's end", child.wait()).await.unwrap().code();
    assert_eq!(code, Some(130));
    let over = tokio::task::spawn_blocking(move || std::io::read_to_string(sleeper));
    assert_eq!(guarded("the end of what ran", over).await.unwrap().unwrap(), "");
}

/// Waits until a line with these words is said.
async fn until_said(talk: &mut Lines<BufReader<ChildStderr>>, words: &str) {
    let said = async {
        while !talk.next_line().await.unwrap().expect("it says so before it ends").contains(words) {
        }
    };
    guarded(words, said).await;
}
