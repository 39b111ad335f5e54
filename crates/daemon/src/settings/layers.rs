//! Fills what the command line leaves open, layer by layer.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use toml::Value;

use super::SettingsError;
use super::file::{self, File};
use super::key::{CONFIG, Key, Kind};
use super::table::{Origin, Setting};

/// The layers above the file, and what is known of the program.
pub(super) struct Layers {
    /// The program without its variables: they are a layer of their own here, so that their origin is known.
    command: Command,
    keys: Vec<Key>,
    argv: Vec<OsString>,
    /// What the command line says by itself.
    typed: ArgMatches,
    env: BTreeMap<OsString, OsString>,
}

/// Arguments put in for one setting, and where they came from.
struct Filled {
    arguments: Vec<OsString>,
    origin: Origin,
}

impl Layers {
    /// Reads the command line by itself. Asked for help or version, it answers with them as an error, as clap does.
    pub(super) fn new(
        command: Command,
        mut argv: Vec<OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let keys = Key::all(&command);
        if argv.is_empty() {
            argv.push(command.get_name().into());
        }
        let bare = command.clone().mut_args(|arg| arg.env(Resettable::Reset));
        // What is missing or wrong is reported by the last parse, when every layer has spoken.
        let lenient = bare.clone().ignore_errors(true);
        let typed = lenient.try_get_matches_from(&argv).map_err(|answer| {
            // The help page names the variables, so it is the whole program's.
            command.try_get_matches_from(&argv).err().unwrap_or(answer)
        })?;
        let env = env.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Ok(Self { command: bare, keys, argv, typed, env })
    }

    /// Parses with every layer in place; says what each setting is.
    pub(super) fn settle(self, program: &str) -> Result<(ArgMatches, Vec<Setting>), SettingsError> {
        let file = self
            .config()
            .map(|path| File::read(Path::new(&path), program, &self.keys))
            .transpose()?;
        let mut argv = self.argv.clone();
        let mut origins = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let filled = self.fill(key, file.as_ref())?;
            // After the program's name: what follows a subcommand would belong to it.
            argv.splice(1..1, filled.arguments);
            origins.push(filled.origin);
        }
        let matches = self.command.clone().try_get_matches_from(argv)?;
        let settings = std::iter::zip(&self.keys, origins)
            .map(|(key, origin)| setting(key, origin, &matches))
            .collect();
        Ok((matches, settings))
    }

    /// The file that the command line or the environment names.
    fn config(&self) -> Option<OsString> {
        let key = self.keys.iter().find(|key| key.name == CONFIG)?;
        if self.is_typed(key) {
            return self.typed.get_raw(key.id.as_str())?.next().map(OsStr::to_owned);
        }
        self.variable(key).map(|(_, value)| value.clone())
    }

    /// The highest layer below the command line that has something to say about a setting.
    fn fill(&self, key: &Key, file: Option<&File>) -> Result<Filled, SettingsError> {
        if self.is_typed(key) {
            return Ok(Filled { arguments: Vec::new(), origin: Origin::Flag });
        }
        let (arguments, origin, place) = if let Some((name, value)) = self.variable(key) {
            (from_variable(key, value), Origin::Variable(name.clone()), name.display().to_string())
        } else if let Some((file, value)) = file.and_then(|file| Some((file, file.value(key)?))) {
            (from_file(key, value), Origin::File(file.path().to_owned()), file.place(key))
        } else {
            return Ok(Filled { arguments: Vec::new(), origin: Origin::Default });
        };
        match arguments.and_then(|arguments| self.try_alone(&arguments).map(|()| arguments)) {
            Ok(arguments) => Ok(Filled { arguments, origin }),
            Err(problem) => Err(SettingsError::Value { origin: place, problem }),
        }
    }

    /// Parses arguments by themselves, so that a fault is theirs beyond doubt.
    fn try_alone(&self, arguments: &[OsString]) -> Result<(), String> {
        let argv = self.argv.first().into_iter().chain(arguments);
        match self.command.clone().try_get_matches_from(argv) {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => Ok(()),
                _ => Err(first_paragraph(&error)),
            },
        }
    }

    fn is_typed(&self, key: &Key) -> bool {
        self.typed.value_source(key.id.as_str()) == Some(ValueSource::CommandLine)
    }

    fn variable(&self, key: &Key) -> Option<(&OsString, &OsString)> {
        self.env.get_key_value(key.variable.as_ref()?)
    }
}

fn from_variable(key: &Key, value: &OsStr) -> Result<Vec<OsString>, String> {
    match key.kind {
        Kind::One | Kind::Many => Ok(vec![key.typed(value)]),
        Kind::Switch => match value.to_string_lossy().to_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(vec![key.flag()]),
            "0" | "false" | "no" | "off" => Ok(Vec::new()),
            other => Err(format!("expected true or false, found `{other}`")),
        },
    }
}

fn from_file(key: &Key, value: &Value) -> Result<Vec<OsString>, String> {
    match (key.kind, value) {
        (Kind::Switch, Value::Boolean(true)) => Ok(vec![key.flag()]),
        (Kind::Switch, Value::Boolean(false)) => Ok(Vec::new()),
        (Kind::Switch, other) => {
            Err(format!("expected true or false, found {}", file::kind(other)))
        }
        (Kind::Many, Value::Array(values)) => {
            values.iter().map(|value| scalar(key, value)).collect()
        }
        (Kind::One | Kind::Many, value) => Ok(vec![scalar(key, value)?]),
    }
}

fn scalar(key: &Key, value: &Value) -> Result<OsString, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
        Value::Array(_) | Value::Table(_) => {
            return Err(format!("expected one value, found {}", file::kind(value)));
        }
    };
    Ok(key.typed(text.as_ref()))
}

fn setting(key: &Key, origin: Origin, matches: &ArgMatches) -> Setting {
    let value = match key.kind {
        Kind::Switch => Some(matches.get_flag(key.id.as_str()).to_string()),
        Kind::One | Kind::Many => matches.get_raw(key.id.as_str()).map(|values| {
            let values: Vec<_> = values.map(OsStr::to_string_lossy).collect();
            if key.secret { "(hidden)".to_owned() } else { values.join(",") }
        }),
    };
    Setting { key: key.name.clone(), value, origin }
}

/// What clap says, without the advice about `--help`, on one line.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ")
}
