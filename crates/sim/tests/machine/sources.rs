//! What the sources of the machines name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Files and directories that the machines are made of.
pub(super) const MACHINES: &[&str] = &[
    "scheduler/src/machine.rs",
    "scheduler/src/machine",
    "worker/src/machine.rs",
    "worker/src/machine",
];

/// What they judge chunks with.
pub(super) const CHECKS: &[&str] = &["core/src/graph/check.rs"];

/// Names that follow `prefix` somewhere in the sources; `is_part` says which letters they are made of.
pub(super) fn names(sources: &[&str], prefix: &str, is_part: fn(char) -> bool) -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = BTreeSet::new();
    for source in sources {
        collect(&crates.join(source), prefix, is_part, &mut named);
    }
    named
}

fn collect(path: &Path, prefix: &str, is_part: fn(char) -> bool, named: &mut BTreeSet<String>) {
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            collect(&entry.expect("an entry").path(), prefix, is_part, named);
        }
        return;
    }
    let text = fs::read_to_string(path).expect("a source file");
    for rest in text.split(prefix).skip(1) {
        let name: String = rest.chars().take_while(|letter| is_part(*letter)).collect();
        if !name.is_empty() {
            named.insert(name);
        }
    }
}
