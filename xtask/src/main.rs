//! Everything the project does to itself: generate, check, test, measure, package.
//!
//! One file per command; `ci` strings the others together and is all that CI runs. Nothing here depends on
//! `bireme-proto`: whoever breaks the generated code must still be able to generate it anew. The commands that drive
//! real processes do, so they are compiled with the feature `cluster` only, and this program starts itself anew with it.

#![expect(clippy::print_stdout, reason = "a command line tool answers on stdout")]
#![expect(clippy::print_stderr, reason = "and complains on stderr")]

mod bench;
mod ci;
#[cfg(feature = "cluster")]
mod cluster;
mod codegen;
mod conformance;
mod dist;
mod it;
mod mutants;
mod node;
mod proto;
mod python;
mod reference;
mod refusals;
mod systemd;
mod test;
mod tidy;
mod units;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// As in the programs that are measured: what a client takes is then what it takes in `bireme`.
#[cfg(feature = "cluster")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `cargo xtask` understands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Args),
    Ci(ci::Args),
    Codegen(codegen::Args),
    Conformance(conformance::Args),
    Dist(dist::Args),
    It(it::Args),
    Mutants(mutants::Args),
    Proto(proto::Args),
    Python(python::Args),
    Reference(reference::Args),
    Refusals(refusals::Args),
    Systemd(systemd::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    Units(units::Args),
}

fn main() -> ExitCode {
    let result = run(Cli::parse().command);
    // Not by returning it: a backtrace through this tool would only bury the message.
    if let Err(error) = &result {
        for cause in error.chain() {
            eprintln!("error: {cause}");
        }
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Codegen(args) => codegen::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::It(args) => it::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Proto(args) => proto::run(&args),
        Command::Python(args) => python::run(&args),
        Command::Reference(args) => reference::run(&args),
        Command::Refusals(args) => refusals::run(&args),
        Command::Systemd(args) => systemd::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Units(args) => units::run(&args),
    }
}
