//! What `{item}` stands for.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::nearest;

/// One of the items that a table makes a task of each.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A path, a line or a number.
    Text(String),
    /// An object of a JSON file: all of it, and each of its fields, as text.
    Row { text: String, fields: BTreeMap<String, String> },
}

impl Item {
    /// An object, as it stands for itself.
    pub(super) fn row(object: serde_json::Map<String, Json>) -> Self {
        let field = |(name, value): (&String, &Json)| (name.clone(), plain(value));
        let fields = object.iter().map(field).collect();
        Self::Row { text: Json::Object(object).to_string(), fields }
    }

    /// All of it.
    pub(super) fn whole(&self) -> &str {
        let (Self::Text(text) | Self::Row { text, .. }) = self;
        text
    }

    /// A field of a row, or a part of a path.
    pub(super) fn field(&self, name: &str) -> Result<&str, String> {
        match self {
            Self::Row { fields, .. } => fields.get(name).map(String::as_str).ok_or_else(|| {
                let hint = nearest(name, fields.keys().map(String::as_str));
                format!("`{{item.{name}}}` is no field of {}: {hint}", self.whole())
            }),
            Self::Text(text) => part(text, name),
        }
    }
}

/// The last component of a path, or the same without its extension.
fn part<'a>(path: &'a str, name: &str) -> Result<&'a str, String> {
    let part = match name {
        "name" => Path::new(path).file_name(),
        "stem" => Path::new(path).file_stem(),
        _ => {
            return Err(format!(
                "`{{item.{name}}}` is no placeholder: there are `item.name` and `item.stem`, and fields where `for_each` has `rows`"
            ));
        }
    };
    part.and_then(|part| part.to_str())
        .ok_or_else(|| format!("`{{item.{name}}}` needs a path that ends in a name, not {path:?}"))
}

/// A text as it is, anything else as JSON.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_fields_as_text() {
        let Json::Object(object) = serde_json::json!({
            "n": 3, "rate": 0.5, "name": "a b", "on": true, "more": [1, {}], "none": null
        }) else {
            panic!("no object")
        };
        let row = Item::row(object);
        let field = |name: &str| row.field(name).unwrap().to_owned();
        let fields = ["n", "rate", "name", "on", "more", "none"].map(field);
        assert_eq!(fields, ["3", "0.5", "a b", "true", "[1,{}]", "null"]);
        assert!(row.whole().starts_with('{'));
        assert!(row.field("rat").unwrap_err().contains("did you mean `rate`?"));
    }

    #[test]
    fn a_text_has_the_parts_of_a_path() {
        let item = Item::Text("/a/b.txt".into());
        assert_eq!((item.whole(), item.field("stem")), ("/a/b.txt", Ok("b")));
        assert!(item.field("size").unwrap_err().contains("no placeholder"));
        assert!(Item::Text("..".into()).field("name").unwrap_err().contains("ends in a name"));
    }
}
