//! `bireme tasks` and `bireme task`

use serde_json::Value as Json;

use super::support::{Site, guarded};

#[tokio::test]
async fn tasks_are_listed_by_state_and_key() {
    let site = Site::start().await;
    let words = [
        "submit",
        "--name",
        "part",
        "--array",
        "1-4",
        "--",
        "sh",
        "-c",
        "exit $((BIREME_ROW % 2))",
    ];
    let graph = site.ok(&words).await;
    let graph = graph.trim();
    assert_eq!(site.run(&["graph", "wait", graph]).await.code, Some(1));
    let failed = site.json(&["tasks", "--graph", graph, "--state", "failed"]).await;
    let keys: Vec<_> = failed.as_array().unwrap().iter().map(|task| &task["key"]).collect();
    assert_eq!(keys, ["part[1]", "part[3]"]);
    let cut = site.run(&["tasks", "--graph", graph, "--limit", "3"]).await;
    assert_eq!(cut.stdout.lines().count(), 4, "{cut:?}");
    assert!(cut.stderr.contains("--limit"), "{cut:?}");
    let one = site.json(&["tasks", "--graph", graph, "--prefix", "part[2"]).await;
    assert_eq!(one[0]["state"], "finished");
    let said = site.fails(2, &["tasks", "--graph", "99.1"]).await;
    assert!(said.contains("there is no graph 99.1"), "{said}");
    let said = site.fails(2, &["tasks", "--worker", "nobody"]).await;
    assert!(said.contains("there is no worker nobody"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn a_task_is_shown_explained_and_its_story_told() {
    let site = Site::start().await;
    let words = ["submit", "--name", "greedy", "--resource", "unicorn=1", "--", "true"];
    let graph = site.ok(&words).await;
    let task = format!("{}/greedy", graph.trim());
    let why = site.ok(&["task", "explain", &task]).await;
    assert!(why.contains("unicorn"), "{why}");
    let why = site.json(&["task", "explain", &task]).await;
    assert_eq!(why["workers"].as_array().map(Vec::len), Some(2), "{why}");
    let shown = site.json(&["task", "show", &task]).await;
    assert_eq!((&shown["key"], &shown["state"]), (&"greedy".into(), &"ready".into()));
    assert_eq!(shown["resources"], "cpus=1 unicorn=1");
    let story = site.json(&["task", "story", &task]).await;
    assert!(story["steps"].is_array(), "{story}");
    let unknown = format!("{}/other", graph.trim());
    for command in ["show", "explain", "story", "logs", "cancel", "retry"] {
        let said = site.fails(2, &["task", command, &unknown]).await;
        assert!(said.contains(&format!("there is no task {unknown}")), "{command}: {said}");
        assert!(said.contains("bireme tasks --graph"), "{command}: {said}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_task_is_followed_cancelled_and_retried() {
    let site = Site::start().await;
    let words = ["submit", "--name", "chatty", "--", "sh", "-c", "echo one >&2; echo two >&2"];
    let graph = site.ok(&words).await;
    let task = format!("{}/chatty", graph.trim());
    assert_eq!(site.ok(&["task", "logs", "-f", &task]).await, "one\ntwo\n");
    assert_eq!(site.ok(&["task", "logs", "--tail", "1", &task]).await, "two\n");
    let line = site.ok(&["--output", "json", "task", "logs", &task]).await;
    let line: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(line["stream"], "stderr");

    let (graph, gate) = site.held().await;
    let task = format!("{graph}/0");
    until_running(&site, &task).await;
    assert_eq!(site.json(&["task", "show", &task]).await["attempts"], 1, "the one that runs");
    let said = site.ok(&["task", "retry", &task]).await;
    assert!(said.contains("no task is retried: none of them has failed"), "{said}");
    let said = site.ok(&["task", "retry", "--graph", &graph]).await;
    assert!(said.contains(&format!("none of graph {graph} has failed")), "{said}");
    let cancelled = site.json(&["task", "cancel", &task, "--grace", "0"]).await;
    assert_eq!(cancelled["cancelled"], 1);
    assert_eq!(site.run(&["graph", "wait", &graph]).await.code, Some(1));
    let retried = site.json(&["task", "retry", &task]).await;
    assert_eq!(retried["retried"], 1);
    assert_eq!(site.json(&["graph", "show", &graph]).await["done"], false);
    gate.open("").await;
    site.ok(&["graph", "wait", &graph]).await;
    let said = site.ok(&["task", "cancel", &task]).await;
    assert!(said.contains("no task is cancelled: each of them has ended"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn why_earlier_attempts_failed_is_shown_too() {
    let site = Site::start().await;
    let words = ["submit", "--name", "unlucky", "--retries", "1", "--", "sh", "-c"];
    // The first attempt leaves a mark by which the second knows that it is one.
    let mark = site.path("mark");
    let script = format!("test -e {0} && exit 4; touch {0}; exit 3", mark.display());
    let graph = site.ok(&[words.as_slice(), &[&script]].concat()).await;
    let task = format!("{}/unlucky", graph.trim());
    assert_eq!(site.run(&["graph", "wait", graph.trim()]).await.code, Some(1));
    let shown = site.ok(&["task", "show", &task]).await;
    let earlier = shown.lines().find(|line| line.contains("#1.1 failed")).unwrap_or_default();
    assert!(earlier.contains("exit code 3") || earlier.contains("exited with 3"), "{shown}");
    let json = site.json(&["task", "show", &task]).await;
    assert_eq!(json["attempts"], 2);
    assert!(json["attempt_list"][1]["error"].is_string(), "{json}");
    site.stop().await;
}

/// Waits until a task runs.
async fn until_running(site: &Site, task: &str) {
    guarded("an attempt", async {
        let is_running = |shown: &Json| shown.get("state").is_some_and(|state| state == "running");
        while !is_running(&site.json(&["task", "show", task]).await) {}
    })
    .await;
}
