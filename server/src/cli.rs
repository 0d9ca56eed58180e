//! The command line: what `sigillo` understands.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use machine::ClamdAddress;
use pec::{Address, Instant};
use stages::rates::Limits;

use crate::doors::{Kind, Place};

mod bounds;
mod clock;
mod custody;
mod gateway;
mod levels;
mod provision;

pub use bounds::LetterLimits;
pub use clock::Clock;
pub use custody::{Backup, Restore};
pub use gateway::{DoorsTls, Gateway};
pub use levels::Sla;
pub use provision::{
    AccountAdd, AccountQuota, DomainAdd, DomainHistory, DomainOne, Environment, EnvironmentAdd,
};

/// Certified mail (PEC): a provider in one process, and its tools.
#[derive(Debug, Parser)]
#[command(name = "sigillo", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a provider with names, keys and an index of its own
    Init(Init),
    /// Run the provider; the first start makes a demo with two accounts
    Up(Up),
    /// Run the doors of a provider on AWS, and its way out to other systems
    Gateway(Gateway),
    /// Submit a letter and follow it
    Send(Send),
    /// Read a mailbox
    #[command(subcommand)]
    Mailbox(Mailbox),
    /// Passwords of an account, and who signed in
    #[command(subcommand)]
    Account(Account),
    /// What others must be told about the domain of a running provider
    #[command(subcommand)]
    Domain(Domain),
    /// Make a provider environment of a stack on AWS
    #[command(subcommand)]
    Environment(Environment),
    /// The national provider index
    #[command(subcommand)]
    Index(Index),
    /// Read the legal log
    #[command(subcommand)]
    Audit(Audit),
    /// Verify any PEC message, ours or another provider's, offline
    Verify(Verify),
    /// Handle signing keys
    #[command(subcommand)]
    Keys(Keys),
    /// Availability and acceptance times of a four-month period, from the legal log
    Sla(Sla),
    /// How far the clock is off
    Clock(Clock),
    /// Copy a provider, also while it runs
    Backup(Backup),
    /// Make a provider's folder from a backup, and check all of it
    Restore(Restore),
}

/// Which provider a command is about: one in a folder, or one on AWS.
#[derive(Clone, Debug, Args)]
pub struct Provider {
    /// The provider's folder
    #[arg(long, value_name = "DIR", default_value = "sigillo-data")]
    pub data: PathBuf,
    /// A provider on AWS instead: what `aws cloudformation describe-stacks --stack-name STACK` prints.
    /// Credentials come from the environment or a profile, as the aws command line's do
    #[arg(long, value_name = "FILE.json", conflicts_with = "data")]
    pub aws: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The folder that a provider runs in.
#[derive(Clone, Debug, Args)]
pub struct Data {
    /// The provider's folder
    #[arg(long, value_name = "DIR", default_value = "sigillo-data")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sigillo init`
#[derive(Debug, Args)]
#[command(after_help = "\
Makes a provider in DIR, for sigillo up. Without keys a test CA is made that certifies it; without
an index one is made that holds it alone. The key and certificate of an authority must fit
together, the certificate must name posta-certificata@MAIL-DOMAIN, and the index must have a record
of the provider with that certificate and both domains. Passwords of accounts are printed once and
kept in DIR/demo.json; settings of accounts are those of the demo.

DIR/index.ldif is looked at every minute: rename a new one over it.

Example:
  sigillo init --data ./alfa --provider \"Alfa PEC\" --mail-domain gestore.alfa.example --domain pec.alfa.example")]
