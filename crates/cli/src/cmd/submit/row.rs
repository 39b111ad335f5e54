//! The rows of a submission, and what placeholders stand for in each.

use std::io::Read as _;
use std::path::Path;

use crate::args::RowsArgs;
use crate::exit::Failure;
use crate::job::{Disk, Files as _};

/// What one task is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    /// The number of `--array`, else counted from 0.
    pub(super) number: u32,
    pub(super) item: Item,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item {
    None,
    Line(String),
    File(String),
}

/// The rows that were asked for; `None` is a single task.
pub(super) fn rows(args: &RowsArgs) -> Result<Option<Vec<Row>>, Failure> {
    let items: Vec<_> = match args {
        RowsArgs { array: Some(array), .. } => {
            let row = |number| Row { number, item: Item::None };
            return Ok(Some(array.numbers().map(row).collect()));
        }
        RowsArgs { each_line: Some(path), .. } => {
            lines(path)?.into_iter().map(Item::Line).collect()
        }
        RowsArgs { each_file: Some(pattern), .. } => {
            let found = Disk.glob(pattern).map_err(Failure::bad_input)?;
            if found.is_empty() {
                let message = format!("no file matches `{pattern}`; directories do not count");
                return Err(Failure::bad_input(message));
            }
            found.into_iter().map(Item::File).collect()
        }
        _ => return Ok(None),
    };
    Ok(Some((0..).zip(items).map(|(number, item)| Row { number, item }).collect()))
}

/// The lines of a file that are not blank.
fn lines(path: &Path) -> Result<Vec<String>, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::bad_input(format!("cannot read {}: {error}", path.display()))
    };
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map_err(cannot)?;
    } else {
        text = std::fs::read_to_string(path).map_err(cannot)?;
    }
    let lines: Vec<_> =
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        let message = format!("{} has no line that is not blank", path.display());
        return Err(Failure::bad_input(message));
    }
    Ok(lines)
}

impl Row {
    /// A text with what its placeholders stand for. Other braces stay.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let named =
                after.split_once('}').and_then(|(name, end)| Some((self.named(name)?, end)));
            if let Some((value, end)) = named {
                filled.push_str(&value);
                rest = end;
            } else {
                filled.push('{');
                rest = after;
            }
        }
        filled + rest
    }

    fn named(&self, placeholder: &str) -> Option<String> {
        let part = |part: Option<&std::ffi::OsStr>| Some(part?.to_string_lossy().into_owned());
        match (placeholder, &self.item) {
            ("row", _) => Some(self.number.to_string()),
            ("line", Item::Line(line)) => Some(line.clone()),
            ("file", Item::File(path)) => Some(path.clone()),
            ("file.name", Item::File(path)) => part(Path::new(path).file_name()),
            ("file.stem", Item::File(path)) => part(Path::new(path).file_stem()),
            _ => None,
        }
    }

    /// The variables that tell a command its row.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        let item = match &self.item {
            Item::None => None,
            Item::Line(line) => Some(("BIREME_LINE", line.clone())),
            Item::File(path) => Some(("BIREME_FILE", path.clone())),
        };
        [("BIREME_ROW", self.number.to_string())].into_iter().chain(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(item: Item) -> Row {
        Row { number: 7, item }
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let line = row(Item::Line("a {row} b".into()));
        assert_eq!(line.fill("{line}|{row}|{file}|{|}|{}"), "a {row} b|7|{file}|{|}|{}");
        assert_eq!(line.fill("awk '{print $1}' {{row}}"), "awk '{print $1}' {7}");
        let file = row(Item::File("/in/b.tar.gz".into()));
        assert_eq!(file.fill("{file} {file.name} {file.stem}"), "/in/b.tar.gz b.tar.gz b.tar");
        assert_eq!(row(Item::None).fill("{line}"), "{line}");
    }

    #[test]
    fn blank_lines_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        std::fs::write(&path, "a\n\n  \nb c\n").unwrap();
        assert_eq!(lines(&path).unwrap(), ["a", "b c"]);
        std::fs::write(&path, "\n").unwrap();
        assert!(lines(&path).unwrap_err().to_string().contains("no line that is not blank"));
        let missing = lines(Path::new("/nowhere")).unwrap_err();
        assert!(missing.to_string().contains("cannot read /nowhere"));
    }

    #[test]
    fn a_command_is_told_its_row_by_variables() {
        let told: Vec<_> = row(Item::Line("x".into())).variables().collect();
        assert_eq!(told, [("BIREME_ROW", "7".to_owned()), ("BIREME_LINE", "x".to_owned())]);
    }
}
