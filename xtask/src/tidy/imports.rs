//! Who may import whom: the table of `docs/architecture.md`, read against `cargo metadata`.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Findings;
use crate::workspace::{cargo, read};

/// Each package and the packages of ours that it may depend on, in any way: normal, dev or build.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    ("bireme-core", &[]),
    ("bireme-proto", &["core"]),
    ("bireme-daemon", &["core", "proto"]),
    ("bireme-scheduler", &["core", "daemon", "proto"]),
    ("bireme-worker", &["client", "core", "daemon", "executor", "proto"]),
    ("bireme-executor", &["core", "proto"]),
    ("bireme-client", &["core", "proto"]),
    ("bireme-launch", &["core", "client", "daemon", "scheduler", "worker"]),
    ("bireme-ml", &["core", "client"]),
    ("bireme-cli", &["core", "proto", "client", "daemon", "launch", "scheduler", "worker"]),
    ("bireme-python", &["core", "proto", "client", "executor", "launch", "ml"]),
    ("bireme-sim", &["core", "scheduler", "worker"]),
    ("counting-worker", &["client", "worker"]),
    ("xtask", &["core", "proto", "client", "executor"]),
];

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let metadata = read(&mut cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    check_metadata(&metadata, findings);
    if root.join("crates/sim").is_dir() {
        check_sim_is_pure(findings)?;
    }
    Ok(())
}

fn check_metadata(metadata: &Value, findings: &mut Findings) {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let is_ours = |name: &str| packages.iter().any(|package| package["name"] == name);
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(package, _)| *package == name) else {
            findings
                .problem(format!("{name}: a new package needs a row in xtask/src/tidy/imports.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().map_or(&[][..], Vec::as_slice) {
            let imported = dependency["name"].as_str().unwrap_or_default();
            if !is_ours(imported) {
                continue;
            }
            let short = imported.strip_prefix("bireme-").unwrap_or(imported);
            if !allowed.contains(&short) {
                let kind = dependency["kind"].as_str().unwrap_or("normal");
                let allowed = allowed.join(", ");
                findings.problem(format!(
                    "{name} must not import {imported} ({kind}); it may import: {allowed}"
                ));
            }
            let is_daemon = ["scheduler", "worker"].contains(&short);
            let takes_default = dependency["uses_default_features"] != Value::Bool(false);
            if name == "bireme-sim" && is_daemon && takes_default {
                findings.problem(format!("{name} must take {imported} without default features"));
            }
        }
    }
}

/// The simulation owns time; a runtime in its tree would be a second clock.
fn check_sim_is_pure(findings: &mut Findings) -> Result<()> {
    let args = ["tree", "--package", "bireme-sim", "--edges", "normal", "--prefix", "none"];
    let tree = read(&mut cargo(args))?;
    for line in tree.lines().filter(|line| line.starts_with("tokio v")) {
        findings.problem(format!(
            "bireme-sim must not depend on {line}: cargo tree -p bireme-sim -e normal -i tokio"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(packages: Value) -> Vec<String> {
        let mut findings = Findings::default();
        check_metadata(&json!({ "packages": packages }), &mut findings);
        findings.problems
    }

    #[test]
    fn forbidden_imports_are_found_whatever_their_kind() {
        let dependency = |name, kind| json!({ "name": name, "kind": kind });
        let found = problems(json!([
            { "name": "bireme-core", "dependencies": [dependency("bytes", Value::Null)] },
            { "name": "bireme-worker", "dependencies": [dependency("bireme-core", Value::Null)] },
            {
                "name": "bireme-scheduler",
                "dependencies": [dependency("bireme-core", Value::Null), dependency("bireme-worker", json!("dev"))],
            },
        ]));
        assert_eq!(
            found,
            [
                "bireme-scheduler must not import bireme-worker (dev); it may import: core, daemon, proto"
            ]
        );
    }

    #[test]
    fn the_simulation_takes_no_daemon() {
        let worker = json!({ "name": "bireme-worker", "uses_default_features": true });
        let found = problems(json!([
            { "name": "bireme-worker", "dependencies": [] },
            { "name": "bireme-sim", "dependencies": [worker] },
        ]));
        assert_eq!(found, ["bireme-sim must take bireme-worker without default features"]);
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        let found = problems(json!([{ "name": "bireme-common", "dependencies": [] }]));
        assert_eq!(found.len(), 1);
    }
}
