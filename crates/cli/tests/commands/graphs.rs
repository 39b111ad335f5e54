//! `bireme graph` and `bireme run --detach`

use super::support::Site;

const JOB: &str = r#"
[job]
name = "greet"

[[task]]
name = "hello"
for_each = { list = ["a", "b"] }
command = ["echo", "hello {item}"]
"#;

#[tokio::test]
async fn a_graph_is_listed_shown_waited_for_and_forgotten() {
    let site = Site::start().await;
    let (graph, gate) = site.held().await;
    assert!(site.ok(&["graph", "list"]).await.contains(&graph));
    let said = site.fails(3, &["graph", "wait", &graph, "--timeout", "10ms"]).await;
    assert!(said.contains(&format!("graph {graph} is not done after 10.000 ms")), "{said}");
    gate.open("through\n").await;
    site.ok(&["graph", "wait", &graph]).await;
    let shown = site.ok(&["graph", "show", &graph]).await;
    assert!(shown.contains("name     held") && shown.contains("1 finished"), "{shown}");
    let shown = site.json(&["graph", "show", &graph]).await;
    assert_eq!(shown["groups"][0]["prefix"], "held");
    assert_eq!(shown["detached"], true);
    site.ok(&["graph", "forget", &graph]).await;
    let said = site.fails(2, &["graph", "show", &graph]).await;
    assert!(said.contains(&format!("there is no graph {graph}")), "{said}");
    assert!(said.contains("bireme graph list"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn a_cancelled_graph_has_not_done_its_work() {
    let site = Site::start().await;
    let (graph, _gate) = site.held().await;
    let cancelled = site.json(&["graph", "cancel", &graph, "--grace", "0"]).await;
    assert_eq!(cancelled["cancelled"], 1);
    let waited = site.run(&["--output", "json", "graph", "wait", &graph]).await;
    assert_eq!(waited.code, Some(1), "{waited:?}");
    let waited: serde_json::Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!((&waited["ok"], &waited["tasks"]["cancelled"]), (&false.into(), &1.into()));
    let said = site.fails(2, &["graph", "cancel", "99.1"]).await;
    assert!(said.contains("there is no graph 99.1"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn a_job_goes_on_without_the_command() {
    let site = Site::start().await;
    site.write("job.toml", JOB);
    let graph = site.ok(&["run", "--detach", "job.toml"]).await;
    let graph = graph.trim();
    site.ok(&["graph", "wait", graph]).await;
    assert_eq!(site.ok(&["result", "get", &format!("{graph}/hello[1]")]).await, "hello b\n");
    let report = site.json(&["run", "job.toml"]).await;
    assert_eq!(report["tasks"]["finished"], 2);
    assert_eq!(report["results"][0]["text"], "hello a\n");
    let said = site.fails(2, &["run", "nowhere.toml"]).await;
    assert!(said.contains("nowhere.toml"), "{said}");
    site.stop().await;
}
