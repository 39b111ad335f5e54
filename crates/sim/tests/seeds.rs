//! The fixed seeds: every run ends, with the right results and nothing left behind, and together they reach everything.

use bireme_sim::{Coverage, Detail, run, shares};

/// Runs seeds and returns what they have seen.
fn run_all(seeds: std::ops::Range<u64>, faults: bool) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        match run(seed, faults, Detail::Nothing) {
            Ok(outcome) => coverage.add(&outcome.coverage),
            Err(failure) => panic!("{failure}"),
        }
    }
    coverage
}

/// One test, because what is asserted in the end is about all seeds.
#[test]
fn every_seed_ends_well_and_together_they_reach_everything() {
    let mut coverage = run_all(0..300, false);
    coverage.add(&run_all(0..300, true));
    assert_eq!(coverage.missing(), Vec::<String>::new(), "never reached");
    assert_eq!(coverage.surprises(), Vec::<&str>::new(), "said to be out of reach, and is not");
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    for seed in 0..12 {
        let [first, second] = [(); 2]
            .map(|()| run(seed, true, Detail::Last).map(|outcome| (outcome.steps, outcome.digest)));
        assert_eq!(first.ok(), second.ok(), "seed {seed}");
    }
}

#[test]
fn a_session_with_little_work_does_not_wait_for_one_with_much() {
    assert_eq!(shares(), Ok(()));
}

/// Each failed once, and what it showed was mended.
#[test]
fn seeds_that_failed_once() {
    for (seed, what) in [
        (5, "an attempt that was ready was never started"),
        (1_361, "what a task had made outlived it when it failed as it was made again"),
        (3_382, "a worker was told for ever that it has what it said it misses"),
        (5_413, "a graph was done before its ends were told"),
        (10_252, "a session was resumed that its client had never heard of"),
        (102_393, "the same, with the number that it had in the scheduler's life before"),
    ] {
        if let Err(failure) = run(seed, true, Detail::Nothing) {
            panic!("{what}: {failure}");
        }
    }
}
