//! What attempts find in their environment: who they are and what they hold. `docs/reference/environment.md` lists it.

use std::borrow::Cow;
use std::env;
use std::ffi::{OsStr, OsString};

use bireme_core::Resources;
use bireme_core::graph::Row;
use bireme_core::resources::{Piece, Pieces, UNITS, pieces_of, show_units};
use bireme_daemon::systemd;

use crate::machine::Execution;

/// Variables of the daemon's that processes of attempts have too.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// How many threads libraries start on their own.
const THREADS: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
];
/// The resource that is graphics processors.
const GPU: &str = "gpu";
/// Which graphics processors libraries use. `ROCR_VISIBLE_DEVICES` is not among them: it numbers those that are left anew,
/// so that the others would name the wrong ones.
const GPUS: [&str; 2] = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"];

/// A variable and its value.
pub(crate) type Variable = (Cow<'static, str>, String);

/// What is the same for all attempts of a worker.
#[derive(Debug)]
pub(crate) struct Environment {
    worker: String,
    /// The worker has graphics processors, each with a number.
    has_gpus: bool,
    /// By what the daemon itself was told to know its graphics processors, variable by variable; empty is by number.
    gpus: [Vec<String>; GPUS.len()],
}

impl Environment {
    /// For the attempts of a worker: its name, and all it has.
    pub(crate) fn new(worker: String, total: &Resources) -> Self {
        let own = |name| env::var(name).unwrap_or_default();
        let listed = |text: String| {
            let names = text.split(',').map(|name| name.trim().to_owned());
            names.filter(|name| !name.is_empty()).collect()
        };
        let has_gpus = pieces_of(total.other(GPU)).is_some();
        Self { worker, has_gpus, gpus: GPUS.map(|name| listed(own(name))) }
    }

    /// The variables of the daemon's that an attempt has too: a few, or all but those by which the daemon itself is watched.
    pub(crate) fn inherited(whole: bool) -> impl Iterator<Item = (OsString, OsString)> {
        let is_any = |names: &[&str], name: &OsStr| names.iter().any(|one| OsStr::new(one) == name);
        env::vars_os().filter(move |(name, _)| {
            if whole { !is_any(&systemd::VARIABLES, name) } else { is_any(&KEPT, name) }
        })
    }

    /// How many threads libraries start in a process of which there is one for each cpu.
    pub(crate) fn single_thread() -> impl Iterator<Item = (&'static str, &'static str)> {
        THREADS.into_iter().map(|name| (name, "1"))
    }

    /// What an attempt is told in a process that others share: all, if it holds pieces of its own, and nothing otherwise, so
    /// that the others cost nothing.
    pub(crate) fn variables_of_pieces(&self, execution: &Execution) -> Vec<Variable> {
        if execution.held.is_empty() { Vec::new() } else { self.variables(execution) }
    }

    /// The variables that tell an attempt who it is and what it holds.
    pub(crate) fn variables(&self, execution: &Execution) -> Vec<Variable> {
        let Execution { attempt, key, resources, .. } = execution;
        let mut variables: Vec<Variable> = vec![
            ("BIREME_TASK_KEY".into(), key.clone()),
            ("BIREME_ATTEMPT".into(), attempt.to_string()),
            ("BIREME_GRAPH".into(), attempt.task.graph.to_string()),
            ("BIREME_WORKER".into(), self.worker.clone()),
            ("BIREME_CPUS".into(), show_units(resources.cpu_units)),
        ];
        if let Some(row) = row(execution) {
            variables.push(("BIREME_ROW".into(), row.to_owned()));
        }
        variables.extend(self.variables_of(resources, &execution.held));
        variables
    }

    /// The variables that tell code what it holds.
    pub(crate) fn variables_of(&self, resources: &Resources, held: &Pieces) -> Vec<Variable> {
        let threads = (resources.cpu_units / UNITS).max(1).to_string();
        let mut variables: Vec<Variable> =
            THREADS.map(|name| (name.into(), threads.clone())).into();
        if self.has_gpus {
            let gpus = pieces(held, GPU).unwrap_or_default();
            let named = GPUS.iter().zip(&self.gpus);
            variables.extend(named.map(|(name, known)| ((*name).into(), list(gpus, known))));
        }
        variables.extend(resources.others().map(|(name, units)| {
            let held = pieces(held, name).map(|held| list(held, &[]));
            (variable(name).into(), held.unwrap_or_else(|| show_units(units)))
        }));
        variables
    }
}

/// The number of the row, where the task is one: rows of an array have it in their keys.
fn row(execution: &Execution) -> Option<&str> {
    if execution.row == Row::None {
        return None;
    }
    let (_, row) = execution.key.strip_suffix(']')?.rsplit_once('[')?;
    Some(row)
}

/// The pieces of a resource that are held.
fn pieces<'a>(held: &'a Pieces, name: &str) -> Option<&'a [Piece]> {
    held.iter().find(|(other, _)| *other == name).map(|(_, pieces)| pieces)
}

