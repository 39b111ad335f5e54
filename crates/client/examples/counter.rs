//! A counter that lives in a cluster.
//!
//! `cargo run -p bireme-client --example counter` with a scheduler and any worker: all have the class `builtin/Counter`.

#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;

use bireme_client::{Actor, Call, Client, ConnectOptions, decode, encode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ConnectOptions::default()).await?;
    let counter: Actor = client.actor("builtin/Counter").create().await?;

    // Each call is made here, and awaited later: they run in this order.
    let calls: Vec<Call> = (0..100).map(|_| counter.call("increment", ())).collect();
    for (n, call) in (1..).zip(calls) {
        let counted: i64 = decode(&call.await?)?;
        assert_eq!(counted, n);
    }
    println!("{}", decode::<i64>(&counter.call("add", encode(&10)?).await?)?);
    println!("{}", decode::<i64>(&counter.call("get", ()).await?)?);
    Ok(())
}
