//! Relative links of the prose lead somewhere.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Findings;
use crate::workspace::{has_extension, read_text};

pub(super) fn check(root: &Path, files: &[PathBuf], findings: &mut Findings) -> Result<()> {
    for file in files {
        let shown = file.to_string_lossy().replace('\\', "/");
        let is_prose = shown.starts_with("docs/") || shown.ends_with("README.md");
        if !is_prose || !has_extension(file, &["md"]) {
            continue;
        }
        let path = root.join(file);
        let dir = path.parent().unwrap_or(root);
        for (line, target) in relative_links(&read_text(&path)?) {
            if !dir.join(&target).exists() {
                findings.problem(format!("{shown}:{line}: the link to {target} leads nowhere"));
            }
        }
    }
    Ok(())
}

/// Line and target of each relative link, the part behind `#` cut off; code is left out.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_fence = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        // Every second piece between backticks is code.
        let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for piece in prose.split("](").skip(1) {
            let target = piece.split([')', ' ', '#']).next().unwrap_or_default();
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !is_elsewhere {
                links.push((number + 1, target.to_owned()));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_outside_code_are_looked_at() {
        let text = "[a](a.md) and [b](../b.md#part \"title\")\n```\n[c](c.md)\n```\n\
                    `[d](d.md)` [e](https://e.example) [f](#here) [`g`](g.md)";
        let links = relative_links(text);
        let links: Vec<_> = links.iter().map(|(line, target)| (*line, target.as_str())).collect();
        assert_eq!(links, [(1, "a.md"), (1, "../b.md"), (5, "g.md")]);
    }
}