pub struct Init {
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
    /// The provider's name, as in the index
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    /// The provider mail domain: of PEC ids and of the service address; the host of the doors
    #[arg(long, value_name = "DOMAIN")]
    pub mail_domain: String,
    /// The domain of the accounts
    #[arg(long, value_name = "DOMAIN")]
    pub domain: String,
    /// The local part of an account; may be repeated
    #[arg(long, value_name = "LOCAL", default_values = ["mittente", "destinatario"])]
    pub account: Vec<String>,
    /// The key that signs receipts and envelopes, in PEM
    #[arg(long, value_name = "FILE.key", requires_all = ["certificate", "ca", "tls_key", "tls_certificate"])]
    pub key: Option<PathBuf>,
    /// Its certificate, with intermediate ones behind it, in PEM
    #[arg(long, value_name = "FILE.pem", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The authority of all providers' certificates, in PEM
    #[arg(long, value_name = "FILE.pem", requires = "key")]
    pub ca: Option<PathBuf>,
    /// The key of the doors' TLS, in PEM
    #[arg(long, value_name = "FILE.key", requires = "key")]
    pub tls_key: Option<PathBuf>,
    /// Its certificate, with intermediate ones behind it, in PEM
    #[arg(long, value_name = "FILE.pem", requires = "key")]
    pub tls_certificate: Option<PathBuf>,
    /// The authority of the doors' TLS, for sigillo's own commands; that of --ca where it is left out
    #[arg(long, value_name = "FILE.pem", requires = "key")]
    pub tls_ca: Option<PathBuf>,
    /// The provider index
    #[arg(long, value_name = "FILE.ldif")]
    pub index: Option<PathBuf>,
}

/// `sigillo up`
#[derive(Debug, Args)]
#[command(after_help = "\
The first start makes a demo in DIR: a test CA, the provider's certificate and key, a provider
index, a domain with two accounts. Their passwords are printed once and kept in DIR/demo.json.
Addresses of all doors are printed and written to DIR/doors.json. The TLS certificate is
DIR/pki/tls.pem with DIR/pki/tls.key; new files are taken into use within a minute, or at SIGHUP.
Ctrl-C (or SIGTERM) ends it cleanly; a start on the same folder goes on where it ended, however
it ended. Log: stderr, level by SIGILLO_LOG (default info).

Mail to other systems goes out by DNS and SMTP: to other providers by TLS with a certificate that
names the host, to ordinary mail as well as it goes.

Viruses: without --clamd only the built-in scanner, which knows the EICAR test file.

Example:
  sigillo up --data ./demo --listen 127.0.0.1:8443")]
pub struct Up {
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
    /// Address and port of the HTTPS door; port 0 is any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The host name by which mail programs and other providers reach the doors: in settings and DNS records
    #[arg(long, value_name = "NAME", default_value = "localhost", value_parser = parse_host)]
    pub host: String,
    /// ClamAV's daemon, which scans instead of the built-in scanner; see docs/viruses.md for its settings
    #[arg(long, value_name = "unix:PATH|HOST:PORT")]
    pub clamd: Option<ClamdAddress>,
    /// Fetch the national provider index daily, as this JSON file says; see docs/provider-index.md
    #[arg(long, value_name = "FILE")]
    pub directory: Option<PathBuf>,
    /// Serve our own record of the provider index, signed, at this URL of the HTTPS door; see docs/provider-index.md
    #[arg(long, value_name = "https://HOST[:PORT]/index.ldif.p7m", value_parser = parse_index_url)]
    pub index_url: Option<String>,
    /// The authority whose timestamps the seals of the log get each day (RFC 3161): http or https
    #[arg(long, value_name = "URL", requires = "timestamps_ca")]
    pub timestamps: Option<String>,
    /// Who certifies that authority: PEM
    #[arg(long, value_name = "FILE", requires = "timestamps")]
    pub timestamps_ca: Option<PathBuf>,
    /// Where another door is to be, or off; may be repeated. The others are at free ports beside HTTPS
    #[arg(long, value_name = "NAME=ADDR:PORT|off", value_parser = parse_door)]
    pub door: Vec<(Kind, Place)>,
    /// The clock, and what may be sent
    #[command(flatten)]
    pub care: Care,
    /// How large letters may be
    #[command(flatten)]
    pub letters: LetterLimits,
    /// To other systems
    #[command(flatten)]
    pub outgoing: Outgoing,
}

/// What a provider watches over while its doors are open.
#[derive(Debug, Args)]
pub struct Care {
    /// A time server (NTP) that the clock is compared with; may be repeated, three are better than one
    #[arg(long, value_name = "HOST[:PORT]")]
    pub time_server: Vec<String>,
    /// Recipients that an account may write to in an hour
    #[arg(long, value_name = "N", default_value_t = Limits::default().account, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate_account: u64,
    /// Recipients that all accounts of an organisation may write to in an hour
    #[arg(long, value_name = "N", default_value_t = Limits::default().organisation, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate_organisation: u64,
}

