//! Messages that users and others send.

use bytes::Bytes;
use pec::{Address, Transaction};
use stages::door::{Arrival, Channel, Submission};

use super::provider::Provider;
use stages::ids::MailboxId;

fn channel() -> Channel {
    Channel {
        by: "smtps.gestore.alfa.example".to_owned(),
        with: "ESMTPSA".to_owned(),
        via: "smtps".to_owned(),
        tls: "TLSv1.3".to_owned(),
    }
}

/// A message with a text, an HTML alternative and two attachments, one of them binary.
#[must_use]
pub fn message(from: &Address, to: &[Address], cc: &[Address], text: &str) -> Bytes {
    let list = |all: &[Address]| all.iter().map(Address::as_str).collect::<Vec<_>>().join(",\r\n ");
    let cc = if cc.is_empty() { String::new() } else { format!("Cc: {}\r\n", list(cc)) };
    let to = list(to);
    Bytes::from(format!(
        "From: {from}\r\nTo: {to}\r\n{cc}Subject: =?UTF-8?Q?Prova_perch=C3=A9_s=C3=AC?=\r\n\
         Date: Mon, 2 Mar 2026 09:00:00 +0100\r\nMessage-ID: <cliente.1@posta.alfa.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"est\"\r\n\r\n\
         --est\r\nContent-Type: multipart/alternative; boundary=\"int\"\r\n\r\n\
         --int\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{text}\r\n\
         --int\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n<p>{text}</p>\r\n--int--\r\n\
         --est\r\nContent-Type: application/pdf; name=\"atto.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"atto.pdf\"\r\n\r\nJVBERi0xLjQKJcOkw7zDtsOf\r\n\
         --est\r\nContent-Type: text/plain; name=\"nota.txt\"\r\nContent-Disposition: attachment; filename=\"nota.txt\"\r\n\r\n\
         Una nota.\r\n--est--\r\n"
    ))
}

/// A letter of `mittente` to these, as the header and the transaction both say.
#[must_use]
pub fn letter(provider: &Provider, to: &[Address], cc: &[Address]) -> Submission {
    let from = provider.user("mittente");
    let raw = message(&from, to, cc, "Buongiorno.");
    submission(provider, to.iter().chain(cc).cloned().collect(), raw)
}

/// A submission of `mittente` to these, whatever the message says.
#[must_use]
pub fn submission(provider: &Provider, recipients: Vec<Address>, raw: Bytes) -> Submission {
    Submission {
        account: MailboxId("m-mittente".to_owned()),
        transaction: Transaction::new(Some(provider.user("mittente")), recipients),
        raw,
        channel: channel(),
        idempotency_key: None,
    }
}

/// Something from outside.
#[must_use]
pub fn arrival(reverse_path: Option<Address>, recipients: Vec<Address>, raw: Bytes) -> Arrival {
    let channel = Channel { with: "ESMTPS".to_owned(), via: "smtp".to_owned(), ..channel() };
    Arrival { transaction: Transaction::new(reverse_path, recipients), raw, channel }
}
