//! What every setting is, and where it came from.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::Resolved;
use super::key::PRINT_CONFIG;

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Variable(OsString),
    /// The configuration file at this path.
    File(PathBuf),
    /// The program.
    Default,
}

/// One setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// As the flag and the configuration file spell it.
    pub key: String,
    /// Its value as it would be typed, `None` where it has none; secrets are hidden.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

impl Setting {
    /// Whether this is `--print-config`, and on.
    pub(super) fn asks_to_print(&self) -> bool {
        self.key == PRINT_CONFIG && self.value.as_deref() == Some("true")
    }
}

impl<A> fmt::Display for Resolved<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |setting: &Setting| setting.value.clone().unwrap_or_else(|| "-".to_owned());
        let width = |cell: fn(&Setting) -> usize| self.settings.iter().map(cell).max().unwrap_or(0);
        let keys = width(|setting| setting.key.chars().count());
        let values =
            width(|setting| setting.value.as_ref().map_or(1, |value| value.chars().count()));
        self.settings.iter().try_for_each(|setting| {
            writeln!(f, "{:keys$}  {:values$}  {}", setting.key, shown(setting), setting.origin)
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Variable(name) => write!(f, "{}", name.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
