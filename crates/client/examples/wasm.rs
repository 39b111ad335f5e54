//! Counts the words of files by a WebAssembly module, one task for each file.
//!
//! `cargo run -p bireme-client --example wasm -- README.md` with a scheduler, and a worker that was built with the feature
//! `wasm`.

#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;

use bireme_client::{Client, ConnectOptions, Payload, WasmPayload};
use bireme_core::graph::{GraphBuilder, GraphOptions, TaskClass, TaskSpec};
use bireme_core::{Span, Value};

const WORDS: &str = include_str!("../../../examples/wasm/words.wat");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        return Err("name the files whose words are to be counted".into());
    }
    let client = Client::connect(ConnectOptions::default()).await?;
    let module = client.put_blob(wat::parse_str(WORDS)?.into()).await?;

    let mut graph = GraphBuilder::new(GraphOptions::default());
    let class = graph.class(TaskClass { runtime: WasmPayload::RUNTIME, ..TaskClass::default() });
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let call = Payload::wasm(module, "count").arg(Value::text(text));
        let payload = call.time_limit(Span::secs(10)).encode();
        graph.task(TaskSpec { class, payload, key: file.clone(), ..TaskSpec::default() })?;
    }
    let graph = client.submit(graph).await?;
    for (n, file) in (0..).zip(&files) {
        let count = graph.result(n).await?.bytes().unwrap_or_default();
        println!("{} {file}", String::from_utf8_lossy(&count));
    }
    Ok(())
}