impl Care {
    /// What may be sent in an hour.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits { account: self.rate_account, organisation: self.rate_organisation }
    }
}

/// How mail goes out to other systems.
#[derive(Debug, Args)]
pub struct Outgoing {
    /// The DNS server for mail to other systems, those of this machine where it is left out; and for SPF, DKIM and DMARC
    /// of ordinary mail, about which nobody is asked where it is left out
    #[arg(long, value_name = "ADDR:PORT")]
    pub dns: Option<SocketAddr>,
    /// The port of other systems' incoming points
    #[arg(long, value_name = "PORT", default_value_t = 25)]
    pub smtp_out_port: u16,
    /// The authorities that certify other providers' hosts, in PEM; those that browsers trust where it is left out
    #[arg(long, value_name = "FILE.pem")]
    pub smtp_out_ca: Option<PathBuf>,
}

/// `sigillo index`
#[derive(Debug, Subcommand)]
pub enum Index {
    /// Fetch it now, and put it in force if its signature holds
    #[command(after_help = "\
The last good copy stays in force when anything does not hold. Exit code 1 says so.

Example:
  sigillo index fetch --data ./demo --directory ./directory.json")]
    Fetch(IndexFetch),
    /// Write our own record, signed, as it is published at our LDIFLocationURL
    #[command(after_help = "\
The national index is gathered from such files. Domains and certificates: those of the index in force,
the domains that are active by now, and the certificate that signs. Make it anew after each change.

Example:
  sigillo index publish --data ./demo --url https://gestore.demo.example/index.ldif.p7m --out index.ldif.p7m")]
    Publish(IndexPublish),
}

/// `sigillo index publish`
#[derive(Debug, Args)]
pub struct IndexPublish {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// Our LDIFLocationURL
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Where to write it
    #[arg(long, value_name = "FILE.p7m")]
    pub out: PathBuf,
}

/// `sigillo index fetch`
#[derive(Debug, Args)]
pub struct IndexFetch {
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
    /// Where the index is and who may sign it: a JSON file, see docs/provider-index.md
    #[arg(long, value_name = "FILE")]
    pub directory: PathBuf,
}

/// `sigillo send`
#[derive(Debug, Args)]
#[command(after_help = "\
With --aws the letter goes into the spool as through a door, with the operator's credentials instead of
a password. --to and --cc are the recipients of the letter; without any, all of the file's To and Cc are.
From, To, Cc, Date, Message-ID and MIME-Version are written into the header only where the file
lacks them; bare line feeds become CRLF. With --idempotency-key the added Date is that of the file, so
that the same command makes the same letter again; another letter under the key is refused. The password is that of DIR/demo.json, else the one in
SIGILLO_PASSWORD.

Exit codes: 0 accepted, and delivered to every certified recipient; 1 refused, or not delivered to
one; 64 usage; 69 the provider cannot be reached; 75 accepted, and the wait ended before every
recipient was settled.

Example:
  sigillo send --data ./demo --from mittente@pec.demo.example --to destinatario@pec.demo.example letter.eml")]
pub struct Send {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// The sender: an account of the provider
    #[arg(long, value_name = "ADDRESS")]
    pub from: Address,
    /// A recipient in To; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<Address>,
    /// A recipient in Cc; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub cc: Vec<Address>,
    /// How long to follow the letter, in seconds; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait_s: u64,
    /// Submitting the same letter twice with one key makes one letter
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// The letter
    #[arg(value_name = "FILE.eml")]
    pub file: PathBuf,
}

/// `sigillo mailbox`
#[derive(Debug, Subcommand)]
pub enum Mailbox {
    /// List the messages of a mailbox
    #[command(after_help = "\
With --json an array with one object a message: uid, folder, kind (the value of X-Ricevuta or
X-Trasporto), subject, message_id, pec_id, size_bytes, received_at.

Example:
  sigillo mailbox list --data ./demo destinatario@pec.demo.example --json")]
    List(MailboxList),
    /// Show a message
    #[command(after_help = "\
Example:
  sigillo mailbox show --data ./demo destinatario@pec.demo.example 1 --raw > envelope.eml")]
    Show(MailboxShow),
    /// Write the messages of a mailbox into a folder
    #[command(after_help = "\
Every message becomes UID.eml, octet for octet as stored. Where two folders of the mailbox use one
UID, those outside INBOX become FOLDER-UID.eml.

Example:
  sigillo mailbox export --data ./demo destinatario@pec.demo.example ./messages")]
    Export(MailboxExport),
}

