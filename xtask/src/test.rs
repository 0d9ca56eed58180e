//! `cargo xtask test`: every check that must hold on main. `cargo xtask kill`: the long crash test.

use std::thread;

use clap::Args;

use crate::{
    localstack::{self, Emulator},
    run::{self, Error, Result, WITH_AWS, sh, timed},
    tools,
};

/// Every check and every test.
#[derive(Args)]
pub struct Test {
    /// Leave out formatting, lints and documentation.
    #[arg(long)]
    tests_only: bool,
}

impl Test {
    /// Runs it.
    pub fn run(&self) -> Result {
        timed("all checks and tests", || {
            // 1. What the tests run against.
            timed("tools", tools::ensure)?;
            // These mostly wait for the network, while we compile.
            let installed = [tools::ensure_emulator, tools::ensure_checks].map(thread::spawn);
            // 2. What needs no run.
            if !self.tests_only {
                timed("formatting, lints, documentation", without_a_run)?;
            }
            // 3. All tests, those of the AWS form against one emulator.
            timed("tests are built", || tests(None))?;
            for tool in installed {
                tool.join().map_err(|_| Error::Other("install what Python brings".to_owned()))??;
            }
            let emulator = Emulator::start_anew("tests")?;
            let tested = timed("tests", || tests(Some(&emulator.endpoint)));
            emulator.end()?;
            tested?;
            timed("the program without AWS", without_aws)?;
            // 4. The README's commands, as a reader would run them; the benchmarks with a few letters.
            timed("the README's letter", crate::up::Up::once_in_scratch)?;
            timed("benchmarks with little work", crate::bench::Bench::smoke)?;
            // 5. The AWS form as it is deployed.
            timed("the AWS form as it is deployed", || localstack::Test::default().run())
        })
    }
}

/// Formatting, lints, documentation; licences and sources where cargo-deny is there.
fn without_a_run() -> Result {
    let cargo = |words: &[&str]| {
        let mut command = run::cargo();
        command.args(words);
        command
    };
    sh(&mut cargo(&["fmt", "--all", "--check"]))?;
    let all = ["--workspace", "--features", WITH_AWS, "--locked"];
    sh(cargo(&["clippy", "--all-targets"]).args(all).args(["--", "-D", "warnings"]))?;
    // Asked for examples too, cargo resolves features as for tests, and what clippy checked serves again.
    sh(cargo(&["doc", "--no-deps", "--lib", "--bins", "--examples"])
        .args(all)
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    if tools::on_path("cargo-deny") {
        sh(&mut cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

/// Runs all tests against an emulator; without one they are built only. Nextest where it is installed, and the
/// documentation's examples, which it does not run.
fn tests(emulator: Option<&str>) -> Result {
    let cargo = |words: &[&str]| {
        let mut command = run::cargo();
        command.args(words).args(["--workspace", "--features", WITH_AWS, "--locked"]);
        match emulator {
            Some(endpoint) => command.env("SIGILLO_AWS_ENDPOINT", endpoint),
            None => command.arg("--no-run"),
        };
        command
    };
    if !tools::on_path("cargo-nextest") {
        return sh(&mut cargo(&["test"]));
    }
    sh(&mut cargo(&["nextest", "run"]))?;
    if emulator.is_some() { sh(&mut cargo(&["test", "--doc"])) } else { Ok(()) }
}

/// What the program says that was built without AWS, as `cargo xtask up` builds it. Of the whole workspace, since then
/// dependencies are those of the other tests.
fn without_aws() -> Result {
    sh(run::cargo().args(["test", "--quiet", "--workspace", "--lib", "--locked", "without_aws"]))
}

/// The long crash test.
#[derive(Args)]
pub struct Kill {
    /// How often the provider is killed.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Letters in flight around each kill.
    #[arg(long, default_value_t = 500)]
    letters: u32,
}

impl Kill {
    /// Runs it.
    pub fn run(&self) -> Result {
        sh(run::cargo()
            .args(["test", "--release", "--package", "sigillo", "--test", "kill", "--", "--nocapture"])
            .env("SIGILLO_KILL_ROUNDS", self.rounds.to_string())
            .env("SIGILLO_KILL_LETTERS", self.letters.to_string()))
    }
}

/// Years of three providers, each by its seed.
#[derive(Args)]
pub struct Simulate {
    /// The seed of the first year.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Letters of a year.
    #[arg(long, default_value_t = 1000)]
    letters: u32,
    /// How many years, with seeds that follow each other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
}

impl Simulate {
    /// Runs them until one does not end as it must; it says how to run that one again.
    pub fn run(&self) -> Result {
        sh(run::cargo()
            .args(["run", "--release", "--quiet", "--package", "sigillo-tests", "--bin", "simulate", "--"])
            .args([self.seed.to_string(), self.letters.to_string(), self.seeds.to_string()]))
    }
}
