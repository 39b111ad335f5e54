//! `bireme actor`

use std::fmt;
use std::str::FromStr;

use bireme_core::Span;
use bireme_core::actor::place::ActorState;
use bireme_core::actor::{ActorName, Delivery, Isolation, Selector};
use bireme_core::id::ActorId;
use bireme_daemon::units;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, value_parser};

use super::{Param, WorkerArg};

/// How often an actor is started again; `None` is always.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Restarts(pub(crate) Option<u32>);

/// An actor as it is typed: its name, `NAMESPACE/NAME`, or its id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ActorArg {
    text: String,
    pub(crate) selector: Selector,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Actor {
    /// Call a method of an actor, and print what it returns
    ///
    /// Arguments are JSON; what is no JSON is taken as text. Exit code 1 if the method fails or the call ends in another way,
    /// which is named.
    #[command(
        after_help = "Examples:\n  bireme actor call counter increment\n  bireme actor call ann transfer 10 --named to=bob\n  bireme actor call builder lines --stream"
    )]
    Call(ActorCall),
    /// Make a checkpoint of an actor now
    #[command(after_help = "Example: bireme actor checkpoint counter")]
    Checkpoint {
        /// Its name, or its id
        actor: ActorArg,
    },
    /// Create an actor, which lives until it is killed
    #[command(
        after_help = "Examples:\n  bireme actor create builtin/Counter 5 --name counter\n  bireme actor create bank:Account --runtime python --name ann --delivery effectively-once"
    )]
    Create(Box<ActorCreate>),
    /// End an actor for good
    #[command(after_help = "Example: bireme actor kill counter --grace 10s")]
    Kill {
        /// Its name, or its id
        actor: ActorArg,
        /// End only this life of it: it begins again, if its restart policy says so
        #[arg(long)]
        restart: bool,
        /// How long running calls may go on
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::span)]
        grace: Span,
    },
    /// List actors that live, or wait to
    #[command(after_help = "Example: bireme actor list --class Counter --state alive")]
    List(ActorList),
    /// Print what an actor printed on the worker where it lives
    ///
    /// Of an actor that shares its process with others all that the process printed is shown; what one inside a worker prints
    /// is the worker's own.
    #[command(after_help = "Example: bireme actor logs counter --follow --tail 20")]
    Logs(ActorLogs),
    /// Move an actor to another worker; no call is lost
    #[command(after_help = "Example: bireme actor move counter --to node2")]
    Move(ActorMove),
    /// Show one actor: where it is, how it came there, what runs in it, what was counted
    #[command(after_help = "Example: bireme actor show counter --stacks")]
    Show {
        /// Its name, or its id
        actor: ActorArg,
        /// Take the stacks of running calls too, where they can be had
        #[arg(long)]
        stacks: bool,
    },
    /// Show which methods of which actors take the time, again and again
    #[command(after_help = "Example: bireme actor top --interval 5s")]
    Top(ActorTop),
    /// Tell of actors that come, change and go, until interrupted
    #[command(after_help = "Example: bireme actor watch --class Counter")]
    Watch(ActorFilter),
}

