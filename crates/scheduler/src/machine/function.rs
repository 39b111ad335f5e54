//! Functions, classes and language runtimes that no worker has: what there is instead.

use bireme_core::actor::CLASS_PREFIX;
use bireme_core::graph::{Runtime, TaskClass};

use super::Machine;

/// Names that a hint lists.
const LISTED: usize = 3;

impl Machine {
    /// Whether no worker has what the code of a class needs, in words, with what comes near.
    pub(super) fn nobody_has(&self, class: &TaskClass) -> Option<String> {
        self.nobody_has_function(class).or_else(|| self.nobody_has_runtime(class))
    }

    /// Whether no worker has the language runtime of a class, in words, with what some have.
    fn nobody_has_runtime(&self, class: &TaskClass) -> Option<String> {
        let (name, remedy) = match &class.runtime {
            Runtime::External { name, .. } => {
                (name.as_str(), format!("start one with --runtime {name}=COMMAND"))
            }
            Runtime::Wasm => {
                (Runtime::Wasm.name(), "start one that was built with the feature wasm".to_owned())
            }
            Runtime::Command | Runtime::Native => return None,
        };
        if self.workers.values().any(|worker| worker.join.runtimes.iter().any(|has| has == name)) {
            return None;
        }
        let have = self.workers.values().take(LISTED).map(|worker| {
            let has = worker.join.runtimes.join(", ");
            let has = if has.is_empty() { "none" } else { has.as_str() };
            format!("{} has {has}", worker.join.name)
        });
        let have: Vec<_> = have.collect();
        let have = if have.is_empty() { "there are none".to_owned() } else { have.join("; ") };
        Some(format!("no worker has the runtime {name}, {remedy}: {have}"))
    }

    /// Whether no worker has the function of a class, in words, with the names most like it that there are.
    fn nobody_has_function(&self, class: &TaskClass) -> Option<String> {
        let function = class.function.as_deref()?;
        if self.is_known(function) {
            return None;
        }
        let hint = self.most_like(function, |known| !known.starts_with(CLASS_PREFIX));
        Some(format!("no worker has the function {function}: {hint}"))
    }

    /// Whether no worker has a class of native actors, in words, with the names most like it that there are.
    pub(super) fn nobody_has_class(&self, class: &str) -> Option<String> {
        let registered = format!("{CLASS_PREFIX}{class}");
        if self.is_known(&registered) {
            return None;
        }
        let hint = self.most_like(&registered, |known| known.starts_with(CLASS_PREFIX));
        Some(format!("no worker has the actor class {class}: {hint}"))
    }

    /// The names of functions that are most like this one, in words, of those that count.
    fn most_like(&self, wanted: &str, counts: impl Fn(&str) -> bool) -> String {
        let known = self.kinds.functions().into_iter().filter(|name| counts(name));
        let mut names: Vec<_> =
            known.map(|known| (strsim::damerau_levenshtein(known, wanted), known)).collect();
        names.sort_unstable();
        // Kinds stay when their workers go.
        let known = names.into_iter().map(|(_, name)| name).filter(|name| self.is_known(name));
        let bare = known.map(|name| name.strip_prefix(CLASS_PREFIX).unwrap_or(name));
        let nearest: Vec<&str> = bare.take(LISTED).collect();
        match nearest.as_slice() {
            [] => "there are none at all".to_owned(),
            names => format!("the nearest are {}", names.join(", ")),
        }
    }

    fn is_known(&self, function: &str) -> bool {
        self.workers.values().any(|worker| worker.join.functions.iter().any(|own| own == function))
    }
}
