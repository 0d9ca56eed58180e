//! The loop around a session: it has the socket and the clock.

use std::{sync::Arc, time::Duration};

use net::{Connection, Stream};
use tokio::time::{Instant, sleep};

use crate::{Accounts, Gone, Host, Outlet, Session, Step};

/// How long a session may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For signing in, from the greeting on.
    pub sign_in: Duration,
    /// Between two commands (RFC 9051 §5.4: at least 30 minutes).
    pub silence: Duration,
    /// For a command, from its first octet to its last; a message that is appended has more.
    pub command: Duration,
    /// For the client to take some octets.
    pub send: Duration,
    /// How often an idle session looks by itself: another process rings no bell here.
    pub look: Duration,
    /// How often it is asked whether the session may go on.
    pub still: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            sign_in: Duration::from_secs(60),
            silence: Duration::from_secs(31 * 60),
            command: Duration::from_secs(120),
            send: Duration::from_secs(60),
            look: Duration::from_secs(60),
            still: Duration::from_secs(300),
        }
    }
}

/// Octets of a message a second, at least.
const APPEND_BYTES_S: u64 = 16 * 1024;
/// What happens together is told together.
const GATHER: Duration = Duration::from_millis(50);
/// Commands a second and at once, of strangers and of users: who sends more waits.
const STRANGER: (f64, f64) = (5.0, 30.0);
const USER: (f64, f64) = (500.0, 1000.0);

impl Outlet for Stream {
    async fn send(&mut self, octets: &[u8]) -> Result<(), Gone> {
        Self::send(self, octets).await.map_err(|_| Gone)
    }
}

/// Why a session ended.
enum End {
    /// It is closed with all that was to be said.
    Closed,
    /// Last words are due.
    Words(&'static str),
}

/// Serves one connection, which is TLS already, until it ends.
pub async fn serve<A: Accounts>(connection: Connection, host: Arc<Host>, accounts: A, times: Times) {
    let Connection { mut stream, mut stop, .. } = connection;
    let mut session = Session::new(host, accounts);
    let last = stream.deadline();
    let start = Instant::now();
    let pace = Pace::new(start);
    let mut watch = Watch { times, last, start, heard: start, command: None, pace, asked: start };
    stream.set_idle(times.send);
    let ended = match session.greet(&mut stream).await {
        Ok(()) => talk(&mut session, &mut stream, &mut stop, &mut watch).await,
        Err(Gone) => return,
    };
    match ended {
        Ok(End::Closed) => stream.close().await,
        Ok(End::Words(words)) => {
            stream.set_idle(times.send);
            if session.goodbye(&mut stream, words).await.is_ok() {
                stream.close().await;
            }
        }
        Err(Gone) => {}
    }
}

async fn talk<A: Accounts>(
    session: &mut Session<A>,
    stream: &mut Stream,
    stop: &mut net::Stop,
    watch: &mut Watch,
) -> Result<End, Gone> {
    loop {
        // 1. Everything that can be done with what has come.
        stream.set_idle(watch.times.send);
        loop {
            match session.step(stream).await? {
                Step::More => watch.pace(session).await,
                Step::Wait => break,
                Step::End => return Ok(End::Closed),
            }
        }

        // 2. What comes next: octets, news, or the end of patience.
        let idle = session.is_idle();
        stream.set_idle(watch.times.silence);
        stream.set_deadline(watch.deadline(session)); // what is waited for begins anew with each look
        let pause = if idle { watch.times.look } else { watch.times.still };
        tokio::select! {
            filled = stream.fill() => match filled {
                Ok(0) => return Err(Gone),
                Ok(_) => {
                    watch.heard = Instant::now();
                    session.push(stream.buffered());
                    stream.consume(usize::MAX);
                    stream.set_deadline(watch.last);
                    continue;
                }
                Err(net::StreamError::TimedOut) => return Ok(End::Words("it took too long")),
                Err(_) => return Err(Gone),
            },
            () = session.changed() => sleep(GATHER).await,
            () = sleep(pause) => {}
            () = stop.stopped() => return Ok(End::Words("the server is closing, come back later")),
        }
        if !watch.may_go_on(session).await {
            return Ok(End::Words("signed out"));
        }
        stream.set_idle(watch.times.send);
        stream.set_deadline(watch.last);
        if session.update(stream).await? == Step::End {
            return Ok(End::Closed);
        }
    }
}

/// The clocks of one session.
struct Watch {
    times: Times,
    /// When the session ends in any case.
    last: Option<Instant>,
    start: Instant,
    /// When octets came last.
    heard: Instant,
    /// When the command that is coming began, and how long it may take.
    command: Option<(Instant, Duration)>,
    pace: Pace,
    /// When it was asked last whether the session may go on.
    asked: Instant,
}

impl Watch {
    /// When what is waited for must be there.
    fn deadline<A: Accounts>(&mut self, session: &Session<A>) -> Option<Instant> {
        let mut deadline = self.last;
        let mut by = |instant: Instant| deadline = Some(deadline.map_or(instant, |last| last.min(instant)));
        by(self.heard + self.times.silence);
        if !session.is_signed_in() {
            by(self.start + self.times.sign_in);
        }
        let Some(octets) = session.owes() else {
            self.command = None;
            return deadline;
        };
        let patience = self.times.command + Duration::from_secs(octets / APPEND_BYTES_S);
        let (began, patience) = *self.command.get_or_insert_with(|| (Instant::now(), patience));
        by(began + patience);
        deadline
    }

    async fn pace<A: Accounts>(&mut self, session: &Session<A>) {
        let rate = if session.is_signed_in() { USER } else { STRANGER };
        if let Some(pause) = self.pace.pause(session.commands(), rate, Instant::now()) {
            sleep(pause).await;
        }
    }

    async fn may_go_on<A: Accounts>(&mut self, session: &Session<A>) -> bool {
        if self.asked.elapsed() < self.times.still {
            return true;
        }
        self.asked = Instant::now();
        session.may_go_on().await
    }
}

/// A bucket of commands that fills with time.
struct Pace {
    left: f64,
    commands: u64,
    at: Instant,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self { left: STRANGER.1, commands: 0, at: now }
    }

    /// How long to wait after so many commands in all.
    fn pause(&mut self, commands: u64, (per_s, at_once): (f64, f64), now: Instant) -> Option<Duration> {
        let new = u32::try_from(commands.saturating_sub(self.commands)).unwrap_or(u32::MAX);
        if new == 0 {
            return None;
        }
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * per_s;
        (self.commands, self.at) = (commands, now);
        self.left = (self.left + gained).min(at_once) - f64::from(new);
        (self.left < 0.0).then(|| Duration::from_secs_f64(-self.left / per_s))
    }
}

#[cfg(test)]
mod tests;
