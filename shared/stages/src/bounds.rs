//! What a row can hold: a row has 350 KB, and the certification data of a letter stand in several (design §3 rule 8).

use pec::{Letter, Transaction};

/// Octets of a letter's recipients in rows, at most: the envelope's act holds each of them in the letter and again
/// with its destination.
const RECIPIENT_BYTES_MAX: usize = 320_000;

/// Octets of all other texts of a letter, at most.
const TEXT_BYTES_MAX: usize = 20_000;

/// Octets of a PEC id that came from outside, at most: it is a key of the log.
const PEC_ID_BYTES_MAX: usize = 512;

/// Whether the recipients of a letter fit into rows.
pub(crate) fn recipients_fit(letter: &Letter) -> bool {
    weight(letter.recipients.iter().map(|r| r.address.as_str())) <= RECIPIENT_BYTES_MAX
}

/// Whether the forward paths of a transaction fit into rows.
pub(crate) fn transaction_fits(transaction: &Transaction) -> bool {
    weight(transaction.forward_paths.iter().map(pec::Address::as_str)) <= 2 * RECIPIENT_BYTES_MAX
}

/// Whether subject, replies and identifiers of a letter fit into rows.
pub(crate) fn texts_fit(letter: &Letter) -> bool {
    let texts =
        [Some(&letter.sender), Some(&letter.replies), letter.subject.as_ref(), letter.subject_raw.as_ref()];
    let all: usize = texts.into_iter().chain([letter.client_id.as_ref()]).flatten().map(String::len).sum();
    all <= TEXT_BYTES_MAX && is_pec_id(&letter.pec_id)
}

/// Whether a text can be the PEC id of a letter: bounded and printable.
pub(crate) fn is_pec_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= PEC_ID_BYTES_MAX && text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// The letter with the texts that do not fit left out: a notice about it still can be written.
pub(crate) fn without_texts(letter: Letter) -> Letter {
    Letter { subject: None, subject_raw: None, replies: letter.sender.clone(), client_id: None, ..letter }
}

/// An address stands in the letter and in its parcel, whose destination names the domain once more.
fn weight<'a>(addresses: impl Iterator<Item = &'a str>) -> usize {
    addresses.map(|a| 3 * a.len() + 130).sum()
}
