//! What the provider tells the holder of a mailbox that fills up (spec 12): an ordinary message, which certifies nothing
//! and is signed by nobody.

use mime::{encode, word};

use crate::{Address, Instant, words};

/// How full a mailbox is, in percent of its quota, when its holder is told; ascending.
pub const LEVELS: [u8; 2] = [80, 95];

/// The highest level that this many octets have reached; 0 for none, and where there is no quota to speak of.
#[must_use]
pub fn level(bytes: u64, quota_bytes: u64) -> u8 {
    let reached = |percent: &&u8| {
        quota_bytes > 0 && u128::from(bytes) * 100 >= u128::from(quota_bytes) * u128::from(**percent)
    };
    LEVELS.iter().rev().find(reached).copied().unwrap_or(0)
}

/// Every input of a warning.
#[derive(Clone, Debug)]
pub struct Warning<'a> {
    /// `providerName`
    pub provider: &'a str,
    /// The mailbox.
    pub to: &'a Address,
    /// Without angle brackets.
    pub message_id: &'a str,
    /// When the level was reached.
    pub at: Instant,
    /// One of [`LEVELS`].
    pub percent: u8,
    /// Octets that are in it.
    pub bytes: u64,
    /// Octets that may be.
    pub quota_bytes: u64,
}

impl Warning<'_> {
    /// Its subject, as mailboxes show it.
    #[must_use]
    pub fn subject(&self) -> String {
        words::QUOTA_SUBJECT.replace("{percent}", &self.percent.to_string())
    }

    /// Who it is from: who answers for the system (RFC 5321 §4.5.1), not the service address, from which nothing comes
    /// that is not signed (spec 2.1 G2).
    #[must_use]
    pub fn from(&self) -> String {
        format!("postmaster@{}", self.to.domain())
    }

    /// The message.
    #[must_use]
    pub fn compose(&self) -> Vec<u8> {
        let text = words::QUOTA_TEXT
            .replace("{percent}", &self.percent.to_string())
            .replace("{used}", &mebibytes(self.bytes))
            .replace("{quota}", &mebibytes(self.quota_bytes))
            .replace("{to}", self.to.as_str())
            .replace("{provider}", self.provider);
        let subject = word::encode_unstructured(&self.subject());
        let Self { to, message_id, at, .. } = self;
        let mut message = format!(
            "Date: {}\r\nSubject: {subject}\r\nFrom: {}\r\nTo: {to}\r\nMessage-ID: <{message_id}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            at.header(),
            self.from(),
        )
        .into_bytes();
        message.extend(encode::quoted_printable(text.as_bytes()));
        message
    }
}

/// With one place behind the comma, as Italians write it.
fn mebibytes(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 20);
    format!("{},{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use mime::{Entity, Limits};

    use super::*;

    #[test]
    fn levels_are_eighty_and_ninety_five_percent() {
        let levels = [0, 799, 800, 949, 950, 2000].map(|bytes| level(bytes, 1000));
        assert_eq!(levels, [0, 0, 80, 80, 95, 95]);
        assert_eq!((level(u64::MAX, u64::MAX), level(5, 0)), (95, 0));
    }

    #[test]
    fn a_warning_is_an_ordinary_message_in_italian() {
        let to = Address::parse("ufficio@pec.alfa.example").unwrap();
        let warning = Warning {
            provider: "Alfa PEC",
            to: &to,
            message_id: "1@gestore.alfa.example",
            at: Instant::parse("2026-03-02T09:00:00+01:00").unwrap(),
            percent: 80,
            bytes: 1718 << 20,
            quota_bytes: 2048 << 20,
        };
        let message = warning.compose();
        assert!(message.is_ascii() && message.split(|b| *b == b'\n').all(|line| line.len() <= 998));
        let text = String::from_utf8(message.clone()).unwrap();
        assert!(
            text.starts_with(
                "Date: Mon, 02 Mar 2026 09:00:00 +0100\r\nSubject: Avviso: spazio della casella in esaurimento (80%)\r\n"
            ),
            "{text}"
        );
        assert!(text.contains("\r\nFrom: postmaster@pec.alfa.example\r\nTo: ufficio@pec.alfa.example\r\n"));
        assert!(!text.contains("X-Ricevuta") && !text.contains("posta-certificata@"), "{text}");
        let read = String::from_utf8(encode::quoted_printable_decode(
            text.split_once("\r\n\r\n").unwrap().1.as_bytes(),
        ));
        let read = read.unwrap();
        assert!(
            read.contains("1718,0 MiB su 2048,0 MiB")
                && read.contains("la soglia di avviso (80%)")
                && read.contains("non è posta certificata"),
            "{read}"
        );
        assert!(!read.contains('{'), "{read}");
        Entity::parse(&message.into(), &Limits::default()).unwrap();
    }
}
