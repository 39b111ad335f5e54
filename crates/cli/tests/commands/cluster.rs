//! `bireme status`, `workers`, `worker`, `token` and `shutdown`

use std::process::Stdio;

use super::support::{Site, bireme, guarded, run};

#[tokio::test]
async fn workers_are_waited_for_until_the_time_is_up() {
    let site = Site::start().await;
    let here = site.json(&["workers", "--wait", "2"]).await;
    assert_eq!(here.as_array().map(Vec::len), Some(2));
    let said = site.fails(3, &["workers", "--wait", "9", "--timeout", "100ms"]).await;
    assert!(said.contains("2 of 9 workers run after 100.000 ms"), "{said}");
    assert_eq!(site.json(&["worker", "show", "local-1"]).await["name"], "local-1");
    let said = site.fails(2, &["worker", "show", "nobody"]).await;
    assert!(said.contains("there is no worker nobody: `bireme workers`"), "{said}");
    assert_eq!(site.json(&["status"]).await["workers"], 2);
    site.stop().await;
}

#[tokio::test]
async fn a_drained_worker_leaves() {
    let site = Site::start().await;
    let drained = site.json(&["worker", "drain", "local-2", "--reason", "for the test"]).await;
    assert_eq!(drained["left"], true, "{drained}");
    let here = site.json(&["workers"]).await;
    let running = |worker: &&serde_json::Value| worker["state"] == "running";
    let running: Vec<_> = here.as_array().unwrap().iter().filter(running).collect();
    assert_eq!(running.len(), 1, "{here}");
    assert_eq!(running[0]["name"], "local-1");
    site.stop().await;
}

#[tokio::test]
async fn a_token_that_was_issued_allows_what_it_says() {
    let site = Site::start().await;
    let own = site.json(&["token", "show"]).await;
    assert!(own["roles"].as_array().unwrap().contains(&"admin".into()), "{own}");
    let words = ["token", "issue", "--role", "read", "--name", "ann", "--ttl", "1h"];
    let token = site.ok(&words).await;
    let with = |words: &[&str]| {
        let mut command = site.command(words);
        command.env("BIREME_TOKEN", token.trim());
        run(command)
    };
    let shown = with(&["token", "show"]).await;
    assert!(shown.stdout.contains("ann") && shown.stdout.contains("read"), "{shown:?}");
    assert_eq!(with(&["status"]).await.code, Some(0));
    let refused = with(&["shutdown"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("ROLE_MISSING"), "{refused:?}");
    site.stop().await;
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_exit_code_3() {
    let dir = tempfile::tempdir().unwrap();
    let none = run(bireme(dir.path(), &["status"])).await;
    assert_eq!(none.code, Some(3), "{none:?}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gone = run(bireme(dir.path(), &["--scheduler", &address, "status"])).await;
    assert_eq!(gone.code, Some(3), "{gone:?}");
    assert_eq!(run(bireme(dir.path(), &["frobnicate"])).await.code, Some(2));
}

#[tokio::test]
async fn a_wrong_token_is_exit_code_3() {
    let site = Site::start().await;
    let mut command = site.command(&["status"]);
    command.env("BIREME_TOKEN", "wrong");
    let refused = run(command).await;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("UNAUTHENTICATED"), "{refused:?}");
    site.stop().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_a_command_quietly() {
    let site = Site::start().await;
    let mut command = site.command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = guarded("its end", child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    site.stop().await;
}
