//! Functions that no worker has: the names they are like.

use bireme_core::graph::TaskClass;

use super::Machine;

/// Names that a hint lists.
const LISTED: usize = 3;

impl Machine {
    /// Whether no worker has the function of a class, in words, with the names most like it that there are.
    pub(super) fn nobody_has(&self, class: &TaskClass) -> Option<String> {
        let function = class.function.as_deref()?;
        if self.is_known(function) {
            return None;
        }
        let names = self.kinds.functions();
        let mut names: Vec<_> = names
            .into_iter()
            .map(|known| (strsim::damerau_levenshtein(known, function), known))
            .collect();
        names.sort_unstable();
        // Kinds stay when their workers go.
        let known = names.into_iter().map(|(_, name)| name).filter(|name| self.is_known(name));
        let nearest: Vec<&str> = known.take(LISTED).collect();
        let hint = match nearest.as_slice() {
            [] => "there are none at all".to_owned(),
            names => format!("the nearest are {}", names.join(", ")),
        };
        Some(format!("no worker has the function {function}: {hint}"))
    }

    fn is_known(&self, function: &str) -> bool {
        self.workers.values().any(|worker| worker.join.functions.iter().any(|own| own == function))
    }
}
