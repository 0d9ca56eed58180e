//! `cargo xtask bench`: builds in release and runs the benchmark programs of `tests/bench`.

use std::process::Command;

use clap::{Args, Subcommand};

use crate::{
    run::{Build, Result, root, sh},
    tools,
};

/// Measurements.
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Letters through the whole embedded pipeline, with the floor of the signatures in the same run.
    ///
    /// Example: cargo xtask bench pipeline --letters 2000 --size-kb 10 --recipients 1 --json
    Pipeline {
        /// Options of the benchmark; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Composing, signing and verifying alone, beside `openssl cms`.
    ///
    /// Example: cargo xtask bench smime --json
    Smime {
        /// Options of the benchmark; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Taking mail by SMTP beside Postfix (Debian's, as root): from other systems, and from users over TLS.
    ///
    /// Example: cargo xtask bench smtp --messages 3000 --json
    Smtp {
        /// Options of the benchmark; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Reading by IMAP beside Dovecot (Debian's dovecot-imapd, as root), with the same mailbox.
    ///
    /// Example: cargo xtask bench imap --messages 10000 --json
    Imap {
        /// Options of the benchmark; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

impl Bench {
    /// The programs with little work, unoptimised: that they run, not how fast.
    pub fn smoke() -> Result {
        let pipeline = Build::LikeTests.program("sigillo-bench", "bench-pipeline")?;
        sh(Command::new(pipeline).args(["--letters", "20", "--json"]).current_dir(root()))?;
        let smime = Build::LikeTests.program("sigillo-bench", "bench-smime")?;
        sh(Command::new(smime).args(["--size-kb", "10", "--budget-ms", "50"]).current_dir(root()))?;
        let imap = Build::LikeTests.program("sigillo-bench", "bench-imap")?;
        let sigillo = Build::LikeTests.program("sigillo", "sigillo")?;
        let few = ["--alone", "--messages", "100", "--bodies", "50", "--idle", "5", "--runs", "1", "--json"];
        sh(Command::new(imap).arg("--sigillo").arg(&sigillo).args(few).current_dir(root()))?;
        let smtp = Build::LikeTests.program("sigillo-bench", "bench-smtp")?;
        let few = ["--alone", "--messages", "20", "--sessions", "2", "--json"];
        sh(Command::new(smtp).arg("--sigillo").arg(sigillo).args(few).current_dir(root()))
    }

    /// Runs it.
    pub fn run(&self) -> Result {
        let (name, options) = match &self.what {
            What::Pipeline { options } => ("bench-pipeline", options),
            What::Smime { options } => ("bench-smime", options),
            What::Smtp { options } => ("bench-smtp", options),
            What::Imap { options } => ("bench-imap", options),
        };
        let program = Build::Release.program("sigillo-bench", name)?;
        let mut program = Command::new(program);
        if matches!(self.what, What::Imap { .. } | What::Smtp { .. }) {
            tools::ensure_peers()?;
            program.arg("--sigillo").arg(Build::Release.program("sigillo", "sigillo")?);
        }
        sh(program.args(options).current_dir(root()))
    }
}
