//! What a person should know before anything has failed: above all, work that no worker can take.

use std::fmt;
use std::sync::OnceLock;

use bireme_core::id::GraphId;

use crate::error::Refused;

type Listener = Box<dyn Fn(&Refused) + Send + Sync>;

/// Who is told of the warnings of a session. Nobody but the log at first.
#[derive(Default)]
pub(crate) struct Warnings(OnceLock<Listener>);

impl Warnings {
    /// Has `listener` told from now on. Returns whether it is the first, which it stays.
    pub(crate) fn listen(&self, listener: Listener) -> bool {
        self.0.set(listener).is_ok()
    }

    /// The scheduler has said this, of a graph or one task of it if it names them.
    pub(crate) fn heard(&self, graph: Option<GraphId>, task: Option<u32>, warning: &Refused) {
        let Refused { reason, message: why, .. } = warning;
        let graph = graph.map(|graph| graph.0);
        tracing::warn!(graph, task, reason, why, "the scheduler warns");
        self.pass_on(warning);
    }

    /// This client itself has found this out.
    pub(crate) fn found(&self, warning: &Refused) {
        let Refused { reason, message: why, .. } = warning;
        tracing::warn!(reason, why, "the client warns");
        self.pass_on(warning);
    }

    fn pass_on(&self, warning: &Refused) {
        if let Some(listener) = self.0.get() {
            listener(warning);
        }
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").field("listens", &self.0.get().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;
    use crate::session::lock;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged meanwhile, without times.
    fn logged(work: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_target(false).without_time();
        with_default(log.with_writer(move || writer.clone()).finish(), work);
        String::from_utf8(lock(&page.0).clone()).unwrap()
    }

    #[test]
    fn the_log_says_who_warns_and_of_what() {
        let warnings = Warnings::default();
        let warning = Refused {
            reason: "NO_WORKER".to_owned(),
            field: String::new(),
            message: "none has a gpu".to_owned(),
        };
        let said = logged(|| {
            warnings.heard(Some(GraphId(7)), Some(3), &warning);
            warnings.heard(None, None, &warning);
            warnings.found(&warning);
        });
        let why = "reason=\"NO_WORKER\" why=\"none has a gpu\"";
        let lines = [
            format!(" WARN the scheduler warns graph=7 task=3 {why}\n"),
            format!(" WARN the scheduler warns {why}\n"),
            format!(" WARN the client warns {why}\n"),
        ];
        assert_eq!(said, lines.concat());
    }
}
