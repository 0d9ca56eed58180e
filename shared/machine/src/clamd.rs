//! ClamAV's daemon as the virus scanner, over its socket (`INSTREAM` of clamd(8)).

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use stages::ports::{Scan, Scanner, ScannerError};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout},
};

use crate::scanner::printable;

/// Octets of one chunk of the stream.
const CHUNK: usize = 64 * 1024;
/// Longer answers are cut.
const ANSWER_BYTES_MAX: u64 = 4096;
/// How long one scan may take, from connecting to the answer.
const SCAN_MAX: Duration = Duration::from_secs(120);
/// How long the version of the signatures is taken as known: they change some times a day.
const VERSION_KNOWN: Duration = Duration::from_secs(60);
/// Between two alarms about a daemon that does not answer.
const ALARM_EVERY: Duration = Duration::from_secs(60);
/// What it calls a file that it did not look into (`AlertExceedsMax`): no virus, and not clean either.
const NOT_SCANNED: &str = "Heuristics.Limits.Exceeded";

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClamdAddress {
    /// `LocalSocket` of clamd.conf.
    Unix(PathBuf),
    /// `TCPAddr` and `TCPSocket`: host and port.
    Tcp(String),
}

/// Text that names no daemon. Displays finish the sentence "failed to …".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the address of clamd: expected unix:/PATH or HOST:PORT")]
pub struct ClamdAddressError;

impl FromStr for ClamdAddress {
    type Err = ClamdAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(ClamdAddressError) };
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0) => {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(ClamdAddressError),
        }
    }
}

/// The daemon. It opens attachments and archives itself, so it gets the message as it is.
///
/// It must be set up to read all of the largest message (`StreamMaxLength`, `MaxFileSize`, `MaxScanSize`) and to say
/// when it did not (`AlertExceedsMax yes`): what it did not look into is not clean here, the letter waits.
pub struct Clamd {
    address: ClamdAddress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    version: Option<(String, Instant)>,
    alarmed: Option<Instant>,
}

impl Clamd {
    /// At this address; nothing is connected yet.
    #[must_use]
    pub fn new(address: ClamdAddress) -> Self {
        Self { address, state: Mutex::default() }
    }

    /// Asks for the version of program and signatures, and remembers it.
    ///
    /// # Errors
    /// [`ScannerError`] if it does not answer.
    pub async fn ask_version(&self) -> Result<String, ScannerError> {
        let answer = self.ask(b"zVERSION\0", None).await?;
        let version = printable(&answer);
        self.state().version = Some((version.clone(), Instant::now()));
        Ok(version)
    }

