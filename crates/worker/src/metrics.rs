//! The numbers for Prometheus, and every metric of this daemon with its meaning.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bireme_daemon::http::Pages;
use bireme_daemon::listen::Strangers;

use crate::driver::Accounts;
use crate::store::Store;
use crate::sync::lock;

/// A number that the driver keeps and a scrape reads.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    /// Counts one more.
    pub(crate) fn count(&self) {
        self.add(1);
    }

    /// Counts several more.
    pub(crate) fn add(&self, more: u64) {
        // The driver alone writes, so that no other write is lost.
        self.set(self.value() + more);
    }

    /// Replaces it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($name:ident $kind:literal $meaning:literal)*) => {
        /// What is counted.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(#[doc = $meaning] pub(crate) $name: Number,)*
            /// The scheduler has accepted this worker and the stream is up.
            pub(crate) joined: AtomicBool,
            /// Where the event loop has spent its time, as of the last heartbeat.
            pub(crate) accounts: Mutex<Accounts>,
        }

        impl Metrics {
            fn each(&self, mut show: impl FnMut(&str, &str, &str, u64)) {
                $(show(stringify!($name), $kind, $meaning, self.$name.value());)*
            }
        }
    };
}

metrics! {
    attempts_finished_total "counter" "Attempts that finished."
    attempts_failed_total "counter" "Attempts that failed, those that were cancelled among them."
    attempts_followed_total "counter" "Attempts that took over from another without a hand-over."
    attempts_running "gauge" "Attempts that run."
    attempts_queued "gauge" "Attempts that were accepted and have not started."
    objects_fetched_total "counter" "Objects that came from other workers."
    objects_put_total "counter" "Objects that clients put here."
    fetches_failed_total "counter" "Objects that no holder named could give."
    orders_total "counter" "Orders of the scheduler."
    reports_total "counter" "Reports to the scheduler."
    messages_sent_total "counter" "Messages to the scheduler."
    connects_total "counter" "Streams to the scheduler that came up."
    loop_lag_us "gauge" "How late the event loop was at its last heartbeat."
}

/// The pages that show the numbers, and how the worker is.
pub(crate) fn pages(metrics: Arc<Metrics>, store: Arc<Store>, strangers: Strangers) -> Pages {
    let numbers = Arc::clone(&metrics);
    let health = move || {
        let joined = metrics.joined.load(Ordering::Relaxed);
        joined.then_some(()).ok_or_else(|| "no connection to the scheduler".to_owned())
    };
    Pages::new(health, move || render(&numbers, &store, &strangers))
}

fn render(metrics: &Metrics, store: &Store, strangers: &Strangers) -> String {
    let mut page = String::new();
    let mut show = |name: &str, kind: &str, meaning: &str, value: u64| {
        let name = format!("bireme_worker_{name}");
        // Writing to a string does not fail.
        let _ = write!(page, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    metrics.each(&mut show);
    let meaning = "Connections cut off because they began with nothing that is known here.";
    show("strangers_total", "counter", meaning, strangers.count());
    let totals = store.totals();
    show("objects", "gauge", "Objects that are stored.", totals.objects);
    show("memory_bytes", "gauge", "Bytes of objects in the daemon's memory.", totals.memory_bytes);
    show("shared_bytes", "gauge", "Bytes of objects in shared memory.", totals.shared_bytes);
    show("spilled_bytes", "gauge", "Bytes of objects on disk.", totals.spilled_bytes);
    lock(&metrics.accounts).show("bireme_worker", &mut page);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_number_with_its_meaning() {
        let metrics = Metrics::default();
        metrics.orders_total.add(3);
        let page = render(&metrics, &Store::scratch(), &Strangers::default());
        assert!(
            page.contains(
                "# TYPE bireme_worker_orders_total counter\nbireme_worker_orders_total 3\n"
            )
        );
        assert_eq!(page.matches("# HELP").count(), page.matches("# TYPE").count());
        assert!(page.contains("\nbireme_worker_shared_bytes 0\n"));
        assert!(page.contains("\nbireme_worker_strangers_total 0\n"));
        assert!(page.contains("\nbireme_worker_step_count_total{step=\"ended\"} 0\n"));
    }
}
