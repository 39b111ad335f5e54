//! A worker with a function of its own, beside the built-in ones.
//!
//! `docs/guides/worker-binary.md` tells how to run it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::process::ExitCode;

fn main() -> ExitCode {
    bireme_worker::main(|registry| registry.task("count", count))
}

/// Counts the lines of a file. An error fails the attempt, with its text.
fn count(path: String) -> io::Result<String> {
    let mut lines = 0_u64;
    for line in BufReader::new(File::open(&path)?).split(b'\n') {
        line?;
        lines += 1;
    }
    Ok(format!("{lines} {path}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_with_the_last_one() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned();
        let lines = std::fs::read_to_string(&own).unwrap().lines().count();
        assert_eq!(count(own.clone()).unwrap(), format!("{lines} {own}\n"));
        assert!(count("/nowhere".to_owned()).is_err());
    }
}
