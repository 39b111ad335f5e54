//! A setting as clap knows it.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command, Id};

/// The setting that names the configuration file. It and [`PRINT_CONFIG`] make no sense inside the file.
pub(super) const CONFIG: &str = "config";
/// The setting that asks for the table of settings.
pub(super) const PRINT_CONFIG: &str = "print-config";

/// How many values a setting takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// On or off.
    Switch,
    /// One.
    One,
    /// Several: the flag is repeated.
    Many,
}

/// One setting.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// As clap names it.
    pub(super) id: Id,
    /// As the flag spells it, without the dashes; also the key in the file.
    pub(super) name: String,
    /// Its environment variable.
    pub(super) variable: Option<OsString>,
    /// How many values it takes.
    pub(super) kind: Kind,
    /// Whether its value is shown to nobody.
    pub(super) secret: bool,
}

impl Key {
    /// The settings of a program: its long flags, but those for help and version.
    pub(super) fn all(command: &Command) -> Vec<Self> {
        command.get_arguments().filter_map(Self::new).collect()
    }

    /// Whether the configuration file may hold it.
    pub(super) fn in_file(&self) -> bool {
        self.name != CONFIG && self.name != PRINT_CONFIG
    }

    /// The flag with a value, as it would be typed.
    pub(super) fn typed(&self, value: &OsStr) -> OsString {
        let mut argument = self.flag();
        argument.push("=");
        argument.push(value);
        argument
    }

    /// The flag alone.
    pub(super) fn flag(&self) -> OsString {
        format!("--{}", self.name).into()
    }

    fn new(arg: &Arg) -> Option<Self> {
        let kind = match arg.get_action() {
            ArgAction::SetTrue => Kind::Switch,
            ArgAction::Set => Kind::One,
            ArgAction::Append => Kind::Many,
            _ => return None,
        };
        Some(Self {
            id: arg.get_id().clone(),
            name: arg.get_long()?.to_owned(),
            variable: arg.get_env().map(OsStr::to_owned),
            kind,
            secret: arg.is_hide_env_values_set(),
        })
    }
}
