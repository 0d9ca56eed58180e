//! The servers that are measured.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sigillo_bench::{
    Failure, Provider,
    tls::{Tls, line, send},
};

/// A running server with a user who sends and a mailbox that takes everything.
pub trait Server: Sync {
    /// Where other systems deliver.
    fn exchange(&self) -> u16;
    /// Where users submit, by TLS from the first octet.
    fn submission(&self) -> u16;
    /// PEM that its certificate is trusted by; it names `localhost`.
    fn ca(&self) -> Result<Vec<u8>, Failure>;
    /// Address and password of the user.
    fn user(&self) -> (String, String);
    /// The mailbox.
    fn recipient(&self) -> String;
    /// Messages in the mailbox.
    fn delivered(&self) -> Result<usize, Failure>;
}

/// A provider of ours.
pub struct Sigillo {
    provider: Provider,
    exchange: u16,
    submission: u16,
    pop3: u16,
    user: (String, String),
    other: (String, String),
    tls: Tls,
}

impl Sigillo {
    pub fn start(binary: &Path, data: &Path) -> Result<Self, Failure> {
        let provider = Provider::start(binary, data)?;
        let (user, other) = (provider.account(0)?, provider.account(1)?);
        provider.command(&["account", "settings", &other.0, "--ordinary", "take"])?;
        let tls = Tls::new(&provider.ca()?)?;
        let port = |door| provider.port(door);
        let (exchange, submission, pop3) = (port("smtp")?, port("smtps")?, port("pop3s")?);
        Ok(Self { exchange, submission, pop3, user, other, tls, provider })
    }
}

impl Server for Sigillo {
    fn exchange(&self) -> u16 {
        self.exchange
    }
    fn submission(&self) -> u16 {
        self.submission
    }
    fn ca(&self) -> Result<Vec<u8>, Failure> {
        self.provider.ca()
    }
    fn user(&self) -> (String, String) {
        self.user.clone()
    }
    fn recipient(&self) -> String {
        self.other.0.clone()
    }
    fn delivered(&self) -> Result<usize, Failure> {
        let (user, password) = &self.other;
        let mut stream = self.tls.connect(self.pop3)?;
        let mut last = line(&mut stream)?;
        for command in [format!("USER {user}"), format!("PASS {password}"), "STAT".to_owned()] {
            send(&mut stream, format!("{command}\r\n").as_bytes())?;
            last = line(&mut stream)?;
        }
        send(&mut stream, b"QUIT\r\n")?;
        let count = last.strip_prefix("+OK ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        Ok(count.ok_or(last)?)
    }
}

/// Debian's Postfix as root, with a configuration of its own; Dovecot says who may send.
pub struct Postfix {
    master: Child,
    auth: Child,
    dir: PathBuf,
    exchange: u16,
    submission: u16,
    certificate: String,
}

const USER: &str = "mittente@pec.demo.example";
const PASSWORD: &str = "segreta";
const RECIPIENT: &str = "destinatario@pec.demo.example";
/// Services of master.cf that run as often as they are asked for: name, type, private, unprivileged, wakeup, processes
/// and program. None is in a chroot, which is Debian's choice as well.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
smtp unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
virtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
postlog unix-dgram n - n - 1 postlogd\n";

impl Postfix {
    pub fn start(dir: &Path) -> Result<Self, Failure> {
        // 1. Folders. Mail belongs to somebody who may do nothing else.
        for folder in ["", "queue", "data", "mail", "dovecot"] {
            fs::create_dir_all(dir.join(folder))?; // a second start finds what the first one left
        }
        for open in dir.ancestors().take(2) {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755))?;
        }
        run(Command::new("chown").arg("65534:65534").arg(dir.join("mail")))?;
        run(Command::new("chown").arg("postfix").arg(dir.join("data")))?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(dir.join("cert.pem"), made.cert.pem())?;
        fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?;

        // 2. As Debian has it, but for what the measurement needs. It does not hold arrivals back for deliveries.
        let [exchange, submission, auth_port] = [free_port()?, free_port()?, free_port()?];
        let at = dir.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmaillog_file = {at}/log\nmaillog_file_prefixes = {at}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = gestore.demo.example\nmydestination =\n\
             mynetworks = 192.0.2.1/32\nalias_maps =\nalias_database =\nvirtual_mailbox_domains = pec.demo.example\n\
             virtual_mailbox_base = {at}/mail\nvirtual_mailbox_maps = static:box/\nvirtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\nvirtual_mailbox_limit = 0\nmessage_size_limit = 104857600\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n\
             smtpd_client_connection_count_limit = 0\nin_flow_delay = 0\nsmtpd_tls_cert_file = {at}/cert.pem\n\
             smtpd_tls_key_file = {at}/key.pem\nsmtpd_sasl_type = dovecot\n\
             smtpd_sasl_path = inet:127.0.0.1:{auth_port}\n"
        );
        let doors = format!(
            "127.0.0.1:{exchange} inet n - n - - smtpd\n127.0.0.1:{submission} inet n - n - - smtpd\n\
             \x20 -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes\n"
        );
        fs::write(dir.join("main.cf"), main)?;
        fs::write(dir.join("master.cf"), format!("{doors}{SERVICES}"))?;
        let dovecot = format!(
            "base_dir = {at}/dovecot/run\nstate_dir = {at}/dovecot/state\nlog_path = {at}/dovecot/log\nprotocols =\n\
             listen = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\nauth_mechanisms = plain\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             service auth {{\n  inet_listener {{\n    address = 127.0.0.1\n    port = {auth_port}\n  }}\n}}\n"
        );
        fs::write(dir.join("dovecot.conf"), dovecot)?;

        // 3. Both, until they listen.
        let auth = Command::new("dovecot").arg("-F").arg("-c").arg(dir.join("dovecot.conf")).spawn();
        let auth = auth.map_err(|e| format!("dovecot (Debian's dovecot-core): {e}"))?;
        let master = Command::new("postfix").arg("-c").arg(dir).arg("start-fg").stderr(Stdio::null()).spawn();
        let master = master.map_err(|e| format!("postfix: {e}"))?;
        let server =
            Self { master, auth, dir: dir.to_owned(), exchange, submission, certificate: made.cert.pem() };
        let start = Instant::now();
        while [exchange, submission, auth_port].iter().any(|p| TcpStream::connect(("127.0.0.1", *p)).is_err())
        {
            if start.elapsed() > Duration::from_secs(30) {
                let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
                return Err(format!("postfix does not listen: {log}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Server for Postfix {
    fn exchange(&self) -> u16 {
        self.exchange
    }
    fn submission(&self) -> u16 {
        self.submission
    }
    fn ca(&self) -> Result<Vec<u8>, Failure> {
        Ok(self.certificate.clone().into_bytes())
    }
    fn user(&self) -> (String, String) {
        (USER.to_owned(), PASSWORD.to_owned())
    }
    fn recipient(&self) -> String {
        RECIPIENT.to_owned()
    }
    fn delivered(&self) -> Result<usize, Failure> {
        match fs::read_dir(self.dir.join("mail/box/new")) {
            Ok(messages) => Ok(messages.count()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Both end their processes themselves when they are told to.
        let _ = Command::new("postfix").arg("-c").arg(&self.dir).arg("stop").stderr(Stdio::null()).status();
        let _ = Command::new("kill").args(["-TERM", &self.auth.id().to_string()]).status();
        let _ = self.master.wait();
        let _ = self.auth.wait();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
