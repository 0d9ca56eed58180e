//! Submission of a letter, and how it fares.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use pec::{Address, Transaction};
use stages::{
    door::{self, Channel, DoorError, Submission},
    rates::RateError,
    registry::Mailbox,
};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{
    Door, RECIPIENTS_MAX,
    account::{Account, Peer},
    answer::Refused,
    wire::{IDEMPOTENCY_KEY, MAIL_FROM, Progress, RCPT_TO, Submitted},
};
use crate::view;

/// Octets of an idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// Octets of the body of a refused letter that are read.
const PASSED_OVER_BYTES_MAX: usize = 1 << 20;
/// For how long they are read.
const PASSED_OVER: Duration = Duration::from_secs(2);
/// Between two pieces of a body.
const PIECE: Duration = Duration::from_secs(30);
/// For a whole body.
const BODY: Duration = Duration::from_secs(900);

/// `POST /v1/letters`: 202 once the letter is durable.
pub(super) async fn submit(
    State(door): State<Arc<Door>>,
    account: Result<Account, Refused>,
    request: Request,
) -> Result<(StatusCode, Json<Submitted>), Refused> {
    // 1. The account and the transaction, and memory for the body, before the first octet of the body is read.
    let (parts, body) = request.into_parts();
    let Admitted { mailbox, transaction, idempotency_key, length, memory: _memory } =
        match admit(&door, account, &parts.headers).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                pass_over(&parts.headers, body).await;
                return Err(refused);
            }
        };

    // 2. The body, within bounds of size and time.
    let limit = door.rim.limits.technical_bytes_max;
    let raw = timeout(BODY, collect(body, length, limit)).await.map_err(|_| Refused::TooSlow)??;

    // 3. Into the spool. Power fails before it returns: nobody was promised anything.
    let channel = Channel {
        by: door.name.clone(),
        with: "HTTPS".to_owned(),
        via: "https".to_owned(),
        tls: parts.extensions.get::<Peer>().map_or("none", |peer| peer.tls).to_owned(),
    };
    let pec_domain = view::pec_domain(&door.rim, &mailbox).await?.ok_or(Refused::NotFound)?;
    let submission = Submission { account: mailbox.id, transaction, raw, channel, idempotency_key };
    let spool = door::submit(&door.rim, submission).await?;
    let pec_id = spool.pec_id(&pec_domain);
    Ok((StatusCode::ACCEPTED, Json(Submitted { spool_id: spool.to_string(), pec_id })))
}

/// What is known of a letter before its body is read.
struct Admitted<'a> {
    mailbox: Mailbox,
    transaction: Transaction,
    idempotency_key: Option<String>,
    length: Option<u64>,
    /// Its part of what the bodies of all requests may take.
    memory: SemaphorePermit<'a>,
}

/// Whether this account may send this letter, as far as its header says.
async fn admit<'a>(
    door: &'a Door,
    account: Result<Account, Refused>,
    headers: &HeaderMap,
) -> Result<Admitted<'a>, Refused> {
    let Account(mailbox) = account?;
    let transaction = transaction(headers)?;
    if transaction.reverse_path.as_ref() != Some(&mailbox.address) {
        return Err(Refused::ForeignSender);
    }
    let idempotency_key = idempotency_key(headers)?;
    door.rates.admit(&mailbox.id, &mailbox.organisation, transaction.forward_paths.len()).await?;
    let (length, limit) = (length(headers)?, door.rim.limits.technical_bytes_max);
    if length.is_some_and(|length| length > limit) {
        return Err(Refused::TooLarge(limit));
    }
    let memory = reserve(door, length.unwrap_or(limit)).await?;
    Ok(Admitted { mailbox, transaction, idempotency_key, length, memory })
}

/// Reads what is short of a body to its end, for nothing: a client that still writes when the connection is closed loses
/// our answer with it (RFC 9112 §9.6). One that waits for a word of ours (`Expect`, RFC 9110 §10.1.1) writes nothing.
async fn pass_over(headers: &HeaderMap, mut body: Body) {
    let is_long = length(headers).ok().flatten().is_some_and(|bytes| bytes > PASSED_OVER_BYTES_MAX as u64);
    if is_long || headers.contains_key(header::EXPECT) {
        return;
    }
    let mut left = PASSED_OVER_BYTES_MAX;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    };
    // Whoever takes longer finds the connection closed.
    let _ = timeout(PASSED_OVER, read).await;
}

/// `GET /v1/letters/{id}`: by PEC id or by spool id; only one's own.
pub(super) async fn progress(
    State(door): State<Arc<Door>>,
    Account(mailbox): Account,
    Path(id): Path<String>,
) -> Result<Json<Progress>, Refused> {
    view::progress(&door.rim, &mailbox, &id).await?.map(Json).ok_or(Refused::NotFound)
}

