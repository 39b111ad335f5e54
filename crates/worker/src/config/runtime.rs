//! Language runtimes, as people name them: `python=python3 -m bireme.executor`.

use std::fmt;
use std::str::FromStr;

/// A runtime that a worker can start executor processes of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LanguageRuntime {
    /// Its name, as tasks name it: `python`.
    pub name: String,
    /// Program and arguments of a process that is one of its executors; not empty.
    pub command: Vec<String>,
}

/// Names that tasks call other kinds of executors by.
const TAKEN: [&str; 3] = ["command", "native", "wasm"];

impl FromStr for LanguageRuntime {
    type Err = String;

    /// Reads `NAME=COMMAND`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` has no name: write one such as python=python3 -m bireme.executor")
        })?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("`{name}` is no name: use letters, digits, `_`, `-` and `.`"));
        }
        if TAKEN.contains(&name) {
            return Err(format!("`{name}` is what every worker calls its own: use another name"));
        }
        let command = split(command)?;
        if command.first().is_none_or(String::is_empty) {
            return Err(format!("`{name}` has no command: name a program after the `=`"));
        }
        Ok(Self { name: name.to_owned(), command })
    }
}

impl fmt::Display for LanguageRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.command.join(" "))
    }
}

/// Splits a command into words as a shell does, which is not asked: quotes and backslashes keep blanks, nothing else is
/// special.
fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"') | None, '\\') => {
                let kept = letters.next().ok_or_else(|| format!("`{command}` ends in a `\\`"))?;
                word.get_or_insert_default().push(kept);
            }
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(open) = quote {
        return Err(format!("`{command}` has a {open} that is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        for (text, words) in [
            ("python3 -m  bireme.executor ", vec!["python3", "-m", "bireme.executor"]),
            (r"a \", vec![]),
            (
                r#"'/opt/my python/bin' -c "a 'b' \"c\"""#,
                vec!["/opt/my python/bin", "-c", r#"a 'b' "c""#],
            ),
            (r"a\ b '' c\\", vec!["a b", "", r"c\"]),
            ("a 'b", vec![]),
        ] {
            assert_eq!(split(text).unwrap_or_default(), words, "{text}");
        }
    }

    #[test]
    fn a_runtime_has_a_name_of_its_own_and_a_command() {
        let read = |text: &str| text.parse::<LanguageRuntime>();
        let python = read("python=python3 -m bireme.executor").unwrap();
        assert_eq!((python.name.as_str(), python.command.len()), ("python", 3));
        assert_eq!(read(&python.to_string()), Ok(python));
        for bad in ["python", "=x", "a b=x", "native=x", "python=", "python= ''", "python='x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