#[derive(Args, Debug)]
pub(crate) struct ActorCall {
    /// Its name, or its id
    pub(crate) actor: ActorArg,
    /// Name of the method
    pub(crate) method: String,
    /// Arguments by position
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// An argument by name; may be given several times
    #[arg(long, value_name = "NAME=JSON")]
    pub(crate) named: Vec<Param>,
    /// Name of the lane, if not the method's own
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) lane: String,
    /// How long the call may take, such as 30s
    #[arg(long, value_name = "TIME", value_parser = units::span)]
    pub(crate) deadline: Option<Span>,
    /// Print the items of a method that gives several, each on a line as it comes
    #[arg(long, conflicts_with = "lane")]
    pub(crate) stream: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ActorCreate {
    /// Name of the class, as the worker's binary registered it; with `--runtime`, as its executor finds it, such as
    /// `module:Class`
    pub(crate) class: String,
    /// Arguments of the constructor by position: JSON, or text
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// An argument of the constructor by name; may be given several times
    #[arg(long, value_name = "NAME=JSON")]
    pub(crate) named: Vec<Param>,
    /// Name to find it by, or `NAMESPACE/NAME`
    #[arg(long, value_name = "NAME", value_parser = named_actor)]
    pub(crate) name: Option<ActorName>,
    /// Where the name is taken, be content with the actor that has it
    #[arg(long, requires = "name")]
    pub(crate) get_if_exists: bool,
    /// Language runtime that hosts it; native code unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// What it promises about its calls
    #[arg(long, value_name = "PROMISE", default_value = "at-most-once", value_parser = delivery())]
    pub(crate) delivery: Delivery,
    /// Where it lives: in a process of its own, in one shared with other small actors, or, where native code is trusted and the
    /// worker allows it, on threads of the worker itself
    #[arg(long, value_name = "WHERE", default_value = "process", value_parser = isolation())]
    pub(crate) isolation: Isolation,
    /// How often it is started again when it is lost; -1 is always
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true, value_parser = restarts())]
    pub(crate) max_restarts: Restarts,
    /// Keep log and checkpoints on so many other workers too, at most 3: when its own is lost it goes on at one of them, if it may
    /// be started again. For `effectively-once`
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) peers: u32,
    /// Make a checkpoint after so many calls
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) checkpoint_calls: u64,
    /// Make a checkpoint after so much time, if there was a call
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::span)]
    pub(crate) checkpoint_every: Span,
    /// How long to wait until it takes calls; exit code 3 when that is up
    #[arg(long, value_name = "TIME", value_parser = units::span)]
    pub(crate) timeout: Option<Span>,
}

#[derive(Args, Debug)]
pub(crate) struct ActorLogs {
    /// Its name, or its id
    pub(crate) actor: ActorArg,
    /// Go on until this life of it has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last so many lines of what is there; 0 is all
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    pub(crate) tail: u32,
}

#[derive(Args, Debug)]
pub(crate) struct ActorMove {
    /// Its name, or its id
    pub(crate) actor: ActorArg,
    /// Name of the worker, or its number such as w3; the scheduler chooses unless given
    #[arg(long, value_name = "WORKER")]
    pub(crate) to: Option<WorkerArg>,
    /// Move it even if it cannot be checkpointed: it begins anew there
    #[arg(long)]
    pub(crate) lose_state: bool,
    /// How long to wait for running calls before the move is given up
    #[arg(long, value_name = "TIME", value_parser = units::span)]
    pub(crate) quiesce: Option<Span>,
}

/// Which actors.
#[derive(Args, Debug, Default)]
pub(crate) struct ActorFilter {
    /// Only those of this class
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Only those in this namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = state())]
    pub(crate) state: Option<ActorState>,
    /// Only those on this worker
    #[arg(long, value_name = "WORKER")]
    pub(crate) worker: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ActorList {
    #[command(flatten)]
    pub(crate) filter: ActorFilter,
    /// Those that have ended too, as long as the scheduler remembers them
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ActorTop {
    #[command(flatten)]
    pub(crate) filter: ActorFilter,
    /// Show it again after so long
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::span)]
    pub(crate) interval: Span,
    /// Show it once
    #[arg(long)]
    pub(crate) once: bool,
}

impl ActorFilter {
    /// As a list of actors takes it.
    pub(crate) fn words(&self) -> String {
        let state = self.state.map(|state| state.name().to_owned());
        let words = [
            ("class", self.class.clone()),
            ("namespace", self.namespace.clone()),
            ("state", state),
            ("worker", self.worker.clone()),
        ];
        let given = words.into_iter().filter_map(|(key, word)| Some(format!("{key}={}", word?)));
        given.collect::<Vec<_>>().join(" ")
    }
}

