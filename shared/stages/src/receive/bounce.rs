//! Non-delivery reports about letters of ours (spec 5.6, 0.2 D13, D17).

use bytes::Bytes;
use mime::{Entity, Headers, Limits};
use pec::Transaction;

use crate::{Rim, StageError, bounds, origin, rows::OriginHead};

/// The letter of ours that a delivery status report (RFC 3464) from a null reverse path quotes.
pub(super) async fn quoted(
    rim: &Rim,
    message: &Bytes,
    transaction: &Transaction,
) -> Result<Option<OriginHead>, StageError> {
    if transaction.reverse_path.is_some() {
        return Ok(None);
    }
    match quoted_id(message) {
        Some(pec_id) => origin::head(rim, &pec_id).await,
        None => Ok(None),
    }
}

/// The Message-ID of the returned message or header: for an envelope of ours it is the PEC id (spec 4.3).
fn quoted_id(message: &Bytes) -> Option<String> {
    let entity = Entity::parse(message, &Limits::default()).ok()?;
    let kind = entity.content_type();
    let is_report = kind.media() == ("multipart", "report")
        && kind.get("report-type").is_some_and(|t| t.eq_ignore_ascii_case("delivery-status"));
    if !is_report {
        return None;
    }
    let returned = entity.children().iter().find(|part| {
        matches!(part.content_type().media(), ("message", "rfc822" | "global") | ("text", "rfc822-headers"))
    })?;
    let body = returned.decoded_body().ok()?;
    let (headers, _) = Headers::parse(&body, &Limits::default()).ok()?;
    let id = headers.first("Message-ID")?.text();
    let id = id.trim().strip_prefix('<')?.strip_suffix('>')?;
    bounds::is_pec_id(id).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: &str, id: &str) -> Bytes {
        Bytes::from(format!(
            "From: mailer@gamma.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/{kind}; \
             report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nno such user\r\n--b\r\nContent-Type: \
             message/delivery-status\r\n\r\nReporting-MTA: dns; gamma.example\r\n\r\n--b\r\nContent-Type: \
             message/rfc822\r\n\r\nMessage-ID: {id}\r\nSubject: x\r\n\r\nhello\r\n--b--\r\n"
        ))
    }

    /// Spec 0.2 D13: only a report of a delivery status counts, and only by the returned message.
    #[test]
    fn the_returned_message_says_which_letter_bounced() {
        assert_eq!(
            quoted_id(&report("report", "<abc@pec.alfa.example>")).as_deref(),
            Some("abc@pec.alfa.example")
        );
        assert_eq!(quoted_id(&report("mixed", "<abc@pec.alfa.example>")), None);
        assert_eq!(quoted_id(&report("report", "abc")), None);
        assert_eq!(quoted_id(&Bytes::from_static(b"Message-ID: <a@b>\r\n\r\nx\r\n")), None);
    }
}
