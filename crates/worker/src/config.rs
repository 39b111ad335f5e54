//! What a worker is asked for: by the command line, or by a program that embeds one.

mod runtime;

use std::env;
use std::path::PathBuf;

use bireme_core::protocol::Address;
use bireme_core::resources::{BadResources, UNITS};
use bireme_core::{Resources, Span, limits};
use bireme_daemon::Common;
use bireme_daemon::units::{OrAuto, bytes, or_auto, span};
use clap::{Parser, ValueEnum};
use rustix::process::getuid;

pub use self::runtime::LanguageRuntime;
use crate::host;
use crate::registry::Registry;
use crate::target::Scheduler;
use crate::transfer::Way;

/// Name of the directory of environments.
const ENVIRONMENTS: &str = "environments";
/// The program that runs, whatever has become of its file.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// Flags of `bireme-worker`.
#[derive(Clone, Debug, Parser)]
#[command(name = "bireme-worker", version, about = "A worker of a Bireme cluster")]
pub struct Args {
    /// Where the scheduler is, `http://HOST:PORT`; by default where the access file says.
    #[arg(long, value_name = "URL", env = "BIREME_SCHEDULER")]
    pub scheduler: Option<String>,

    /// Name of the worker, unique in the cluster; by default made of the host's name and the worker's uid.
    #[arg(long, value_name = "NAME", env = "BIREME_NAME")]
    pub name: Option<String>,

    /// How many cpus its tasks take together; `auto` is what the system lets this process use.
    #[arg(long, value_name = "N", env = "BIREME_CPUS", default_value = "auto",
          value_parser = or_auto(units))]
    pub cpus: OrAuto<u64>,

    /// How much memory its tasks and their results take together; `auto` is most of the machine's.
    #[arg(long, value_name = "SIZE", env = "BIREME_MEMORY", default_value = "auto",
          value_parser = or_auto(bytes))]
    pub memory: OrAuto<u64>,

    /// Another resource that it has, such as `gpu=2`; may be given several times.
    #[arg(long, value_name = "NAME=N", env = "BIREME_RESOURCE", value_delimiter = ',',
          value_parser = resource)]
    pub resource: Vec<(String, u64)>,

    /// A label that tasks may ask for, such as `zone=a`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", env = "BIREME_LABEL", value_delimiter = ',',
          value_parser = label)]
    pub label: Vec<(String, String)>,

    /// Where native functions run: in processes of their own, or in the worker's, where they cost least, and one that crashes
    /// or hangs takes the worker with it.
    #[arg(long, value_name = "WHERE", env = "BIREME_NATIVE", default_value = "isolated")]
    pub native: Native,

    /// A language that it runs tasks of, and the command that starts an executor of it, such as
    /// `python=python3 -m bireme.executor`; may be given several times, a semicolon parts several in one.
    #[arg(long, value_name = "NAME=COMMAND", env = "BIREME_RUNTIME", value_delimiter = ';')]
    pub runtime: Vec<LanguageRuntime>,

    /// End an executor process of a language after so many tasks, and start another when it is needed; 0 is never.
    #[arg(long, value_name = "N", env = "BIREME_RUNTIME_TASKS", default_value_t = 0)]
    pub runtime_tasks: u64,

    /// End an executor process of a language when it has ended a task and its own memory has grown by more than so much since
    /// it was ready, and start another when it is needed; 0 is never.
    #[arg(long, value_name = "SIZE", env = "BIREME_RUNTIME_MEMORY_GROWTH", default_value = "0", value_parser = bytes)]
    pub runtime_memory_growth: u64,

    /// So many executor processes of a language may wait for tasks that their own tasks have submitted; a task that would be one
    /// more fails to wait, as `WOULD_DEADLOCK`.
    #[arg(long, value_name = "N", env = "BIREME_WAITING_EXECUTORS", default_value_t = limits::WAITING_EXECUTORS)]
    pub waiting_executors: usize,

    /// Where to listen for peers and clients; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", env = "BIREME_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: String,

    /// Where to answer `/healthz` and `/metrics`; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", env = "BIREME_HTTP", default_value = "127.0.0.1:0")]
    pub http: String,

    /// An address by which others reach it, `HOST` or `HOST:PORT`, if not the one it listens on; may be given several times.
    #[arg(long, value_name = "ADDR", env = "BIREME_ADVERTISE", value_delimiter = ',')]
    pub advertise: Vec<String>,

    /// Directory that keeps the worker's uid over a restart, and what actors there keep; without it, that is below
    /// `--spill-dir`, or in a directory of the user's own among the temporary files.
    #[arg(long, value_name = "DIR", env = "BIREME_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Directory for values that memory has no room for; by default `spill` in the state directory, or a directory for
    /// temporary files.
    #[arg(long, value_name = "DIR", env = "BIREME_SPILL_DIR")]
    pub spill_dir: Option<PathBuf>,

    /// Directory for environments that tasks ask for, which workers of one machine may share; by default `environments` in the
    /// state directory, or `bireme/environments` in this user's cache directory.
    #[arg(long, value_name = "DIR", env = "BIREME_ENVIRONMENT_DIR")]
    pub environment_dir: Option<PathBuf>,

    /// How much environments may take there together. The least recently used ones go that no process runs in.
    #[arg(long, value_name = "SIZE", env = "BIREME_ENVIRONMENT_BYTES", default_value = "20GiB", value_parser = bytes)]
    pub environment_bytes: u64,

    /// How values are fetched from other workers: `auto` takes those of workers on this machine over without a copy;
    /// `socket` and `stream` do not, for containers that share no memory, tests and measurements.
    #[arg(long, value_name = "WAY", env = "BIREME_TRANSFER", default_value = "auto")]
    pub transfer: Way,

    /// Leave when nothing has run for so long.
    #[arg(long, value_name = "DURATION", env = "BIREME_IDLE_TIMEOUT", value_parser = span)]
    pub idle_timeout: Option<Span>,

    /// Accept no more after so long, finish what runs, and leave.
    #[arg(long, value_name = "DURATION", env = "BIREME_TIME_LIMIT", value_parser = span)]
    pub time_limit: Option<Span>,

    /// End when the daemon proper dies, with an error, rather than start it again.
    #[arg(long, env = "BIREME_NO_RESTART")]
    pub no_restart: bool,

    /// What all daemons have.
    #[command(flatten)]
    pub common: Common,
}

