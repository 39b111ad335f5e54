//! Environments by digest. What makes them is played by a script that is called as an interpreter of Python would be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use bireme_proto::pb;
use bireme_proto::pb::fleet_order::Order;
use bireme_worker::Config;
use tempfile::TempDir;

use crate::languages::{Asking as _, call, made, words};
use crate::played::attempt;
use crate::scene::Scene;

/// Builds an environment that consists of itself, or starts an executor. It notes each build, and waits where the requirements
/// say so until somebody opens the other end of a pipe.
const PYTHON: &str = r#"#!/bin/sh
if [ "$2" != bireme.environment_builder ]; then exec "$@"; fi
echo "$3" >> HERE/builds
case $(cat "$5") in
*slow*) read _ < HERE/pipe ;;
*broken*) echo 'ERROR: No matching distribution found for broken' >&2; exit 7 ;;
esac
mkdir "$4/bin" && ln -s HERE/python3 "$4/bin/python"
"#;

/// A directory with the interpreter, what it notes, and environments.
struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().to_str().unwrap();
        let python = directory.path().join("python3");
        fs::write(&python, PYTHON.replace("HERE", here)).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A worker that has the language by way of the interpreter.
    fn worker(&self, config: Config) -> Config {
        let python = self.path("python3");
        Config {
            runtimes: vec![words(&[python.to_str().unwrap()])],
            environment_dir: Some(self.path("environments")),
            ..config
        }
    }

    fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds")).unwrap_or_default().lines().count()
    }
}

#[tokio::test]
async fn each_is_built_once_for_all_who_ask_and_kept_for_other_workers() {
    let ground = Ground::new();
    let mut roots = BTreeSet::new();
    for _ in 0..2 {
        let mut scene = Scene::new(|config| ground.worker(config)).await;
        let blobs = ["one\n", "two\n"].map(|text| scene.scheduler.blobs.put(text));
        let order = |n: u32| match n % 3 {
            0 => call(n, "words", "root"),
            which => call(n, "words", "root").within(blobs[which as usize - 1]),
        };
        scene.order((0..60).map(order)).await;
        let mut found = BTreeMap::<_, BTreeSet<_>>::new();
        for (n, end) in scene.ends(60).await {
            found.entry(n % 3).or_default().insert(made(&end));
        }
        assert_eq!(found[&0], BTreeSet::from([String::new()]), "as it is installed");
        assert!(found.values().all(|roots| roots.len() == 1), "{found:?}");
        roots.extend(found.into_values().flatten());
        scene.close().await;
        assert_eq!((ground.builds(), roots.len()), (2, 3), "{roots:?}");
    }
}

#[tokio::test]
async fn what_the_builder_printed_last_is_the_error_and_it_is_not_tried_at_once_again() {
    let ground = Ground::new();
    let mut scene = Scene::new(|config| ground.worker(config)).await;
    let broken = scene.scheduler.blobs.put("broken==1\n");
    for from in [0, 20] {
        scene.order((from..from + 20).map(|n| call(n, "words", "root").within(broken))).await;
        for (_, end) in scene.ends(20).await {
            let error = end.unwrap_err();
            assert_eq!(error.reason, "ENVIRONMENT_BROKEN");
            assert_eq!(error.exit.map(|exit| exit.code), Some(7));
            assert_eq!(error.last_lines, ["ERROR: No matching distribution found for broken"]);
        }
    }
    assert_eq!(ground.builds(), 1);
    scene.order([call(40, "words", "root")]).await;
    assert!(scene.ends(1).await[0].1.is_ok(), "others are not concerned");
    scene.close().await;
}

#[tokio::test]
async fn an_archive_that_leads_out_is_refused_without_a_builder() {
    let ground = Ground::new();
    let mut scene = Scene::new(|config| ground.worker(config)).await;
    let cut = scene.scheduler.blobs.put(&b"\x1f\x8b\x08cut"[..]);
    scene.order([call(0, "words", "root").within(cut)]).await;
    let error = scene.ends(1).await.remove(0).1.unwrap_err();
    assert_eq!(error.reason, "ENVIRONMENT_BROKEN");
    assert!(error.message.contains("its archive is refused"), "{}", error.message);
    assert_eq!(ground.builds(), 0);
    scene.close().await;
}

#[tokio::test]
async fn who_is_cancelled_while_it_waits_ends_and_the_others_get_what_is_built() {
    let ground = Ground::new();
    let pipe = ground.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let mut scene = Scene::new(|config| ground.worker(config)).await;
    let slow = scene.scheduler.blobs.put("slow\n");
    scene.order([0, 1].map(|n| call(n, "words", "root").within(slow))).await;
    let cancel = pb::CancelAttempt { attempt: Some(attempt(0)), grace_us: 0 };
    scene.order([Order::Cancel(cancel)]).await;
    let (n, end) = scene.ends(1).await.remove(0);
    assert_eq!((n, end.unwrap_err().reason.as_str()), (0, "CANCELLED"));
    // Opened when the builder has come to where it waits.
    let go = tokio::task::spawn_blocking(move || fs::write(pipe, "go\n"));
    go.await.unwrap().unwrap();
    let (n, end) = scene.ends(1).await.remove(0);
    assert!(n == 1 && made(&end).contains("environments"), "{end:?}");
    scene.close().await;
}
