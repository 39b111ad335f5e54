//! Effectively once: whatever is killed, each call is in the state once, and its caller hears what it gave the first time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Actor, Call, Client, decode, encode};
use bireme_core::Span;
use bireme_core::actor::{CheckpointPolicy, Delivery, RestartPolicy};
use tokio::sync::watch;

use super::dice::Dice;
use super::storm::{Kind, Storm};
use crate::cluster::guarded;

/// Sessions that call at the same time.
const CALLERS: u64 = 4;
/// Calls of each that are under way at a time.
const AHEAD: usize = 16;
/// Calls from one checkpoint to the next.
const CHECKPOINT: u64 = 25;
/// Actors that money moves between.
const ACCOUNTS: usize = 4;
/// What each has at first.
const OPENING: i64 = 1_000_000;

type Builder = bireme_client::ActorBuilder<Actor>;

/// A counter counts each call once, and tells nobody a number that another was told.
pub(super) async fn counter(kind: Kind) -> Result<()> {
    let mut storm = Storm::gather(kind).await?;
    let counter = storm.cluster.client.actor("builtin/Counter").name("tests/once");
    let counter = guarded("an actor", lasting(counter).create()).await??;
    let (answered, heard) = watch::channel(0);
    let answered = Arc::new(answered);
    let each = storm.calls / CALLERS;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let client = storm.cluster.site().connect().await?;
        callers.push(tokio::spawn(increment(client, each, Arc::clone(&answered))));
    }
    let told = async {
        let mut told = BTreeSet::new();
        for caller in callers {
            let numbers = caller.await.context("a caller has panicked")??;
            ensure!(numbers.is_sorted(), "a caller was told numbers out of order");
            for number in numbers {
                ensure!(told.insert(number), "two calls were told {number}");
            }
        }
        Ok(told)
    };
    let ids = [counter.id()];
    let (told, ()) = tokio::try_join!(told, storm.rage(&ids, heard))?;
    let calls = i64::try_from(each * CALLERS)?;
    ensure!(told == (1..=calls).collect(), "the numbers told are not 1 to {calls}");
    let counted: i64 = decode(&guarded("the count", counter.call("get", ())).await??)?;
    ensure!(counted == calls, "{calls} calls were counted as {counted}");
    let restarts = storm.restarts(counter.id()).await?;
    println!("{calls} calls, {restarts} restarts; {}", storm.told());
    storm.cluster.stop().await
}

/// Increments so often, with some calls ahead, and returns what that gave.
pub(super) async fn increment(
    client: Client,
    calls: u64,
    answered: Arc<watch::Sender<u64>>,
) -> Result<Vec<i64>> {
    let counter = guarded("the counter", client.find_actor("tests/once")).await??;
    let (mut under_way, mut told) = (VecDeque::new(), Vec::new());
    for _ in 0..calls {
        under_way.push_back(counter.call("increment", ()));
        if under_way.len() >= AHEAD {
            told.extend(next(&mut under_way, &answered).await?);
        }
    }
    while let Some(number) = next(&mut under_way, &answered).await? {
        told.push(number);
    }
    drop(counter);
    client.close().await?;
    Ok(told)
}

/// What the oldest call gave.
async fn next(
    under_way: &mut VecDeque<Call>,
    answered: &watch::Sender<u64>,
) -> Result<Option<i64>> {
    let Some(call) = under_way.pop_front() else { return Ok(None) };
    let number = decode(&guarded("a call", call).await??)?;
    answered.send_modify(|calls| *calls += 1);
    Ok(Some(number))
}

/// A booking that was confirmed.
struct Booked {
    account: usize,
    amount: i64,
    /// What the account had after it.
    balance: i64,
}

