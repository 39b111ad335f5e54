//! How many results wait, shape by shape, and what holds for every graph.

use super::*;

/// A graph in the making.
#[derive(Default)]
struct Shape(Vec<Vec<u32>>);

impl Shape {
    fn task(&mut self, producers: impl IntoIterator<Item = u32>) -> u32 {
        self.0.push(producers.into_iter().collect());
        u32::try_from(self.0.len() - 1).unwrap()
    }

    fn tasks(&mut self, count: u32) -> Vec<u32> {
        (0..count).map(|_| self.task([])).collect()
    }

    /// One task for each of these, which takes its output.
    fn map(&mut self, tasks: &[u32]) -> Vec<u32> {
        tasks.iter().map(|&task| self.task([task])).collect()
    }

    fn tree(&mut self, mut level: Vec<u32>, fan_in: usize) -> u32 {
        while level.len() > 1 {
            level = level.chunks(fan_in).map(|part| self.task(part.iter().copied())).collect();
        }
        level[0]
    }

    /// A diamond upon each other, so many times.
    fn ladder(&mut self, steps: u32) -> u32 {
        let mut foot = self.task([]);
        for _ in 0..steps {
            let sides = [self.task([foot]), self.task([foot])];
            foot = self.task(sides);
        }
        foot
    }

    fn order(&self) -> Vec<u32> {
        let mut producers = Producers::default();
        for list in &self.0 {
            producers.push(list.iter().copied());
        }
        order(producers)
    }

    fn submission(&self) -> Vec<u32> {
        (0..).take(self.0.len()).collect()
    }

    /// How many results wait where one worker runs the tasks in an order, which must be one.
    fn run(&self, order: &[u32]) -> Held {
        assert_eq!(order.len(), self.0.len());
        let mut sequence = vec![None; order.len()];
        for (task, &place) in order.iter().enumerate() {
            assert_eq!(sequence[place as usize].replace(task), None, "two tasks in place {place}");
        }
        let mut uses = vec![0; order.len()];
        self.0.iter().flatten().for_each(|&producer| uses[producer as usize] += 1);
        let mut held = Held::default();
        for task in sequence.into_iter().flatten() {
            held.now += u64::from(uses[task] > 0);
            held.most = held.most.max(held.now);
            for &producer in &self.0[task] {
                assert!(order[producer as usize] < order[task], "{task} before {producer}");
                uses[producer as usize] -= 1;
                held.now -= u64::from(uses[producer as usize] == 0);
            }
            held.sum += held.now;
        }
        assert_eq!(held.now, 0);
        held
    }

    /// Checks how many results wait at most.
    #[track_caller]
    fn check(&self, most: u64) {
        let held = self.run(&self.order());
        assert_eq!(held.most, most, "submission: {:?}", self.run(&self.submission()));
    }
}

/// A graph made by a function.
fn shape<T>(make: impl FnOnce(&mut Shape) -> T) -> Shape {
    let mut shape = Shape::default();
    make(&mut shape);
    shape
}

/// Xorshift: the same numbers for the same seed.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }
}

#[test]
fn a_tree_holds_one_result_for_each_level() {
    let tree = |leaves, fan_in| {
        shape(|shape| {
            let leaves = shape.tasks(leaves);
            shape.tree(leaves, fan_in)
        })
    };
    tree(1_024, 2).check(12);
    tree(1_000, 2).check(11);
    tree(64, 8).check(16);
    tree(1_000, 1_000).check(1_000);
}

#[test]
fn chains_go_one_after_the_other() {
    let chains = shape(|shape| {
        let mut ends = shape.tasks(100);
        for _ in 0..20 {
            ends = shape.map(&ends);
        }
    });
    chains.check(2);
    let order = chains.order();
    assert_eq!([order[0], order[100], order[2_000], order[1]], [0, 1, 20, 21]);
}

#[test]
fn the_heavier_of_two_subtrees_goes_first() {
    let lopsided = shape(|shape| {
        let light = shape.task([]);
        let leaves = shape.tasks(16);
        let heavy = shape.tree(leaves, 2);
        shape.task([light, heavy])
    });
    lopsided.check(6);
    let order = lopsided.order();
    assert!(order[0] > order[1]);
}

#[test]
fn grids_hold_about_a_row() {
    const N: u32 = 50;
    let places = || (0..N).flat_map(|row| (0..N).map(move |column| (row, column)));
    let stencil = shape(|shape| {
        for (row, column) in places() {
            let above = (row > 0).then(|| (row - 1) * N + column);
            let left = (column > 0).then(|| row * N + column - 1);
            shape.task(above.into_iter().chain(left));
        }
    });
    stencil.check(51);
    let steps = shape(|shape| {
        for (step, cell) in places() {
            let near = cell.saturating_sub(1)..=(cell + 1).min(N - 1);
            shape.task(near.filter(|_| step > 0).map(|cell| (step - 1) * N + cell));
        }
    });
    steps.check(52);
}

