//! `cargo xtask fuzz`: one target of `tests/fuzz`, guided by coverage.
//!
//! libFuzzer wants LLVM's coverage counters in the code, which a stable compiler puts in when it is told by
//! `-Cpasses`; no address sanitizer is needed where no code is unsafe.

use std::{env::consts::ARCH, fs, path::Path, process::Command};

use clap::Args;

use crate::run::{self, Error, Result, root, sh};

/// What cargo-fuzz passes as well, less the sanitizer.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                            -Cllvm-args=-sanitizer-coverage-pc-table \
                            -Cllvm-args=-sanitizer-coverage-trace-compares \
                            -Cdebug-assertions=yes -Coverflow-checks=yes -Ccodegen-units=1 --cfg fuzzing";

/// One fuzz target for a while.
#[derive(Args)]
pub struct Fuzz {
    /// The target: a folder of tests/fuzz/seeds.
    name: String,
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Octets of one input at most.
    #[arg(long, default_value_t = 16_384)]
    octets: u32,
}

impl Fuzz {
    /// Runs it. What it finds is written beside the corpus; as a file of the seeds it becomes a test.
    pub fn run(&self) -> Result {
        // 1. Seeds say which targets there are.
        let seeds = root().join("tests/fuzz/seeds");
        if !seeds.join(&self.name).is_dir() {
            return Err(Error::Other(format!("targets are {}", names(&seeds)?.join(", "))));
        }
        let corpus = root().join("target/fuzz/corpus").join(&self.name);
        let findings = root().join("target/fuzz/findings").join(&self.name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&findings)?;

        // 2. Built apart, since everything in it is instrumented. The host is named, or the flags would reach build
        //    scripts as well.
        let host = format!("{ARCH}-unknown-linux-gnu");
        let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
        let built = built.join("fuzz");
        let mut build = run::cargo();
        build.args(["build", "--release", "--locked", "--package", "sigillo-fuzz", "--bin", "fuzz"]);
        build.args(["--features", "libfuzzer", "--target", &host, "--target-dir"]).arg(&built);
        // As a whole it would be built for minutes, and find the same.
        sh(build.env("RUSTFLAGS", INSTRUMENTED).env("CARGO_PROFILE_RELEASE_LTO", "off"))?;

        // 3. New inputs go to the first folder, which later runs go on from.
        let mut fuzz = Command::new(built.join(host).join("release/fuzz"));
        fuzz.env("SIGILLO_FUZZ_TARGET", &self.name)
            .args([format!("-max_total_time={}", self.seconds), format!("-max_len={}", self.octets)])
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", findings.display()));
        let words = root().join("tests/fuzz/words").join(&self.name);
        if words.exists() {
            fuzz.arg(format!("-dict={}", words.display()));
        }
        sh(fuzz.arg(corpus).arg(seeds.join(&self.name)))
    }
}

fn names(seeds: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> =
        fs::read_dir(seeds)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
