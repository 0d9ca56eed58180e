//! The way of a letter as its sender sees it: what the door says of it, and what comes into the mailbox.

use std::{
    collections::{BTreeMap, HashSet},
    io::{IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pec::Kind;

use crate::{
    command::{CommandError, reach::Account},
    http::wire::{Message, Outcome, Progress},
    text::printable,
};

/// Between two looks: short at first, since a letter between own mailboxes takes milliseconds.
const LOOKS: [(Duration, Duration); 3] = [
    (Duration::from_secs(2), Duration::from_millis(25)),
    (Duration::from_secs(10), Duration::from_millis(200)),
    (Duration::MAX, Duration::from_secs(1)),
];

/// What was seen of a letter when the wait ended.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The last that the door said.
    pub(super) progress: Option<Progress>,
    /// Receipts and notices about the letter in the mailbox.
    pub(super) receipts: Vec<Message>,
    /// `errore-esteso` of the notices among them, with the recipient that each is about.
    pub(super) reasons: Vec<(Option<String>, String)>,
    /// Everything that will come has come.
    pub(super) complete: bool,
}

/// Follows one letter.
pub(super) struct Follower<'c> {
    account: &'c dyn Account,
    /// The next UID of each folder that was not read yet.
    after: BTreeMap<String, u32>,
    said: HashSet<String>,
    silent: bool,
    terminal: bool,
}

impl<'c> Follower<'c> {
    /// Looks at the mailbox before the submission. What is there already is passed over, unless the letter may have
    /// been submitted before.
    pub(super) fn new(account: &'c dyn Account, again: bool, silent: bool) -> Result<Self, CommandError> {
        let folders = account.folders()?.folders;
        let after = |uidnext: u32| if again { 0 } else { uidnext.saturating_sub(1) };
        let after = folders.into_iter().map(|folder| (folder.name, after(folder.uidnext))).collect();
        let terminal = std::io::stdout().is_terminal();
        Ok(Self { account, after, said: HashSet::new(), silent, terminal })
    }

    /// Prints a line, once.
    pub(super) fn say(&mut self, line: &str) {
        if self.silent || !self.said.insert(line.to_owned()) {
            return;
        }
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let mut out = std::io::stdout().lock();
        // Whoever stopped reading has read enough; the letter goes on.
        let _ = writeln!(out, "{clear}{}", printable(line)).and_then(|()| out.flush());
    }