/// `sigillo mailbox list`
#[derive(Debug, Args)]
pub struct MailboxList {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// The account; its password is that of DIR/demo.json, else the one in SIGILLO_PASSWORD; none with --aws
    pub account: Address,
    /// Only this folder of the mailbox
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
}

/// `sigillo mailbox show`
#[derive(Debug, Args)]
pub struct MailboxShow {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// The account
    pub account: Address,
    /// The message
    pub uid: u32,
    /// The folder that it is in, where two use one UID
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
    /// Write the stored octets, nothing else
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// `sigillo mailbox export`
#[derive(Debug, Args)]
pub struct MailboxExport {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// The account
    pub account: Address,
    /// Where to write
    #[arg(value_name = "OUTDIR")]
    pub out: PathBuf,
    /// Only this folder of the mailbox
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
}

/// `sigillo account`
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Make an account with a random password, shown once
    #[command(after_help = "\
Works while the provider runs, and while it does not, as all of sigillo account; with --aws on the tables
of a stack. Its domain must be active (sigillo domain add). A certified mailbox has no aliases, forwards, auto-replies or catch-alls: the
options for them say why.

Example:
  sigillo account add --data ./demo ufficio@pec.demo.example --quota-mib 4096")]
    Add(AccountAdd),
    /// Disable a mailbox: nobody signs in, letters to it get a non-delivery notice (5.2.1)
    #[command(after_help = "\
Its messages stay. Doors ask every few minutes whether an open session may go on.

Example:
  sigillo account disable --data ./demo ufficio@pec.demo.example")]
    Disable(AccountOne),
    /// Enable a mailbox again
    #[command(after_help = "\
Example:
  sigillo account enable --data ./demo ufficio@pec.demo.example")]
    Enable(AccountOne),
    /// Set how much a mailbox may hold
    #[command(after_help = "\
What is in it stays. Letters over the quota get a non-delivery notice (5.2.2); receipts are filed all the
same. The holder is told at 80 and 95 %.

Example:
  sigillo account quota --data ./demo ufficio@pec.demo.example 8192")]
    Quota(AccountQuota),
    /// Give an account a new random password, shown once
    #[command(after_help = "\
Works while the provider runs, and while it does not. App passwords stay as they are.

Example:
  sigillo account password --data ./demo mittente@pec.demo.example")]
    Password(AccountOne),
    /// Passwords for single devices
    #[command(subcommand)]
    AppPassword(AppPassword),
    /// Ordinary mail taken or refused; receipts in INBOX or in a folder of their own
    #[command(after_help = "\
Without --ordinary and --receipts it shows what is chosen. It holds for what comes from then on.

Example:
  sigillo account settings --data ./demo destinatario@pec.demo.example --ordinary take")]
    Settings(AccountSettings),
    /// Who signed in, and who failed, in one month
    #[command(after_help = "\
One line a day, way and network; sign-ins are noted once an hour at most. Without ADDRESS: what was
tried under names that are no account.

Example:
  sigillo account sign-ins --data ./demo mittente@pec.demo.example --month 2026-03 --json")]
    SignIns(AccountSignIns),
}

/// `sigillo account settings`
#[derive(Debug, Args)]
pub struct AccountSettings {
    /// Whose
    #[command(flatten)]
    pub account: AccountOne,
    /// Ordinary mail: taken inside anomaly envelopes, or refused
    #[arg(long)]
    pub ordinary: Option<Ordinary>,
    /// Where receipts go
    #[arg(long)]
    pub receipts: Option<Receipts>,
}

/// What becomes of ordinary mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ordinary {
    /// It is filed inside an anomaly envelope
    Take,
    /// It is refused
    Refuse,
}

/// Where receipts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Receipts {
    /// Beside the letters
    Inbox,
    /// To a folder of their own
    Folder,
}

