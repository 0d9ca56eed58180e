//! A letter from a file: what a mail program would have done before submission.

use bytes::Bytes;
use mime::{Headers, Limits, MimeError, Rope, address};
use pec::{Address, Instant, Transaction};

/// Recipients that are read from one field.
const RECIPIENTS_MAX: usize = 10_000;

/// Who writes to whom, as the command line says.
#[derive(Clone, Debug)]
pub struct Addressing {
    /// The sender.
    pub from: Address,
    /// Recipients for `To:`.
    pub to: Vec<Address>,
    /// Recipients for `Cc:`.
    pub cc: Vec<Address>,
}

/// A letter ready for submission.
#[derive(Clone, Debug)]
pub struct Letter {
    /// MAIL FROM and RCPT TO.
    pub transaction: Transaction,
    /// The message.
    pub message: Rope,
}

/// Why a file is no letter. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The header is over the bounds.
    #[error("read the letter's header: {0}")]
    Header(#[from] MimeError),
    /// Its To or Cc cannot be read, and no flag says who the recipients are.
    #[error("read the addresses of the letter's {0} field; name the recipients with --to and --cc")]
    Recipients(&'static str),
    /// Neither flags nor header name anybody.
    #[error("find a recipient: neither the letter nor --to and --cc name one")]
    NoRecipient,
}

/// Makes a letter of a file's octets: line ends become CRLF, header fields are added (never changed) where they are
/// missing, the recipients are those of the flags, else all of To and Cc.
///
/// # Errors
/// [`LetterError`]
pub fn prepare(
    file: &Bytes,
    addressing: &Addressing,
    at: Instant,
    unique: u128,
) -> Result<Letter, LetterError> {
    let body = mime::lines::canonical(file);
    let (headers, _) = Headers::parse(&body, &Limits::default())?;
    let recipients = recipients(&headers, addressing)?;
    let mut message = Rope::new();
    message.push(missing_fields(&headers, addressing, at, unique));
    message.push(body);
    Ok(Letter { transaction: Transaction::new(Some(addressing.from.clone()), recipients), message })
}

fn recipients(headers: &Headers, addressing: &Addressing) -> Result<Vec<Address>, LetterError> {
    let mut recipients: Vec<Address> = addressing.to.iter().chain(&addressing.cc).cloned().collect();
    if recipients.is_empty() {
        for name in ["To", "Cc"] {
            for field in headers.all(name) {
                recipients.extend(addresses(field.raw_body()).ok_or(LetterError::Recipients(name))?);
            }
        }
    }
    if recipients.is_empty() { Err(LetterError::NoRecipient) } else { Ok(recipients) }
}

fn addresses(field_body: &[u8]) -> Option<Vec<Address>> {
    let mailboxes = address::parse_list(field_body, RECIPIENTS_MAX).ok()?;
    mailboxes.iter().map(|mailbox| Address::parse(&mailbox.addr_spec).ok()).collect()
}

fn missing_fields(headers: &Headers, addressing: &Addressing, at: Instant, unique: u128) -> Vec<u8> {
    let list = |addresses: &[Address]| addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", ");
    let fields = [
        ("Date", at.header()),
        ("From", addressing.from.to_string()),
        ("To", list(&addressing.to)),
        ("Cc", list(&addressing.cc)),
        ("Message-ID", format!("<{unique:032x}@{}>", addressing.from.domain())),
        ("MIME-Version", "1.0".to_owned()),
    ];
    let missing = fields.iter().filter(|(name, body)| !body.is_empty() && headers.count(name) == 0);
    missing.flat_map(|(name, body)| mime::word::fold(name, body)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn prepared(file: &str, to: &[&str], cc: &[&str]) -> Result<(Vec<String>, String), LetterError> {
        let addressing = Addressing {
            from: address("mittente@pec.alfa.example"),
            to: to.iter().map(|a| address(a)).collect(),
            cc: cc.iter().map(|a| address(a)).collect(),
        };
        let at = Instant::parse("2026-03-02T08:00:00Z").unwrap();
        let letter = prepare(&Bytes::from(file.to_owned()), &addressing, at, 7)?;
        let recipients = letter.transaction.forward_paths.iter().map(ToString::to_string).collect();
        Ok((recipients, String::from_utf8(letter.message.to_bytes().to_vec()).unwrap()))
    }

    #[test]
    fn what_the_header_lacks_is_added_and_line_ends_become_crlf() {
        let (recipients, message) =
            prepared("Subject: a\n\nb\n", &["x@b.example"], &["y@b.example"]).unwrap();
        assert_eq!(recipients, ["x@b.example", "y@b.example"]);
        assert_eq!(
            message,
            "Date: Mon, 02 Mar 2026 09:00:00 +0100\r\nFrom: mittente@pec.alfa.example\r\nTo: x@b.example\r\n\
             Cc: y@b.example\r\nMessage-ID: <00000000000000000000000000000007@pec.alfa.example>\r\n\
             MIME-Version: 1.0\r\nSubject: a\r\n\r\nb\r\n"
        );
    }

    #[test]
    fn what_is_there_stays_and_without_flags_all_of_to_and_cc_are_recipients() {
        let file = "From: Altro <altro@pec.alfa.example>\r\nto: A <a@b.example>, \"B, b\" <b@b.example>\r\n\
                    Cc: gruppo: c@b.example;\r\nDate: x\r\nMessage-Id: <1@c>\r\nMime-Version: 1.0\r\n\r\n";
        let (recipients, message) = prepared(file, &[], &[]).unwrap();
        assert_eq!(recipients, ["a@b.example", "b@b.example", "c@b.example"]);
        assert_eq!(message, file);
    }

    #[test]
    fn the_flags_are_the_recipients_whatever_the_header_says() {
        let (recipients, message) = prepared("To: a@b.example\r\n\r\n", &["x@b.example"], &[]).unwrap();
        assert_eq!(recipients, ["x@b.example"]);
        assert!(!message.contains("To: x@b.example"), "{message}");
    }

    #[test]
    fn a_letter_to_nobody_is_none() {
        assert!(matches!(prepared("Subject: a\n\n", &[], &[]), Err(LetterError::NoRecipient)));
        assert!(matches!(prepared("To: <<\n\n", &[], &[]), Err(LetterError::Recipients("To"))));
    }
}
