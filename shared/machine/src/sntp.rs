//! What time servers say: one question of 48 octets to each (RFC 5905 §7.3, §14; SNTP). Nothing sets the clock here:
//! the machine's own service does (chrony, timesyncd); this tells whether it does.
//!
//! An answer is believed as far as UDP can be: it must carry 64 random bits of the question, come from the address that
//! was asked, be of a server that says it is in step, and be back soon.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use stages::ports::Ids;
use tokio::{
    net::{UdpSocket, lookup_host},
    task::JoinSet,
    time::timeout,
};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Answers that are looked at for one question: others may send what they like.
const PACKETS_MAX: usize = 16;
/// Servers that are asked at most.
pub const SERVERS_MAX: usize = 8;
/// Of an answer that took so long, half of it is not known: it is not used.
const DELAY_MS_MAX: i64 = 1000;
/// The port of NTP.
const PORT: u16 = 123;
/// Octets of a question, and of an answer without extensions.
const PACKET_BYTES: usize = 48;
/// From 1900, where NTP begins, to 1970, in seconds.
const EPOCH_S: u64 = 2_208_988_800;

/// What one server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How far the server is ahead of this machine, in milliseconds.
    pub offset_ms: i64,
    /// How long question and answer were on their way: half of it is the uncertainty.
    pub delay_ms: i64,
}

/// Why there is no reading. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SntpError {
    /// Its name, or the network.
    #[error("ask it: {0}")]
    Io(#[from] std::io::Error),
    /// Nothing came that answers the question.
    #[error("hear from it in time")]
    Silence,
    /// It answered, and is no time server to believe.
    #[error("believe it: {0}")]
    Unfit(&'static str),
}

/// Asks all of these (`HOST` or `HOST:PORT`, at most [`SERVERS_MAX`]) and answers the reading in the middle, so that one
/// server that is wrong decides nothing among three; `None` if none can be used.
pub async fn measure(servers: &[String], ids: &dyn Ids) -> Option<Reading> {
    let mut asked = JoinSet::new();
    for server in servers.iter().take(SERVERS_MAX) {
        let (server, nonce) = (server.clone(), nonce(ids));
        asked.spawn(async move { (ask(&server, nonce).await, server) });
    }
    let mut readings = Vec::new();
    while let Some(Ok((answer, server))) = asked.join_next().await {
        match answer {
            Ok(reading) => readings.push(reading),
            Err(error) => tracing::warn!(server, error = %error, "a time server was not understood"),
        }
    }
    readings.sort_by_key(|reading| reading.offset_ms);
    // Of two in the middle the one that is further off: an alarm too much rather than one too few.
    let (low, high) = (readings.get(readings.len().checked_sub(1)? / 2)?, readings.get(readings.len() / 2)?);
    Some(if low.offset_ms.abs() > high.offset_ms.abs() { *low } else { *high })
}

fn nonce(ids: &dyn Ids) -> u64 {
    u64::try_from(ids.fresh() & u128::from(u64::MAX)).unwrap_or_default()
}

/// Asks one server.
///
/// # Errors
/// [`SntpError`]
pub async fn ask(server: &str, nonce: u64) -> Result<Reading, SntpError> {
    timeout(PATIENCE, exchange(server, nonce)).await.unwrap_or(Err(SntpError::Silence))
}

async fn exchange(server: &str, nonce: u64) -> Result<Reading, SntpError> {
    let address = resolve(server).await?;
    let here = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(here).await?;
    // Nobody else is heard from now on.
    socket.connect(address).await?;
    let sent = ntp(SystemTime::now());
    socket.send(&question(nonce)).await?;
    for _ in 0..PACKETS_MAX {
        let mut packet = [0; 512];
        let len = socket.recv(&mut packet).await?;
        let came = ntp(SystemTime::now());
        let Some(answer) = Answer::read(packet.get(..len).unwrap_or_default()) else { continue };
        // RFC 5905 §8: not of this question, whoever sent it.
        if answer.origin == nonce {
            return answer.reading(sent, came);
        }
    }
    Err(SntpError::Silence)
}

async fn resolve(server: &str) -> Result<SocketAddr, SntpError> {
    let has_port = server.parse::<SocketAddr>().is_ok()
        || server
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.contains(':') && port.parse::<u16>().is_ok());
    let mut addresses = if has_port {
        lookup_host(server).await?.collect::<Vec<_>>()
    } else {
        lookup_host((server, PORT)).await?.collect()
    };
    addresses.truncate(1);
    addresses.pop().ok_or(SntpError::Unfit("its name has no address"))
}

/// Version 4, mode 3 (client). Where the clock would stand there are random bits: it is nobody's business, and the answer
/// must repeat them.
fn question(nonce: u64) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    let [first, ..] = &mut packet;
    *first = 0x23;
    if let Some(transmit) = packet.last_chunk_mut::<8>() {
        *transmit = nonce.to_be_bytes();
    }
    packet
}

/// The fields of an answer that are looked at.
struct Answer {
    leap: u8,
    stratum: u8,
    origin: u64,
    receive: u64,
    transmit: u64,
}

impl Answer {
    /// `None` for what is no answer of a server (mode 4).
    fn read(packet: &[u8]) -> Option<Self> {
        let packet = packet.first_chunk::<PACKET_BYTES>()?;
        let [first, stratum, ..] = *packet;
        let number = |at: usize| {
            packet.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes).unwrap_or_default()
        };
        let answer =
            Self { leap: first >> 6, stratum, origin: number(24), receive: number(32), transmit: number(40) };
        (first & 7 == 4).then_some(answer)
    }

    /// RFC 5905 §8. Differences are taken modulo the era of 136 years, so that 2036 is a year like others.
    fn reading(&self, sent: u64, came: u64) -> Result<Reading, SntpError> {
        if self.leap == 3 {
            return Err(SntpError::Unfit("it says that its clock is not set"));
        }
        match self.stratum {
            0 => return Err(SntpError::Unfit("it does not want to be asked (kiss-o'-death)")),
            1..=15 => {}
            _ => return Err(SntpError::Unfit("it has no source of time")),
        }
        if self.transmit == 0 {
            return Err(SntpError::Unfit("it tells no time"));
        }
        let difference = |a: u64, b: u64| i128::from(a.wrapping_sub(b).cast_signed());
        let offset = (difference(self.receive, sent) + difference(self.transmit, came)) / 2;
        let delay = difference(came, sent) - difference(self.transmit, self.receive);
        let reading = Reading { offset_ms: milliseconds(offset), delay_ms: milliseconds(delay).max(0) };
        if reading.delay_ms > DELAY_MS_MAX {
            return Err(SntpError::Unfit("its answer was too long on its way"));
        }
        Ok(reading)
    }
}

/// From parts of 2^32 of a second.
fn milliseconds(parts: i128) -> i64 {
    i64::try_from((parts * 1000).div_euclid(1 << 32)).unwrap_or(i64::MAX)
}

/// A timestamp of NTP: seconds since 1900 modulo 2^32, and parts of 2^32 of a second.
fn ntp(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(EPOCH_S) << 32 | parts
}

#[cfg(test)]
mod tests;