    /// Looks again and again until everything has come, or the time is over.
    pub(super) fn follow(&mut self, pec_id: &str, wait: Duration) -> Result<Seen, CommandError> {
        let start = Instant::now();
        let mut seen = Seen::default();
        loop {
            match self.look(pec_id, &mut seen) {
                Ok(()) => {}
                // It may be starting again; the letter is safe.
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
            let elapsed = start.elapsed();
            if seen.complete || elapsed >= wait {
                self.status("");
                return Ok(seen);
            }
            self.status(&waiting_for(&seen));
            let pause = LOOKS.iter().find(|(until, _)| elapsed < *until).map(|(_, pause)| *pause);
            thread::sleep(pause.unwrap_or_default().min(wait.saturating_sub(elapsed)));
        }
    }

    fn look(&mut self, pec_id: &str, seen: &mut Seen) -> Result<(), CommandError> {
        // The door first: what it says is settled has its receipt owed already.
        let progress = self.account.progress(pec_id)?;
        if let Some(progress) = &progress {
            self.tell(progress);
        }
        self.read_mailbox(pec_id, seen)?;
        seen.complete = progress.as_ref().is_some_and(|progress| complete(progress, &seen.receipts));
        seen.progress = progress;
        if let Some(progress) = &seen.progress {
            self.tell_failures(progress, &seen.reasons);
        }
        if seen.complete {
            self.say(&format!("receipts         {} in the mailbox", seen.receipts.len()));
        }
        Ok(())
    }

    fn tell(&mut self, progress: &Progress) {
        if progress.refused.is_some() {
            return self.say("refused");
        }
        if let Some(at) = progress.accepted_at {
            self.say(&format!("accepted         {at}"));
        }
        if progress.sealed {
            self.say("sealed");
        }
        for recipient in &progress.recipients {
            let address = &recipient.address;
            if !recipient.certified {
                self.say(&format!("ordinary mail    {address} (no receipt will come)"));
            }
            if recipient.taken_in_charge_at.is_some() {
                self.say(&format!("taken in charge  {address}"));
            }
            if recipient.outcome == Some(Outcome::Delivered) {
                self.say(&format!("delivered        {address}"));
            }
        }
    }

    fn tell_failures(&mut self, progress: &Progress, reasons: &[(Option<String>, String)]) {
        for recipient in &progress.recipients {
            let word = match recipient.outcome {
                Some(Outcome::Failed) => "not delivered",
                Some(Outcome::Virus) => "virus",
                Some(Outcome::Expired) => "expired",
                _ => continue,
            };
            let about = |to: &Option<String>| {
                to.as_ref().is_some_and(|to| to.eq_ignore_ascii_case(recipient.address.as_str()))
            };
            // With its notice, or the line would come twice.
            if let Some((_, reason)) = reasons.iter().find(|(to, _)| about(to)) {
                self.say(&format!("{word:<16} {}: {reason}", recipient.address));
            }
        }
    }

    fn read_mailbox(&mut self, pec_id: &str, seen: &mut Seen) -> Result<(), CommandError> {
        for folder in self.account.folders()?.folders {
            self.after.entry(folder.name).or_insert(0);
        }
        let mut notices = Vec::new();
        for (folder, after) in &mut self.after {
            while let Some(page) = self.account.list(folder, *after)? {
                for message in page.messages {
                    *after = message.uid.max(*after);
                    let envelope = message.kind.as_deref() == Some(Kind::TransportEnvelope.words().value);
                    if message.pec_id.as_deref() == Some(pec_id) && !envelope {
                        notices.push(message);
                    }
                }
                match page.next {
                    Some(next) => *after = next.max(*after),
                    None => break,
                }
            }
        }
        for message in notices {
            seen.reasons.extend(self.reason(&message)?);
            seen.receipts.push(message);
        }
        Ok(())
    }

    /// `consegna` and `errore-esteso` of a notice; none for a receipt.
    fn reason(&self, message: &Message) -> Result<Option<(Option<String>, String)>, CommandError> {
        let notices =
            [Kind::NonAcceptance, Kind::NonDelivery, Kind::TimeoutFirst].map(|kind| kind.words().value);
        if !message.kind.as_deref().is_some_and(|kind| notices.contains(&kind)) {
            return Ok(None);
        }
        let octets = self.account.message(&message.folder, message.uid)?.map(Bytes::from);
        let read = octets.and_then(|octets| pec::read::read(&octets).ok());
        let certification = read.and_then(|read| read.certification);
        Ok(certification.and_then(|c| Some((c.delivery, c.extended_error?))))
    }

    /// The last line of a terminal: what is waited for.
    fn status(&self, text: &str) {
        if self.terminal && !self.silent {
            let mut out = std::io::stdout().lock();
            // As in `say`.
            let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
        }
    }
}

/// Every certified recipient is settled, and so many receipts are in the mailbox: one of acceptance, one for each.
fn complete(progress: &Progress, receipts: &[Message]) -> bool {
    if progress.refused.is_some() {
        return count(receipts, &[Kind::NonAcceptance]) > 0;
    }
    let mut certified = progress.recipients.iter().filter(|recipient| recipient.certified);
    progress.accepted_at.is_some()
        && certified.clone().all(|recipient| recipient.outcome.is_some())
        && count(receipts, &[Kind::Acceptance]) > 0
        && count(receipts, &[Kind::Delivery, Kind::NonDelivery, Kind::TimeoutLast])
            >= certified.by_ref().count()
}

fn count(receipts: &[Message], kinds: &[Kind]) -> usize {
    let is_one = |message: &&Message| {
        message.kind.as_deref().is_some_and(|value| kinds.iter().any(|kind| kind.words().value == value))
    };
    receipts.iter().filter(is_one).count()
}

fn waiting_for(seen: &Seen) -> String {
    let Some(progress) = &seen.progress else { return "waiting for acceptance".to_owned() };
    let certified = progress.recipients.iter().filter(|recipient| recipient.certified);
    let settled = certified.clone().filter(|recipient| recipient.outcome.is_some()).count();
    let (all, receipts) = (certified.count(), seen.receipts.len());
    format!("settled {settled} of {all}, receipts {receipts} of {}", all + 1)
}

#[cfg(test)]
mod tests {
    use pec::Address;

    use super::*;
    use crate::http::wire::Recipient;

    fn progress(outcomes: &[(bool, Option<Outcome>)]) -> Progress {
        let recipients = outcomes.iter().enumerate().map(|(n, &(certified, outcome))| Recipient {
            address: Address::parse(&format!("r{n}@pec.beta.example")).unwrap(),
            certified,
            taken_in_charge_at: None,
            outcome,
        });
        Progress {
            pec_id: "1@gestore.alfa.example".to_owned(),
            accepted_at: Some(pec::Instant::from_unix_s(1)),
            refused: None,
            sealed: true,
            recipients: recipients.collect(),
        }
    }

    fn receipts(kinds: &[&str]) -> Vec<Message> {
        let message = |kind: &&str| Message {
            uid: 1,
            folder: "INBOX".to_owned(),
            kind: Some((*kind).to_owned()),
            subject: String::new(),
            message_id: String::new(),
            pec_id: None,
            size_bytes: 1,
            received_at: pec::Instant::from_unix_s(1),
        };
        kinds.iter().map(message).collect()
    }

    #[test]
    fn a_letter_is_complete_when_every_certified_recipient_has_its_receipt() {
        let (ok, bad) = (Some(Outcome::Delivered), Some(Outcome::Failed));
        let two = progress(&[(true, ok), (true, bad), (false, None)]);
        assert!(complete(&two, &receipts(&["accettazione", "avvenuta-consegna", "errore-consegna"])));
        assert!(!complete(&two, &receipts(&["accettazione", "avvenuta-consegna"])));
        assert!(!complete(&two, &receipts(&["avvenuta-consegna", "errore-consegna"])));
        let open = progress(&[(true, ok), (true, None)]);
        assert!(!complete(&open, &receipts(&["accettazione", "avvenuta-consegna", "avvenuta-consegna"])));
    }

    #[test]
    fn a_refused_letter_is_complete_with_its_notice() {
        let refused = Progress { refused: Some("bcc".to_owned()), accepted_at: None, ..progress(&[]) };
        assert!(!complete(&refused, &[]));
        assert!(complete(&refused, &receipts(&["non-accettazione"])));
    }
}
