//! Who sends: Postfix's smtp-source for other systems, our own clients for users, since it speaks neither TLS nor AUTH.

use std::{process::Command, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sigillo_bench::{
    Failure,
    tls::{Stream, Tls, line, send},
};

use crate::servers::Server;

/// How much comes at once.
pub struct Load {
    pub messages: usize,
    pub octets: usize,
    pub sessions: usize,
}

impl Load {
    /// Ordinary mail of another system to a mailbox: the seconds until the last was taken.
    pub fn exchange(&self, server: &dyn Server, keep: bool) -> Result<f64, Failure> {
        let mut command = Command::new("smtp-source");
        command.args(["-s", &self.sessions.to_string(), "-m", &self.messages.to_string()]);
        command.args(["-l", &self.octets.to_string(), "-M", "client.example"]);
        command.args(["-f", "utente@posta.example", "-t", &server.recipient()]);
        if keep {
            command.arg("-d");
        }
        let start = Instant::now();
        let done = command.arg(format!("127.0.0.1:{}", server.exchange())).output()?;
        if !done.status.success() || !done.stderr.is_empty() {
            return Err(format!("smtp-source: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Letters of a user over TLS, so many in each session after signing in: the seconds until the last was taken.
    pub fn submit(&self, server: &dyn Server, letters: usize) -> Result<f64, Failure> {
        let tls = Tls::new(&server.ca()?)?;
        let start = Instant::now();
        std::thread::scope(|scope| {
            let numbers = |worker: usize| (worker..self.messages).step_by(self.sessions).collect::<Vec<_>>();
            let workers: Vec<_> = (0..self.sessions)
                .map(|worker| {
                    let (tls, numbers) = (tls.clone(), numbers(worker));
                    scope.spawn(move || {
                        numbers.chunks(letters.max(1)).try_for_each(|some| self.session(server, &tls, some))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|w| w.join().map_err(|_| "a session that panicked")?)
        })?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn session(&self, server: &dyn Server, tls: &Tls, numbers: &[usize]) -> Result<(), Failure> {
        let (user, password) = server.user();
        let recipient = server.recipient();
        let mut stream = tls.connect(server.submission())?;
        answer(&mut stream, "220")?;
        ask(&mut stream, "EHLO client.example\r\n", "250")?;
        let plain = STANDARD.encode(format!("\0{user}\0{password}").as_bytes());
        ask(&mut stream, &format!("AUTH PLAIN {plain}\r\n"), "235")?;
        for n in numbers {
            let transaction = format!("MAIL FROM:<{user}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n");
            send(&mut stream, transaction.as_bytes())?;
            for code in ["250", "250", "354"] {
                answer(&mut stream, code)?;
            }
            ask(&mut stream, &letter(&user, &recipient, *n, self.octets), "250")?;
        }
        ask(&mut stream, "QUIT\r\n", "221")
    }
}

fn ask(stream: &mut Stream, octets: &str, code: &str) -> Result<(), Failure> {
    send(stream, octets.as_bytes())?;
    answer(stream, code)
}

/// Reads an answer of one line or several.
fn answer(stream: &mut Stream, code: &str) -> Result<(), Failure> {
    loop {
        let line = line(stream)?;
        if !line.starts_with(code) {
            return Err(format!("expected {code}: {line}").into());
        }
        if line.as_bytes().get(code.len()) == Some(&b' ') {
            return Ok(());
        }
    }
}

/// A letter of about so many octets with the end of the data, no two the same.
fn letter(from: &str, to: &str, n: usize, octets: usize) -> String {
    let mut text = format!(
        "From: {from}\r\nTo: {to}\r\nSubject: lettera {n}\r\nDate: Mon, 2 Mar 2026 09:00:00 +0100\r\n\
         Message-ID: <{n}@client.example>\r\n\r\n"
    );
    while text.len() < octets {
        text.push_str("Il testo della lettera va avanti, una riga dopo l'altra, fino in fondo.\r\n");
    }
    text.push_str(".\r\n");
    text
}
