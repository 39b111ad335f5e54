//! Placeholders in the texts of a job file.
//!
//! `{word}` and `{word.word}` in lower case are placeholders, and an unknown one is an error; any other brace, and one that
//! follows a `$`, stands for itself, so that shell and awk scripts need no care. `{{word}}` is the text `{word}`.

use std::collections::BTreeMap;

use super::file::Scalar;
use super::item::Item;
use super::nearest;

/// A text in pieces.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(pub(super) Vec<Piece>);

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Index,
    Inputs(Taken),
    Item(Field),
    JobDir,
    Param(String),
    Text(String),
}

/// Which inputs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    All,
    /// Those from one table.
    From(String),
}

/// What of an item.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Field {
    /// A field of a row, or a part of a path.
    Named(String),
    /// All of it.
    Whole,
}

/// What placeholders stand for at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) params: &'a BTreeMap<String, Scalar>,
    pub(super) job_dir: &'a str,
    /// The item, where the source has any.
    pub(super) item: Option<&'a Item>,
    /// Its number, or that of the task among those of its table.
    pub(super) index: Option<usize>,
}

const PLACEHOLDERS: [&str; 6] = ["param.NAME", "item", "item.name", "item.stem", "index", "inputs"];

impl Template {
    /// Takes a text apart. The error says which placeholder is unknown.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            let is_variable = before.ends_with('$');
            if let Some((word, after)) = braced(from, "{{", "}}") {
                literal.extend(["{", word, "}"]);
                rest = after;
            } else if let Some((word, after)) = braced(from, "{", "}").filter(|_| !is_variable) {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(placeholder(word)?);
                rest = after;
            } else {
                literal.push('{');
                rest = from.strip_prefix('{').unwrap_or_default();
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// The inputs that the whole text stands for: `None` if it is anything else.
    pub(super) fn as_inputs(&self) -> Option<&Taken> {
        match self.0.as_slice() {
            [Piece::Inputs(taken)] => Some(taken),
            _ => None,
        }
    }

    /// Fills in the text; `inputs` says what stands for inputs.
    pub(super) fn render(
        &self,
        scope: &Scope<'_>,
        mut inputs: impl FnMut(&Taken) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Index => text.push_str(&scope.index()?.to_string()),
                Piece::Inputs(taken) => text.push_str(&inputs(taken)?),
                Piece::Item(field) => text.push_str(scope.item(field)?),
                Piece::JobDir => text.push_str(scope.job_dir),
                Piece::Param(name) => text.push_str(&scope.param(name)?.to_string()),
                Piece::Text(literal) => text.push_str(literal),
            }
        }
        Ok(text)
    }
}

impl Scope<'_> {
    /// Fills in a text where inputs have no place.
    pub(super) fn text(&self, text: &str) -> Result<String, String> {
        Template::parse(text)?.render(self, |_| {
            Err("`{inputs}` has no place here: it stands in `command`, `args` and `stdin`".into())
        })
    }

    fn param(&self, name: &str) -> Result<&Scalar, String> {
        self.params.get(name).ok_or_else(|| {
            let hint = nearest(name, self.params.keys().map(String::as_str));
            format!("`{{param.{name}}}` is not in [params]: {hint}")
        })
    }

    fn index(&self) -> Result<usize, String> {
        Ok(self.index.ok_or("`{index}` needs `for_each` or `reduce`")?)
    }

    fn item(&self, field: &Field) -> Result<&str, String> {
        let item =
            self.item.ok_or("`{item}` needs `for_each` with a glob, lines, list, range or rows")?;
        match field {
            Field::Whole => Ok(item.whole()),
            Field::Named(name) => item.field(name),
        }
    }
}

/// The placeholder's word if `text` begins with one between `open` and `close`, and what follows.
fn braced<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let inner = text.strip_prefix(open)?;
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    // A name may have capitals, the word before the point may not: `{param.N}` is one, `{N}` is not.
    let end = inner.find(|c: char| !(is_part(c) || c.is_ascii_uppercase()))?;
    let (word, rest) = inner.split_at(end);
    let first = word.split('.').next().unwrap_or_default();
    let is_word = first.starts_with(|c: char| c.is_ascii_lowercase()) && first.chars().all(is_part);
    Some((word, rest.strip_prefix(close).filter(|_| is_word)?))
}

fn placeholder(word: &str) -> Result<Piece, String> {
    Ok(match word.split_once('.') {
        None if word == "index" => Piece::Index,
        None if word == "inputs" => Piece::Inputs(Taken::All),
        None if word == "item" => Piece::Item(Field::Whole),
        Some(("inputs", table)) if !table.is_empty() => {
            Piece::Inputs(Taken::From(table.to_owned()))
        }
        Some(("item", field)) if !field.is_empty() => Piece::Item(Field::Named(field.to_owned())),
        Some(("job", "dir")) => Piece::JobDir,
        Some(("param", name)) if !name.is_empty() => Piece::Param(name.to_owned()),
        _ => {
            let hint = nearest(word, PLACEHOLDERS.into_iter().chain(["inputs.TASK", "job.dir"]));
            return Err(format!(
                "`{{{word}}}` is no placeholder: {hint} (write `{{{{{word}}}}}` for the text itself)"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let params = [("dir".to_owned(), Scalar::Text("/data".into()))].into();
        let item = Item::Text("/a/b.txt".into());
        let scope = Scope { params: &params, job_dir: "/job", item: Some(&item), index: Some(7) };
        Template::parse(text)?.render(&scope, |taken| Ok(format!("<{taken:?}>")))
    }

    #[test]
    fn placeholders_are_filled_in() {
        let cases = [
            ("{param.dir}/x", "/data/x"),
            ("{item} {item.name} {item.stem} {index}", "/a/b.txt b.txt b 7"),
            ("{inputs}{inputs.count}", "<All><From(\"count\")>"),
            ("{job.dir}/data", "/job/data"),
            ("", ""),
        ];
        for (text, filled) in cases {
            assert_eq!(render(text).as_deref(), Ok(filled), "{text}");
        }
    }

    #[test]
    fn braces_of_scripts_stand_for_themselves() {
        for text in [
            "awk '{print $1}'",
            "${HOME}",
            "${home}",
            "[0-9]{3}",
            "{a,b}",
            "{",
            "}",
            "{}",
            "{ item }",
            "{N}",
            "a{",
        ] {
            assert_eq!(render(text).as_deref(), Ok(text), "{text}");
        }
        assert_eq!(render("{{item}} and {{x}}").as_deref(), Ok("{item} and {x}"));
    }

    #[test]
    fn a_misspelt_placeholder_is_an_error_with_a_remedy() {
        let refused = |text: &str| render(text).unwrap_err();
        assert!(refused("{itme}").contains("did you mean `item`?"));
        assert!(refused("{itme}").contains("write `{{itme}}` for the text itself"));
        assert!(refused("{param.dri}").contains("did you mean `dir`?"));
        assert!(refused("{item.ext}").contains("is no placeholder"));
    }

    #[test]
    fn an_item_needs_a_source() {
        let scope = Scope { params: &BTreeMap::new(), job_dir: "", item: None, index: None };
        assert!(scope.text("{item}").unwrap_err().contains("needs `for_each`"));
        assert!(scope.text("{index}").unwrap_err().contains("needs `for_each`"));
        assert!(scope.text("{inputs}").unwrap_err().contains("has no place here"));
    }
}
