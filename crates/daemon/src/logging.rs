//! Logs on stderr: for people, for programs, or for the journal.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use clap::ValueEnum;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Compact, Format as EventFormat, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt as log};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
    /// Lines that begin with a syslog priority, `<6>`, and leave the time to the journal.
    Journald,
}

/// Which events are logged: `info`, or `info,bireme_worker=debug`. Release builds have none of the level `trace`.
#[derive(Clone, Debug)]
pub struct Directives {
    text: String,
    targets: Targets,
}

/// The text is no set of log directives.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DirectiveError {
    /// Neither a level nor `TARGET=LEVEL`.
    #[error("`{0}` is no level: write off, error, warn, info, debug, trace, or TARGET=LEVEL")]
    Level(String),
    /// Nothing between two commas, or nothing at all.
    #[error("empty directive: write a level, or several TARGET=LEVEL separated by commas")]
    Empty,
}

/// Starts logging, for the whole process; fails if that was done before.
pub fn start(directives: &Directives, format: Format) -> Result<(), TryInitError> {
    let layer = log::layer().with_writer(std::io::stderr);
    let layer = match format {
        Format::Text => layer.with_ansi(std::io::stderr().is_terminal()).compact().boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
        Format::Journald => layer.with_ansi(false).event_format(Journald::default()).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(directives.targets.clone())).try_init()
}

/// Puts the syslog priority before every line, which is what the journal reads the level from.
struct Journald(EventFormat<Compact, ()>);

impl Default for Journald {
    fn default() -> Self {
        Self(EventFormat::default().compact().without_time().with_level(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

/// The level as syslog numbers it.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl FromStr for Directives {
    type Err = DirectiveError;

    fn from_str(text: &str) -> Result<Self, DirectiveError> {
        let mut targets = Targets::new();
        for directive in text.split(',').map(str::trim) {
            let (target, level) = match directive.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, directive),
            };
            if directive.is_empty() || target == Some("") {
                return Err(DirectiveError::Empty);
            }
            let level: tracing::level_filters::LevelFilter =
                level.parse().map_err(|_| DirectiveError::Level(level.to_owned()))?;
            targets = match target {
                Some(target) => targets.with_target(target, level),
                None => targets.with_default(level),
            };
        }
        Ok(Self { text: text.to_owned(), targets })
    }
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn journal_lines_all_carry_the_priority() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = log::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Journald::default());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(worker = 3, "worker lost");
            tracing::error!("first\nsecond");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let expected = "<4>bireme_daemon::logging::tests: worker lost worker=3\n\
                        <3>bireme_daemon::logging::tests: first\n<3>second\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn directives_choose_by_target() {
        let directives: Directives = "warn, bireme_worker=debug".parse().unwrap();
        assert!(directives.targets.would_enable("bireme_worker::machine", &Level::DEBUG));
        assert!(directives.targets.would_enable("h2", &Level::WARN));
        assert!(!directives.targets.would_enable("h2", &Level::INFO));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        assert_eq!(
            "verbose".parse::<Directives>().unwrap_err(),
            DirectiveError::Level("verbose".into())
        );
        assert_eq!(
            "info,h2=loud".parse::<Directives>().unwrap_err(),
            DirectiveError::Level("loud".into())
        );
        for empty in ["", "info,", "=info"] {
            assert_eq!(empty.parse::<Directives>().unwrap_err(), DirectiveError::Empty, "{empty}");
        }
    }
}
