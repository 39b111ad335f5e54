//! Has environments built that attempts wait for.

use std::sync::Arc;

use bireme_core::AttemptId;
use bireme_core::graph::Runtime;
use tokio::runtime::Handle;

use crate::config::LanguageRuntime;
use crate::environments::{Environments, shown};
use crate::inbox::{Inbox, Told};
use crate::logs::{Logs, Stream};

/// What it takes to have environments built.
#[derive(Debug)]
pub(crate) struct Preparing {
    /// As they are installed, each by a name of its own.
    pub(crate) languages: Vec<LanguageRuntime>,
    pub(crate) environments: Arc<Environments>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) logs: Arc<Logs>,
    /// Where they are built.
    pub(crate) bulk: Handle,
}

impl Preparing {
    /// Sees to it that the environment of a runtime is built; the inbox is told how that went.
    pub(super) fn prepare(&self, runtime: Runtime) {
        let Runtime::External { name, environment: Some(digest), .. } = &runtime else { return };
        let language = self.languages.iter().find(|language| language.name == *name).cloned();
        let Some(language) = language else { return };
        let (digest, environments) = (*digest, Arc::clone(&self.environments));
        let inbox = Arc::clone(&self.inbox);
        self.bulk.spawn(async move {
            let made = environments.get(digest, &language).await;
            inbox.push(Told::Environment(runtime, made));
        });
    }

    /// Says in the log of an attempt what it waits for.
    pub(super) fn note_wait(&self, attempt: AttemptId, runtime: &Runtime) {
        let Runtime::External { environment: Some(digest), .. } = runtime else { return };
        let line = format!("waiting for the environment {}\n", shown(*digest));
        let writer = self.logs.open(attempt);
        self.bulk.spawn_blocking(move || writer.write(Stream::Stderr, line.as_bytes()));
    }
}
