//! How a seed is run, whatever is simulated: a panic is a failure like any other, and a run that fails tells the way there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::report::{Detail, Failure};

/// What goes wrong in a run; that it panics, too.
pub(crate) fn caught(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let panic = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => return result,
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Err(format!("panic: {}", text.unwrap_or("without a message")))
}

/// Runs a seed. If it fails with nothing written down it runs again, with the last lines of its trace kept for the report.
pub(crate) fn explained<T>(
    detail: Detail,
    run: impl Fn(Detail) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failure = match run(detail) {
        Err(failure) if detail == Detail::Nothing => failure,
        other => return other,
    };
    Err(run(Detail::Last).err().unwrap_or(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_as_what_went_wrong() {
        assert_eq!(caught(|| Ok(())), Ok(()));
        assert_eq!(caught(|| Err("lost".to_owned())), Err("lost".to_owned()));
        assert_eq!(caught(|| panic!("at {}", 7)), Err("panic: at 7".to_owned()));
        assert_eq!(caught(|| panic!("at once")), Err("panic: at once".to_owned()));
    }

    #[test]
    fn only_what_failed_without_its_trace_runs_again() {
        let run = |detail: Detail| {
            let lines =
                if detail == Detail::Nothing { Vec::new() } else { vec!["the way".to_owned()] };
            Err::<(), _>(Failure { seed: 1, faults: true, step: 2, what: "lost".to_owned(), lines })
        };
        for detail in [Detail::Nothing, Detail::Last] {
            let failure = explained(detail, run).unwrap_err();
            assert_eq!(failure.lines, ["the way"]);
        }
        assert!(explained(Detail::Nothing, |_| Ok(())).is_ok());
    }
}
