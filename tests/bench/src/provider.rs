//! The `sigillo` program as it is measured beside other servers.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::Failure;

/// A provider of ours with the two accounts of the demo. It is killed when it is dropped.
pub struct Provider {
    child: Child,
    binary: PathBuf,
    data: PathBuf,
    ready: Value,
}

impl Provider {
    /// Starts it in a folder and waits until its doors are open.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(binary: &Path, data: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(binary)
            .args(["up", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            // As many as the machine takes.
            .args(["--rate-account", "1000000000", "--rate-organisation", "1000000000"])
            .env("SIGILLO_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let ready = serde_json::from_str(&line)?;
        Ok(Self { child, binary: binary.to_owned(), data: data.to_owned(), ready })
    }

    /// The port of a door on 127.0.0.1.
    ///
    /// # Errors
    /// When there is no such door.
    pub fn port(&self, door: &str) -> Result<u16, Failure> {
        let url = self.text(&format!("/doors/{door}/url"))?;
        Ok(url.rsplit(':').next().unwrap_or_default().parse()?)
    }

    /// PEM that the certificate of its doors is trusted by; it names `localhost`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ca(&self) -> Result<Vec<u8>, Failure> {
        Ok(fs::read(self.text("/doors/ca")?)?)
    }

    /// Address and password of an account of the demo. Passwords are said once, and kept.
    ///
    /// # Errors
    /// When there is none.
    pub fn account(&self, n: usize) -> Result<(String, String), Failure> {
        let demo: Value = serde_json::from_slice(&fs::read(self.data.join("demo.json"))?)?;
        let kept = |name: &str| demo["accounts"][n][name].as_str().map(str::to_owned).ok_or("demo.json");
        Ok((kept("address")?, kept("password")?))
    }

    /// Runs a command on it, which must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn command(&self, words: &[&str]) -> Result<(), Failure> {
        let done = Command::new(&self.binary).args(words).arg("--data").arg(&self.data).output()?;
        match done.status.success() {
            true => Ok(()),
            false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&done.stderr)).into()),
        }
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn text(&self, pointer: &str) -> Result<&str, Failure> {
        let value = self.ready.pointer(pointer).and_then(Value::as_str);
        Ok(value.ok_or_else(|| format!("no {pointer} in {}", self.ready))?)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Both fail once it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
