//! Outputs that a job writes to files.

use std::io;
use std::path::Path;

use bireme_client::{Graph, ResultError};
use bireme_core::id::TaskId;

use crate::exit::Failure;
use crate::job::Saved;

/// Fetches what a job saves and writes it, one after the other. Directories are made as needed.
pub(super) async fn save(graph: &Graph, all: &[Saved]) -> Result<(), Failure> {
    for Saved { task, output, path } in all {
        let value = graph.output(*task, *output).await?;
        let bytes = value.bytes().ok_or_else(|| ResultError::Fetch {
            task: TaskId { graph: graph.id(), index: *task },
            problem: "its bytes are elsewhere".to_owned(),
        })?;
        write(path, &bytes).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot save {}: {error}", path.display()))
        })?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn directories_are_made_as_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        super::write(&path, b"x").unwrap();
        super::write(&path, b"y").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"y");
    }
}
