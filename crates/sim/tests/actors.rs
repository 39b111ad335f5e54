//! Callers and hosts over the fixed seeds: every call ends, what was acknowledged is kept, and together they reach everything.

use bireme_sim::Detail;
use bireme_sim::actors::{Seen, run, trace};

#[test]
fn every_seed_keeps_what_actors_promise_and_together_they_reach_everything() {
    let mut seen = Seen::default();
    for seed in 0..2_000 {
        for faults in [false, true] {
            match run(seed, faults, Detail::Nothing) {
                Ok(of_run) => seen.add(&of_run),
                Err(failure) => panic!("{failure}"),
            }
        }
    }
    assert_eq!(seen.missing(), Vec::<&str>::new(), "never reached");
}

#[test]
fn the_same_seed_is_the_same_run_of_actors_to_the_byte() {
    for seed in 0..12 {
        assert_eq!(trace(seed, true).ok(), trace(seed, true).ok(), "seed {seed}");
    }
}

/// Each failed once, and what it showed was mended.
#[test]
fn seeds_that_failed_once() {
    for (seed, what) in [
        (1_004_204, "in the model, calls that were never written kept their place in the order"),
        (1_011_258, "in the model, a stream ended before its caller, which was gone, is forgotten"),
        (2_024_947, "an actor that made its calls again was told that one had not run which had"),
        (1_000_088, "a stream that nobody wanted held the log up once its end was lost"),
        (2_003_617, "in the model, an actor that left its state moved with an old one"),
        (4_783, "in the model, a call was set aside that others had run beside, and not yet again"),
    ] {
        if let Err(failure) = run(seed, true, Detail::Nothing) {
            panic!("{what}: {failure}");
        }
    }
}
