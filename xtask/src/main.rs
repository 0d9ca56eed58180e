//! What has an `if` in it: `cargo xtask up | test | bench | fuzz | kill | simulate | localstack`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
#[cfg(test)]
mod checks;
mod fuzz;
mod localstack;
mod run;
mod test;
mod tools;
mod up;

/// The project's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build and start the embedded provider, send a first letter, stay up until Ctrl-C.
    ///
    /// Example: cargo xtask up --once
    Up(up::Up),
    /// Install what the tests need, then run every check and every test.
    ///
    /// Example: cargo xtask test
    Test(test::Test),
    /// Measure: the whole pipeline, or the signatures alone.
    ///
    /// Example: cargo xtask bench pipeline --letters 2000 --json
    Bench(bench::Bench),
    /// Fuzz one target, guided by coverage, from the seeds in tests/fuzz/seeds.
    ///
    /// Example: cargo xtask fuzz mime-entity --seconds 600
    Fuzz(fuzz::Fuzz),
    /// The long form of the crash test: kill -9 in the middle of many letters, again and again.
    ///
    /// Example: cargo xtask kill --rounds 20 --letters 500
    Kill(test::Kill),
    /// A year of three providers in seconds, by a seed: every letter must end as the law wants it.
    ///
    /// Example: cargo xtask simulate --seed 7 --letters 3000
    Simulate(test::Simulate),
    /// The AWS form on this machine: deploy template.yaml to an emulator of AWS.
    ///
    /// Example: cargo xtask localstack up
    Localstack(localstack::Localstack),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Up(up) => up.run(),
        Task::Test(test) => test.run(),
        Task::Bench(bench) => bench.run(),
        Task::Fuzz(fuzz) => fuzz.run(),
        Task::Kill(kill) => kill.run(),
        Task::Simulate(simulate) => simulate.run(),
        Task::Localstack(localstack) => localstack.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
