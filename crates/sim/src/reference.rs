//! What must come out: the same graphs, interpreted one task after the other.

use std::collections::{BTreeMap, BTreeSet};

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

/// What else may become of a task, by itself or by one that it needs.
#[derive(Clone, Copy, Debug, Default)]
struct Risks {
    /// It fails for a lost worker.
    lost: bool,
    /// It, or what it needs, is cancelled.
    cancelled: bool,
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
    risks: BTreeMap<Name, Risks>,
    /// Tasks that may run again though nothing goes wrong: a task of another graph comes when their outputs have gone.
    remade: BTreeSet<Name>,
}

impl Reference {
    /// Runs everything.
    pub(crate) fn new(load: &Load) -> Self {
        let mut reference =
            Self { fates: BTreeMap::new(), risks: BTreeMap::new(), remade: BTreeSet::new() };
        for (session, plan) in load.sessions.iter().enumerate() {
            for (graph, plan) in plan.graphs.iter().enumerate() {
                (0..plan.len()).for_each(|index| reference.run(load, (session, graph, index)));
                reference.note_remade(load, &plan.externals);
            }
        }
        reference
    }

    /// Outputs that are taken, and may have gone before: their tasks run again, and what those need.
    fn note_remade(&mut self, load: &Load, taken: &[External]) {
        let gone = taken.iter().filter(|it| !load.graph(it.session, it.graph).stays(it.task));
        let mut open: Vec<Name> = gone.map(|it| (it.session, it.graph, it.task)).collect();
        while let Some(name) = open.pop() {
            if self.remade.insert(name) {
                open.extend(needs(load, name).into_iter().filter_map(Need::maker));
            }
        }
    }

    /// The fate of a task.
    pub(crate) fn fate(&self, session: usize, graph: usize, index: u32) -> &Fate {
        self.fates.get(&(session, graph, index)).expect("every task was run")
    }

    /// Whether a lost worker may change the fate of a task.
    pub(crate) fn is_fragile(&self, session: usize, graph: usize, index: u32) -> bool {
        self.risks((session, graph, index)).lost
    }

    /// Whether a task, or one that it needs, may be cancelled.
    pub(crate) fn may_be_cancelled(&self, session: usize, graph: usize, index: u32) -> bool {
        self.risks((session, graph, index)).cancelled
    }

    /// Whether a task may run again though nothing goes wrong.
    pub(crate) fn may_be_remade(&self, session: usize, graph: usize, index: u32) -> bool {
        self.remade.contains(&(session, graph, index))
    }

    fn risks(&self, name: Name) -> Risks {
        self.risks.get(&name).copied().expect("every task was run")
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
        let own = Risks { lost: plan.is_fragile(index), cancelled: plan.may_be_cancelled() };
        let makers = needs.iter().filter_map(|need| need.maker());
        let risks = makers.map(|maker| self.risks(maker)).fold(own, |risks, maker| Risks {
            lost: risks.lost | maker.lost,
            cancelled: risks.cancelled | maker.cancelled,
        });
        self.risks.insert(name, risks);
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
