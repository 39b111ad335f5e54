//! What is checked of an executor. Each check has a process of its own.

mod actors;
mod attempts;
mod ends;
mod greeting;
mod lives;
mod values;

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;

use super::program::Program;

/// Something that must hold of an executor.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) run: for<'a> fn(&'a Program) -> Running<'a>,
}

pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The error of a check of something that an executor may leave out, and does.
#[derive(Debug)]
pub(super) struct LeftOut(pub(super) &'static str);

impl std::error::Error for LeftOut {}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

const fn check(name: &'static str, run: for<'a> fn(&'a Program) -> Running<'a>) -> Check {
    Check { name, run }
}

pub(super) static CHECKS: [Check; 53] = [
    check("says_who_it_is", |program| Box::pin(greeting::says_who_it_is(program))),
    check("leaves_when_it_is_refused", |program| Box::pin(greeting::is_refused(program))),
    check("leaves_without_a_worker", |program| Box::pin(greeting::nobody_listens(program))),
    check("leaves_a_worker_of_another_protocol", |program| Box::pin(greeting::stranger(program))),
    check("tells_how_it_is", |program| Box::pin(greeting::beats(program))),
    check("answers_a_ping", |program| Box::pin(greeting::answers_a_ping(program))),
    check("refuses_what_it_cannot_do", |program| Box::pin(greeting::refuses(program))),
    check("passes_over_unknown_orders", |program| Box::pin(greeting::unknown_order(program))),
    check("runs_a_function", |program| Box::pin(attempts::runs_a_function(program))),
    check("runs_one_after_the_other", |program| Box::pin(attempts::one_after_the_other(program))),
    check("runs_what_waits_in_order", |program| Box::pin(attempts::ahead(program))),
    check("tells_each_end_once", |program| Box::pin(attempts::ends_once(program))),
    check("fails_with_what_was_raised", |program| Box::pin(attempts::raised(program))),
    check("names_a_function_that_is_unknown", |program| Box::pin(attempts::unknown(program))),
    check("survives_a_malformed_payload", |program| Box::pin(attempts::malformed(program))),
    check("tells_apart_what_attempts_print", |program| Box::pin(attempts::prints(program))),
    check("has_the_variables_of_its_attempt", |program| Box::pin(attempts::variables(program))),
    check("marks_what_it_runs", |program| Box::pin(attempts::marks(program))),
    check("reads_and_writes_bytes", |program| Box::pin(values::bytes(program))),
    check("reads_and_writes_text", |program| Box::pin(values::text(program))),
    check("reads_and_writes_plain_data", |program| Box::pin(values::plain_data(program))),
    check("reads_json", |program| Box::pin(values::json(program))),
    check("returns_nothing", |program| Box::pin(values::nothing(program))),
    check("names_a_value_it_cannot_read", |program| Box::pin(values::unreadable(program))),
    check("takes_inputs_rows_and_lists", |program| Box::pin(values::arguments(program))),
    check("reads_inputs_in_the_pool", |program| Box::pin(values::input_in_pool(program))),
    check("writes_large_results_into_the_pool", |program| Box::pin(values::large(program))),
    check("fails_where_there_is_no_room", |program| Box::pin(values::no_room(program))),
    check("ends_an_attempt_that_is_cancelled", |program| Box::pin(ends::cancelled(program))),
    check("gives_back_what_has_not_started", |program| Box::pin(ends::taken_back(program))),
    check("finishes_what_runs_when_drained", |program| Box::pin(ends::drained(program))),
    check("leaves_when_it_is_shut_down", |program| Box::pin(ends::shut_down(program))),
    check("leaves_with_its_worker", |program| Box::pin(ends::hung_up(program))),
    check("leaves_its_attempt_with_its_worker", |program| {
        Box::pin(ends::hung_up_while_it_runs(program))
    }),
    check("makes_an_actor", |program| Box::pin(actors::is_made(program))),
    check("runs_calls_in_order", |program| Box::pin(actors::in_order(program))),
    check("fails_a_call_with_what_was_raised", |program| Box::pin(actors::raised(program))),
    check("names_the_methods_that_there_are", |program| Box::pin(actors::no_such_method(program))),
    check("says_why_an_actor_cannot_be_made", |program| Box::pin(actors::cannot_be_made(program))),
    check("names_an_argument_it_cannot_read", |program| Box::pin(actors::unreadable(program))),
    check("hands_large_values_to_and_from_actors", |program| Box::pin(actors::large(program))),
    check("returns_nothing_where_nothing_is_wanted", |program| {
        Box::pin(actors::wants_no_value(program))
    }),
    check("reads_an_attribute", |program| Box::pin(actors::attribute(program))),
    check("sends_items_as_there_is_room", |program| Box::pin(actors::items(program))),
    check("restores_an_actor", |program| Box::pin(lives::restored(program))),
    check("replies_the_same_when_played_again", |program| Box::pin(lives::replayed(program))),
    check("ends_a_call_that_is_cancelled", |program| Box::pin(lives::cancelled(program))),
    check("drops_an_actor", |program| Box::pin(lives::dropped(program))),
    check("lets_an_actor_end_itself", |program| Box::pin(lives::ends_itself(program))),
    check("leaves_its_actor_when_it_is_shut_down", |program| Box::pin(lives::shut_down(program))),
    check("leaves_its_actor_with_its_worker", |program| Box::pin(lives::hung_up(program))),
    check("keeps_actors_apart_that_share_it", |program| Box::pin(lives::shared(program))),
    check("marks_the_call_it_runs", |program| Box::pin(lives::marks(program))),
];
