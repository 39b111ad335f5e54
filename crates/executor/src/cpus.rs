//! How code of an attempt gives its cpus back while it waits for others.

use std::fmt;
use std::sync::{Mutex, Weak};

use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};
use bireme_proto::pb::Refused;
use bireme_proto::pb::executor_order::answer::Answer;
use bireme_proto::pb::executor_report::{Rejoin, Report, Secede};

use crate::desk::Desk;
use crate::sync::lock;

/// The cpus of an attempt, as its code sees them.
///
/// Waits are counted: the cpus are given back when the first begins, and are there again when the last one ends. An attempt
/// that ends without them needs none.
pub struct Cpus {
    attempt: AttemptId,
    desk: Weak<Desk>,
    waits: Mutex<usize>,
}

impl Cpus {
    pub(crate) fn new(attempt: AttemptId, desk: Weak<Desk>) -> Self {
        Self { attempt, desk, waits: Mutex::new(0) }
    }

    /// The code begins to wait for what others do: from here on they may have its cpus. Fails, and nothing has begun, where so
    /// many wait already that this might never end (`WOULD_DEADLOCK`).
    pub fn secede(&self) -> Result<(), Box<TaskError>> {
        let mut waits = lock(&self.waits);
        if *waits == 0 {
            let attempt = Some(self.attempt.into());
            self.ask(|request| Report::Secede(Secede { attempt, request }))?;
        }
        *waits += 1;
        Ok(())
    }

    /// The code has waited and goes on. Returns when the attempt has its cpus again, or fails where it is to end instead.
    pub fn rejoin(&self) -> Result<(), Box<TaskError>> {
        let mut waits = lock(&self.waits);
        match *waits {
            0 => return Ok(()),
            1 => {
                let attempt = Some(self.attempt.into());
                *waits = 0;
                self.ask(|request| Report::Rejoin(Rejoin { request, attempt }))?;
            }
            _ => *waits -= 1,
        }
        Ok(())
    }

    fn ask(&self, report: impl FnOnce(u64) -> Report) -> Result<(), Box<TaskError>> {
        let answer = self.desk.upgrade().and_then(|desk| desk.ask(report));
        let (class, reason, message) = match answer {
            Some(Answer::Done(_)) => return Ok(()),
            Some(Answer::Refused(Refused { reason, message, .. })) => {
                let class = match Reason::from_name(&reason) {
                    Some(Reason::WouldDeadlock) => ErrorClass::WouldDeadlock,
                    _ => ErrorClass::Cancelled,
                };
                (class, reason, message)
            }
            Some(_) => {
                let message = "the worker answered something else than that it is done".to_owned();
                (ErrorClass::User, Reason::Malformed.name().to_owned(), message)
            }
            None => {
                let reason = Reason::ShuttingDown.name().to_owned();
                (ErrorClass::Cancelled, reason, "the worker has gone".to_owned())
            }
        };
        Err(Box::new(TaskError::new(class, reason, message)))
    }
}

impl fmt::Debug for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpus").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
