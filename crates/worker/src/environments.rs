//! Environments of Python that tasks and actors ask for by digest.
//!
//! The blob is an archive of `venv-pack` or `conda-pack`, or a list of requirements. Each is built when it is first asked for,
//! by one while the others wait, and kept in a directory that other workers of the machine may share, by `shelf`.

mod build;
mod built;
mod shelf;
mod unpack;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use bireme_core::id::Digest;
use bireme_core::{ErrorClass, Reason, TaskError, Time, limits};
use tokio::sync::Semaphore;

pub(crate) use self::built::Built;
use self::shelf::{Place, Shelf};
use crate::clock::Clock;
use crate::config::LanguageRuntime;
use crate::failure::failure;
use crate::sync::lock;
use crate::transfer::courier::Courier;

/// The environments of a worker.
#[derive(Debug)]
pub(crate) struct Environments {
    shelf: Arc<Shelf>,
    courier: Courier,
    clock: Clock,
    /// By the names of their directories.
    known: Mutex<BTreeMap<String, Arc<Known>>>,
    /// For those that are built at a time.
    room: Semaphore,
}

/// What is known of an environment. Whoever builds it has the lock.
type Known = tokio::sync::Mutex<Last>;

/// What became of an environment.
#[derive(Debug, Default)]
struct Last {
    built: Weak<Built>,
    /// Why it could not be built, and until when it is not tried again.
    failed: Option<(Time, Box<TaskError>)>,
}

impl Environments {
    /// Keeps them in a directory, and so many bytes of them.
    pub(crate) fn new(directory: PathBuf, limit: u64, courier: Courier, clock: Clock) -> Self {
        let (shelf, room) =
            (Shelf::new(directory, limit), Semaphore::new(limits::ENVIRONMENT_BUILDS));
        Self { shelf: Arc::new(shelf), courier, clock, known: Mutex::default(), room }
    }

    /// The environment of a blob for a language, built if need be.
    pub(crate) async fn get(
        &self,
        digest: Digest,
        language: &LanguageRuntime,
    ) -> Result<Arc<Built>, Box<TaskError>> {
        let python = python(language)?;
        let name = name(digest, python);
        let known = self.known(&name);
        let mut last = known.lock().await;
        if let Some(built) = last.built.upgrade() {
            return Ok(built);
        }
        if let Some((until, error)) = &last.failed
            && self.clock.now() < *until
        {
            return Err(error.clone());
        }
        let made = self.make(digest, &name, python).await;
        let failed = made.as_ref().err();
        last.failed =
            failed.map(|error| (self.clock.now() + limits::ENVIRONMENT_PAUSE, error.clone()));
        let built = Arc::new(made?);
        last.built = Arc::downgrade(&built);
        Ok(built)
    }

    fn known(&self, name: &str) -> Arc<Known> {
        let mut known = lock(&self.known);
        if known.len() >= limits::ENVIRONMENTS_KNOWN {
            known.retain(|_, known| Arc::strong_count(known) > 1);
        }
        Arc::clone(known.entry(name.to_owned()).or_default())
    }

    /// Finds an environment in the directory, or builds it there.
    async fn make(
        &self,
        digest: Digest,
        name: &str,
        python: &[String],
    ) -> Result<Built, Box<TaskError>> {
        let shown = shown(digest);
        let broken = |error: io::Error| build::broken(&shown, &error);
        let found = self.on_shelf(name, |shelf, name| shelf.find(&name)).await.map_err(broken)?;
        if let Some((root, used)) = found {
            return Ok(Built::new(digest, root, used));
        }
        let place = self.on_shelf(name, |shelf, name| shelf.claim(&name)).await.map_err(broken)?;
        // Taken last: who waits for another worker's build keeps nobody else from building. Nobody closes it.
        let _room = self.room.acquire().await;
        if !place.is_complete() {
            tracing::info!(environment = shown, "environment is being built");
            if let Err(error) = self.build(digest, &place, python, &shown).await {
                // What cannot be removed is when it is next tried.
                let _ = self.on_shelf(name, move |_, _| place.clear()).await;
                return Err(error);
            }
        }
        let share = |shelf: Arc<Shelf>, _| {
            let shared = place.share()?;
            if let Err(error) = shelf.make_room() {
                tracing::warn!(%error, "environments that nobody uses cannot be removed, remove them by hand");
            }
            Ok(shared)
        };
        let (root, used) = self.on_shelf(name, share).await.map_err(broken)?;
        Ok(Built::new(digest, root, used))
    }

    /// Brings what an environment is made of, and builds it in its place.
    async fn build(
        &self,
        digest: Digest,
        place: &Place,
        python: &[String],
        shown: &str,
    ) -> Result<(), Box<TaskError>> {
        place.clear().map_err(|error| build::broken(shown, &error))?;
        self.courier.bring(digest, &place.wanted()).await?;
        build::build(place, python, shown).await
    }

    /// Does something on the disk that may take its time.
    async fn on_shelf<T: Send + 'static>(
        &self,
        name: &str,
        what: impl FnOnce(Arc<Shelf>, String) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (shelf, name) = (Arc::clone(&self.shelf), name.to_owned());
        tokio::task::spawn_blocking(move || what(shelf, name)).await.map_err(io::Error::other)?
    }
}

/// The words of a language's command that start its interpreter.
fn python(language: &LanguageRuntime) -> Result<&[String], Box<TaskError>> {
    let at = built::interpreter(&language.command);
    at.and_then(|at| language.command.get(..=at)).ok_or_else(|| {
        let message = format!(
            "environments are Python's, and `--runtime {language}` names no interpreter of it, such as python3"
        );
        failure(ErrorClass::NotFound, Reason::Unsupported, message)
    })
}

/// What the directory of an environment is called: it is another for another interpreter.
fn name(digest: Digest, python: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&digest.0);
    for word in python {
        hasher.update(word.as_bytes()).update(&[0]);
    }
    hasher.finalize().to_hex().chars().take(shelf::NAME_LEN).collect()
}

/// What people know an environment by: the beginning of its digest.
pub(crate) fn shown(digest: Digest) -> String {
    blake3::Hash::from(digest.0).to_hex().chars().take(12).collect()
}
