//! Actors that wait for each other, over the fixed seeds: deadlocks are found where they are, and nowhere else.

use bireme_sim::deadlocks::{Ends, run};

#[test]
fn every_seed_ends_deadlocks_where_they_are_and_nowhere_else() {
    let mut all = Ends::default();
    for seed in 0..400 {
        for faults in [false, true] {
            match run(seed, faults) {
                Ok(ends) => all.add(ends),
                Err(failure) => panic!("{failure}"),
            }
        }
    }
    for (what, count) in [
        ("waited with their host", all.deadlocks),
        ("waited in a process", all.taken_back),
        ("left a record", all.unrun),
    ] {
        assert!(count > 100, "only {count} deadlocks {what}: {all:?}");
    }
}