    /// One command, with a stream after it or without, and the answer.
    async fn ask(&self, command: &[u8], stream: Option<&Bytes>) -> Result<String, ScannerError> {
        let asked = async {
            match &self.address {
                ClamdAddress::Unix(path) => converse(UnixStream::connect(path).await?, command, stream).await,
                ClamdAddress::Tcp(address) => {
                    converse(TcpStream::connect(address).await?, command, stream).await
                }
            }
        };
        match timeout(SCAN_MAX, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.unavailable(&error.to_string())),
            Err(_) => Err(self.unavailable("no answer in time")),
        }
    }

    /// Letters wait: an alarm, but not one for each.
    fn unavailable(&self, why: &str) -> ScannerError {
        let alarm = {
            let mut state = self.state();
            let quiet = state.alarmed.is_some_and(|at| at.elapsed() < ALARM_EVERY);
            if !quiet {
                state.alarmed = Some(Instant::now());
            }
            !quiet
        };
        if alarm {
            tracing::error!(alarm = "scanner", why, "clamd does not scan: letters wait");
        }
        ScannerError(format!("clamd: {why}"))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Scanner for Clamd {
    async fn scan(&self, message: &Bytes) -> Result<Scan, ScannerError> {
        // Which signatures judged goes into the log: asked first, so that they are not newer than the verdict.
        let known = self.state().version.as_ref().is_some_and(|(_, at)| at.elapsed() < VERSION_KNOWN);
        if !known {
            self.ask_version().await?;
        }
        let answer = self.ask(b"zINSTREAM\0", Some(message)).await?;
        verdict(&answer).map_err(|why| self.unavailable(&why))
    }

    fn version(&self) -> String {
        self.state().version.as_ref().map_or_else(|| "clamd".to_owned(), |(version, _)| version.clone())
    }
}

/// What an answer to `INSTREAM` says; an error is whatever is neither clean nor a virus.
fn verdict(answer: &str) -> Result<Scan, String> {
    let said = answer.strip_prefix("stream: ").unwrap_or(answer);
    if said == "OK" {
        return Ok(Scan::Clean);
    }
    match said.strip_suffix(" FOUND") {
        Some(name) if name.starts_with(NOT_SCANNED) => {
            Err(format!("over a limit of its settings: {}", printable(name)))
        }
        Some(name) if !printable(name).is_empty() => Ok(Scan::Infected { virus: printable(name) }),
        _ => Err(printable(said)),
    }
}

/// Sends a command and its stream, reads one answer up to its NUL.
async fn converse<S>(mut socket: S, command: &[u8], stream: Option<&Bytes>) -> std::io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let sent = send(&mut socket, command, stream).await;
    let mut answer = Vec::new();
    let read = socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
    // It may have answered and closed in the middle of the stream: what it said tells more than the broken pipe.
    if answer.is_empty() {
        sent?;
        read?;
        return Err(std::io::Error::other("it closed the connection without an answer"));
    }
    let end = answer.iter().position(|&octet| octet == 0).unwrap_or(answer.len());
    answer.truncate(end);
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

async fn send<S>(socket: &mut S, command: &[u8], stream: Option<&Bytes>) -> std::io::Result<()>
where
    S: AsyncWrite + Unpin + Send,
{
    socket.write_all(command).await?;
    for chunk in stream.into_iter().flat_map(|message| message.chunks(CHUNK)) {
        let length = u32::try_from(chunk.len()).map_err(std::io::Error::other)?;
        socket.write_all(&length.to_be_bytes()).await?;
        socket.write_all(chunk).await?;
    }
    if stream.is_some() {
        socket.write_all(&[0; 4]).await?;
    }
    socket.flush().await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses() {
        assert_eq!("unix:/run/clamd.ctl".parse(), Ok(ClamdAddress::Unix("/run/clamd.ctl".into())));
        assert_eq!("[::1]:3310".parse(), Ok(ClamdAddress::Tcp("[::1]:3310".to_owned())));
        for bad in ["", "clamd", ":3310", "clamd:0", "clamd:x", "unix:clamd.ctl"] {
            assert_eq!(bad.parse::<ClamdAddress>(), Err(ClamdAddressError), "{bad}");
        }
    }

    /// RFC 6109 §5.4: only what was found clean is clean.
    #[test]
    fn what_is_neither_clean_nor_infected_is_an_error() {
        let infected = Scan::Infected { virus: "Eicar-Test-Signature".to_owned() };
        assert_eq!(verdict("stream: OK"), Ok(Scan::Clean));
        assert_eq!(verdict("stream: Eicar-Test-Signature FOUND"), Ok(infected));
        for other in [
            "",
            "OK?",
            "stream: ",
            "stream:  FOUND",
            "INSTREAM size limit exceeded. ERROR",
            "stream: Can't allocate memory ERROR",
            "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND",
        ] {
            assert!(verdict(other).is_err(), "{other:?}");
        }
    }

    /// A daemon that reads what it likes, answers, and closes; gives back what it read.
    async fn daemon(
        read_max: u64,
        answers: Vec<&'static [u8]>,
    ) -> (Clamd, tokio::task::JoinHandle<Vec<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut read = Vec::new();
                while !(read.ends_with(b"zVERSION\0") || read.ends_with(&[0; 4]))
                    && (read.len() as u64) < read_max
                {
                    read.push(socket.read_u8().await.unwrap());
                }
                socket.write_all(answer).await.unwrap();
                heard.push(read);
            }
            heard
        });
        (Clamd::new(address.parse().unwrap()), heard)
    }

    #[tokio::test]
    async fn a_message_goes_in_chunks_and_the_version_is_asked_once() {
        let answers: Vec<&[u8]> =
            vec![b"ClamAV 1.4.6/27000/today\0", b"stream: OK\0", b"stream: Some.Virus FOUND\0"];
        let (clamd, heard) = daemon(u64::MAX, answers).await;
        assert_eq!(clamd.version(), "clamd", "not asked yet");
        let message = Bytes::from(vec![7; CHUNK + 1]);
        assert_eq!(clamd.scan(&message).await.unwrap(), Scan::Clean);
        assert_eq!(clamd.version(), "ClamAV 1.4.6/27000/today");
        let infected = Scan::Infected { virus: "Some.Virus".to_owned() };
        assert_eq!(clamd.scan(&message).await.unwrap(), infected);
        let heard = heard.await.unwrap();
        let expected: Vec<u8> = [
            b"zINSTREAM\0".as_slice(),
            &65_536_u32.to_be_bytes(),
            &[7; CHUNK],
            &1_u32.to_be_bytes(),
            &[7],
            &[0; 4],
        ]
        .concat();
        assert_eq!((&heard[0][..], &heard[1], &heard[2]), (b"zVERSION\0".as_slice(), &expected, &expected));
    }

    #[tokio::test]
    async fn an_early_answer_is_heard_and_silence_is_an_error() {
        let answers: Vec<&[u8]> = vec![b"ClamAV 1\0", b"INSTREAM size limit exceeded. ERROR\0", b""];
        let (clamd, _heard) = daemon(100, answers).await;
        let message = Bytes::from(vec![7; 1 << 20]);
        let error = clamd.scan(&message).await.unwrap_err();
        // A closed socket may swallow the answer with what was not read; clean it never is.
        assert!(error.to_string().contains("clamd: "), "{error}");
        assert!(clamd.scan(&Bytes::new()).await.is_err());
        assert!(clamd.scan(&Bytes::new()).await.is_err(), "nobody listens any more");
    }
}