/// Money moves between accounts: no transfer is lost, none happens twice, and the total is what it was.
pub(super) async fn bank(kind: Kind) -> Result<()> {
    let mut storm = Storm::gather(kind).await?;
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        let account = storm.cluster.client.actor("builtin/Counter").name(name_of(n).as_str());
        let account = lasting(account.arg(encode(&OPENING)?));
        accounts.push(guarded("an account", account.create()).await??);
    }
    let (answered, heard) = watch::channel(0);
    let answered = Arc::new(answered);
    let transfers = storm.calls / CALLERS / 2;
    let mut tellers = Vec::new();
    for n in 0..CALLERS {
        let client = storm.cluster.site().connect().await?;
        let dice = Dice::new(storm.seed ^ (n + 1) << 32);
        tellers.push(tokio::spawn(transfer(client, transfers, dice, Arc::clone(&answered))));
    }
    let booked = async {
        let mut booked = Vec::new();
        for teller in tellers {
            booked.extend(teller.await.context("a teller has panicked")??);
        }
        Ok(booked)
    };
    let ids: Vec<_> = accounts.iter().map(Actor::id).collect();
    let (booked, ()) = tokio::try_join!(booked, storm.rage(&ids, heard))?;
    let mut total = 0;
    for (n, account) in accounts.iter().enumerate() {
        let balance = decode(&guarded("a balance", account.call("get", ())).await??)?;
        audit(n, balance, &booked)?;
        total += balance;
    }
    ensure!(total == OPENING * i64::try_from(ACCOUNTS)?, "the total has become {total}");
    println!("{} transfers, total {total}; {}", transfers * CALLERS, storm.told());
    storm.cluster.stop().await
}

fn name_of(account: usize) -> String {
    format!("tests/account-{account}")
}

/// Moves money so often between accounts, with some bookings ahead, and returns what these came to.
async fn transfer(
    client: Client,
    transfers: u64,
    mut dice: Dice,
    answered: Arc<watch::Sender<u64>>,
) -> Result<Vec<Booked>> {
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        accounts.push(guarded("an account", client.find_actor(name_of(n).as_str())).await??);
    }
    let (mut under_way, mut bookings, mut booked) = (VecDeque::new(), VecDeque::new(), Vec::new());
    for left in (0..transfers).rev() {
        let source = dice.below(ACCOUNTS);
        let target = (source + 1 + dice.below(ACCOUNTS - 1)) % ACCOUNTS;
        // So large that hardly two are the same, and no other sum of them either.
        let moved = i64::try_from(dice.bits() >> 24)?;
        for (account, amount) in [(source, -moved), (target, moved)] {
            let actor = accounts.get(account).context("there is such an account")?;
            under_way.push_back(actor.call("add", encode(&amount)?));
            bookings.push_back((account, amount));
        }
        while under_way.len() >= AHEAD || (left == 0 && !under_way.is_empty()) {
            let balance = next(&mut under_way, &answered).await?;
            let (account, amount) = bookings.pop_front().context("it was booked")?;
            booked.extend(balance.map(|balance| Booked { account, amount, balance }));
        }
    }
    drop(accounts);
    client.close().await?;
    Ok(booked)
}

/// All bookings of an account follow each other, each once, from what it had at first to what it has now.
fn audit(account: usize, balance: i64, booked: &[Booked]) -> Result<()> {
    let own = booked.iter().filter(|booking| booking.account == account);
    let mut steps = BTreeMap::new();
    for Booked { amount, balance, .. } in own {
        let before = balance - amount;
        let twice = steps.insert(before, *balance).is_some();
        ensure!(!twice, "two bookings of account {account} were made when it had {before}");
    }
    let mut now = OPENING;
    while let Some(after) = steps.remove(&now) {
        now = after;
    }
    let left = steps.len();
    ensure!(left == 0, "{left} bookings of account {account} do not follow from the others");
    ensure!(now == balance, "account {account} has {balance}, and {now} was told last");
    Ok(())
}

/// An actor that comes back however often it is lost, and that no crash is blamed on: they come from outside.
fn lasting(builder: Builder) -> Builder {
    let restart = RestartPolicy {
        max_restarts: None,
        backoff: Span::ZERO,
        poison_after: u32::MAX,
        ..RestartPolicy::default()
    };
    let checkpoint = CheckpointPolicy { every_calls: CHECKPOINT, ..CheckpointPolicy::default() };
    builder.delivery(Delivery::EffectivelyOnce).restart(restart).checkpoint(checkpoint)
}
