//! Replies leave whoever holds the stream.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio_stream::StreamExt as _;

use super::*;

const GUARD: Duration = Duration::from_mins(1);

/// A desk, what is sent from it, and the thread that belongs to its stream.
fn held() -> (Arc<Desk>, Receiver<ExecutorReport>, JoinHandle<()>) {
    let turns = Turns::new(Builder::new_current_thread().enable_all().build().unwrap());
    let desk = Arc::new(Desk::new(Arc::new(turns)));
    let mut taken = desk.reports.taken();
    let (sender, sent) = sync_channel(8);
    let stream = desk.turns.runtime().spawn(async move {
        while let Some(batch) = taken.next().await {
            for report in batch {
                sender.send(report).unwrap();
            }
        }
    });
    let own = Arc::clone(&desk);
    (desk, sent, thread::spawn(move || own.hold(stream).unwrap()))
}

fn reply(number: u64) -> Report {
    Report::Pong(number)
}

#[test]
fn a_reply_is_sent_while_the_next_call_runs() {
    let (desk, sent, own) = held();
    let mut number = 0;
    for _ in 0..100 {
        // Once with the stream's own thread at it, and once when that has just been asked to let go.
        for waits in [false, true] {
            if waits {
                desk.turns.wait(tokio::task::yield_now());
            }
            number += 1;
            desk.report_reply(reply(number));
            assert_eq!(sent.recv_timeout(GUARD).unwrap(), wrap(reply(number)));
        }
    }
    desk.reports.close();
    own.join().unwrap();
}

#[test]
fn a_reply_is_sent_while_another_thread_waits() {
    let (desk, sent, own) = held();
    let (bell, mut looked) = (Notify::new(), false);
    thread::scope(|scope| {
        let waits = scope
            .spawn(|| desk.wait_for(&bell, || std::mem::replace(&mut looked, true).then_some(())));
        for number in 0..100 {
            desk.report_reply(reply(number));
            assert_eq!(sent.recv_timeout(GUARD).unwrap(), wrap(reply(number)));
        }
        bell.notify_one();
        waits.join().unwrap();
    });
    desk.reports.close();
    own.join().unwrap();
}
