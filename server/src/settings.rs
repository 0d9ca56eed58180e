//! What mail programs must be told to use the doors that are open: texts for people, a file for programs, records
//! for the domain.

mod autoconfig;
mod records;

use std::path::PathBuf;

use pec::Address;

use crate::doors::{Kind, file::DoorsFile};

pub use autoconfig::autoconfig;
pub use records::{exchange, records};

/// What is published of a provider.
#[derive(Clone, Debug)]
pub struct Published {
    /// The provider's name.
    pub provider: String,
    /// The host name by which programs reach the doors.
    pub host: String,
    /// PEM of who certifies the doors' certificate, where it is not known to everybody.
    pub ca: Option<PathBuf>,
    ports: Vec<(Kind, u16)>,
}

impl Published {
    /// The doors of this file.
    #[must_use]
    pub fn new(provider: &str, file: &DoorsFile) -> Self {
        let port = |kind: Kind| Some((kind, file.doors.get(kind.name)?.port()?));
        Self {
            provider: provider.to_owned(),
            host: file.host.clone(),
            ca: Some(file.ca.clone()),
            ports: Kind::ALL.into_iter().filter_map(port).collect(),
        }
    }

    /// These doors, at the ports that the world knows them by, with a certificate that everybody can verify.
    #[must_use]
    pub fn known(provider: &str, host: &str, kinds: impl Iterator<Item = Kind>) -> Self {
        let ports = kinds.map(|kind| (kind, kind.port)).collect();
        Self { provider: provider.to_owned(), host: host.to_owned(), ca: None, ports }
    }

    /// The port of a door, if it is open.
    #[must_use]
    pub fn port(&self, kind: Kind) -> Option<u16> {
        self.ports.iter().find(|(open, _)| *open == kind).map(|(_, port)| *port)
    }

    /// Where letters are submitted: TLS from the first octet if we have it (RFC 8314 §3.3).
    fn submission(&self) -> Option<(Kind, u16)> {
        [Kind::SMTPS, Kind::SUBMISSION].into_iter().find_map(|kind| Some((kind, self.port(kind)?)))
    }
}

/// Settings of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program.
    pub program: &'static str,
    /// Lines to be read, or put into its file.
    pub text: String,
}

/// Settings for every program that the open doors serve.
#[must_use]
pub fn settings(published: &Published, account: &Address) -> Vec<Settings> {
    let all = [
        ("thunderbird", thunderbird(published, account)),
        ("mutt", mutt(published, account)),
        ("mbsync", mbsync(published, account)),
    ];
    all.into_iter().filter_map(|(program, text)| Some(Settings { program, text: text? })).collect()
}

/// For the form "Configure manually" of a new account.
fn thunderbird(published: &Published, account: &Address) -> Option<String> {
    let host = &published.host;
    let row = |what: &str, protocol: &str, port: u16, security: &str| {
        format!("{what}  {protocol}, {host}, port {port}, {security}, normal password, user name {account}\n")
    };
    let mut text = String::new();
    for (kind, protocol) in [(Kind::IMAPS, "IMAP"), (Kind::POP3S, "POP3")] {
        if let Some(port) = published.port(kind) {
            text += &row("incoming", protocol, port, "SSL/TLS");
        }
    }
    if let Some((kind, port)) = published.submission() {
        text += &row("outgoing", "SMTP", port, if kind.implicit_tls { "SSL/TLS" } else { "STARTTLS" });
    }
    if text.is_empty() {
        return None;
    }
    let first =
        |ca: &PathBuf| format!("first     Settings, Certificates, Authorities, Import: {}\n", ca.display());
    Some(published.ca.as_ref().map(first).unwrap_or_default() + &text)
}

/// For `~/.muttrc` of mutt or neomutt.
fn mutt(published: &Published, account: &Address) -> Option<String> {
    let host = &published.host;
    let user = user_of_url(account);
    let mut text = String::new();
    if let Some(port) = published.port(Kind::IMAPS) {
        text += &format!(
            "set folder = \"imaps://{user}@{host}:{port}/\"\nset spoolfile = \"+INBOX\"\nset record = \"+Sent\"\n\
             set postponed = \"+Drafts\"\nset trash = \"+Trash\"\n"
        );
    } else if let Some(port) = published.port(Kind::POP3S) {
        text += &format!("set pop_host = \"pops://{user}@{host}:{port}/\"\n");
    }
    if let Some((kind, port)) = published.submission() {
        text += &format!("set smtp_url = \"{}://{user}@{host}:{port}/\"\n", kind.scheme);
    }
    if text.is_empty() {
        return None;
    }
    let ca = |ca: &PathBuf| format!("set ssl_ca_certificates_file = \"{}\"\n", ca.display());
    let ca = published.ca.as_ref().map(ca).unwrap_or_default();
    Some(format!("set from = \"{account}\"\nset ssl_force_tls = yes\nset ssl_starttls = yes\n{ca}{text}"))
}

/// For `~/.mbsyncrc` of isync 1.4 or newer; 1.5 would rather read `TLSType`, and says so.
fn mbsync(published: &Published, account: &Address) -> Option<String> {
    let port = published.port(Kind::IMAPS)?;
    let host = &published.host;
    let ca = |ca: &PathBuf| format!("CertificateFile \"{}\"\n", ca.display());
    let ca = published.ca.as_ref().map(ca).unwrap_or_default();
    Some(format!(
        "# before the first run: mkdir -p ~/Mail/pec\nIMAPAccount pec\nHost {host}\nPort {port}\nUser {account}\nSSLType IMAPS\n{ca}\
         AuthMechs PLAIN\n\nIMAPStore pec-remote\nAccount pec\n\nMaildirStore pec-local\nSubFolders Verbatim\n\
         Path ~/Mail/pec/\nInbox ~/Mail/pec/INBOX\n\nChannel pec\nFar :pec-remote:\nNear :pec-local:\n\
         Patterns *\nCreate Both\nExpunge Both\nSyncState *\n"
    ))
}

/// RFC 3986 §3.2.1: what would end the user name is written in hex.
fn user_of_url(account: &Address) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+".contains(&b);
    let octet = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    account.as_str().bytes().map(octet).collect()
}

#[cfg(test)]
mod tests;
