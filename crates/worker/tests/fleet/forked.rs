//! Executor processes that were copied from one that waits, rather than started.

use std::fs;
use std::path::Path;

use bireme_core::Exit;
use bireme_worker::Config;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::played::{GUARD, start};
use crate::scene::Scene;

/// What only the process from which others are copied was started with. They still show it, as the system keeps what a program
/// was started with.
const MARKER: &[u8] = b"BIREME_EXECUTOR_FORK_SERVER=1";

/// The processes of a worker whose pool is in `pool`: those that are executors and were copied, and what they were copied from.
struct Family {
    copies: Vec<Pid>,
    server: Vec<Pid>,
}

fn family(pool: &Path) -> Family {
    let mut family = Family { copies: Vec::new(), server: Vec::new() };
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        // Whatever has just ended has nothing to show.
        let shows = |file: &str| fs::read(path.join(file)).unwrap_or_default();
        let begun_with = shows("environ");
        let status = String::from_utf8(shows("status")).unwrap_or_default();
        let parent = format!("PPid:\t{}\n", Pid::as_raw(Some(getpid())));
        if !status.contains(&parent) || !begun_with.split(|byte| *byte == 0).any(|it| it == MARKER)
        {
            continue;
        }
        let maps = String::from_utf8(shows("maps")).unwrap_or_default();
        if maps.contains(pool.to_str().unwrap()) {
            family.copies.push(pid);
        } else if !maps.contains(".mark") {
            family.server.push(pid);
        }
    }
    family
}

/// A worker of which an executor process is a copy. Each attempt until then ended its process; also how many there were.
async fn with_copy() -> (Scene, TempDir, u32) {
    let pool = tempfile::tempdir().unwrap();
    let pool_dir = Some(pool.path().to_owned());
    let mut scene = Scene::new(|config| Config { pool_dir, ..config }).await;
    let mut n = 0;
    let until = async {
        loop {
            run(&mut scene, n).await;
            n += 1;
            if !family(pool.path()).copies.is_empty() {
                return;
            }
            assert_eq!(exit(&mut scene, n, "7").await, Exit { code: 7, signal: 0 });
            n += 1;
        }
    };
    timeout(GUARD, until).await.expect("none is copied");
    (scene, pool, n)
}

/// Runs an attempt that does nothing.
async fn run(scene: &mut Scene, n: u32) {
    scene.order([start(n, "builtin/noop", "0")]).await;
    scene.ends(1).await.remove(0).1.unwrap();
}

/// Runs an attempt that ends its process: how that ended.
async fn exit(scene: &mut Scene, n: u32, how: &'static str) -> Exit {
    scene.order([start(n, "builtin/exit", how)]).await;
    let (_, end) = scene.ends(1).await.remove(0);
    let error = end.unwrap_err();
    assert_eq!(error.reason, "PROCESS_DIED");
    let exit = error.exit.unwrap();
    Exit { code: exit.code, signal: exit.signal }
}

#[tokio::test]
async fn a_copy_dies_as_any_process_does_and_its_last_words_are_heard() {
    let (mut scene, pool, n) = with_copy().await;
    assert_eq!(exit(&mut scene, n, "9").await, Exit { code: 9, signal: 0 });
    assert_eq!(exit(&mut scene, n + 1, "\"KILL\"").await, Exit { code: 0, signal: 9 });
    scene.order([start(n + 2, "builtin/exit", "\"overflow\"")]).await;
    let error = scene.ends(1).await.remove(0).1.unwrap_err();
    assert_eq!(error.exit.map(|exit| exit.signal), Some(6));
    let last = error.last_lines.join("\n");
    assert!(last.contains("overflow"), "{last}");
    run(&mut scene, n + 3).await;
    let copies = family(pool.path()).copies;
    assert!(!copies.is_empty());
    scene.close().await;
    let left: Vec<_> = family(pool.path()).copies;
    assert!(left.is_empty(), "{left:?} of {copies:?} are still there");
}

#[tokio::test]
async fn processes_are_started_where_there_is_nothing_to_copy() {
    let (mut scene, pool, mut n) = with_copy().await;
    let servers = family(pool.path()).server;
    assert!(!servers.is_empty());
    for server in servers {
        // Those of other tests in this process too, which this costs nothing.
        kill_process(server, Signal::KILL).unwrap();
    }
    for _ in 0..8 {
        assert_eq!(exit(&mut scene, n, "7").await, Exit { code: 7, signal: 0 });
        run(&mut scene, n + 1).await;
        n += 2;
    }
    scene.close().await;
}
