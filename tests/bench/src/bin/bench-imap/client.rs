//! A client that only counts: commands out, octets in.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    time::Instant,
};

use sigillo_bench::{
    Failure,
    tls::{Stream, Tls},
};

use crate::servers::Server;

/// Messages that are sent before their answers are read.
const PIPELINE: usize = 50;

/// A connection that has signed in.
pub struct Client {
    stream: Stream,
    tag: usize,
}

/// What came of a command.
pub struct Answer {
    /// From its first octet out to its last octet in.
    pub seconds: f64,
    /// Octets that came.
    pub octets: usize,
}

impl Client {
    pub fn connect(server: &dyn Server) -> Result<Self, Failure> {
        let stream = Tls::new(&server.ca()?)?.connect(server.port())?;
        let mut client = Self { stream, tag: 0 };
        client.line()?;
        let (user, password) = server.credentials();
        client.command(&format!("LOGIN \"{user}\" \"{password}\""))?;
        Ok(client)
    }

    /// One command and its answer, which must be OK.
    pub fn command(&mut self, command: &str) -> Result<Answer, Failure> {
        let start = Instant::now();
        let tag = self.send(command)?;
        let octets = self.answer(&tag)?;
        Ok(Answer { seconds: start.elapsed().as_secs_f64(), octets })
    }

    /// IDLE, up to the leave to be idle.
    pub fn idle(&mut self) -> Result<(), Failure> {
        self.send("IDLE")?;
        while !self.line()?.0.starts_with(b"+") {}
        Ok(())
    }

    /// Appends messages to INBOX, some at a time; the seconds that it took.
    pub fn append_all(&mut self, messages: &[String]) -> Result<f64, Failure> {
        let start = Instant::now();
        for some in messages.chunks(PIPELINE) {
            let mut octets = Vec::new();
            let mut tags = Vec::new();
            for message in some {
                self.tag += 1;
                tags.push(format!("t{}", self.tag));
                octets.extend_from_slice(
                    format!("t{} APPEND INBOX {{{}+}}\r\n", self.tag, message.len()).as_bytes(),
                );
                octets.extend_from_slice(message.as_bytes());
                octets.extend_from_slice(b"\r\n");
            }
            self.stream.get_mut().write_all(&octets)?;
            self.stream.get_mut().flush()?;
            for tag in tags {
                self.answer(&tag)?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn send(&mut self, command: &str) -> Result<String, Failure> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.stream.get_mut().write_all(format!("{tag} {command}\r\n").as_bytes())?;
        self.stream.get_mut().flush()?;
        Ok(tag)
    }

    fn answer(&mut self, tag: &str) -> Result<usize, Failure> {
        let mut octets = 0;
        loop {
            let (line, read) = self.line()?;
            octets += read;
            if line.starts_with(tag.as_bytes()) && line.get(tag.len()) == Some(&b' ') {
                if !line[tag.len()..].starts_with(b" OK") {
                    return Err(String::from_utf8_lossy(&line).into_owned().into());
                }
                return Ok(octets);
            }
        }
    }

    /// A line without what its literals hold, and how many octets it has with them.
    fn line(&mut self) -> Result<(Vec<u8>, usize), Failure> {
        let (mut line, mut octets) = (Vec::new(), 0);
        loop {
            let from = line.len();
            let read = self.stream.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Err("the server closed".into());
            }
            octets += read;
            let Some(size) = literal(&line[from..]) else { return Ok((line, octets)) };
            std::io::copy(&mut self.stream.by_ref().take(size), &mut std::io::sink())?;
            octets += usize::try_from(size)?;
        }
    }
}

/// The size of the literal that a line announces.
fn literal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"}\r\n")?;
    let at = line.iter().rposition(|octet| *octet == b'{')?;
    std::str::from_utf8(line.get(at + 1..)?).ok()?.parse().ok()
}