/// Pieces by name, or by number where a piece has no name.
fn list(pieces: &[Piece], names: &[String]) -> String {
    let names = pieces.iter().map(|piece| {
        names.get(usize::from(piece.number)).cloned().unwrap_or_else(|| piece.number.to_string())
    });
    names.collect::<Vec<_>>().join(",")
}

/// The variable of a resource: `fast-disk` is `BIREME_RESOURCE_FAST_DISK`.
fn variable(name: &str) -> String {
    let name = name.to_ascii_uppercase().replace(|letter: char| !letter.is_alphanumeric(), "_");
    format!("BIREME_RESOURCE_{name}")
}

#[cfg(test)]
mod tests {
    use bireme_core::AttemptId;
    use bireme_core::graph::Runtime;
    use bireme_core::id::{AttemptNo, Epoch, GraphId, SessionId, TaskId};
    use bireme_core::resources::Pieces;
    use bytes::Bytes;
    use smallvec::SmallVec;

    use super::*;

    fn execution(resources: Resources, held: Pieces, row: Row) -> Execution {
        let task = TaskId { graph: GraphId::new(SessionId(7), 3), index: 12 };
        Execution {
            attempt: AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 2 } },
            key: "part[4]".to_owned(),
            payload: Bytes::new(),
            inputs: SmallVec::new(),
            resources,
            held,
            outputs: 1,
            timeout: None,
            row,
            runtime: Runtime::Command,
        }
    }

    fn resources(cpu_units: u64, others: &[(&str, u64)]) -> Resources {
        let others = others.iter().map(|(name, units)| ((*name).to_owned(), *units));
        Resources::new(cpu_units, 0).with_others(others).unwrap()
    }

    fn shown(environment: &Environment, execution: &Execution) -> Vec<String> {
        let mut variables: Vec<_> = environment
            .variables(execution)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .filter(|line| THREADS[1..].iter().all(|name| !line.starts_with(name)))
            .collect();
        variables.sort_unstable();
        variables
    }

    #[test]
    fn an_attempt_is_told_who_it_is_and_what_it_holds() {
        let total = resources(8 * UNITS, &[("gpu", 4 * UNITS)]);
        let mut environment = Environment::new("w".to_owned(), &total);
        environment.gpus = [Vec::new(), ["5", "6", "7", "8"].map(str::to_owned).to_vec()];
        let mut held = Pieces::none();
        held.add("gpu", Piece { number: 1, units: UNITS });
        held.add("gpu", Piece { number: 3, units: UNITS });
        let need = resources(25_000, &[("gpu", 2 * UNITS), ("fast-disk", 5_000)]);
        assert_eq!(
            shown(&environment, &execution(need, held, Row::Number(40))),
            [
                "BIREME_ATTEMPT=7.3/12#1.2",
                "BIREME_CPUS=2.5",
                "BIREME_GRAPH=7.3",
                "BIREME_RESOURCE_FAST_DISK=0.5",
                "BIREME_RESOURCE_GPU=1,3",
                "BIREME_ROW=4",
                "BIREME_TASK_KEY=part[4]",
                "BIREME_WORKER=w",
                "CUDA_VISIBLE_DEVICES=1,3",
                "HIP_VISIBLE_DEVICES=6,8",
                "OMP_NUM_THREADS=2",
            ]
        );
    }

    #[test]
    fn in_a_shared_process_only_who_holds_pieces_is_told() {
        let environment = Environment::new("w".to_owned(), &resources(UNITS, &[("gpu", UNITS)]));
        let mut held = Pieces::none();
        let part = execution(resources(UNITS, &[("gpu", UNITS / 2)]), held.clone(), Row::None);
        assert_eq!(environment.variables_of_pieces(&part), []);
        held.add("gpu", Piece { number: 0, units: UNITS });
        let whole = execution(resources(UNITS, &[("gpu", UNITS)]), held, Row::None);
        assert_eq!(environment.variables_of_pieces(&whole), environment.variables(&whole));
    }

    #[test]
    fn gpus_are_hidden_from_who_holds_none_and_never_mentioned_where_there_are_none() {
        let idle = execution(Resources::none(), Pieces::none(), Row::None);
        let with = Environment::new("w".to_owned(), &resources(0, &[("gpu", UNITS)]));
        let lines = shown(&with, &idle);
        assert!(lines.contains(&"CUDA_VISIBLE_DEVICES=".to_owned()), "{lines:?}");
        assert!(lines.contains(&"OMP_NUM_THREADS=1".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("BIREME_ROW")), "{lines:?}");
        let without = Environment::new("w".to_owned(), &Resources::one_cpu());
        assert!(shown(&without, &idle).iter().all(|line| !line.contains("VISIBLE")));
    }
}