#[test]
fn a_shuffle_is_split_as_it_is_needed() {
    shape(|shape| {
        let maps = shape.tasks(20);
        let parts: Vec<Vec<u32>> =
            maps.iter().map(|&map| (0..30).map(|_| shape.task([map])).collect()).collect();
        for reduce in 0..30 {
            shape.task(parts.iter().map(|parts| parts[reduce]));
        }
    })
    .check(41);
}

#[test]
fn diamonds_are_finished_before_the_next() {
    shape(|shape| shape.ladder(100)).check(3);
    shape(|shape| {
        let ladders: Vec<u32> = (0..50).map(|_| shape.ladder(10)).collect();
        shape.task(ladders)
    })
    .check(52);
}

#[test]
fn what_two_trees_share_is_used_at_once() {
    let trees = |shared: &dyn Fn(&mut Shape, &[u32]) -> Vec<u32>| {
        shape(|shape| {
            let loads = shape.tasks(256);
            let (one, other) = (shape.map(&loads), shared(shape, &loads));
            [shape.tree(one, 2), shape.tree(other, 2)]
        })
    };
    trees(&|shape, loads| shape.map(loads)).check(19);
    // With a constant that all of one side take.
    let with_constant = |shape: &mut Shape, loads: &[u32]| {
        let constant = shape.task([]);
        loads.iter().map(|&load| shape.task([load, constant])).collect()
    };
    trees(&with_constant).check(19);
    // With another load each.
    let with_other = |shape: &mut Shape, loads: &[u32]| {
        let others = shape.tasks(256);
        loads.iter().zip(others).map(|(&load, other)| shape.task([load, other])).collect()
    };
    trees(&with_other).check(20);
}

#[test]
fn what_takes_a_result_goes_while_it_waits() {
    shape(|shape| {
        let loads = shape.tasks(16);
        for _ in 0..10 {
            shape.map(&loads);
        }
    })
    .check(1);
}

#[test]
fn windows_move_on_as_they_are_used() {
    shape(|shape| {
        let cells = shape.tasks(200);
        let windows = cells.windows(3).map(|window| shape.task(window.iter().copied())).collect();
        shape.tree(windows, 4)
    })
    .check(15);
}

#[test]
fn random_graphs_are_never_worse_off_than_submitted() {
    for (reach, inputs_max) in [(10, 2), (20, 3), (200, 4), (300, 3)] {
        let (mut ordered, mut submitted) = (0, 0);
        for seed in 1..100 {
            let mut rng = Rng(seed * 7_919);
            let random = shape(|shape| {
                shape.task([]);
                for task in 1..300_u32 {
                    let mut inputs: Vec<u32> = (0..rng.below(inputs_max + 1))
                        .map(|_| task - 1 - rng.below(task.min(reach)))
                        .collect();
                    inputs.sort_unstable();
                    inputs.dedup();
                    shape.task(inputs);
                }
            });
            let held = [random.run(&random.order()), random.run(&random.submission())];
            assert!(held[0].score(300) <= held[1].score(300), "seed {seed}: {held:?}");
            assert!(held[0].most * 4 <= held[1].most * 5, "seed {seed}: {held:?}");
            ordered += held[0].sum;
            submitted += held[1].sum;
        }
        assert!(ordered <= submitted, "{ordered} instead of {submitted}");
    }
}

#[test]
fn tasks_may_be_submitted_before_what_they_need() {
    for seed in 1..50 {
        let mut rng = Rng(seed * 104_729);
        // A random order of 100 tasks, each of which takes outputs of those before it there.
        let mut names: Vec<u32> = (0..100).collect();
        for at in (1..100).rev() {
            names.swap(at as usize, rng.below(at + 1) as usize);
        }
        let mut lists = vec![Vec::new(); 100];
        for at in 1..100 {
            let inputs = (0..rng.below(4)).map(|_| names[rng.below(at) as usize]);
            let mut inputs: Vec<u32> = inputs.collect();
            inputs.sort_unstable();
            inputs.dedup();
            lists[names[at as usize] as usize] = inputs;
        }
        let shape = Shape(lists);
        shape.run(&shape.order());
    }
}

#[test]
fn an_output_named_twice_is_one_input() {
    let third = |list: &[u32]| {
        let mut producers = Producers::default();
        for list in [&[], &[], list] {
            producers.push(list.iter().copied());
        }
        assert_eq!(producers.len(), 3);
        producers
    };
    assert_eq!(third(&[1, 0, 1, 0, 0]), third(&[0, 1]));
}

#[test]
fn a_graph_that_will_be_refused_stays_as_it_is() {
    for lists in [vec![vec![], vec![7]], vec![vec![1], vec![0]], vec![vec![0]], vec![]] {
        let shape = Shape(lists);
        assert_eq!(shape.order(), shape.submission());
    }
}

#[test]
fn long_chains_and_wide_joins_take_no_stack() {
    let chain = shape(|shape| {
        for task in (0..100_000_u32).rev() {
            shape.task((task > 0).then_some(100_000 - task));
        }
    });
    assert_eq!(chain.run(&chain.order()).most, 2);
    let join = shape(|shape| {
        let leaves = shape.tasks(100_000);
        shape.task(leaves)
    });
    assert_eq!(join.order(), join.submission());
}
