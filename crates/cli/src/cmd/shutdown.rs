//! `bireme shutdown`

use serde_json::json;

use super::admin;
use crate::args::{Global, Shutdown};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, args: Shutdown) -> Result<Exit, Failure> {
    let Shutdown { workers, grace, reason } = args;
    let admin = admin(global).await?;
    let lost = admin.shutdown(workers, grace, &reason).await?;
    let mut table = Table::new(&[]);
    let with = if workers { ", with its workers" } else { "; its workers wait for another" };
    table.row([format!("the scheduler ends{with}")]);
    for lost in &lost {
        table.row([format!("lost: {lost}")]);
    }
    output::show(global.output, &json!({ "workers": workers, "lost": lost }), &table)?;
    Ok(Exit::Done)
}
