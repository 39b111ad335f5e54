//! The numbers for Prometheus, and every metric of this daemon with its meaning.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bireme_daemon::http::Pages;

use crate::store::Store;

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
    objects_fetched_total "counter" "Objects that came from other workers or clients."
    fetches_failed_total "counter" "Objects that no holder named could give."
    orders_total "counter" "Orders of the scheduler."
    reports_total "counter" "Reports to the scheduler."
    messages_sent_total "counter" "Messages to the scheduler."
    connects_total "counter" "Streams to the scheduler that came up."
    loop_turns_total "counter" "Turns of the event loop."
    loop_lag_microseconds "gauge" "How late the event loop was at its last heartbeat."
}

/// The pages that show the numbers, and how the worker is.
pub(crate) fn pages(metrics: Arc<Metrics>, store: Arc<Store>) -> Pages {
    let numbers = Arc::clone(&metrics);
    let health = move || {
        let joined = metrics.joined.load(Ordering::Relaxed);
        joined.then_some(()).ok_or_else(|| "no connection to the scheduler".to_owned())
    };
    Pages::new(health, move || render(&numbers, &store))
}

fn render(metrics: &Metrics, store: &Store) -> String {
    let mut page = String::new();
    let mut show = |name: &str, kind: &str, meaning: &str, value: u64| {
        let name = format!("bireme_worker_{name}");
        // Writing to a string does not fail.
        let _ = write!(page, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    metrics.each(&mut show);
    let totals = store.totals();
    show("objects", "gauge", "Objects that are stored.", totals.objects);
    show("objects_bytes", "gauge", "Bytes of stored objects.", totals.bytes);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_number_with_its_meaning() {
        let metrics = Metrics::default();
        metrics.orders_total.add(3);
        let page = render(&metrics, &Store::new(0));
        assert!(
            page.contains(
                "# TYPE bireme_worker_orders_total counter\nbireme_worker_orders_total 3\n"
            )
        );
        assert_eq!(page.matches("# HELP").count(), page.matches("# TYPE").count());
        assert!(page.contains("\nbireme_worker_objects_bytes 0\n"));
    }
}
