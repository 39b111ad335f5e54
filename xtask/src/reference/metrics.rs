//! The page of metrics: what both daemons show under `/metrics`, asked of a cluster of one worker.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::pages::{HEAD, cell};
use crate::cluster::{Shape, Site, guarded};

const INTRODUCTION: &str = "\
# Metrics

Each daemon answers `/metrics` at its `--http` address in the text format of Prometheus, and `/healthz` with 200 if it is
well, else 503 and what ails it. Names are only ever added. Counters begin at 0 with each start.
";

pub(super) async fn page() -> Result<String> {
    let site = Site::new()?;
    let mut scheduler = site.start(site.scheduler(), "scheduler", None)?;
    let first = scheduler.ready().await?;
    let mut worker = site.start_worker("w1", Shape::new(1, 1))?;
    let second = worker.ready().await?;
    let mut page = format!("{HEAD}{INTRODUCTION}");
    for (name, http) in [("bireme-scheduler", first.http), ("bireme-worker", second.http)] {
        write!(page, "\n## {name}\n\n| Name | Type | Meaning |\n| --- | --- | --- |\n")?;
        let shown = scrape(http).await.with_context(|| format!("the metrics of {name}"))?;
        for (metric, kind, meaning) in families(&shown)? {
            writeln!(page, "| `{metric}` | {kind} | {} |", cell(meaning))?;
        }
    }
    worker.stop().await?;
    scheduler.stop().await?;
    Ok(page)
}

/// Name, type and meaning of each metric, in the daemon's order; names of labels are put behind the name.
fn families(shown: &str) -> Result<Vec<(String, &str, &str)>> {
    let mut families = Vec::new();
    let mut lines = shown.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, meaning)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
        let kind = kind.and_then(|kind| kind.strip_prefix(name)).map(str::trim);
        let sample = lines.peek().and_then(|line| line.strip_prefix(name));
        let labels =
            sample.and_then(|line| line.strip_prefix('{')).and_then(|it| it.split('}').next());
        let labels: Vec<_> = labels
            .into_iter()
            .flat_map(|it| it.split(','))
            .filter_map(|it| it.split('=').next())
            .collect();
        let name = if labels.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", labels.join(","))
        };
        families.push((name, kind.context("a metric without its type")?, meaning));
    }
    ensure!(!families.is_empty(), "there are none: {shown:?}");
    Ok(families)
}

async fn scrape(server: SocketAddr) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    guarded("an answer over HTTP", exchange).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_types_and_labels_are_read() {
        let shown = "HTTP/1.1 200 OK\r\n\r\n# HELP a All of it.\n# TYPE a gauge\na{state=\"on\"} 1\na{state=\"off\"} 2\n\
                     # HELP b_total More.\n# TYPE b_total counter\nb_total 7\n";
        let families = families(shown).unwrap();
        let expected = [("a{state}", "gauge", "All of it."), ("b_total", "counter", "More.")];
        assert_eq!(families, expected.map(|(name, kind, text)| (name.to_owned(), kind, text)));
    }
}
