//! `bireme actor`

use bireme_client::{Actor, Args, Call, Client};
use serde_json::Value as Json;

use super::support::{Site, guarded, run};

/// How many calls run in the counter at a time. Further ones wait outside its process.
const AT_A_TIME: u32 = 2;

/// A counter in which as many calls run as may, until they are cancelled.
async fn busy(site: &Site) -> (Client, Actor, Vec<Call>) {
    let client = guarded("a session", Client::connect(site.options())).await.unwrap();
    let counter = client.actor("builtin/Counter").name("counter").lane("", AT_A_TIME);
    let counter: Actor = guarded("a counter", counter.create()).await.unwrap();
    let long = || Args::new().arg(bireme_client::encode(&600_000_000_u64).unwrap());
    let sleep = |_| counter.call("sleep", long());
    let calls = (0..AT_A_TIME).map(sleep).collect();
    until(site, |shown| at(shown, "/host/lanes/0/running") == AT_A_TIME).await;
    (client, counter, calls)
}

/// Waits until the counter is so.
async fn until(site: &Site, is_so: impl Fn(&Json) -> bool) {
    let look = async {
        loop {
            let shown = site.json(&["actor", "show", "counter"]).await;
            if is_so(&shown) {
                return;
            }
        }
    };
    guarded("what is waited for", look).await;
}

/// What is at a place of it, if anything.
fn at(shown: &Json, place: &str) -> Json {
    shown.pointer(place).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_deadline_holds_for_a_call_that_nobody_can_take() {
    let site = Site::start().await;
    let create = ["actor", "create", "NoSuchClass", "--name", "nowhere", "--timeout", "0s"];
    site.fails(3, &create).await;
    let call = ["actor", "call", "nowhere", "increment", "--deadline", "50ms"];
    let said = site.fails(1, &call).await;
    assert!(said.contains("DEADLINE") && said.contains("the actor is waiting"), "{said}");
    site.stop().await;
}

#[tokio::test]
async fn what_waits_says_why_and_what_has_ended_is_listed_on_demand() {
    let site = Site::start().await;
    let create = ["actor", "create", "builtin/Conter", "--name", "misspelt", "--timeout", "0s"];
    let said = site.fails(3, &create).await;
    let why = "no worker has the actor class builtin/Conter: the nearest are builtin/Counter";
    assert!(said.contains(why), "{said}");
    let shown = site.json(&["actor", "show", "misspelt"]).await;
    assert_eq!(at(&shown, "/waits_for"), serde_json::json!([why]), "{shown}");
    let always = ["actor", "create", "builtin/Counter", "--name", "brief", "--max-restarts", "-1"];
    site.json(&always).await;
    site.json(&["actor", "kill", "brief"]).await;
    let ends = async { while at(&site.json(&["actor", "list"]).await, "/1") != Json::Null {} };
    guarded("the actor's end", ends).await;
    let living = site.json(&["actor", "list"]).await;
    assert_eq!(at(&living, "/0/name"), "misspelt", "{living}");
    let all = site.json(&["actor", "list", "--all"]).await;
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    let dead = site.json(&["actor", "list", "--state", "dead"]).await;
    assert_eq!(at(&dead, "/0/name"), "brief", "{dead}");
    site.stop().await;
}

#[tokio::test]
async fn of_a_call_that_is_late_its_host_says_what_became_of_it() {
    let site = Site::start().await;
    let (client, _counter, _calls) = busy(&site).await;
    let call = ["actor", "call", "counter", "increment", "--deadline", "100ms"];
    let said = site.fails(1, &call).await;
    assert!(said.contains("DEADLINE: its time was up before it ran"), "{said}");
    guarded("the session's end", client.close()).await.unwrap();
    site.stop().await;
}

#[tokio::test]
async fn a_call_follows_an_actor_that_moves() {
    let site = Site::start().await;
    let (client, _counter, calls) = busy(&site).await;
    let call = run(site.command(&["--output", "json", "actor", "call", "counter", "increment"]));
    let changes = async {
        until(&site, |shown| at(shown, "/host/lanes/0/waiting") == 1).await;
        let relocated = run(site.command(&["actor", "move", "counter"]));
        let rest = async {
            until(&site, |shown| at(shown, "/state") == "moving").await;
            for call in &calls {
                call.cancel(None);
            }
        };
        tokio::join!(relocated, rest).0
    };
    let (called, relocated) = tokio::join!(call, changes);
    assert_eq!((called.code, relocated.code), (Some(0), Some(0)), "{called:?} {relocated:?}");
    let there = "actor counter takes calls on local-";
    assert!(relocated.stdout.starts_with(there), "{relocated:?}");
    let called: Json = serde_json::from_str(&called.stdout).unwrap();
    assert_eq!((&called["value"], &called["incarnation"]), (&1.into(), &2.into()), "{called}");
    guarded("the session's end", client.close()).await.unwrap();
    site.stop().await;
}

#[tokio::test]
async fn items_are_printed_as_they_come() {
    let site = Site::start().await;
    site.ok(&["actor", "create", "builtin/Counter", "5", "--name", "counter"]).await;
    let call = ["actor", "call", "counter"];
    let items = site.ok(&[&call[..], &["stream", "3", "--stream"]].concat()).await;
    assert_eq!(items, "5\n6\n7\n");
    let words = ["--output", "json", "actor", "call", "counter", "stream", "1", "--stream"];
    let item: Json = serde_json::from_str(&site.ok(&words).await).unwrap();
    assert_eq!(item["value"], 5, "{item}");
    let said = site.fails(1, &[&call[..], &["fail", "no luck", "--stream"]].concat()).await;
    assert!(said.contains("no luck"), "{said}");
    let said = site.fails(2, &[&call[..], &["nothing", "--stream"]].concat()).await;
    assert!(said.contains("builtin/Counter has no method `nothing`"), "{said}");
    let said = site.fails(2, &["actor", "call", "nobody", "get", "--stream"]).await;
    assert!(said.contains("there is no actor nobody"), "{said}");
    let said = site.fails(1, &[&call[..], &["stream", "1"]].concat()).await;
    assert!(said.contains("--stream"), "{said}");
    site.stop().await;
}
