//! From the wire to the words of `bireme-core`, and back.
//!
//! One file for each `.proto` file whose messages machines hear of. Out goes everything by `From`. In comes what a *command* carries by `TryFrom`: whatever this version does
//! not know refuses it as `UNSUPPORTED`, whatever is missing or absurd as `MALFORMED`, with the path of the field. *Reports*
//! come in by functions that take a whole batch and also say how many parts they passed over: a report that this version
//! does not know is no reason to lose the others.
//!
//! Every message is taken apart by name, so that a new field does not compile until somebody has decided about it here.
//! Nothing is cloned, and no path is put together unless something is wrong.

pub mod actor;
pub mod common;
mod enums;
mod field;
pub mod fleet;
pub mod graph;
pub mod session;
#[cfg(test)]
mod tests;

use bireme_core::limits;

/// How many parts of a batch of reports were passed over, because this version does not know them.
#[derive(Default)]
struct Unknown(usize);

/// Cuts what is to be sent into runs that fit into messages: a run is closed before it passes [`limits::BATCH_BYTES`].
pub fn batches<M: prost::Message>(items: Vec<M>) -> Vec<Vec<M>> {
    let mut bytes = 0;
    let mut cuts = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let length = item.encoded_len();
        if at > 0 && bytes + length > limits::BATCH_BYTES {
            cuts.push(at);
            bytes = 0;
        }
        bytes += length;
    }
    let mut rest = items;
    let mut runs: Vec<_> = cuts.into_iter().rev().map(|at| rest.split_off(at)).collect();
    if !rest.is_empty() {
        runs.push(rest);
    }
    runs.reverse();
    runs
}