/// `sigillo account app-password`
#[derive(Debug, Subcommand)]
pub enum AppPassword {
    /// Make a random password for a device, shown once
    #[command(after_help = "\
The first group of its letters is its id.

Example:
  sigillo account app-password add --data ./demo mittente@pec.demo.example \"office laptop\"")]
    Add(AppPasswordAdd),
    /// List the passwords of devices
    #[command(after_help = "\
Example:
  sigillo account app-password list --data ./demo mittente@pec.demo.example --json")]
    List(AccountOne),
    /// End the password of a device
    #[command(after_help = "\
Example:
  sigillo account app-password revoke --data ./demo mittente@pec.demo.example k7f2m")]
    Revoke(AppPasswordRevoke),
}

/// A command about one account
#[derive(Debug, Args)]
pub struct AccountOne {
    /// Which provider, and form
    #[command(flatten)]
    pub provider: Provider,
    /// The account
    pub address: Address,
}

/// `sigillo account app-password add`
#[derive(Debug, Args)]
pub struct AppPasswordAdd {
    /// Folder and account
    #[command(flatten)]
    pub account: AccountOne,
    /// What the device is called
    pub name: String,
}

/// `sigillo account app-password revoke`
#[derive(Debug, Args)]
pub struct AppPasswordRevoke {
    /// Folder and account
    #[command(flatten)]
    pub account: AccountOne,
    /// The id, as listed
    pub id: String,
}

/// `sigillo account sign-ins`
#[derive(Debug, Args)]
pub struct AccountSignIns {
    /// Which provider, and form
    #[command(flatten)]
    pub provider: Provider,
    /// The account
    pub address: Option<Address>,
    /// The month, UTC; the present one if none is named
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<String>,
}

/// `sigillo domain`
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Take a domain; it is active once its MX records name this provider, and nobody else
    #[command(after_help = "\
The records must name the host of `sigillo up --host`, or the provider mail domain, which is all that is
known while the provider does not run; with --aws the stack's GatewayHost, or that of SES where SES takes
mail. The running provider (the gateway) looks again every day, and raises an alarm when they change.
Exit code 1: taken, but not active.

Example:
  sigillo domain add --data ./demo pec.beta.example --organisation beta")]
    Add(DomainAdd),
    /// Look at the MX records of a domain now
    #[command(after_help = "\
A domain that waits becomes active if they are right. Domains that the provider was made with are looked
at every day from the first check on. Exit code 1: the records do not name this provider alone.

Example:
  sigillo domain check --data ./demo pec.beta.example --json")]
    Check(DomainOne),
    /// Remove a domain that has no mailboxes
    #[command(after_help = "\
Example:
  sigillo domain remove --data ./demo pec.beta.example")]
    Remove(DomainOne),
    /// List the domains that are looked at
    #[command(after_help = "\
Example:
  sigillo domain list --data ./demo --json")]
    List(Provider),
    /// What happened to a domain in one month
    #[command(after_help = "\
Example:
  sigillo domain history --data ./demo pec.beta.example --month 2026-03")]
    History(DomainHistory),
    /// Print the DNS records by which mail programs and other providers find the doors
    #[command(after_help = "\
In the form of zone files: MX, SRV (RFC 6186, RFC 8314), autoconfig; for the doors that are open. The
target is the name given to `sigillo up --host`.

Example:
  sigillo domain records --data ./demo")]
    Records(DomainRecords),
    /// Print the settings of mail programs for an account
    #[command(after_help = "\
For Thunderbird, mutt and mbsync, as far as the doors that are open serve them. Programs that look
for them find them at https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml.

Example:
  sigillo domain settings --data ./demo mittente@pec.demo.example")]
    Settings(DomainSettings),
}

/// `sigillo domain records`
#[derive(Debug, Args)]
pub struct DomainRecords {
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
}

/// `sigillo domain settings`
#[derive(Debug, Args)]
pub struct DomainSettings {
    /// Folder and form
    #[command(flatten)]
    pub data: Data,
    /// The account
    pub address: Address,
}

/// `sigillo audit`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Print the log entries of a letter, in order
    #[command(after_help = "\
