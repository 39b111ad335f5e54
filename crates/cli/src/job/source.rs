//! Where a job's parameters and items come from.

use std::collections::BTreeMap;

use bireme_core::limits;
use serde_json::Value as Json;

use super::file::{ForEach, Range, Scalar};
use super::item::Item;
use super::template::Scope;
use super::{Files, Problem, nearest};

/// The defaults of a file, replaced by what was given besides.
pub(super) fn params(
    mut defaults: BTreeMap<String, Scalar>,
    given: &[(String, String)],
) -> Result<BTreeMap<String, Scalar>, Problem> {
    for (name, text) in given {
        let Some(default) = defaults.get_mut(name) else {
            let hint = nearest(name, defaults.keys().map(String::as_str));
            let text = format!("the job has no parameter `{name}`: {hint}");
            return Err(Problem::at("[params]", name, text));
        };
        *default = default.like(text).ok_or_else(|| {
            let text = format!("`{text}` is not {}, as the default is", default.kind());
            Problem::at("[params]", name, text)
        })?;
    }
    Ok(defaults)
}

/// The items of a source; `None` where its items are the tasks of another table. The error names the key.
pub(super) fn items(
    source: &ForEach,
    scope: &Scope<'_>,
    files: &dyn Files,
) -> Result<Option<Vec<Item>>, (&'static str, String)> {
    let (key, texts) = match source {
        ForEach::Glob(pattern) => ("for_each.glob", glob(pattern, scope, files)),
        ForEach::Lines(path) => ("for_each.lines", lines(path, scope, files)),
        ForEach::List(list) => ("for_each.list", self::list(list, scope)),
        ForEach::Range(range) => ("for_each.range", self::range(range, scope)),
        ForEach::Rows(path) => {
            return rows(path, scope, files)
                .map(Some)
                .map_err(|problem| ("for_each.rows", problem));
        }
        ForEach::Task(_) => return Ok(None),
    };
    let texts = texts.map_err(|problem| (key, problem))?;
    Ok(Some(texts.into_iter().map(Item::Text).collect()))
}

fn glob(pattern: &str, scope: &Scope<'_>, files: &dyn Files) -> Result<Vec<String>, String> {
    let pattern = scope.text(pattern)?;
    let paths = files.glob(&pattern)?;
    if paths.is_empty() {
        return Err(format!("no file matches `{pattern}`; directories do not count"));
    }
    Ok(paths)
}

fn lines(path: &str, scope: &Scope<'_>, files: &dyn Files) -> Result<Vec<String>, String> {
    let path = scope.text(path)?;
    let text = files.text(&path)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(format!("`{path}` has no line that is not blank"));
    }
    Ok(lines)
}

fn rows(path: &str, scope: &Scope<'_>, files: &dyn Files) -> Result<Vec<Item>, String> {
    let path = scope.text(path)?;
    let text = files.text(&path)?;
    let rows = if text.trim_start().starts_with('[') { array(&text) } else { lines_of_json(&text) };
    let rows = rows.map_err(|problem| format!("`{path}`: {problem}"))?;
    if rows.is_empty() {
        return Err(format!(
            "`{path}` has no rows; write one JSON object in each line, or an array"
        ));
    }
    Ok(rows)
}

fn array(text: &str) -> Result<Vec<Item>, String> {
    let rows: Vec<serde_json::Map<_, _>> = serde_json::from_str(text)
        .map_err(|error| format!("{error}; write an array of JSON objects"))?;
    Ok(rows.into_iter().map(Item::row).collect())
}

fn lines_of_json(text: &str) -> Result<Vec<Item>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let row = |(number, line)| match serde_json::from_str(line) {
        Ok(Json::Object(object)) => Ok(Item::row(object)),
        Ok(other) => Err(format!("line {number} is `{other}`; write a JSON object in each line")),
        Err(error) => Err(format!("line {number}: {error}; write a JSON object in each line")),
    };
    lines.map(row).collect()
}

fn list(list: &[Scalar], scope: &Scope<'_>) -> Result<Vec<String>, String> {
    if list.is_empty() {
        return Err("the list is empty; leave `for_each` out for a single task".into());
    }
    list.iter().map(|item| scope.text(&item.to_string())).collect()
}

fn range(range: &Range, scope: &Scope<'_>) -> Result<Vec<String>, String> {
    let whole = |name: &str, scalar: &Scalar| {
        let text = scope.text(&scalar.to_string())?;
        text.parse::<i64>().map_err(|_| format!("`{name}` is `{text}`, which is no whole number"))
    };
    let (from, to) = (whole("from", &range.from)?, whole("to", &range.to)?);
    let step = range.step.as_ref().map_or(Ok(1), |step| whole("step", step))?;
    let distance = i128::from(to) - i128::from(from);
    if step == 0 || distance.signum() * i128::from(step.signum()) < 0 {
        return Err(format!("from {from} to {to} by {step} has no number; turn the range around"));
    }
    let count = distance / i128::from(step) + 1;
    if count > i128::from(limits::GRAPH_TASKS) {
        return Err(format!("{count} numbers, the limit is {}", limits::GRAPH_TASKS));
    }
    Ok((0..count).map(|n| (i128::from(from) + n * i128::from(step)).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(from: i64, to: i64, step: i64) -> Result<String, String> {
        let scope = Scope { params: &BTreeMap::new(), job_dir: "", item: None, index: None };
        let range =
            Range { from: Scalar::Int(from), to: Scalar::Int(to), step: Some(Scalar::Int(step)) };
        super::range(&range, &scope).map(|items| items.join(" "))
    }

    #[test]
    fn a_range_includes_both_ends() {
        assert_eq!(numbers(1, 3, 1).as_deref(), Ok("1 2 3"));
        assert_eq!(numbers(0, 5, 2).as_deref(), Ok("0 2 4"));
        assert_eq!(numbers(3, 1, -1).as_deref(), Ok("3 2 1"));
        assert_eq!(numbers(4, 4, 1).as_deref(), Ok("4"));
        assert!(numbers(1, 0, 1).unwrap_err().contains("turn the range around"));
        assert!(numbers(1, 2, 0).is_err());
        assert!(numbers(i64::MIN, i64::MAX, 1).unwrap_err().contains("the limit is"));
    }

    #[test]
    fn a_parameter_keeps_the_kind_of_its_default() {
        let defaults: BTreeMap<_, _> = [("n".to_owned(), Scalar::Int(1))].into();
        let given = |name: &str, text: &str| {
            params(defaults.clone(), &[(name.to_owned(), text.to_owned())])
        };
        assert_eq!(given("n", "5").unwrap()["n"], Scalar::Int(5));
        assert!(given("n", "five").unwrap_err().text.contains("not a whole number"));
        assert!(given("m", "5").unwrap_err().text.contains("no parameter `m`"));
    }
}
