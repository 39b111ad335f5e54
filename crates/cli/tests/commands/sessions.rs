//! `bireme session`, and commands that work in a session with a name.

use super::support::{Gate, Site, guarded, interrupt};

#[tokio::test]
async fn commands_come_back_to_the_session_that_they_name() {
    let site = Site::start().await;
    let submit = ["submit", "--session", "nightly", "--session-ttl", "1h", "--", "true"];
    for _ in 0..2 {
        site.ok(&submit).await;
    }
    let sessions = site.json(&["session", "list"]).await;
    let is_it = |session: &&serde_json::Value| session["name"] == "nightly";
    let found: Vec<_> = sessions.as_array().unwrap().iter().filter(is_it).collect();
    let [session] = found.as_slice() else { panic!("{sessions}") };
    assert_eq!((&session["graphs"], &session["connected"]), (&2.into(), &false.into()));
    assert_eq!(session["ttl_us"], 3_600_000_000_u64);
    let attached = site.json(&["session", "attach", "nightly"]).await;
    assert_eq!(attached["ok"], true);
    assert_eq!(attached["graphs"].as_array().unwrap().len(), 2);
    let said = site.fails(2, &["session", "attach", "weekly"]).await;
    assert!(said.contains("\"weekly\"") && said.contains("bireme session list"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn a_job_in_a_session_with_a_name_outlives_its_command() {
    let site = Site::start().await;
    let (up, down) = (Gate::make(site.path("up")), Gate::make(site.path("down")));
    let command = format!("echo up > {}; cat {}", up.path(), down.path());
    let job = format!("[[task]]\nname = \"only\"\ncommand = [\"sh\", \"-c\", \"{command}\"]\n");
    let job = site.write("job.toml", &job);
    let child = site.command(&["run", "--session", "mine", &job]).spawn().unwrap();
    assert_eq!(up.read().await, "up\n");
    let said = site.fails(2, &["session", "attach", "mine"]).await;
    assert!(said.contains("has a client"), "{said}");
    interrupt(&child).await;
    let ended = guarded("its end", child.wait_with_output()).await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("bireme session attach mine"), "{said}");
    site.fails(3, &["session", "attach", "mine", "--timeout", "10ms"]).await;
    down.open("through\n").await;
    let attached = site.json(&["session", "attach", "mine"]).await;
    assert_eq!(attached["graphs"][0]["tasks"]["finished"], 1);
    site.ok(&["session", "close", "mine"]).await;
    assert_eq!(site.json(&["graph", "list"]).await, serde_json::json!([]));
    site.stop().await;
}

#[tokio::test]
async fn whoever_cancels_a_graph_may_say_why() {
    let site = Site::start().await;
    let (graph, _gate) = site.held().await;
    site.ok(&["graph", "cancel", &graph, "--grace", "0", "--reason", "not needed any more"]).await;
    let shown = site.json(&["graph", "show", &graph]).await;
    assert!(shown["error"].as_str().unwrap().contains("not needed any more"), "{shown}");
    site.stop().await;
}

#[tokio::test]
async fn a_function_that_nobody_has_is_told_of_at_once() {
    let site = Site::start().await;
    let job = site.write("job.toml", "[[task]]\nname = \"a\"\nfunction = \"builtin/nop\"\n");
    let ended = site.run(&["run", "--detach", &job]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let hint = "no worker has the function builtin/nop: the nearest are builtin/noop";
    assert!(ended.stderr.contains(hint), "{ended:?}");
    let task = format!("{}/a", ended.stdout.trim());
    let why = site.json(&["task", "explain", &task]).await;
    assert!(why["summary"].as_str().unwrap().contains(hint), "{why}");
    site.stop().await;
}