impl From<RateError> for Refused {
    fn from(error: RateError) -> Self {
        match error {
            RateError::Stage(error) => Self::Failed(error),
            over => Self::TooMuchSent(over),
        }
    }
}

impl From<DoorError> for Refused {
    fn from(error: DoorError) -> Self {
        match error {
            DoorError::NotOwner => Self::ForeignSender,
            DoorError::NoRecipient => Self::BadRequest(format!("{RCPT_TO} names nobody")),
            DoorError::TooManyRecipients => Self::BadRequest(format!("{RCPT_TO} names too many")),
            DoorError::KeyOfAnother => Self::KeyOfAnother,
            DoorError::TooLarge { size_bytes_max, .. } => Self::TooLarge(size_bytes_max),
            DoorError::Stage(error) => Self::Failed(error),
        }
    }
}

fn transaction(headers: &HeaderMap) -> Result<Transaction, Refused> {
    let bad = |name: &str, what: &str| Refused::BadRequest(format!("{name}: {what}"));
    let mut froms = headers.get_all(MAIL_FROM).iter();
    let from = match (froms.next(), froms.next()) {
        (Some(from), None) => from.to_str().ok().and_then(|from| Address::parse(from.trim()).ok()),
        _ => None,
    };
    let from = from.ok_or_else(|| bad(MAIL_FROM, "expected once, with one address"))?;
    let mut recipients = Vec::new();
    for value in headers.get_all(RCPT_TO) {
        let left = RECIPIENTS_MAX - recipients.len();
        let mailboxes = mime::address::parse_list(value.as_bytes(), left).map_err(|_| {
            bad(RCPT_TO, &format!("expected at most {RECIPIENTS_MAX} addresses with commas between"))
        })?;
        for mailbox in mailboxes {
            let address = Address::parse(&mailbox.addr_spec).map_err(|_| bad(RCPT_TO, "not an address"))?;
            recipients.push(address);
        }
    }
    if recipients.is_empty() {
        return Err(bad(RCPT_TO, "expected at least one address"));
    }
    Ok(Transaction::new(Some(from), recipients))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Refused::BadRequest(format!("{IDEMPOTENCY_KEY}: 1 to {KEY_BYTES_MAX} printable octets"))),
    }
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Refused::BadRequest("content-length: not a number".to_owned()))
}

/// Waits until the letters on their way in leave room for this one.
async fn reserve(door: &Door, bytes: u64) -> Result<SemaphorePermit<'_>, Refused> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let reserved = timeout(PIECE, door.inflight.acquire_many(kib)).await;
    reserved.ok().and_then(Result::ok).ok_or(Refused::TooSlow)
}

async fn collect(mut body: Body, length: Option<u64>, limit: u64) -> Result<Bytes, Refused> {
    let capacity = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(capacity);
    loop {
        let frame = timeout(PIECE, body.frame()).await.map_err(|_| Refused::TooSlow)?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|_| Refused::BadRequest("the body ended early".to_owned()))?;
        let Ok(piece) = frame.into_data() else { continue };
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(Refused::TooLarge(limit));
        }
        bytes.extend_from_slice(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_transaction_is_in_header_fields() {
        let fields = [
            (MAIL_FROM, "a@pec.alfa.example"),
            (RCPT_TO, "b@pec.beta.example, \"c, d\"@pec.beta.example"),
            (RCPT_TO, "B@pec.beta.example"),
        ];
        let transaction = transaction(&headers(&fields)).unwrap();
        let recipients: Vec<&str> = transaction.forward_paths.iter().map(Address::as_str).collect();
        assert_eq!(recipients, ["b@pec.beta.example", "\"c, d\"@pec.beta.example"]);
    }

    #[test]
    fn a_transaction_that_cannot_be_understood_is_a_bad_request() {
        let (from, to) = ((MAIL_FROM, "a@b.example"), (RCPT_TO, "c@d.example"));
        let many = vec!["x@d.example"; RECIPIENTS_MAX + 1].join(", ");
        for fields in [
            vec![from],
            vec![to],
            vec![from, from, to],
            vec![(MAIL_FROM, "<>"), to],
            vec![from, (RCPT_TO, "nobody")],
            vec![from, (RCPT_TO, "")],
            vec![from, (RCPT_TO, many.as_str())],
        ] {
            assert!(matches!(transaction(&headers(&fields)), Err(Refused::BadRequest(_))), "{fields:?}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_not_kept() {
        let body = || Body::from(vec![b'a'; 100]);
        assert_eq!(collect(body(), Some(100), 100).await.unwrap().len(), 100);
        assert!(matches!(collect(body(), None, 99).await, Err(Refused::TooLarge(99))));
    }
}