/// Where native functions run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Native {
    /// On threads of the worker's own process.
    #[default]
    InProcess,
    /// In processes of their own, which are this program again: its `main` must be [`crate::main`].
    Isolated,
}

/// Why there can be no worker of what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// It cannot have what it was given.
    #[error(transparent)]
    Resources(#[from] BadResources),
    /// Two runtimes have one name.
    #[error("runtime `{0}` is given twice; leave one out or give it another name")]
    RuntimeTwice(String),
    /// There are too many runtimes.
    #[error("{0} runtimes are given, the limit is {limit}; start another worker for the rest", limit = limits::RUNTIMES)]
    RuntimesTooMany(usize),
}

/// One worker.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the scheduler is found.
    pub scheduler: Scheduler,
    /// Unique in the cluster; `None` makes one up.
    pub name: Option<String>,
    /// All it has.
    pub resources: Resources,
    /// What tasks may ask for.
    pub labels: Vec<(String, String)>,
    /// Where native functions run.
    pub native: Native,
    /// The program that isolated native functions and native actors run in: one that begins with [`main`](crate::main) or
    /// [`executor`](crate::executor). Without one, native actors are refused.
    pub executor_program: Option<PathBuf>,
    /// The languages that it runs tasks of.
    pub runtimes: Vec<LanguageRuntime>,
    /// After so many tasks an executor process of a language ends; 0 is never.
    pub runtime_tasks: u64,
    /// By so many bytes the memory of an executor process of a language may grow; one that has grown more ends after its
    /// task. 0 is by any number.
    pub runtime_memory_growth: u64,
    /// So many executor processes of a language may wait for tasks of their tasks.
    pub waiting_executors: usize,
    /// The native functions, besides those that every worker has.
    pub registry: Registry,
    /// Where to listen for peers and clients.
    pub listen: String,
    /// Where to answer `/healthz` and `/metrics`.
    pub http: String,
    /// By what others reach it: `HOST` or `HOST:PORT`; empty is where it listens.
    pub advertise: Vec<String>,
    /// What keeps the worker's uid over a restart; `None` is a new one each time.
    pub state_dir: Option<PathBuf>,
    /// Where values go that memory has no room for; `None` is a directory within `state_dir`, or for temporary files.
    pub spill_dir: Option<PathBuf>,
    /// Where environments are that tasks ask for; `None` is a directory within `state_dir`, or the user's cache directory.
    pub environment_dir: Option<PathBuf>,
    /// So many bytes of them are kept there.
    pub environment_bytes: u64,
    /// Where stored values lie; `None` is a directory of its own in shared memory.
    pub pool_dir: Option<PathBuf>,
    /// How values are fetched from other workers.
    pub transfer: Way,
    /// Leave when nothing has run for so long.
    pub idle_timeout: Option<Span>,
    /// Leave after so long, when what runs has finished.
    pub time_limit: Option<Span>,
}

