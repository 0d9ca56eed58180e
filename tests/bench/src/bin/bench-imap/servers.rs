//! The servers that are measured.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use sigillo_bench::{Failure, Provider};

/// A running server with one account.
pub trait Server {
    /// Where IMAP over TLS is.
    fn port(&self) -> u16;
    /// PEM that its certificate is trusted by; it names `localhost`.
    fn ca(&self) -> Result<Vec<u8>, Failure>;
    /// Name and password.
    fn credentials(&self) -> (&str, &str);
    /// Octets of memory of all its processes, shared ones counted once (PSS).
    fn memory(&self) -> Result<usize, Failure>;
}

/// A provider of ours.
pub struct Sigillo {
    provider: Provider,
    port: u16,
    user: String,
    password: String,
}

impl Sigillo {
    pub fn start(binary: &Path, data: &Path) -> Result<Self, Failure> {
        let provider = Provider::start(binary, data)?;
        let (port, (user, password)) = (provider.port("imaps")?, provider.account(1)?);
        Ok(Self { provider, port, user, password })
    }
}

impl Server for Sigillo {
    fn port(&self) -> u16 {
        self.port
    }
    fn ca(&self) -> Result<Vec<u8>, Failure> {
        self.provider.ca()
    }
    fn credentials(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }
    fn memory(&self) -> Result<usize, Failure> {
        pss(self.provider.id())
    }
}

/// Debian's Dovecot as root, with a configuration of its own.
pub struct Dovecot {
    child: Child,
    port: u16,
    certificate: String,
}

impl Dovecot {
    pub fn start(dir: &Path, format: &str) -> Result<Self, Failure> {
        // 1. Its folder; mail belongs to somebody who may do nothing else.
        let mail = dir.join("mail");
        fs::create_dir_all(&mail)?; // a second start finds what the first one left
        for open in dir.ancestors().take(2) {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755))?;
        }
        run(Command::new("chown").arg("65534:65534").arg(&mail))?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(dir.join("cert.pem"), made.cert.pem())?;
        fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?;

        // 2. As Debian has it, but for what the measurement needs: any password, TLS only, many connections of one user.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = dir.display();
        let configuration = format!(
            "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\nprotocols = imap\nlisten = 127.0.0.1\nssl = required\n\
             ssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\nmail_location = {format}:{at}/mail\nfirst_valid_uid = 1\n\
             mail_max_userip_connections = 10000\npassdb {{\n  driver = static\n  args = password=segreta\n}}\n\
             userdb {{\n  driver = static\n  args = uid=65534 gid=65534 home={at}/mail\n}}\n\
             service imap-login {{\n  inet_listener imap {{\n    port = 0\n  }}\n  inet_listener imaps {{\n    port = {port}\n    ssl = yes\n  }}\n\
             \x20 process_limit = 1024\n}}\nservice imap {{\n  process_limit = 2048\n}}\n"
        );
        fs::write(dir.join("dovecot.conf"), configuration)?;
        let child = Command::new("dovecot").arg("-F").arg("-c").arg(dir.join("dovecot.conf")).spawn();
        let child = child.map_err(|e| format!("dovecot (Debian's dovecot-imapd): {e}"))?;
        let server = Self { child, port, certificate: made.cert.pem() };

        // 3. Until it listens.
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > Duration::from_secs(30) {
                return Err(
                    format!("dovecot does not listen: {}", fs::read_to_string(dir.join("log"))?).into()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Server for Dovecot {
    fn port(&self) -> u16 {
        self.port
    }
    fn ca(&self) -> Result<Vec<u8>, Failure> {
        Ok(self.certificate.clone().into_bytes())
    }
    fn credentials(&self) -> (&str, &str) {
        ("mailbox", "segreta")
    }
    fn memory(&self) -> Result<usize, Failure> {
        pss(self.child.id())
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // It ends its processes itself when it is told to.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// The memory of a process and of all below it.
fn pss(root: u32) -> Result<usize, Failure> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may end while it is looked at.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = vec![root];
    let mut n = 0;
    while let Some(parent) = family.get(n).copied() {
        family.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        n += 1;
    }
    let mut octets = 0;
    for pid in family {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = pss.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0);
        octets += kib * 1024;
    }
    Ok(octets)
}
