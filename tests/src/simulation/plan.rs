//! What users do in a year: who writes to whom, with which flaws.

use bytes::Bytes;
use pec::{Address, Instant, Transaction};
use stages::{
    door::{Channel, Submission},
    ids::MailboxId,
};

use super::dice::Dice;
use crate::world::{ALFA, BETA, GAMMA, Provider, address, eicar, morning};

/// The providers, by their numbers.
pub const PROVIDERS: [&Provider; 3] = [&ALFA, &BETA, &GAMMA];
/// Whether the scanner of each sees a virus. BETA's is blind.
pub const SEES: [bool; 3] = [true, false, true];
/// Seconds of the year.
pub const YEAR_S: i64 = 365 * 24 * 3600;
/// Mailboxes: three that are there, and what is wrong with the others.
const LOCALS: [(&str, Mailbox); 6] = [
    ("destinatario", Mailbox::Open),
    ("copia", Mailbox::Open),
    ("aperta", Mailbox::Open),
    ("ignoto", Mailbox::Fails),
    ("sospesa", Mailbox::Fails),
    ("piena", Mailbox::Fails),
];
/// An ordinary domain, one user of whom does not exist.
pub const ORDINARY: [&str; 2] = ["utente@posta.example", "nessuno@posta.example"];

/// Whether a mailbox takes letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailbox {
    /// It does.
    Open,
    /// Not there, disabled or full.
    Fails,
}

/// What is wrong with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It is refused (F4, F5).
    Formal,
    /// A virus.
    Virus,
}

/// A recipient of a letter.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Who.
    pub address: Address,
    /// In To; else in Cc.
    pub primary: bool,
    /// The provider and what its mailbox does; `None` for ordinary mail.
    pub at: Option<(usize, Mailbox)>,
}

/// A letter of a user.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Which one: its subject says it.
    pub number: usize,
    /// The sender's provider.
    pub from: usize,
    /// When it is written, in true time.
    pub at: Instant,
    /// Its recipients.
    pub to: Vec<Recipient>,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// `X-TipoRicevuta`
    pub form: &'static str,
}

impl Planned {
    fn draw(number: usize, dice: &mut Dice) -> Self {
        let from = dice.below(3);
        let mut to: Vec<Recipient> = Vec::new();
        for n in 0..dice.one(&[1, 1, 1, 2, 2, 3, 4]) {
            let (provider, (local, mailbox)) = (dice.below(3), dice.one(&LOCALS));
            // Most letters go to somebody who is there.
            let (local, mailbox) = if dice.happens(500) { LOCALS[0] } else { (local, mailbox) };
            let found = Recipient {
                address: PROVIDERS[provider].user(local),
                primary: n == 0 || dice.happens(500),
                at: Some((provider, mailbox)),
            };
            if to.iter().all(|r| r.address != found.address) {
                to.push(found);
            }
        }
        if dice.happens(100) {
            let ordinary = address(dice.one(&ORDINARY));
            to.push(Recipient { address: ordinary, primary: false, at: None });
        }
        let flaw = dice.one(&[Flaw::None; 20]);
        let flaw = match dice.below(20) {
            0 => Flaw::Formal,
            1 | 2 => Flaw::Virus,
            _ => flaw,
        };
        let form = dice.one(&["", "completa", "breve", "sintetica"]);
        Self { number, from, at: morning().plus_s(dice.seconds(0, YEAR_S)), to, flaw, form }
    }

    /// A year of letters, in order.
    #[must_use]
    pub fn year(letters: usize, dice: &mut Dice) -> Vec<Self> {
        (0..letters).map(|number| Self::draw(number, dice)).collect()
    }

    /// The sender.
    #[must_use]
    pub fn sender(&self) -> Address {
        PROVIDERS[self.from].user("mittente")
    }

    /// What the client hands over.
    #[must_use]
    pub fn submission(&self) -> Submission {
        let list = |primary: bool| {
            let of_kind = self.to.iter().filter(|r| r.primary == primary);
            of_kind.map(|r| r.address.to_string()).collect::<Vec<_>>().join(", ")
        };
        let cc = match list(false) {
            cc if cc.is_empty() => String::new(),
            cc => format!("Cc: {cc}\r\n"),
        };
        let flaw = if self.flaw == Flaw::Formal { "Bcc: nascosto@pec.beta.example\r\n" } else { "" };
        let form =
            if self.form.is_empty() { String::new() } else { format!("X-TipoRicevuta: {}\r\n", self.form) };
        let virus = if self.flaw == Flaw::Virus { eicar() } else { String::new() };
        let raw = format!(
            "From: {}\r\nTo: {}\r\n{cc}{flaw}{form}Subject: {}\r\nMessage-ID: <cliente.{}@posta.example>\r\n\
             Date: Mon, 2 Mar 2026 09:00:00 +0100\r\n\r\nBuongiorno. {virus}\r\n",
            self.sender(),
            list(true),
            subject(self.number),
            self.number
        );
        let recipients: Vec<Address> = self.to.iter().map(|r| r.address.clone()).collect();
        Submission {
            account: MailboxId("m-mittente".to_owned()),
            transaction: Transaction::new(Some(self.sender()), recipients),
            raw: Bytes::from(raw),
            channel: Channel {
                by: "smtps".to_owned(),
                with: "ESMTPSA".to_owned(),
                via: "smtps".to_owned(),
                tls: "TLSv1.3".to_owned(),
            },
            // A client that was not answered says it again.
            idempotency_key: Some(format!("lettera {}", self.number)),
        }
    }
}

/// The subject of a letter.
#[must_use]
pub fn subject(number: usize) -> String {
    format!("Lettera {number}")
}

/// Which letter a subject speaks of.
#[must_use]
pub fn number(subject: &str) -> Option<usize> {
    subject.rsplit_once("Lettera ")?.1.trim().parse().ok()
}