Reads DIR (or the table) directly, also while the provider runs, and writes nothing. ID is the PEC id
(identificativo), with or without angle brackets. Exit code 1 if the log has no entry of it.

Example:
  sigillo audit letter --data ./demo 0199aa00c1d27f3d8c1b2a3948576601@gestore.demo.example --json")]
    Letter(AuditLetter),
    /// Verify sealed segments of the log, or a proof, offline
    #[command(after_help = "\
SEALS is a folder of segments (DIR/seals of a provider, or a copy), or a proof that `audit prove` wrote. Of
segments, each must be signed by somebody whom --ca certifies, follow the one before without a gap, and
have the entries that were sealed; with --timestamps-ca, a timestamp too. Nothing else is asked.

Exit codes: 0 all of it holds; 1 something does not; 64 usage, or a file that cannot be read.

Example:
  sigillo audit verify ./demo/seals --ca ./demo/pki/ca.pem")]
    Verify(AuditVerify),
    /// Write what proves that the entries of a letter were sealed, without showing any other
    #[command(after_help = "\
Exit code 1 if no sealed segment has an entry of the letter: what was logged today is sealed tomorrow.

Example:
  sigillo audit prove ./demo/seals 0199aa00c1d27f3d8c1b2a3948576601@gestore.demo.example --out proof.json")]
    Prove(AuditProve),
}

/// `sigillo audit verify`
#[derive(Debug, Args)]
pub struct AuditVerify {
    /// A folder of segments, or a proof
    pub seals: PathBuf,
    /// The authorities of the provider's certificate: PEM
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// The authorities of timestamps: PEM. Without it timestamps are not looked at
    #[arg(long, value_name = "FILE")]
    pub timestamps_ca: Option<PathBuf>,
    /// The provider's folder, whose log must still say what the segments say; also while it runs
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sigillo audit prove`
#[derive(Debug, Args)]
pub struct AuditProve {
    /// A folder of segments
    pub seals: PathBuf,
    /// The PEC id
    pub id: String,
    /// Where to write it
    #[arg(long, value_name = "FILE.json")]
    pub out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sigillo audit letter`
#[derive(Debug, Args)]
pub struct AuditLetter {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// The PEC id
    pub id: String,
}

/// `sigillo verify`
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 valid; 1 signature or chain not valid, or signed content and header contradict each
other; 2 not a PEC message; 64 usage, or a file that cannot be read. A message whose header says
PEC and that has no signature is 1, signature `absent`. Without --ca the chain is `not-checked`
and the exit code speaks of the signature alone. --data and --aws take what --ca and --index leave open
from a provider; without --aws nothing leaves this machine. Revocation is not asked about.

Example:
  sigillo verify receipt.eml --ca ./demo/pki/ca.pem --index ./demo/index.ldif --json")]
pub struct Verify {
    /// The message
    #[arg(value_name = "FILE.eml")]
    pub file: PathBuf,
    /// Trust anchors: a file in PEM or DER, or a folder of them; every certificate in it is trusted, self-signed or not
    #[arg(long, value_name = "FILE|DIR")]
    pub ca: Option<PathBuf>,
    /// A provider index: the signer must be a provider of it, and may sign only for its domains
    #[arg(long, value_name = "FILE.ldif")]
    pub index: Option<PathBuf>,
    /// Trust anchors and index of the demo in this folder, where --ca and --index do not say otherwise
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The same of a provider on AWS: what `aws cloudformation describe-stacks --stack-name STACK` prints
    #[arg(long, value_name = "FILE.json", conflicts_with = "data")]
    pub aws: Option<PathBuf>,
    /// As of when the chain is judged; signing-time is the historic view, which accepts SHA-1 and says so
    #[arg(long, value_name = "signing-time|now|RFC3339", default_value = "now", value_parser = parse_at)]
    pub at: When,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sigillo keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a certificate request for a signing key, signed by the key itself
    #[command(after_help = "\
Prints the request (PKCS #10) in PEM: the authority makes the provider's certificate from it. With --aws
the key stays in KMS; its policy must allow you to sign (parameter KeyOperatorArn of the stack).

Example:
  sigillo keys csr --aws aws.json --subject 'CN=Posta Certificata,O=Alfa,C=IT' --mail posta-certificata@gestore.alfa.example")]
    Csr(KeysCsr),
}

/// `sigillo keys csr`
#[derive(Debug, Args)]
pub struct KeysCsr {
    /// Provider and form
    #[command(flatten)]
    pub provider: Provider,
    /// Id or ARN of the key in KMS, or its file; otherwise the stack's own key, or DIR/pki/provider.key
    #[arg(long, value_name = "ARN|FILE")]
    pub key: Option<String>,
    /// The subject as a distinguished name (RFC 4514), the most particular part first
    #[arg(long, value_name = "NAME")]
    pub subject: String,
    /// What it will sign as: posta-certificata@ the provider's mail domain
    #[arg(long, value_name = "ADDRESS")]
    pub mail: Address,
}

/// `--at`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The historic view.
    SigningTime,
    /// Now.
    Now,
    /// Another instant.
    Instant(Instant),
}

fn parse_host(text: &str) -> Result<String, String> {
    let label =
        |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_name = text.len() <= 253 && text.split('.').all(label);
    match is_name || text.parse::<std::net::IpAddr>().is_ok() {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("expected a host name, as mail.alfa.example".to_owned()),
    }
}

/// Our LDIFLocationURL, where the HTTPS door serves it.
fn parse_index_url(text: &str) -> Result<String, String> {
    let path = crate::http::index::PATH;
    let host = text.strip_prefix("https://").and_then(|rest| rest.strip_suffix(path));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@']) => Ok(text.to_owned()),
        _ => Err(format!("expected https://HOST{path} (RFC 6109 §4.5.6)")),
    }
}

