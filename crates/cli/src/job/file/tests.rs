//! The schema for editors says what the parser says.

mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use self::schema::Schema;
use super::super::class::RETRY_ON;
use super::task::{Common, Local, Reduce};
use super::*;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn schema() -> Schema {
    let text = std::fs::read_to_string(docs().join("reference/job.schema.json")).unwrap();
    Schema(serde_json::from_str(&text).unwrap())
}

/// The keys that a table may have, as the parser names them when it is given another.
fn keys<'a, T: Deserialize<'a>>(table: &'a str) -> BTreeSet<String> {
    let error = toml::from_str::<T>(table).err().unwrap();
    let (_, expected) = error.message().split_once("expected ").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_parser_is_in_the_schema() {
    let schema = schema();
    let task = "/properties/task/items";
    let cases = [
        ("", keys::<File>("x = 1")),
        ("/properties/job", keys::<Header>("x = 1")),
        ("/properties/defaults", keys::<Common>("x = 1")),
        ("/properties/output", keys::<Output>("x = 1")),
        (task, keys::<Task>("x = 1")),
        (&format!("{task}/properties/reduce"), keys::<Reduce>("x = 1")),
        (&format!("{task}/properties/for_each/oneOf/3/properties/range"), keys::<Range>("x = 1")),
        (&format!("{task}/properties/files/additionalProperties/anyOf/1"), keys::<Local>("x = 1")),
    ];
    for (place, keys) in cases {
        assert_eq!(schema.keys(place), keys, "{place}");
    }
    let sources = schema.0.pointer(&format!("{task}/properties/for_each/oneOf")).unwrap();
    let sources = sources.as_array().unwrap().iter();
    let sources = sources.flat_map(|one| one["properties"].as_object().unwrap().keys());
    assert_eq!(names(sources.map(String::as_str)), keys::<ForEach>("x = 1"));
    let retry_on = schema.0.pointer(&format!("{task}/properties/retry_on/items/enum")).unwrap();
    let retry_on = retry_on.as_array().unwrap().iter().filter_map(Json::as_str);
    assert_eq!(names(retry_on), names(RETRY_ON.map(|(name, _)| name)));
}

#[test]
fn the_schema_takes_every_example() {
    let examples = std::fs::read_dir(docs().join("../examples")).unwrap();
    let jobs = examples.map(|example| example.unwrap().path().join("job.toml"));
    let mut texts: Vec<_> = jobs.filter_map(|job| std::fs::read_to_string(job).ok()).collect();
    assert!(!texts.is_empty());
    let guide = std::fs::read_to_string(docs().join("guides/job-files.md")).unwrap();
    let blocks = guide.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    texts.extend(blocks.map(str::to_owned));
    for text in texts {
        File::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let job: Json = toml::from_str(&text).unwrap();
        assert_eq!(schema().judge(&job), Ok(()), "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let task = |key: &str, value: Json| {
        let mut task = json!({ "name": "a", "command": ["x"] });
        task[key] = value;
        json!({ "task": [task] })
    };
    assert_eq!(schema().judge(&task("retries", json!(3))), Ok(()));
    let wrong = [
        task("comand", json!("x")),
        task("retries", json!(-1)),
        task("timeout", json!(5)),
        task("function", json!("f")),
        task("for_each", json!({ "files": "*" })),
        task("for_each", json!({ "glob": "*", "lines": "x" })),
        task("for_each", json!({ "range": { "from": 1 } })),
        task("on_worker_lost", json!("panic")),
        task("name", json!("a b")),
        json!({}),
    ];
    for job in wrong {
        assert!(schema().judge(&job).is_err(), "{job}");
    }
}
