//! `bireme run`

use super::support::Site;

#[tokio::test]
async fn outputs_of_several_steps_are_read_one_after_the_other() {
    let site = Site::start().await;
    let job = r#"
        [[task]]
        name = "odd"
        for_each = { range = { from = 1, to = 5, step = 2 } }
        command = ["echo", "{item}"]

        [[task]]
        name = "even"
        for_each = { list = [2, 4] }
        command = ["echo", "{item}"]

        [[task]]
        name = "all"
        inputs = ["odd", "even"]
        stdin = "{inputs}"
        command = ["cat"]
    "#;
    let job = site.write("job.toml", job);
    assert_eq!(site.ok(&["run", &job]).await, "1\n3\n5\n2\n4\n");
    let json = site.json(&["run", &job]).await;
    assert_eq!(
        (&json["results"][0]["task"], &json["tasks"]["finished"]),
        (&"all".into(), &6.into())
    );
    // The graph goes with the command that ran it.
    assert_eq!(site.json(&["graph", "list"]).await, serde_json::json!([]));
    site.stop().await;
}

#[tokio::test]
async fn plain_data_is_printed_as_json_and_bytes_as_they_are() {
    let site = Site::start().await;
    let job = |function: &str, args: &str| {
        let task = format!("[[task]]\nname = \"one\"\nfunction = \"{function}\"\nargs = {args}\n");
        site.write("job.toml", &task)
    };
    let length = job("builtin/len", "[\"abc\"]");
    assert_eq!(site.ok(&["run", &length]).await, "3\n", "MessagePack");
    let same = job("builtin/echo", "[true]");
    assert_eq!(site.ok(&["run", &same]).await, "true\n", "JSON");
    let bytes = job("builtin/bytes", "[3]");
    assert_eq!(site.ok(&["run", &bytes]).await, "\0\u{1}\u{2}", "bytes");
    site.stop().await;
}

#[tokio::test]
async fn failed_tasks_are_called_by_their_keys() {
    let site = Site::start().await;
    let job = r#"
        [[task]]
        name = "each"
        for_each = { list = [0, 3] }
        command = ["sh", "-c", "exit {item}"]

        [[task]]
        name = "one"
        command = ["sh", "-c", "echo why >&2; exit 4"]
    "#;
    let job = site.write("job.toml", job);
    let said = site.fails(1, &["run", &job]).await;
    assert!(said.contains("task each[1] failed: COMMAND_FAILED"), "{said}");
    assert!(said.contains("task one failed: COMMAND_FAILED"), "{said}");
    assert!(said.contains("  | why"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn a_task_that_waits_is_explained_by_what_it_waits_for() {
    let site = Site::start().await;
    let job = r#"
        [[task]]
        name = "first"
        resources = { unicorn = 1 }
        command = ["true"]

        [[task]]
        name = "then"
        inputs = ["first"]
        stdin = "{inputs}"
        command = ["cat"]
    "#;
    let job = site.write("job.toml", job);
    let graph = site.ok(&["run", "--detach", &job]).await;
    let task = format!("{}/then", graph.trim());
    let why = site.json(&["task", "explain", &task]).await;
    assert_eq!((&why["state"], &why["waits_for"][0]["key"]), (&"waiting".into(), &"first".into()));
    let text = site.ok(&["task", "explain", &task]).await;
    assert!(text.contains("waits for  first, ready"), "{text}");
    site.ok(&["graph", "cancel", graph.trim()]).await;
    let why = site.json(&["task", "explain", &task]).await;
    assert_eq!((&why["state"], &why["workers"]), (&"cancelled".into(), &serde_json::json!([])));
    site.stop().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_with_what_would_be() {
    let site = Site::start().await;
    let said = site.fails(2, &["--scheduler", "127.0.0.1:9700", "status"]).await;
    assert!(said.contains("write http://HOST:PORT"), "{said}");
    site.stop().await;
}
