//! `bireme actor show`

use bireme_client::{ActorDetails, ActorStatus, Admin};
use bireme_core::actor::statistics::ActorStatistics;
use serde_json::{Value as Json, json};

use super::super::resources_text;
use super::{called, refused, state};
use crate::args::{ActorArg, Global};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(
    global: &Global,
    admin: &Admin,
    actor: ActorArg,
    stacks: bool,
) -> Result<Exit, Failure> {
    let found = admin.actor(&actor.selector).await.map_err(refused(&actor))?;
    let inside = match found.place.worker {
        // A worker that cannot be asked leaves what the scheduler knows.
        Some(_) => admin.look_into(&actor.selector, stacks).await.map_err(|refused| {
            output::say(&format!("warning: its worker does not answer: {refused}"));
        }),
        None => Err(()),
    };
    let inside = inside.ok();
    let json =
        super::super::with(super::json(&found), json!({ "host": inside.as_ref().map(json) }));
    output::show(global.output, &json, &table(&found, inside.as_ref()))?;
    Ok(Exit::Done)
}

fn json(inside: &ActorDetails) -> Json {
    let lane = |lane: &bireme_client::LaneStatus| {
        json!({
            "lane": lane.name,
            "waiting": lane.waiting,
            "oldest_us": lane.oldest.0,
            "running": lane.running,
        })
    };
    let running = |call: &bireme_client::RunningCall| {
        json!({
            "method": call.method,
            "lane": call.lane,
            "seq": call.call.seq,
            "run_us": call.ran.0,
            "stack": call.stack,
        })
    };
    json!({
        "incarnation": inside.incarnation.0,
        "age_us": inside.age.0,
        "pid": inside.pid,
        "callers": inside.callers,
        "replies": inside.replies,
        "lanes": inside.lanes.iter().map(lane).collect::<Vec<_>>(),
        "running": inside.running.iter().map(running).collect::<Vec<_>>(),
        "statistics": super::statistics_json(&inside.statistics),
    })
}

fn table(actor: &ActorStatus, inside: Option<&ActorDetails>) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("actor", format!("{}, a {}", called(actor), actor.class));
    row("id", actor.place.actor.to_string());
    row("state", state(actor));
    if let Some(worker) = actor.place.worker {
        row("worker", worker.to_string());
    }
    let (incarnation, restarts) = (actor.place.incarnation.0, actor.restarts);
    row("life", format!("{incarnation}, started again {restarts} times"));
    if actor.peers > 0 {
        let (wanted, names) = (actor.peers, actor.copies.join(", "));
        row("copies", format!("{} of {wanted} in step: {names}", actor.copies.len()));
    }
    row("resources", resources_text(&actor.resources));
    row("age", actor.age.to_string());
    for death in &actor.deaths {
        let cause = death.cause.as_ref().map_or("it came to rest", |cause| &cause.message);
        let (ago, worker) = (death.ago, &death.worker);
        row("death", format!("life {}, {ago} ago on {worker}: {cause}", death.incarnation.0));
    }
    if let Some(inside) = inside {
        host(&mut row, inside);
    }
    let statistics = inside.map_or(&actor.statistics, |inside| &inside.statistics);
    counted(&mut row, statistics);
    table
}

fn host(row: &mut impl FnMut(&str, String), inside: &ActorDetails) {
    if inside.pid > 0 {
        row("process", inside.pid.to_string());
    }
    row("callers", format!("{}, {} replies kept for them", inside.callers, inside.replies));
    for lane in &inside.lanes {
        let name = if lane.name.is_empty() { "(main)" } else { &lane.name };
        let oldest = match lane.waiting {
            0 => String::new(),
            _ => format!(", the oldest for {}", lane.oldest),
        };
        let (waiting, running) = (lane.waiting, lane.running);
        row("lane", format!("{name}: {waiting} wait{oldest}, {running} run"));
    }
    for call in &inside.running {
        row("runs", format!("{} for {}", call.method, call.ran));
        for line in call.stack.lines() {
            row("", line.to_owned());
        }
    }
}

fn counted(row: &mut impl FnMut(&str, String), statistics: &ActorStatistics) {
    if statistics.checkpoints > 0 {
        row(
            "checkpoint",
            format!(
                "{}, {} ago, made in {}",
                output::size(statistics.state_bytes),
                statistics.checkpoint_age,
                statistics.checkpoint_took
            ),
        );
    }
    if statistics.log_bytes > 0 {
        row("log", output::size(statistics.log_bytes));
    }
    for (method, counted) in &statistics.methods {
        row(
            "method",
            format!(
                "{method}: {} calls, {} errors, p50 {} us, p99 {} us, waited p99 {} us",
                counted.calls,
                counted.user_errors + counted.failures,
                counted.run_us.quantile(500),
                counted.run_us.quantile(990),
                counted.queue_us.quantile(990)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn one_actor_says_where_it_is_and_what_was_counted() {
        expect![[r"
            actor      bank/counter, a Counter
            id         00000000000000000000000000000007
            state      alive
            worker     w3
            life       2, started again 1 times
            resources  cpus=0
            age        1 min
            method     increment: 3 calls, 1 errors, p50 223 us, p99 300 us, waited p99 0 us
        "]]
        .assert_eq(&table(&super::super::tests::actor(), None).render());
    }
}