impl Default for Config {
    /// A worker for the scheduler of this user, with what the machine has, on ports of the system's choice.
    fn default() -> Self {
        Self {
            scheduler: Scheduler::default(),
            name: None,
            resources: Resources::new(host::cpus() * UNITS, host::memory_bytes()),
            labels: Vec::new(),
            native: Native::InProcess,
            executor_program: None,
            runtimes: Vec::new(),
            runtime_tasks: 0,
            runtime_memory_growth: 0,
            waiting_executors: limits::WAITING_EXECUTORS,
            registry: Registry::default(),
            listen: "127.0.0.1:0".to_owned(),
            http: "127.0.0.1:0".to_owned(),
            advertise: Vec::new(),
            state_dir: None,
            spill_dir: None,
            environment_dir: None,
            environment_bytes: limits::ENVIRONMENTS_BYTES,
            pool_dir: None,
            transfer: Way::Auto,
            idle_timeout: None,
            time_limit: None,
        }
    }
}

impl TryFrom<Args> for Config {
    type Error = BadConfig;

    fn try_from(args: Args) -> Result<Self, BadConfig> {
        let Args {
            scheduler,
            name,
            cpus,
            memory,
            resource,
            label,
            native,
            runtime,
            runtime_tasks,
            runtime_memory_growth,
            waiting_executors,
            listen,
            http,
            advertise,
            state_dir,
            spill_dir,
            environment_dir,
            environment_bytes,
            transfer,
            idle_timeout,
            time_limit,
            no_restart: _,
            common,
        } = args;
        let given = |choice, auto: fn() -> u64| match choice {
            OrAuto::Given(given) => given,
            OrAuto::Auto => auto(),
        };
        let cpu_units = given(cpus, || host::cpus() * UNITS);
        let resources = Resources::new(cpu_units, given(memory, host::memory_bytes));
        let Common { access_file, token_file, insecure, .. } = common;
        Ok(Self {
            scheduler: Scheduler {
                address: scheduler,
                token: None,
                access_file,
                token_file,
                insecure,
            },
            name,
            resources: resources.with_others(resource)?,
            labels: label,
            native,
            executor_program: Some(PathBuf::from(THIS_PROGRAM)),
            runtimes: distinct(runtime)?,
            runtime_tasks,
            runtime_memory_growth,
            waiting_executors,
            registry: Registry::default(),
            listen,
            http,
            advertise,
            state_dir,
            spill_dir,
            environment_dir,
            environment_bytes,
            pool_dir: None,
            transfer,
            idle_timeout,
            time_limit,
        })
    }
}

impl Config {
    /// Where environments are that tasks ask for.
    pub(crate) fn environments_directory(&self) -> PathBuf {
        let given = self.environment_dir.clone();
        let given = given.or_else(|| Some(self.state_dir.as_ref()?.join(ENVIRONMENTS)));
        given.unwrap_or_else(|| {
            let named = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
            let cache = named("XDG_CACHE_HOME").filter(|path| path.is_absolute());
            let cache = cache.or_else(|| Some(named("HOME")?.join(".cache")));
            let own = |path: PathBuf| path.join("bireme").join(ENVIRONMENTS);
            // Of nobody else: others could put there what they like.
            cache.map_or_else(
                || env::temp_dir().join(format!("bireme-{ENVIRONMENTS}-{}", getuid().as_raw())),
                own,
            )
        })
    }
}

