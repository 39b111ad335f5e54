//! What unwinds the stack after a panic is linked in.
//!
//! As a library of its own, `libgcc_s`, it is looked for whenever a process starts, and asks the processor what that can do, by an
//! instruction that hypervisors intercept: an eighth of the time that an executor process takes to start. What is linked in asks
//! nothing before it is used.

#![expect(
    unsafe_code,
    reason = "a library is named by a block of foreign items, of which none is used here"
)]

#[link(name = "gcc_eh")]
unsafe extern "C" {}
