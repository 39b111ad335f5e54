//! `bireme actor top`

use std::io::IsTerminal as _;

use bireme_client::{ActorStatus, Admin};
use bireme_core::actor::statistics::MethodStatistics;
use serde_json::{Value as Json, json};

use super::super::interrupt::unless_interrupted;
use super::called;
use crate::args::{ActorTop, Format, Global};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

/// Rows that are shown.
const ROWS: usize = 40;
/// Has a terminal begin again at its top.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// A method of an actor.
struct Row {
    actor: String,
    method: String,
    counted: MethodStatistics,
    mailbox: u64,
}

pub(super) async fn run(global: &Global, admin: &Admin, args: ActorTop) -> Result<Exit, Failure> {
    let ActorTop { filter, interval, once } = args;
    let shown = async {
        loop {
            let rows = rows(admin.actors(&filter.words()).await?);
            match global.output {
                Format::Json => output::json_line(&rows.iter().map(json).collect::<Json>())?,
                Format::Text => {
                    let clear = if std::io::stdout().is_terminal() && !once { CLEAR } else { "" };
                    output::bytes(format!("{clear}{}", table(&rows).render()).as_bytes())?;
                }
            }
            if once {
                return Ok(());
            }
            tokio::time::sleep(interval.to_std()).await;
        }
    };
    let interrupted = unless_interrupted(shown, "").await?.is_none();
    Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
}

/// The methods that took the most time, first.
fn rows(actors: Vec<ActorStatus>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for actor in actors {
        let (called, mailbox) = (called(&actor), actor.statistics.mailbox);
        rows.extend(actor.statistics.methods.into_iter().map(|(method, counted)| Row {
            actor: called.clone(),
            method,
            counted,
            mailbox,
        }));
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.counted.run_us.sum));
    rows.truncate(ROWS);
    rows
}

fn json(row: &Row) -> Json {
    json!({
        "actor": row.actor,
        "method": row.method,
        "calls": row.counted.calls,
        "errors": row.counted.user_errors + row.counted.failures,
        "running": row.counted.running,
        "mailbox": row.mailbox,
        "run_sum_us": row.counted.run_us.sum,
        "run_p50_us": row.counted.run_us.quantile(500),
        "run_p99_us": row.counted.run_us.quantile(990),
        "queue_p99_us": row.counted.queue_us.quantile(990),
    })
}

fn table(rows: &[Row]) -> Table {
    let headings = [
        "ACTOR", "METHOD", "CALLS", "ERRORS", "RUNNING", "MAILBOX", "TIME", "P50", "P99",
        "WAIT P99",
    ];
    let mut table = Table::new(&headings);
    let us = |us: u64| bireme_core::Span(us).to_string();
    for row in rows {
        table.row([
            row.actor.clone(),
            row.method.clone(),
            row.counted.calls.to_string(),
            (row.counted.user_errors + row.counted.failures).to_string(),
            row.counted.running.to_string(),
            row.mailbox.to_string(),
            us(row.counted.run_us.sum),
            us(row.counted.run_us.quantile(500)),
            us(row.counted.run_us.quantile(990)),
            us(row.counted.queue_us.quantile(990)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_takes_the_most_time_is_first() {
        let mut actor = super::super::tests::actor();
        let mut slow = MethodStatistics { calls: 1, ..MethodStatistics::default() };
        slow.run_us.add(5_000_000);
        actor.statistics.methods.insert("audit".into(), slow);
        expect![[r"
            ACTOR         METHOD     CALLS  ERRORS  RUNNING  MAILBOX  TIME     P50      P99      WAIT P99
            bank/counter  audit      1      0       0        2        5.000 s  5.000 s  5.000 s  0 us
            bank/counter  increment  3      1       0        2        600 us   223 us   300 us   0 us
        "]].assert_eq(&table(&rows(vec![actor])).render());
    }
}
