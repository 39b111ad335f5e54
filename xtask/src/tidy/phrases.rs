//! Phrases that no committed text may contain, and what to do instead.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Findings;

/// Each phrase and its remedy. A phrase is found only as whole words.
const BANNED: [(&str, &str); 9] = [
    ("/work/", "a path of one machine: say where it is relative to something"),
    ("/root/", "a path of one machine: say where it is relative to something"),
    ("TODO", "do it, or open an issue"),
    ("FIXME", "fix it, or open an issue"),
    ("XXX", "say what is wrong, in an issue"),
    ("index.crates.io", "a registry is configured outside the tree"),
    ("static.crates.io", "a registry is configured outside the tree"),
    ("no longer", "tell what is, not what was"),
    ("used to be", "tell what is, not what was"),
];

/// Not ours to word: this list, the licences, and what Cargo writes.
const EXEMPT: [&str; 4] =
    ["xtask/src/tidy/phrases.rs", "LICENSE-APACHE", "LICENSE-MIT", "Cargo.lock"];

pub(super) fn check(root: &Path, files: &[PathBuf], findings: &mut Findings) -> Result<()> {
    for file in files {
        let shown = file.to_string_lossy().replace('\\', "/");
        // Comments of generated code are looked at where they are written.
        if EXEMPT.contains(&shown.as_str()) || shown.contains("/src/gen/") {
            continue;
        }
        let bytes = fs::read(root.join(file)).with_context(|| format!("cannot read {shown}"))?;
        // Whatever is not text has no phrases.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            check_text(&shown, text, findings);
        }
    }
    Ok(())
}

fn check_text(path: &str, text: &str, findings: &mut Findings) {
    for (number, line) in text.lines().enumerate() {
        for (phrase, remedy) in BANNED.iter().filter(|(phrase, _)| contains(line, phrase)) {
            findings.problem(format!("{path}:{}: \"{phrase}\": {remedy}", number + 1));
        }
    }
}

fn contains(line: &str, phrase: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(phrase).any(|(start, _)| {
        let before = line.get(..start).and_then(|it| it.chars().next_back());
        let after = line.get(start + phrase.len()..).and_then(|it| it.chars().next());
        let is_path = phrase.starts_with('/');
        // `$DIR/work/` and `./work/` are paths of any machine.
        !before.is_some_and(|c| is_word(c) || (is_path && "}.-".contains(c)))
            && (is_path || !after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_by_line_and_as_words_only() {
        let mut findings = Findings::default();
        let text = "fine\nTODO: later\nTODOS are fine\nsee /work/x\n$TMP/work/x ./work/x\nit is no longer so";
        check_text("a.md", text, &mut findings);
        let places: Vec<_> =
            findings.problems.iter().filter_map(|problem| problem.split(": ").next()).collect();
        assert_eq!(places, ["a.md:2", "a.md:4", "a.md:6"]);
    }
}
