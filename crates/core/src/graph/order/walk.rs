//! The walk from goal to goal.
#![expect(clippy::indexing_slicing, reason = "every index is a task or edge counted beforehand")]

use super::{Held, Lists};

/// A result with so many consumers waits for long, whenever it is made.
const SHARED: u32 = 64;

/// What the walk knows of a task.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    place: Option<u32>,
    /// Producers that have no place yet.
    missing: u32,
    /// Consumers that have no place yet.
    uses: u32,
    /// The same, combined by exclusive or: if there is one, this is it.
    last_use: u32,
    /// Producers whose last use this is.
    frees: u32,
    /// Producers, and consumers, that were found to have a place: the first ones.
    producers_seen: u32,
    consumers_seen: u32,
}

/// Gives places to tasks one by one.
pub(super) struct Walk<'a> {
    producers: &'a Lists,
    consumers: &'a Lists,
    nodes: Vec<Node>,
    placed: u32,
    held: Held,
    /// Tasks that give back what they take up, and lack at most one producer; the last one goes first.
    eager: Vec<u32>,
    /// Tasks whose results wait, the newest last, and some whose results do not wait any more.
    waiting: Vec<u32>,
    /// The way from the goal down to what it lacks.
    path: Vec<u32>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(producers: &'a Lists, consumers: &'a Lists) -> Self {
        let count = |lists: &Lists, task| {
            u32::try_from(lists.range(task).len()).expect("tasks are numbered by u32")
        };
        let node = |task| Node {
            missing: count(producers, task),
            uses: count(consumers, task),
            last_use: consumers.items[consumers.range(task)].iter().fold(0, |all, it| all ^ it),
            ..Node::default()
        };
        let mut nodes: Vec<Node> = (0..producers.ends.len()).map(node).collect();
        for task in 0..nodes.len() {
            if nodes[task].uses == 1 {
                let last = nodes[task].last_use;
                nodes[last as usize].frees += 1;
            }
        }
        Self {
            producers,
            consumers,
            nodes,
            placed: 0,
            held: Held::default(),
            eager: Vec::new(),
            waiting: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The place of each task, and how many results wait in that order.
    pub(super) fn run(mut self) -> (Vec<u32>, Held) {
        for (task, number) in (0..self.nodes.len()).zip(0..) {
            if self.consumers.range(task).is_empty() {
                self.reach(number);
                while let Some(goal) = self.next_goal() {
                    self.reach(goal);
                }
            }
        }
        let place =
            |node: Node| node.place.expect("every task leads to one whose output no task takes");
        (self.nodes.into_iter().map(place).collect(), self.held)
    }

    fn node(&self, task: u32) -> &Node {
        &self.nodes[task as usize]
    }

    /// The first consumer without a place of the newest result that waits.
    fn next_goal(&mut self) -> Option<u32> {
        while let Some(&task) = self.waiting.last() {
            if self.node(task).uses == 0 {
                self.waiting.pop();
                continue;
            }
            let mut seen = self.node(task).consumers_seen;
            let consumers = self.consumers.of(task);
            while self.node(consumers[seen as usize]).place.is_some() {
                seen += 1;
            }
            self.nodes[task as usize].consumers_seen = seen;
            return Some(consumers[seen as usize]);
        }
        None
    }

    /// Gives places to all that a goal lacks, and to the goal.
    fn reach(&mut self, goal: u32) {
        self.path.push(goal);
        while let Some(&task) = self.path.last() {
            if self.node(task).place.is_some() {
                self.path.pop();
            } else if let Some(producer) = self.lacking(task) {
                self.path.push(producer);
            } else {
                self.path.pop();
                self.place(task);
                self.place_eager();
            }
        }
    }

    /// Gives places to what can go and gives back what it takes up.
    fn place_eager(&mut self) {
        while let Some(task) = self.eager.pop() {
            if self.node(task).place.is_some() {
                continue;
            }
            match self.lacking(task) {
                None => self.place(task),
                Some(producer) if self.is_cheap(producer) => {
                    self.place(producer);
                    // What else waits for that producer comes after this task.
                    self.eager.push(task);
                }
                Some(_) => {}
            }
        }
    }

    /// Whether a task without a place can go, and its result adds little: one task takes it, or so many that it waits for long
    /// in any case.
    fn is_cheap(&self, task: u32) -> bool {
        let node = self.node(task);
        node.missing == 0 && (node.uses == 1 || node.uses >= SHARED)
    }

    /// The first producer of a task that has no place.
    fn lacking(&mut self, task: u32) -> Option<u32> {
        if self.node(task).missing == 0 {
            return None;
        }
        let mut seen = self.node(task).producers_seen;
        let producers = self.producers.of(task);
        while self.node(producers[seen as usize]).place.is_some() {
            seen += 1;
        }
        self.nodes[task as usize].producers_seen = seen;
        Some(producers[seen as usize])
    }

    /// Gives a task the next place.
    fn place(&mut self, task: u32) {
        let node = &mut self.nodes[task as usize];
        node.place = Some(self.placed);
        self.placed += 1;
        self.held.start(node.uses > 0);
        if node.uses > 0 {
            self.waiting.push(task);
        }
        for &consumer in self.consumers.of(task).iter().rev() {
            let node = &mut self.nodes[consumer as usize];
            node.missing -= 1;
            if node.missing == 0 && node.frees > 0 {
                self.eager.push(consumer);
            }
        }
        for &producer in self.producers.of(task) {
            let node = &mut self.nodes[producer as usize];
            node.uses -= 1;
            node.last_use ^= task;
            if node.uses == 0 {
                self.held.now -= 1;
            } else if node.uses == 1 {
                let last = node.last_use;
                let node = &mut self.nodes[last as usize];
                node.frees += 1;
                if node.missing <= 1 {
                    self.eager.push(last);
                }
            }
        }
        self.held.sum += self.held.now;
    }
}
