//! `bireme result get`

use super::support::Site;

#[tokio::test]
async fn results_go_to_standard_output_to_a_file_or_to_a_directory() {
    let site = Site::start().await;
    let words = ["submit", "--name", "n", "--array", "0-1", "--wait", "--", "sh", "-c"];
    let graph = site.ok(&[words.as_slice(), &["echo $BIREME_ROW"]].concat()).await;
    let graph = graph.trim();
    let (first, second) = (format!("{graph}/n[0]"), format!("{graph}/1"));
    assert_eq!(site.ok(&["result", "get", &first, &second]).await, "0\n1\n");
    let json = site.json(&["result", "get", &first]).await;
    assert_eq!((&json["task"], &json["text"]), (&first.as_str().into(), &"0\n".into()));
    site.ok(&["result", "get", &first, "-o", "one"]).await;
    assert_eq!(std::fs::read_to_string(site.path("one")).unwrap(), "0\n");
    site.ok(&["result", "get", "--graph", graph, "-o", "all"]).await;
    assert_eq!(std::fs::read_to_string(site.path("all/n[1]")).unwrap(), "1\n");
    let said = site.fails(2, &["result", "get", &first, &second, "-o", "one"]).await;
    assert!(said.contains("name a directory"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn large_values_and_bytes_that_are_no_text_come_as_they_are() {
    let site = Site::start().await;
    let words = ["submit", "--wait", "--name", "z", "--", "head", "-c", "3000000", "/dev/zero"];
    let graph = site.ok(&words).await;
    let task = format!("{}/z", graph.trim());
    site.ok(&["result", "get", &task, "-o", "zeros"]).await;
    let zeros = std::fs::read(site.path("zeros")).unwrap();
    assert_eq!(zeros.len(), 3_000_000);
    assert!(zeros.iter().all(|byte| *byte == 0));
    site.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_of() {
    let site = Site::start().await;
    let (graph, gate) = site.held().await;
    let task = format!("{graph}/held");
    let said = site.fails(1, &["result", "get", &task]).await;
    assert!(said.contains("--wait"), "{said}");
    let waits = site.command(&["result", "get", "--wait", &task]).spawn().unwrap();
    gate.open("late\n").await;
    let ended = super::support::guarded("the result", waits.wait_with_output()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "late\n");
    let failed = site.run(&["submit", "--wait", "--", "sh", "-c", "exit 3"]).await;
    let task = format!("{}/sh", failed.stdout.trim());
    let said = site.fails(1, &["result", "get", &task]).await;
    assert!(said.contains("has failed"), "{said}");
    let said = site.fails(2, &["result", "get", &format!("{graph}/nobody")]).await;
    assert!(said.contains("there is no task"), "{said}");
    site.stop().await;
}
