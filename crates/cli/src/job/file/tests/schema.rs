//! As much of JSON Schema as the one of job files needs. A keyword that it does not know is an error.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

pub(super) struct Schema(pub(super) Json);

impl Schema {
    /// The keys of an object at a place, which must allow no others.
    pub(super) fn keys(&self, place: &str) -> BTreeSet<String> {
        let table = self.0.pointer(place).unwrap_or_else(|| panic!("the schema has no {place}"));
        assert_eq!(table["additionalProperties"], false, "{place}");
        table["properties"].as_object().unwrap().keys().cloned().collect()
    }

    /// Says what is wrong with a document.
    pub(super) fn judge(&self, document: &Json) -> Result<(), String> {
        self.value(&self.0, document)
    }

    fn value(&self, schema: &Json, value: &Json) -> Result<(), String> {
        for (keyword, rule) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" | "default" => true,
                "$ref" => {
                    let place = rule.as_str().unwrap().trim_start_matches('#');
                    self.value(self.0.pointer(place).unwrap(), value)?;
                    true
                }
                "type" => is_of(rule, value),
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
                "minItems" => {
                    value.as_array().is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap())
                }
                "pattern" => is_name(rule, value),
                "items" => {
                    value
                        .as_array()
                        .into_iter()
                        .flatten()
                        .try_for_each(|one| self.value(rule, one))?;
                    true
                }
                "anyOf" => self.fitting(rule, value) > 0,
                "oneOf" => self.fitting(rule, value) == 1,
                "required" => value.as_object().is_none_or(|object| {
                    rule.as_array()
                        .unwrap()
                        .iter()
                        .all(|key| object.contains_key(key.as_str().unwrap()))
                }),
                "properties" | "additionalProperties" => {
                    value.as_object().map_or(Ok(()), |object| self.object(schema, object))?;
                    true
                }
                other => panic!("the schema uses `{other}`, which this test does not know"),
            };
            if !holds {
                return Err(format!("{value} is not as `{keyword}`: {rule} says"));
            }
        }
        Ok(())
    }

    fn fitting(&self, schemas: &Json, value: &Json) -> usize {
        let schemas = schemas.as_array().unwrap().iter();
        schemas.filter(|schema| self.value(schema, value).is_ok()).count()
    }

    fn object(&self, schema: &Json, object: &Map<String, Json>) -> Result<(), String> {
        for (key, value) in object {
            let own = schema.get("properties").and_then(|own| own.get(key));
            match own.or_else(|| schema.get("additionalProperties")) {
                Some(Json::Bool(false)) => return Err(format!("there is no key `{key}`")),
                Some(rule) => self.value(rule, value)?,
                None => {}
            }
        }
        Ok(())
    }
}

fn is_of(types: &Json, value: &Json) -> bool {
    let is = |name: &Json| match name.as_str().unwrap() {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("the schema has the type `{other}`"),
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}

/// The only pattern there is.
fn is_name(pattern: &Json, value: &Json) -> bool {
    assert_eq!(pattern, "^[A-Za-z][A-Za-z0-9_]{0,63}$");
    let name = value.as_str().unwrap_or("a");
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
