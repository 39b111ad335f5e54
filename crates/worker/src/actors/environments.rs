//! Actors that live in environments: their processes have a program of their own, once the environment is built.

use std::sync::Arc;

use bireme_core::actor::host::Event;
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Digest};
use bireme_core::{TaskError, limits};

use super::Turn;
use crate::config::LanguageRuntime;
use crate::environments::Built;
use crate::executor::process::{Program, Variant};

/// The name under which the program of a language in an environment is found: all of the digest, which anybody may choose.
pub(super) fn name_in(language: &str, environment: Digest) -> String {
    format!("{language} in {}", blake3::Hash::from(environment.0))
}

impl Turn<'_> {
    /// Has the environment built that an actor is to live in, and finds it a process after that. Returns whether that is what
    /// it lacks.
    pub(super) fn prepare(&self, actor: ActorId, runtime: &Runtime) -> bool {
        let Runtime::External { name, environment: Some(digest), .. } = runtime else {
            return false;
        };
        let Some(Program::Language(language, _)) = self.shared.setup.programs.get(name) else {
            return false;
        };
        let (shared, digest, language) = (Arc::clone(self.shared), *digest, language.clone());
        self.shared.setup.bulk.spawn(async move {
            let came = shared.setup.environments.get(digest, &language).await;
            shared.turn().environment_came(actor, language, came);
        });
        true
    }

    fn environment_came(
        &mut self,
        actor: ActorId,
        language: LanguageRuntime,
        came: Result<Arc<Built>, Box<TaskError>>,
    ) {
        let entry = self.table.entries.get(&actor);
        if self.table.closed || entry.is_none_or(|it| it.process.is_some() || it.over.is_some()) {
            return;
        }
        match came {
            Ok(built) => {
                self.keep_program(language, built);
                self.find_process(actor);
            }
            Err(error) => self.feed_later(actor, Event::ProcessLost { reached: None, error }),
        }
    }

    /// Keeps a program. Those that no process runs go when there are too many.
    fn keep_program(&mut self, language: LanguageRuntime, built: Arc<Built>) {
        let crew = &mut self.table.crew;
        if crew.variants.len() >= limits::VARIANTS {
            let used = |name: &String| crew.processes.values().any(|it| it.runtime == *name);
            crew.variants.retain(|name, _| used(name));
        }
        let name = name_in(&language.name, built.digest());
        let variant = Variant { environment: Some(built), fresh_process: false };
        crew.variants.insert(name, Program::language(language).variant(variant));
    }
    /// A process is gone. The environment that no other runs in may be removed from here on; an actor that comes back to it
    /// finds it again.
    pub(super) fn release_program(&mut self, name: &str) {
        let crew = &mut self.table.crew;
        if !crew.processes.values().any(|it| it.runtime == *name) {
            crew.variants.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_whose_digests_begin_alike_are_told_apart() {
        let [mut one, other] = [[7; 32]; 2];
        one[31] = 8;
        assert_ne!(name_in("python", Digest(one)), name_in("python", Digest(other)));
    }
}
