//! The simplest values of a job file.

use std::fmt;

use serde::Deserialize;

/// One text, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(in super::super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A text, a number or a truth value.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "a text, a number, or true or false")]
pub(in super::super) enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl OneOrMany {
    pub(in super::super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Scalar {
    /// What it is, as errors say it.
    pub(in super::super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
        }
    }

    /// Reads a text as something of the same kind.
    pub(in super::super) fn like(&self, text: &str) -> Option<Self> {
        Some(match self {
            Self::Bool(_) => Self::Bool(text.parse().ok()?),
            Self::Int(_) => Self::Int(text.parse().ok()?),
            Self::Float(_) => {
                Self::Float(text.parse().ok().filter(|number: &f64| number.is_finite())?)
            }
            Self::Text(_) => Self::Text(text.to_owned()),
        })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}
