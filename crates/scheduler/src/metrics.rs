//! The numbers for Prometheus, and every metric of this daemon with its meaning.
//!
//! The driver copies its counters here when they have changed, once in [`limits::METRICS_AGE`] at most; a scrape reads the
//! copy and never waits for the driver.

mod actors;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bireme_core::limits;
use bireme_core::time::Time;
use bireme_daemon::Shutdown;
use bireme_daemon::http::Pages;
use bireme_daemon::listen::Strangers;

use crate::blobs::Blobs;
use crate::driver::Scene;
use crate::driver::account::Accounts;
use crate::machine::actor::ClassCounts;
use crate::machine::view::Status;

/// The driver's counters as of a moment ago.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    shared: Arc<Mutex<Snapshot>>,
    /// When the copy was made.
    at: Option<Time>,
    /// Something has happened since.
    stale: bool,
}

#[derive(Clone, Debug, Default)]
struct Snapshot {
    status: Option<Status>,
    classes: ClassCounts,
    accounts: Accounts,
}

impl Published {
    /// The pages that show the counters.
    pub(crate) fn pages(
        &self,
        shutdown: Shutdown,
        strangers: Strangers,
        blobs: Arc<Blobs>,
    ) -> Pages {
        let shared = Arc::clone(&self.shared);
        // The loop runs on the thread that answers: if it hangs, nothing answers.
        let health = move || {
            if shutdown.has_begun() { Err("shutting down".to_owned()) } else { Ok(()) }
        };
        Pages::new(health, move || {
            let snapshot = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            render(&snapshot, &strangers, &blobs)
        })
    }

    /// When the next copy is to be made, if one is.
    pub(crate) fn due(&self) -> Option<Time> {
        let at = self.at.unwrap_or_default();
        self.stale.then(|| at + limits::METRICS_AGE)
    }

    /// The loop has turned; `busy` if anything has happened.
    pub(crate) fn turned(&mut self, scene: &Scene<'_>, busy: bool) {
        self.stale |= busy;
        let is_due = self.at.is_none() || self.due().is_some_and(|due| due <= scene.now);
        if is_due {
            self.at = Some(scene.now);
            self.stale = false;
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot {
                status: Some(scene.machine.status()),
                classes: scene.machine.class_counts().clone(),
                accounts: scene.accounts.clone(),
            };
        }
    }
}

fn render(snapshot: &Snapshot, strangers: &Strangers, blobs: &Blobs) -> String {
    let Snapshot { status, classes, accounts } = snapshot;
    let mut out = String::new();
    let page = &mut out;
    if let Some(status) = status {
        family(page, "tasks", "gauge", "Tasks of all graphs, by state.");
        for (state, count) in &status.tasks {
            sample(page, "tasks", &format!("{{state=\"{}\"}}", state.name()), *count);
        }
        let (workers, sessions) = (status.workers as u64, status.sessions as u64);
        single(page, "workers", "gauge", "Workers that are known.", workers);
        single(page, "sessions", "gauge", "Sessions that are open.", sessions);
        single(page, "graphs", "gauge", "Graphs that are not forgotten.", status.graphs as u64);
        single(page, "objects", "gauge", "Values that are stored or named.", status.objects as u64);
        actors::show(page, &status.actors, classes);
    }
    single(page, "reports_ignored_total", "counter", "Reports of unknown kinds.", accounts.ignored);
    let meaning = "Connections cut off because they began with nothing that is known here.";
    single(page, "strangers_total", "counter", meaning, strangers.count());
    let (count, bytes) = blobs.totals();
    single(page, "blobs", "gauge", "Blobs that are kept.", count);
    single(page, "blob_bytes", "gauge", "Bytes of blobs.", bytes);
    accounts.show("bireme_scheduler", page);
    out
}

fn single(page: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    family(page, name, kind, help);
    sample(page, name, "", value);
}

fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    let name = format!("bireme_scheduler_{name}");
    write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a string takes all");
}

fn sample(page: &mut String, name: &str, labels: &str, value: u64) {
    writeln!(page, "bireme_scheduler_{name}{labels} {value}").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_meaning_and_no_name_twice() {
        let page = render(
            &Snapshot::default(),
            &Strangers::default(),
            &Blobs::new(crate::blobs::Room::limited(std::env::temp_dir())),
        );
        let mut names: Vec<_> =
            page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup_by_key(|(name, _)| *name);
        assert_eq!(names.len(), count);
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(
                names.iter().any(|(known, help)| *known == name && help.ends_with('.')),
                "{line}"
            );
        }
    }
}