/// Sorts runtimes by name, of which each is to have its own.
fn distinct(mut runtimes: Vec<LanguageRuntime>) -> Result<Vec<LanguageRuntime>, BadConfig> {
    if runtimes.len() > limits::RUNTIMES {
        return Err(BadConfig::RuntimesTooMany(runtimes.len()));
    }
    runtimes.sort_by(|one, other| one.name.cmp(&other.name));
    let mut pairs = runtimes.iter().zip(runtimes.iter().skip(1));
    match pairs.find(|(one, next)| one.name == next.name) {
        Some((one, _)) => Err(BadConfig::RuntimeTwice(one.name.clone())),
        None => Ok(runtimes),
    }
}

/// Reads an amount of a resource: `2` or `0.5`.
fn units(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no amount: write one such as 2 or 0.5, to 4 digits");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 4 || !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let fraction: u64 = format!("{fraction:0<4}").parse().map_err(|_| bad())?;
    whole.checked_mul(UNITS).and_then(|units| units.checked_add(fraction)).ok_or_else(bad)
}

fn resource(text: &str) -> Result<(String, u64), String> {
    let (name, amount) = label(text)?;
    Ok((name, units(&amount)?))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` has no name: write NAME=VALUE")),
    }
}

/// The address that `text`, `HOST` or `HOST:PORT`, names; `port` where it names none.
pub(crate) fn address(text: &str, port: u16) -> Address {
    let named = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    // An IPv6 address without brackets has colons of its own.
    let (host, port) = named
        .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
        .unwrap_or((text, port));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Address { scheme: "http".to_owned(), host, port, network: String::new() }
}

#[cfg(test)]
mod tests {
    use bireme_daemon::settings::audit;
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_is_a_variable_and_a_key() {
        assert_eq!(audit(&Args::command()), [""; 0]);
    }

    #[test]
    fn what_is_asked_for_is_what_it_has() {
        let flags = "bireme-worker --cpus 1.5 --memory 2GiB --resource gpu=2,fast=0.25 --label a=b=c --time-limit 1h";
        let config = Config::try_from(Args::parse_from(flags.split(' '))).unwrap();
        assert_eq!(config.resources.to_string(), "cpus=1.5 memory=2147483648 fast=0.25 gpu=2");
        assert_eq!(config.labels, [("a".to_owned(), "b=c".to_owned())]);
        assert_eq!(config.time_limit, Some(Span::secs(3_600)));
        for bad in ["--cpus=-1", "--cpus=0.00001", "--resource=gpu", "--label==x", "--native=no"] {
            assert!(Args::try_parse_from(["bireme-worker", bad]).is_err(), "{bad}");
        }
        let twice = Args::parse_from(["bireme-worker", "--resource=gpu=1,gpu=2"]);
        assert!(Config::try_from(twice).is_err());
    }

    #[test]
    fn each_runtime_has_a_name_of_its_own() {
        let given = |flags: &[&str]| {
            let args = Args::parse_from(["bireme-worker"].iter().chain(flags));
            Config::try_from(args).map(|config| {
                config.runtimes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            })
        };
        let two = given(&["--runtime", "python=python3 -c 'a,b';node=node x.js"]).unwrap();
        assert_eq!(two, "node=node x.js; python=python3 -c a,b");
        let twice = given(&["--runtime=a=x", "--runtime=a=y"]).unwrap_err().to_string();
        assert!(twice.contains("`a` is given twice"), "{twice}");
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("node1", "http://node1:7"),
            ("node1:9", "http://node1:9"),
            ("::1", "http://[::1]:7"),
            ("[::1]:9", "http://[::1]:9"),
        ] {
            assert_eq!(address(text, 7).to_string(), shown, "{text}");
        }
    }
}
