//! Scenarios by themselves: chains, whose links are sent to a worker ahead of their inputs. Random loads have short ones.

use bireme_core::graph::{Dep, GraphOptions, Outputs, Row, TaskClass, Watch};
use bireme_core::id::{SessionToken, WorkerUid};
use bireme_core::resources::UNITS;
use bireme_core::{Resources, RetryPolicy, Span, Time, limits};

use crate::cluster::Cluster;
use crate::faults::Fault;
use crate::load::{Act, GraphPlan, Job, Load, SessionPlan, Size, TaskPlan, WorkerPlan};
use crate::report::{Detail, Failure, Outcome};

/// Chains of tasks on two workers.
#[derive(Clone, Copy, Debug)]
pub struct Chains {
    /// How many.
    pub count: u32,
    /// Tasks of each.
    pub links: u32,
    /// Each link but the first also takes a value that is made at the other worker.
    pub crossed: bool,
    /// The link of each chain that fails.
    pub failing: Option<u32>,
    /// When the daemon of the first worker is killed; another starts soon after.
    pub killed: Option<Time>,
}

/// Code of a link runs so long.
const LINK: Span = Span(200);

impl Chains {
    /// Runs them. Results are compared with what must come out, and invariants are checked after every step.
    pub fn run(self) -> Result<Outcome, Failure> {
        let load = Load { workers: vec![worker(0), worker(1)], sessions: vec![self.session()] };
        let fault = |at| (at, Fault::Crash { worker: 0, back: Span::millis(50) });
        let faults = self.killed.map(fault).into_iter().collect();
        Cluster::of(self.links.into(), load, faults, Detail::Last).finish()
    }

    fn session(self) -> SessionPlan {
        SessionPlan {
            token: SessionToken(1),
            weight_percent: 100,
            ttl: Span::secs(30),
            opens: Time::default(),
            leaves: None,
            numbers_graphs: true,
            graphs: vec![self.graph()],
        }
    }

    fn graph(self) -> GraphPlan {
        let links = 0..self.count * self.links;
        let tasks: Vec<TaskPlan> = if self.crossed {
            links.flat_map(|n| self.crossed_link(n)).collect()
        } else {
            links.map(|n| self.link(n)).collect()
        };
        GraphPlan {
            options: GraphOptions {
                outputs: Outputs::Sinks,
                watch: Watch::Graph,
                ..GraphOptions::default()
            },
            // Of the classes, the first may run anywhere, the others at one worker each.
            classes: vec![class(&[]), class(&["worker-0"]), class(&["worker-1"])],
            chunks: vec![u32::try_from(tasks.len()).expect("chains are short")],
            tasks,
            arrays: Vec::new(),
            listed: Vec::new(),
            externals: Vec::new(),
            values: Vec::new(),
            releases_values: false,
            deeds: Vec::new(),
            forget: true,
        }
    }

    /// Link after link of each chain.
    fn link(self, n: u32) -> TaskPlan {
        let place = n % self.links;
        let deps = if place == 0 { Vec::new() } else { vec![n - 1] };
        let act = if self.failing == Some(place) { Act::Fail } else { Act::Succeed };
        task(n, 0, act, &deps)
    }

    /// What the other worker makes for a link, and the link itself.
    fn crossed_link(self, n: u32) -> [TaskPlan; 2] {
        let (given, link) = (2 * n, 2 * n + 1);
        let deps = if n.is_multiple_of(self.links) { vec![given] } else { vec![link - 2, given] };
        [task(given, 2, Act::Succeed, &[]), task(link, 1, Act::Succeed, &deps)]
    }
}

fn task(n: u32, class: u32, act: Act, deps: &[u32]) -> TaskPlan {
    TaskPlan {
        key: String::new(),
        class,
        deps: deps.iter().map(|task| Dep { task: *task, output: 0 }).collect(),
        externals: Vec::new(),
        job: Job { identity: n.into(), run: LINK, act, size: Size::Small },
        row: Row::None,
        priority: 0,
        order: n,
    }
}

fn class(workers: &[&str]) -> TaskClass {
    TaskClass {
        resources: Resources::new(UNITS, 0),
        workers: workers.iter().map(|name| (*name).to_owned()).collect(),
        retry: RetryPolicy { max_crashes: 200, ..RetryPolicy::default() },
        ..TaskClass::default()
    }
}

fn worker(n: u8) -> WorkerPlan {
    WorkerPlan {
        uid: WorkerUid(u128::from(n) + 1),
        name: format!("worker-{n}"),
        resources: Resources::new(2 * UNITS, 0),
        labels: Vec::new(),
        followers: limits::FOLLOWERS,
        store_bytes: 0,
        joins: Time::default(),
    }
}
