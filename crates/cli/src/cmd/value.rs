//! Values, as they are shown.

use std::fmt::Write as _;

use bireme_core::{Codec, Value};
use serde_json::{Value as Json, json};

/// A value for programs, with its codec: parsed where it is JSON or `MessagePack`, as text where it is text, else in
/// hexadecimal.
pub(super) fn json(value: &Value, bytes: &[u8]) -> Json {
    let (form, content) = match parsed(value.codec, bytes) {
        Some(parsed) => ("value", parsed),
        None => match std::str::from_utf8(bytes) {
            Ok(text) => ("text", text.into()),
            Err(_) => ("hex", hex(bytes).into()),
        },
    };
    json!({ "codec": value.codec.name(), "size": bytes.len(), form: content })
}

/// Plain data for people: text as it is, all else as JSON, each on a line; nothing for no value. `None` if it is bytes.
pub(super) fn line(value: &Value, bytes: &[u8]) -> Option<String> {
    Some(match parsed(value.codec, bytes)? {
        Json::Null => String::new(),
        Json::String(text) => format!("{text}\n"),
        json => format!("{json}\n"),
    })
}

/// Whether a terminal can show it.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{1b}');
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_plain))
}

fn parsed(codec: Codec, bytes: &[u8]) -> Option<Json> {
    match codec {
        Codec::None => Some(Json::Null),
        Codec::Json => serde_json::from_slice(bytes).ok(),
        Codec::Msgpack => rmp_serde::from_slice(bytes).ok(),
        _ => None,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: Value) -> Json {
        json(&value, &value.bytes().unwrap())
    }

    #[test]
    fn a_value_is_shown_as_what_it_is() {
        let packed = rmp_serde::to_vec(&("a", 1)).unwrap();
        assert_eq!(
            shown(Value::inline(Codec::Msgpack, packed)),
            json!({ "codec": "msgpack", "size": 4, "value": ["a", 1] })
        );
        assert_eq!(
            shown(Value::inline(Codec::Json, "{\"a\":1}")),
            json!({ "codec": "json", "size": 7, "value": { "a": 1 } })
        );
        assert_eq!(shown(Value::text("hi")), json!({ "codec": "utf8", "size": 2, "text": "hi" }));
        assert_eq!(
            shown(Value::raw(vec![0xff, 0])),
            json!({ "codec": "raw", "size": 2, "hex": "ff00" })
        );
    }

    #[test]
    fn people_are_shown_plain_data_on_a_line() {
        let line = |value: Value| line(&value, &value.bytes().unwrap());
        let packed = |data: &Json| Value::inline(Codec::Msgpack, rmp_serde::to_vec(data).unwrap());
        assert_eq!(line(packed(&json!({ "a": [1, null] }))).unwrap(), "{\"a\":[1,null]}\n");
        assert_eq!(line(packed(&json!("a b"))).unwrap(), "a b\n");
        assert_eq!(line(Value::inline(Codec::Json, "{ \"a\": 1 }")).unwrap(), "{\"a\":1}\n");
        assert_eq!(line(Value::none()).unwrap(), "");
        assert_eq!([Value::text("3"), Value::raw("3")].map(line), [None, None]);
    }

    #[test]
    fn a_terminal_is_shown_text_alone() {
        assert!(is_text("a\tb\n\u{1b}[1mbold".as_bytes()));
        assert!(!is_text(b"\x00\x01"));
        assert!(!is_text(&[0xff]));
    }
}
