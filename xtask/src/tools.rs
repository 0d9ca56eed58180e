//! The tools that tests run against: looked for, and installed from Debian where we may.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{Error, Result, root, sh};

/// A program of the tests and the Debian packages that bring it, with spaces between.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 13] = [
    Tool { program: "openssl", package: "openssl" },
    Tool { program: "xmllint", package: "libxml2-utils" },
    Tool { program: "curl", package: "curl" },
    Tool { program: "mbsync", package: "isync" },
    Tool { program: "neomutt", package: "neomutt" },
    Tool { program: "offlineimap", package: "offlineimap3" },
    Tool { program: "getmail", package: "getmail6" },
    Tool { program: "python3", package: "python3" },
    Tool { program: "tmux", package: "tmux" },
    Tool { program: "clamd", package: "clamav-daemon" },
    Tool { program: "dnsmasq", package: "dnsmasq-base" },
    Tool { program: "slapd", package: "slapd" },
    Tool { program: "swaks", package: "swaks libnet-ssleay-perl" },
];

/// Where programs for root lie, which is not on everybody's PATH.
const FOR_ROOT: &str = "/usr/sbin";

/// Whether a program is on the PATH, or where those for root are.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&path).chain([FOR_ROOT.into()]);
    dirs.any(|dir| dir.join(program).is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

/// What only benchmarks run against.
const PEERS: [Tool; 2] = [
    Tool { program: "dovecot", package: "dovecot-imapd" },
    Tool { program: "smtp-source", package: "postfix" },
];

/// Makes sure that all tools are there.
pub fn ensure() -> Result {
    install(&TOOLS)
}

/// Makes sure that the servers are there which ours are measured beside.
pub fn ensure_peers() -> Result {
    install(&PEERS)
}

fn install(tools: &[Tool]) -> Result {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !on_path(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.package.split(' ')).collect();
    if !(is_root() && Path::new("/usr/bin/apt-get").exists()) {
        return Err(Error::Other(format!("install these packages first: {}", packages.join(" "))));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    sh(apt().args(["update", "--quiet=2"]))?;
    sh(apt().args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(&packages))?;
    match missing.iter().find(|tool| !on_path(tool.program)) {
        Some(tool) => Err(Error::Other(format!("{} did not bring {}", tool.package, tool.program))),
        None => Ok(()),
    }
}

/// The virtual environment of the emulator of AWS and of the scripts that speak to it.
pub fn venv() -> PathBuf {
    root().join("target/localstack/venv")
}

/// What checks the template is in one of its own: it asks for other versions than the emulator does.
pub fn checks_venv() -> PathBuf {
    root().join("target/localstack/checks-venv")
}

/// Makes sure that the emulator of AWS is where the tests of the AWS form look for it.
pub fn ensure_emulator() -> Result {
    ensure_python(&venv(), "ministack", "requirements.txt")
}

/// Makes sure that what checks the template is there.
pub fn ensure_checks() -> Result {
    ensure_python(&checks_venv(), "checkov", "checks-requirements.txt")
}

/// Makes sure that what builds the functions for AWS is there.
pub fn ensure_cargo_lambda() -> Result {
    ensure_python(&venv(), "cargo-lambda", "build-requirements.txt")
}

/// Makes sure that a virtual environment has a program, which these requirements bring.
fn ensure_python(venv: &Path, program: &str, requirements: &str) -> Result {
    let bin = venv.join("bin");
    if bin.join(program).exists() {
        return Ok(());
    }
    if !bin.join("python").exists() {
        sh(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    }
    sh(Command::new(bin.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(root().join("localstack").join(requirements)))
}
