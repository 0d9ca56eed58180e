//! `cargo xtask localstack up | test | down`: the AWS form on a developer's machine. template.yaml is deployed to an
//! emulator of AWS that runs without Docker; with Docker, localstack/compose.yaml starts another one, and
//! localstack/seed.py deploys to it in the same way.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

use crate::{
    run::{Build, Error, Result, root, sh},
    tools,
};

/// How long the emulator may take to come up or to end.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is tried with a deployment after what operators do, in this order: the provider index, a letter, roles, memory, costs, faults, an altered log.
const LETTERS: [&str; 7] =
    ["directory.py", "letter.py", "least.py", "memory.py", "budget.py", "healing.py", "tamper.py"];

/// The AWS form on this machine.
#[derive(Args)]
pub struct Localstack {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the emulator, build the functions, deploy template.yaml with a demo, and print the addresses.
    Up(Up),
    /// Check the template, deploy it to an emulator of its own, and send letters through it: as it is, with every kind
    /// of fault, and counting what they cost.
    Test(Test),
    /// Stop what `up` started, with all that it started itself.
    Down,
    /// Build every function as `sam build` does, for AWS; print sizes and cold starts.
    Artifacts,
}

#[derive(Args)]
struct Up {
    /// Where the emulator listens, on 127.0.0.1.
    #[arg(long, default_value_t = 4566)]
    port: u16,
    /// Functions as they go to AWS (cargo-lambda, optimised) instead of a quick build.
    #[arg(long)]
    release: bool,
}

/// All that is tested of the deployed form.
#[derive(Args, Default)]
pub struct Test {
    /// Leave out what is installed for it: sam validate, cfn-lint, checkov.
    #[arg(long)]
    no_lint: bool,
    /// Functions as they go to AWS (cargo-lambda, optimised) instead of a quick build.
    #[arg(long)]
    release: bool,
}

impl Localstack {
    /// Runs the task.
    pub fn run(&self) -> Result {
        match &self.task {
            Task::Up(up) => up.run(),
            Task::Test(test) => test.run(),
            Task::Down => down(),
            Task::Artifacts => measure(&artifacts()?),
        }
    }
}

impl Up {
    fn run(&self) -> Result {
        tools::ensure_emulator()?;
        let functions = Functions::build(if self.release { Build::Release } else { Build::Alone })?;
        let emulator = Emulator::start(&state(), self.port)?;
        seed(&emulator, &functions)?;
        println!("endpoint  {}  (credentials test / test, region eu-south-1)", emulator.endpoint);
        println!("commands  sigillo ... --aws {}", emulator.description().display());
        println!(
            "          with AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
            emulator.endpoint
        );
        println!("          and built by cargo build --package sigillo --features aws");
        println!("log       {}", emulator.folder.join("emulator.log").display());
        println!("end       cargo xtask localstack down");
        Ok(())
    }
}

impl Test {
    /// Runs it.
    pub fn run(&self) -> Result {
        // 1. The template as it stands.
        tools::ensure_emulator()?;
        sh(&mut template_test())?;
        if !self.no_lint {
            lint()?;
        }
        // 2. The template as it is deployed, and letters through all of it.
        let functions = Functions::build(if self.release { Build::Release } else { Build::LikeTests })?;
        let emulator = Emulator::start_anew("test")?;
        let tested = seed(&emulator, &functions)
            .and_then(|()| operators(&emulator))
            .and_then(|()| LETTERS.iter().try_for_each(|name| script(name, &emulator.endpoint)));
        emulator.end()?;
        tested
    }
}

fn down() -> Result {
    if !state().join("pid").exists() {
        return Err(Error::Other("find an emulator that `cargo xtask localstack up` started".to_owned()));
    }
    Emulator::stop(&state())
}

fn state() -> PathBuf {
    root().join("target/localstack/state")
}

// ---------------------------------------------------------------------------------------------- The emulator

/// An emulator in a process group of its own: the functions that it runs can outlive it, so the whole group ends.
pub struct Emulator {
    /// Its address.
    pub endpoint: String,
    folder: PathBuf,
    child: Child,
}

