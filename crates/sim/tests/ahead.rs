//! Chains whose links are sent ahead of their inputs, with every invariant checked after every step. That costs time in the
//! square of what is alive, so where many chains run at once there are fewer than the 2,000 that real daemons are shown with.

use bireme_core::Time;
use bireme_sim::{Chains, Outcome};

const CHAINS: Chains = Chains { count: 1, links: 50, crossed: false, failing: None, killed: None };

/// Runs chains of which links must have been sent ahead.
fn run(chains: Chains) -> Outcome {
    let outcome = chains.run().unwrap_or_else(|failure| panic!("{chains:?}: {failure}"));
    assert!(outcome.coverage.count("Moment::Ahead") > 0, "nothing was sent ahead");
    outcome
}

#[test]
fn one_chain_of_2000_waits_for_no_round_trip() {
    let outcome = run(Chains { links: 2_000, ..CHAINS });
    assert_eq!(outcome.tasks, 2_000);
    // Each link runs 200 us. Streams alone take longer than that to carry an end up and a start down.
    let per_link = outcome.took.0 / outcome.tasks;
    assert!(per_link < 1_000, "{per_link} us a link");
}

#[test]
fn many_chains_of_50_at_once() {
    let outcome = run(Chains { count: 40, ..CHAINS });
    assert_eq!(outcome.tasks, 2_000);
}

#[test]
fn chains_whose_links_take_a_second_input_from_the_other_worker() {
    run(Chains { count: 4, crossed: true, ..CHAINS });
}

#[test]
fn a_link_that_fails_takes_those_after_it_with_it() {
    for failing in [0, 1, 25, 49] {
        let outcome = run(Chains { count: 4, failing: Some(failing), ..CHAINS });
        let later = u64::from(failing < 49);
        assert!(outcome.coverage.count("failure DEPENDENCY_FAILED") >= later, "link {failing}");
        assert!(outcome.coverage.count("failure USER_ERROR") >= 4, "link {failing}");
    }
}

#[test]
fn a_worker_that_is_killed_while_it_runs_chains() {
    for at in [5_000, 8_000, 12_000, 20_000] {
        let outcome = run(Chains { count: 4, links: 200, killed: Some(Time(at)), ..CHAINS });
        assert_eq!(outcome.coverage.count("Fault::Crash"), 1, "at {at} us");
    }
}
