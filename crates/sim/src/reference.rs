//! What must come out: the same graphs, interpreted one task after the other.

use std::collections::BTreeMap;

use crate::load::{Act, External, Load, Source};

/// What becomes of a task that nobody disturbs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It has an error of its own.
    Fails,
    /// A task that it needs fails.
    FailsWith,
    /// With these outputs.
    Finishes(Vec<u64>),
}

/// A task by the places of its session and graph, and its index.
type Name = (usize, usize, u32);

/// An input.
#[derive(Clone, Copy, Debug)]
enum Need {
    Output(Name, u16),
    Value(u64),
}

impl Need {
    /// The task that makes it.
    fn maker(self) -> Option<Name> {
        match self {
            Self::Output(name, _) => Some(name),
            Self::Value(_) => None,
        }
    }
}

/// The fates of all tasks.
#[derive(Debug)]
pub(crate) struct Reference {
    fates: BTreeMap<Name, Fate>,
    /// Tasks that a lost worker may make fail, with all that need them.
    fragile: BTreeMap<Name, bool>,
}

impl Reference {
    /// Runs everything.
    pub(crate) fn new(load: &Load) -> Self {
        let mut reference = Self { fates: BTreeMap::new(), fragile: BTreeMap::new() };
        for (session, plan) in load.sessions.iter().enumerate() {
            for (graph, plan) in plan.graphs.iter().enumerate() {
                (0..plan.len()).for_each(|index| reference.run(load, (session, graph, index)));
            }
        }
        reference
    }

    /// The fate of a task.
    pub(crate) fn fate(&self, session: usize, graph: usize, index: u32) -> &Fate {
        self.fates.get(&(session, graph, index)).expect("every task was run")
    }

    /// Whether a lost worker may change the fate of a task.
    pub(crate) fn is_fragile(&self, session: usize, graph: usize, index: u32) -> bool {
        self.fragile.get(&(session, graph, index)).copied().expect("every task was run")
    }

    /// How many tasks of a graph fail by themselves.
    pub(crate) fn failures(&self, session: usize, graph: usize) -> usize {
        let of_graph = self.fates.range((session, graph, 0)..=(session, graph, u32::MAX));
        of_graph.filter(|(_, fate)| **fate == Fate::Fails).count()
    }

    /// Runs a task, and before it those that it needs.
    fn run(&mut self, load: &Load, name: Name) {
        let mut open = vec![name];
        while let Some(&name) = open.last() {
            let needs = needs(load, name);
            let before = open.len();
            let makers = needs.iter().filter_map(|need| need.maker());
            open.extend(makers.filter(|maker| !self.fates.contains_key(maker)));
            if open.len() == before {
                open.pop();
                self.run_one(load, name, &needs);
            }
        }
    }

    fn run_one(&mut self, load: &Load, name: Name, needs: &[Need]) {
        let (session, graph, index) = name;
        let plan = load.graph(session, graph);
        let task = plan.task(index);
        let is_fragile = plan.is_fragile(index)
            || needs
                .iter()
                .filter_map(|need| need.maker())
                .any(|need| self.fragile.get(&need) == Some(&true));
        self.fragile.insert(name, is_fragile);
        let mut inputs = Vec::new();
        for need in needs {
            let (need, output) = match *need {
                Need::Output(need, output) => (need, output),
                Need::Value(value) => {
                    inputs.push(value);
                    continue;
                }
            };
            match self.fates.get(&need).expect("it was run before") {
                Fate::Finishes(outputs) => {
                    inputs.push(*outputs.get(usize::from(output)).expect("the output exists"));
                }
                Fate::Fails | Fate::FailsWith if (need.0, need.1) == (session, graph) => {
                    self.fates.insert(name, Fate::FailsWith);
                    return;
                }
                // An input from another graph is lost, rather than a task of this one failed.
                Fate::Fails | Fate::FailsWith => {
                    self.fates.insert(name, Fate::Fails);
                    return;
                }
            }
        }
        let job = task.job.of_row(&task.row);
        let fate = match job.act {
            Act::Fail | Act::Hang => Fate::Fails,
            Act::DieFirst(_) | Act::FailFirst(_) | Act::MoveFirst(_) | Act::Succeed => {
                let outputs = plan.class(task).outputs;
                Fate::Finishes((0..outputs).map(|n| job.output(n, &inputs)).collect())
            }
        };
        self.fates.insert(name, fate);
    }
}

/// The inputs of a task, in its payload's order.
fn needs(load: &Load, (session, graph, index): Name) -> Vec<Need> {
    let plan = load.graph(session, graph);
    let task = plan.task(index);
    let inner = task.deps.iter().map(|dep| Need::Output((session, graph, dep.task), dep.output));
    let outer = task.externals.iter().map(|place| match plan.source(*place) {
        Source::Output(External { session, graph, task, output }) => {
            Need::Output((session, graph, task), output)
        }
        Source::Value(value) => Need::Value(value.value),
    });
    inner.chain(outer).collect()
}