impl Emulator {
    /// Starts one for tests; one of this name that was left behind ends first.
    pub fn start_anew(name: &str) -> Result<Self> {
        let folder = root().join("target/localstack").join(name);
        if folder.join("pid").exists() {
            Self::stop(&folder)?;
        }
        Self::start(&folder, free_port()?)
    }

    fn start(folder: &Path, port: u16) -> Result<Self> {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Err(Error::Other(format!(
                "listen on port {port}: somebody does; see `--port` and `down`"
            )));
        }
        // Always from nothing: what is deployed is what is there.
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let log = fs::File::create(folder.join("emulator.log"))?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut command = python();
        command
            .arg(root().join("shared/aws/tests/emulator/emulator.py"))
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LAMBDA_EXECUTOR", "local")
            .env("IOT_MTLS_ENABLED", "0") // else it listens on a port of its own as well
            .env("AWS_ENDPOINT_URL", &endpoint) // what it hands to the functions
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", folder.join("state"))
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", folder.join("s3"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let child = command.spawn().map_err(|e| Error::Start("emulator.py".to_owned(), e))?;
        fs::write(folder.join("pid"), child.id().to_string())?;
        let emulator = Self { endpoint, folder: folder.to_owned(), child };
        if wait(|| answers(port)) {
            return Ok(emulator);
        }
        emulator.end()?;
        Err(Error::Other(format!("reach the emulator: see {}", folder.join("emulator.log").display())))
    }

    /// Where the description of what is deployed lies: what `sigillo --aws` reads.
    fn description(&self) -> PathBuf {
        self.folder.join("aws.json")
    }

    /// Stops what this process started.
    pub fn end(mut self) -> Result {
        // Its group is there until we have taken note of its end.
        Self::stop_group(&self.folder, || drop(self.child.try_wait()))
    }

    /// Stops what another process started.
    fn stop(folder: &Path) -> Result {
        Self::stop_group(folder, || ())
    }

    /// Stops the group, and waits until it is gone.
    fn stop_group(folder: &Path, mut take_note: impl FnMut()) -> Result {
        let pid = fs::read_to_string(folder.join("pid"))?;
        let pid: u32 =
            pid.trim().parse().map_err(|_| Error::Other(format!("read a process id in {pid:?}")))?;
        let kill = |signal: &str| {
            let group = format!("-{pid}");
            let status = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
            status.is_ok_and(|s| s.success())
        };
        // It may have ended by itself, and its number be somebody else's by now.
        if is_emulator(pid) {
            kill("-TERM");
            let is_gone = || {
                take_note();
                !kill("-0")
            };
            if !wait(is_gone) {
                kill("-KILL");
            }
        }
        Ok(fs::remove_file(folder.join("pid"))?)
    }
}

fn is_emulator(pid: u32) -> bool {
    let out = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output();
    out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("emulator.py"))
}

/// Whether it answers as AWS does: any answer to any request.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut line = String::new();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
        && BufReader::new(stream).read_line(&mut line).is_ok()
        && line.starts_with("HTTP/1.1 ")
}

fn wait(mut holds: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        sleep(LOOK_EVERY); // for another program, which tells nobody
    }
    false
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

// ---------------------------------------------------------------------------------------------- Functions

/// Code of the functions.
enum Functions {
    /// Every function in one executable: its name tells it which one it is.
    One(PathBuf),
    /// NAME/bootstrap in a folder.
    Each(PathBuf),
}

impl Functions {
    fn build(build: Build) -> Result<Self> {
        if build == Build::Release {
            return artifacts().map(Self::Each);
        }
        let built = build.program("sigillo-functions", "functions")?;
        let folder = root().join("target/localstack");
        fs::create_dir_all(&folder)?;
        // Symbols are most of a quick build, and would be packed, stored and unpacked.
        let stripped = folder.join("bootstrap");
        sh(Command::new("strip").arg(built).arg("-o").arg(&stripped))?;
        Ok(Self::One(stripped))
    }
}

/// The folders of `functions/`, but for the one for tests.
fn function_names() -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(root().join("functions"))?
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "all")
        .collect();
    names.sort();
    Ok(names)
}

