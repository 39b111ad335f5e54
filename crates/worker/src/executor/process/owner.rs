//! What keepers ask of the processes of one runtime.

use std::process::Command;
use std::sync::Arc;

use bireme_core::AttemptId;
use bireme_executor::Reached;

use super::Shared;
use super::ends::Death;
use super::keeper::Owner;
use super::place::Place;
use super::program::Program;
use crate::logs::Writer;

impl Owner for Shared {
    fn place(&self) -> &Place {
        &self.place
    }

    fn command(&self, _: u64) -> Command {
        self.setup.program.command()
    }

    fn can_be_forked(&self, _: u64) -> bool {
        matches!(self.setup.program, Program::Native(_))
    }

    fn started(&self, number: u64, pid: Option<u32>) {
        self.started(number, pid);
    }

    fn has_come_back(&self, number: u64) -> bool {
        self.has_come_back(number)
    }

    fn writer(
        &self,
        number: u64,
        ended: Option<AttemptId>,
        reached: Option<Reached>,
    ) -> Option<Arc<Writer>> {
        match (ended, reached) {
            (Some(attempt), _) => Some(self.writer(number, attempt)),
            (None, Some(reached)) => self.writer_of(number, reached.started),
            (None, None) => self.writer_of_first(number),
        }
    }

    fn bury(self: &Arc<Self>, number: u64, death: Death) {
        self.bury(number, death);
    }
}
