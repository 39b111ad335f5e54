//! Callers that wait rather than be refused send one call at a time while the mailbox is half full: what is under way then
//! still fits in.

use super::{Effect, Host};
use crate::actor::OnFull;
use crate::actor::wire::ToCaller;

impl Host {
    /// How many calls a caller may have here without a reply, as things stand.
    pub(super) fn window_now(&self) -> u32 {
        if self.narrow { 1 } else { self.spec.mailbox.calls.max(1) }
    }

    /// Tells callers of a window that has become smaller, or as large again as it was when little is left of what filled it.
    pub(super) fn fit_window(&mut self, effects: &mut Vec<Effect>) {
        let mailbox = &self.spec.mailbox;
        let held = self.mailbox.bytes() + self.callers.bytes;
        let limit = if self.narrow { mailbox.bytes / 4 } else { mailbox.bytes / 2 };
        let narrow = held > limit && mailbox.on_full == OnFull::Wait;
        if narrow == self.narrow || self.is_over() {
            return;
        }
        self.narrow = narrow;
        let word = ToCaller::Window(self.window_now());
        let lines = self.callers.iter().filter_map(|(_, caller)| caller.line);
        effects.extend(lines.map(|line| Effect::Say { line, word: word.clone() }));
    }
}