/// What goes to AWS, as `sam build` makes it: the same tool, called from below `functions/`, whose .cargo/config.toml says
/// how. All in one call, so that what functions share is built once; `sam build` then finds everything done.
fn artifacts() -> Result<PathBuf> {
    tools::ensure_emulator()?;
    tools::ensure_cargo_lambda()?;
    let (venv, folder) = (tools::venv(), root().join("target/lambda"));
    let mut command = Command::new(venv.join("bin/cargo-lambda"));
    command.args(["lambda", "build", "--release", "--locked", "--manifest-path", "../Cargo.toml"]);
    command.arg("--lambda-dir").arg(&folder).current_dir(root().join("functions"));
    // It looks for its linker beside itself, by the path.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([venv.join("bin")].into_iter().chain(std::env::split_paths(&path)));
    command.env("PATH", path.map_err(|e| Error::Other(e.to_string()))?);
    for name in function_names()? {
        command.args(["--package", &format!("sigillo-{name}")]);
    }
    sh(&mut command)?;
    Ok(folder)
}

// ---------------------------------------------------------------------------------------------- Python

fn python() -> Command {
    let mut command = Command::new(tools::venv().join("bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn seed(emulator: &Emulator, functions: &Functions) -> Result {
    let mut command = python();
    command.arg(root().join("localstack/seed.py")).env("AWS_ENDPOINT_URL", &emulator.endpoint);
    command.arg("--description").arg(emulator.description());
    match functions {
        Functions::One(executable) => command.arg("--one-for-all").arg(executable),
        Functions::Each(folder) => command.arg("--functions").arg(folder),
    };
    sh(&mut command)
}

/// A script that looks at a deployment.
fn script(name: &str, endpoint: &str) -> Result {
    sh(python().arg(root().join("localstack").join(name)).env("AWS_ENDPOINT_URL", endpoint))
}

/// What operators do with `--aws`, and what mail programs do with the gateway.
fn operators(emulator: &Emulator) -> Result {
    tools::ensure()?; // dnsmasq
    let sigillo = Build::LikeTests.program("sigillo", "sigillo")?;
    let script = |name: &str, more: &[&Path]| {
        let mut command = python();
        command.arg(root().join("localstack").join(name)).arg(&sigillo).args(more);
        sh(command.env("AWS_ENDPOINT_URL", &emulator.endpoint))
    };
    script("operators.py", &[emulator.description().as_path()])?;
    script("restore.py", &[emulator.description().as_path()])?;
    script("sealing.py", &[])?;
    script("gateway.py", &[])
}

/// Size and cold start of what goes to AWS.
fn measure(functions: &Path) -> Result {
    let emulator = Emulator::start_anew("artifacts")?;
    let mut command = python();
    command.arg(root().join("localstack/coldstart.py")).arg(functions);
    let measured = seed(&emulator, &Functions::Each(functions.to_owned()))
        .and_then(|()| sh(command.env("AWS_ENDPOINT_URL", &emulator.endpoint)));
    emulator.end()?;
    measured
}

/// What must hold of the template as SAM renders it.
fn template_test() -> Command {
    let mut command = python();
    command.arg(root().join("localstack/test_template.py"));
    command
}

fn lint() -> Result {
    tools::ensure_checks()?;
    let venv = tools::checks_venv();
    let mut templates = vec!["template.yaml".into()];
    let infra = fs::read_dir(root().join("infra"))?.flatten().map(|entry| entry.path());
    templates.extend(infra.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")));
    let tool = |name: &str| {
        let mut command = Command::new(venv.join("bin").join(name));
        command.current_dir(root()).env("SAM_CLI_TELEMETRY", "0");
        command
    };
    sh(tool("sam").args(["validate", "--lint", "--region", "eu-south-1"]))?;
    sh(tool("cfn-lint").args(templates))?;
    sh(&mut tool("checkov"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue: a role that tries to update or delete a log entry is refused by policy.
    #[test]
    fn the_rendered_template_gives_each_role_no_more_than_it_needs() {
        let out = template_test().output().expect("`cargo xtask test` makes the virtual environment first");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}
