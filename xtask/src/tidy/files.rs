//! Sizes of files and functions, and the first line of every file.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Findings;
use super::functions::functions;
use crate::workspace::{has_extension, read_text};

const FILE_LINES_WARN: usize = 600;
const FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_WARN: usize = 70;
const FUNCTION_LINES_MAX: usize = 100;

pub(super) fn check(root: &Path, files: &[PathBuf], findings: &mut Findings) -> Result<()> {
    for file in files {
        let shown = file.to_string_lossy().replace('\\', "/");
        if is_source(&shown) {
            let text = read_text(&root.join(file))?;
            check_size(&shown, &text, findings);
            if is_rust_source(&shown) {
                check_doc(&shown, &text, findings);
            }
            if has_extension(file, &["rs"]) && !is_test(&shown) {
                check_functions(&shown, &text, findings);
            }
        }
    }
    Ok(())
}

/// Written by people, in a language with functions.
fn is_source(path: &str) -> bool {
    (path.starts_with("crates/") || path.starts_with("xtask/"))
        && has_extension(path, &["rs", "py"])
        && !path.contains("/src/gen/")
}

/// Rust in a `src` directory: these files open with what they are about.
fn is_rust_source(path: &str) -> bool {
    has_extension(path, &["rs"]) && path.contains("/src/")
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_test.py")
}

fn check_size(path: &str, text: &str, findings: &mut Findings) {
    let lines = text.lines().count();
    if is_test(path) {
        return;
    }
    if lines > FILE_LINES_MAX {
        findings.problem(format!("{path}: {lines} lines, the limit is {FILE_LINES_MAX}: split it"));
    } else if lines > FILE_LINES_WARN {
        findings.warning(format!("{path}: {lines} lines, aim below {FILE_LINES_WARN}"));
    }
}

fn check_doc(path: &str, text: &str, findings: &mut Findings) {
    if !text.starts_with("//!") {
        findings.problem(format!("{path}:1: start with `//!` and say what this file is about"));
    }
}

fn check_functions(path: &str, text: &str, findings: &mut Findings) {
    for function in functions(text) {
        let (name, line, lines) = (&function.name, function.line, function.lines);
        if lines > FUNCTION_LINES_MAX {
            findings.problem(format!(
                "{path}:{line}: function `{name}` has {lines} lines, the limit is {FUNCTION_LINES_MAX}"
            ));
        } else if lines > FUNCTION_LINES_WARN {
            findings.warning(format!(
                "{path}:{line}: function `{name}` has {lines} lines, aim below {FUNCTION_LINES_WARN}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found_unless_they_are_tests() {
        let mut findings = Findings::default();
        check_size("crates/core/src/a.rs", &"\n".repeat(1_001), &mut findings);
        check_size("crates/core/src/b.rs", &"\n".repeat(601), &mut findings);
        check_size("crates/core/src/b/tests.rs", &"\n".repeat(2_000), &mut findings);
        assert_eq!((findings.problems.len(), findings.warnings.len()), (1, 1));
    }

    #[test]
    fn long_functions_are_found() {
        let mut findings = Findings::default();
        let text = format!("fn a() {{{}}}\nfn b() {{{}}}", "\n".repeat(101), "\n".repeat(75));
        check_functions("crates/core/src/a.rs", &text, &mut findings);
        assert_eq!(
            findings.problems,
            ["crates/core/src/a.rs:1: function `a` has 102 lines, the limit is 100"]
        );
        assert_eq!(findings.warnings.len(), 1);
    }

    #[test]
    fn generated_code_is_nobodys() {
        assert!(!is_source("crates/proto/src/gen/bireme.v1.rs"));
        assert!(is_source("crates/python/python/bireme/client.py"));
    }

    #[test]
    fn a_missing_doc_is_found() {
        let mut findings = Findings::default();
        check_doc("xtask/src/a.rs", "use std::fs;\n", &mut findings);
        check_doc("xtask/src/b.rs", "//! About b.\n", &mut findings);
        assert_eq!(findings.problems.len(), 1);
    }
}