impl ActorList {
    /// Whether those that have ended are wanted.
    pub(crate) fn wants_dead(&self) -> bool {
        self.all || self.filter.state == Some(ActorState::Dead)
    }
}

impl FromStr for ActorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_id = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        let selector = match id {
            Some(id) => Selector::Actor(ActorId(id)),
            None => Selector::Name(named_actor(text)?),
        };
        Ok(Self { text: text.to_owned(), selector })
    }
}

impl fmt::Display for ActorArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn named_actor(text: &str) -> Result<ActorName, String> {
    let name = ActorName::from(text);
    match name.name.as_str() {
        "" => Err(format!("`{text}` is no name: write NAME or NAMESPACE/NAME")),
        _ => Ok(name),
    }
}

fn restarts() -> impl TypedValueParser<Value = Restarts> {
    let times = value_parser!(i64).range(-1..=i64::from(u32::MAX));
    times.map(|times| Restarts(u32::try_from(times).ok()))
}

fn delivery() -> impl TypedValueParser<Value = Delivery> {
    one_of([
        ("at-most-once", Delivery::AtMostOnce),
        ("at-least-once", Delivery::AtLeastOnce),
        ("effectively-once", Delivery::EffectivelyOnce),
    ])
}

fn isolation() -> impl TypedValueParser<Value = Isolation> {
    one_of([
        ("process", Isolation::Process),
        ("shared", Isolation::Shared),
        ("in-process", Isolation::InProcess),
    ])
}

/// One of a few things by their names.
fn one_of<T, const N: usize>(names: [(&'static str, T); N]) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names.clone().map(|(name, _)| name)).map(move |given| {
        let known = names.iter().find(|(name, _)| *name == given);
        known.expect("the parser knows no other names").1.clone()
    })
}

fn state() -> impl TypedValueParser<Value = ActorState> {
    const ALL: [ActorState; 6] = [
        ActorState::Alive,
        ActorState::Dead,
        ActorState::Moving,
        ActorState::Restarting,
        ActorState::Starting,
        ActorState::Waiting,
    ];
    PossibleValuesParser::new(ALL.map(ActorState::name)).map(|name| {
        let known = ALL.into_iter().find(|state| state.name() == name);
        known.expect("the parser knows no other names")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_named_by_name_or_by_id() {
        let named = |text: &str| text.parse::<ActorArg>().map(|actor| actor.selector);
        let name = |namespace: &str, name: &str| {
            Ok(Selector::Name(ActorName { namespace: namespace.into(), name: name.into() }))
        };
        assert_eq!(named("counter"), name("", "counter"));
        assert_eq!(named("bank/ann"), name("bank", "ann"));
        assert_eq!(named(&format!("{:032x}", 7)), Ok(Selector::Actor(ActorId(7))));
        assert!(named("bank/").unwrap_err().contains("`bank/` is no name"));
    }

    #[test]
    fn restarts_are_counted_or_without_end() {
        let read = |text: &str| {
            let restarts = clap::Arg::new("restarts").value_parser(restarts());
            let command = clap::Command::new("create").arg(restarts.allow_negative_numbers(true));
            let read = command.try_get_matches_from(["create", text]).ok()?;
            read.get_one::<Restarts>("restarts").map(|restarts| restarts.0)
        };
        assert_eq!([read("3"), read("0"), read("-1")], [Some(Some(3)), Some(Some(0)), Some(None)]);
        assert_eq!([read("-2"), read("many")], [None, None]);
    }

    #[test]
    fn a_filter_is_written_as_lists_take_it() {
        let filter = ActorFilter {
            class: Some("Counter".into()),
            state: Some(ActorState::Alive),
            ..ActorFilter::default()
        };
        assert_eq!(filter.words(), "class=Counter state=alive");
        assert_eq!(ActorFilter::default().words(), "");
    }
}
