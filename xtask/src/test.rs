//! `cargo xtask test`: every check that must hold on main. `cargo xtask kill`: the long crash test.

use clap::Args;

use crate::{
    localstack::{self, Emulator},
    run::{self, Result, sh},
    tools,
};

/// The program with all that it can do; the AWS crates are built for the tests anyway.
const WITH_AWS: &str = "sigillo/aws";

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
        // 1. What the tests run against.
        tools::ensure()?;
        tools::ensure_emulator()?;
        // 2. What needs no run.
        if !self.tests_only {
            sh(run::cargo().args(["fmt", "--all", "--check"]))?;
            sh(run::cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                WITH_AWS,
                "--locked",
                "--",
                "-D",
                "warnings",
            ]))?;
            sh(run::cargo()
                .args(["doc", "--workspace", "--no-deps", "--features", WITH_AWS, "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings"))?;
            if tools::on_path("cargo-deny") {
                sh(run::cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
            }
        }
        // 3. All tests, those of the AWS form against one emulator.
        let emulator = Emulator::start_anew("tests")?;
        let tested = tests(&emulator.endpoint);
        emulator.end()?;
        tested?;
        // What the program says that was built without AWS, as `cargo xtask up` builds it.
        sh(run::cargo().args(["test", "--package", "sigillo", "--lib", "--locked", "without_aws"]))?;
        // 4. The README's commands, as a reader would run them; the benchmarks with a few letters.
        crate::up::Up::once_in_scratch()?;
        crate::bench::Bench::smoke()?;
        // 5. The AWS form as it is deployed.
        localstack::Test::default().run()
    }
}

/// Nextest where it is installed, and the documentation's examples, which it does not run.
fn tests(emulator: &str) -> Result {
    let cargo = |words: &[&str]| sh(run::cargo().args(words).env("SIGILLO_AWS_ENDPOINT", emulator));
    if tools::on_path("cargo-nextest") {
        cargo(&["nextest", "run", "--workspace", "--features", WITH_AWS, "--locked"])?;
        cargo(&["test", "--workspace", "--doc", "--features", WITH_AWS, "--locked"])
    } else {
        cargo(&["test", "--workspace", "--features", WITH_AWS, "--locked"])
    }
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