fn parse_door(text: &str) -> Result<(Kind, Place), String> {
    let names = || Kind::ALL.map(|kind| kind.name).join(", ");
    let (name, place) = text.split_once('=').ok_or("expected NAME=ADDR:PORT or NAME=off")?;
    let kind = Kind::named(name).ok_or_else(|| format!("{name} is no door: expected one of {}", names()))?;
    let place = match place {
        "off" => Place::Off,
        address => Place::At(address.parse().map_err(|_| "expected ADDR:PORT, as 0.0.0.0:465, or off")?),
    };
    Ok((kind, place))
}

fn parse_at(text: &str) -> Result<When, String> {
    match text {
        "signing-time" => Ok(When::SigningTime),
        "now" => Ok(When::Now),
        other => Instant::parse(other)
            .map(When::Instant)
            .map_err(|_| "expected signing-time, now, or an instant as 2026-03-02T09:00:00+01:00".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_without_subcommands_has_an_example_and_json() {
        fn visit(command: &clap::Command) {
            if command.has_subcommands() {
                return command.get_subcommands().for_each(visit);
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:\n  sigillo "), "{}", command.get_name());
            assert!(command.get_arguments().any(|a| a.get_id() == "json"), "{}", command.get_name());
        }
        visit(&Cli::command());
    }

    #[test]
    fn a_host_has_a_name_or_an_address() {
        assert_eq!(parse_host("Mail.alfa.example").as_deref(), Ok("mail.alfa.example"));
        assert!(parse_host("::1").is_ok());
        for wrong in ["", "a..b", "a b", "a\nb", &"a".repeat(64)] {
            assert!(parse_host(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn doors_are_named_with_their_addresses() {
        let at = |text: &str| Ok(Place::At(text.parse().unwrap()));
        let place = |text: &str| parse_door(text).map(|(_, place)| place);
        assert_eq!(place("smtps=0.0.0.0:465"), at("0.0.0.0:465"));
        assert_eq!(place("imaps=[::1]:0"), at("[::1]:0"));
        assert_eq!(parse_door("smtp=off"), Ok((Kind::SMTP, Place::Off)));
        for wrong in ["smtps", "smtps=465", "gopher=off", "imaps="] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_of_verification_are_words_or_rfc_3339() {
        assert_eq!(parse_at("signing-time"), Ok(When::SigningTime));
        let instant = Instant::parse("2021-12-20T10:00:00+01:00").unwrap();
        assert_eq!(parse_at("2021-12-20T10:00:00+01:00"), Ok(When::Instant(instant)));
        assert!(parse_at("yesterday").is_err());
    }
}
