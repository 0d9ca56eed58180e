//! DIR/doors.json: where the doors of a running provider are.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::folder::Folder;

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DoorsFile {
    /// By name: `https`, `smtps`, `submission`, `smtp`, `imaps`, `pop3s`, as far as they are open.
    #[serde(flatten)]
    pub doors: BTreeMap<String, Door>,
    /// The host name by which mail programs are to reach the doors.
    pub host: String,
    /// PEM that signs the doors' TLS; in the demo mail too.
    pub ca: PathBuf,
    /// The provider index.
    pub index: PathBuf,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Door {
    /// Where.
    pub url: String,
    /// When it is TLS.
    #[serde(default)]
    pub tls: DoorTls,
}

/// When a door is TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorTls {
    /// From the first octet.
    #[default]
    Implicit,
    /// After STARTTLS.
    StartTls,
}

impl DoorsFile {
    /// Says where these doors are.
    #[must_use]
    pub fn new(folder: &Folder, host: &str, opened: &[(Kind, SocketAddr)]) -> Self {
        let door = |(kind, address): &(Kind, SocketAddr)| {
            let url = format!("{}://{}", kind.scheme, reachable(*address));
            let tls = if kind.implicit_tls { DoorTls::Implicit } else { DoorTls::StartTls };
            (kind.name.to_owned(), Door { url, tls })
        };
        let doors = opened.iter().map(door).collect();
        // The doors of a provider with keys of its own may be certified by somebody else.
        let tls_ca = Some(folder.pki("tls-ca.pem")).filter(|path| path.exists());
        let ca = tls_ca.unwrap_or_else(|| folder.pki("ca.pem"));
        Self { doors, host: host.to_owned(), ca, index: folder.index() }
    }
}

impl Door {
    /// The port in its URL.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.url.rsplit_once(':')?.1.parse().ok()
    }
}

/// An address for all interfaces is none to connect to, and the demo's certificate names the loopback only.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn doors_are_announced_where_they_can_be_reached() {
        let opened = [
            (Kind::HTTPS, "0.0.0.0:443".parse().unwrap()),
            (Kind::SMTP, "[::]:25".parse().unwrap()),
            (Kind::IMAPS, "192.0.2.1:993".parse().unwrap()),
        ];
        let file = DoorsFile::new(&Folder::new(Path::new("/data")), "mail.example", &opened);
        let json = serde_json::to_value(&file).unwrap();
        let expected = serde_json::json!({
            "https": { "url": "https://127.0.0.1:443", "tls": "implicit" },
            "smtp": { "url": "smtp://[::1]:25", "tls": "starttls" },
            "imaps": { "url": "imaps://192.0.2.1:993", "tls": "implicit" },
            "host": "mail.example",
            "ca": "/data/pki/ca.pem",
            "index": "/data/index.ldif",
        });
        assert_eq!(json, expected);
        let read: DoorsFile = serde_json::from_value(json).unwrap();
        assert_eq!(read.doors["smtp"].port(), Some(25));
    }
}
