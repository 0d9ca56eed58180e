//! What the queue before `ingest` carries: SNS notifications of SES about messages of a receipt rule, and S3
//! notifications about messages that Mail Manager stored. Only what we need is read.

use serde::Deserialize;

/// A message that lies in the data bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// By a receipt rule, with its SMTP envelope.
    Arrived {
        /// Where it lies.
        place: Place,
        /// MAIL FROM; empty is the null reverse path.
        source: String,
        /// RCPT TO, those that the rule matched.
        recipients: Vec<String>,
        /// What SES said of it.
        verdicts: Verdicts,
    },
    /// An object was stored; whose it is, its key tells.
    Stored {
        /// Where it lies.
        place: Place,
    },
}

/// What SES says of a message: `PASS`, `FAIL`, `GRAY`, `PROCESSING_FAILED`, `DISABLED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// Its scanner.
    pub virus: String,
    /// DMARC (RFC 7489): whether From's domain vouches for it.
    pub dmarc: String,
}

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
}

/// A queue message that is no event: poison.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON of a known form.
    #[error("read an event: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON of something else.
    #[error("read an event: nothing that is known")]
    Unknown,
}

/// Reads a queue message. Announcements that services send when they are set up are no events, and no error.
///
/// # Errors
/// [`EventError`]
pub fn parse(body: &str) -> Result<Vec<Event>, EventError> {
    let message = match serde_json::from_str::<Message>(body)? {
        // SNS, around what SES says.
        Message { text: Some(text), .. } if text.starts_with("Successfully validated SNS topic") => {
            return Ok(vec![]);
        }
        Message { text: Some(text), .. } => serde_json::from_str::<Message>(&text)?,
        direct => direct,
    };
    match message {
        Message { notification: Some(kind), receipt: Some(receipt), mail: Some(mail), .. }
            if kind == "Received" =>
        {
            Ok(vec![arrived(receipt, mail)?])
        }
        Message { records: Some(records), .. } => records.into_iter().filter_map(stored).collect(),
        Message { event: Some(event), .. } if event == "s3:TestEvent" => Ok(vec![]),
        _ => Err(EventError::Unknown),
    }
}

fn arrived(receipt: Receipt, mail: Mail) -> Result<Event, EventError> {
    match receipt.action {
        Action { kind, bucket: Some(bucket), key: Some(key) } if kind == "S3" => Ok(Event::Arrived {
            place: Place { bucket, key },
            source: mail.source,
            recipients: receipt.recipients,
            verdicts: Verdicts { virus: verdict(receipt.virus), dmarc: verdict(receipt.dmarc) },
        }),
        _ => Err(EventError::Unknown),
    }
}

fn verdict(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "DISABLED".to_owned(), |verdict| verdict.status)
}

fn stored(record: Record) -> Option<Result<Event, EventError>> {
    // Removals, restorations and the like.
    if !record.name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return None;
    }
    let Some(s3) = record.s3 else { return Some(Err(EventError::Unknown)) };
    let place = unescape(&s3.object.key).map(|key| Place { bucket: s3.bucket.name, key });
    Some(place.map(|place| Event::Stored { place }).ok_or(EventError::Unknown))
}

/// Keys in S3 notifications are escaped as in a form.
fn unescape(key: &str) -> Option<String> {
    let mut octets = key.bytes();
    let mut out = Vec::with_capacity(key.len());
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [octets.next()?, octets.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// All forms in one: their fields tell them apart.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "Message")]
    text: Option<String>,
    #[serde(rename = "notificationType")]
    notification: Option<String>,
    receipt: Option<Receipt>,
    mail: Option<Mail>,
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    #[serde(rename = "Event")]
    event: Option<String>,
}

#[derive(Deserialize)]
struct Receipt {
    recipients: Vec<String>,
    #[serde(rename = "virusVerdict")]
    virus: Option<Verdict>,
    #[serde(rename = "dmarcVerdict")]
    dmarc: Option<Verdict>,
    action: Action,
}

#[derive(Deserialize)]
struct Verdict {
    status: String,
}

#[derive(Deserialize)]
struct Action {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "bucketName")]
    bucket: Option<String>,
    #[serde(rename = "objectKey")]
    key: Option<String>,
}

#[derive(Deserialize)]
struct Mail {
    source: String,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    name: String,
    s3: Option<S3>,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As SES documents it, with what we do not read.
    fn received() -> serde_json::Value {
        json!({
            "notificationType": "Received",
            "receipt": {
                "timestamp": "2026-03-02T08:00:00.000Z", "processingTimeMillis": 222,
                "recipients": ["destinatario@pec.beta.example"],
                "spamVerdict": { "status": "PASS" }, "virusVerdict": { "status": "FAIL" },
                "dmarcVerdict": { "status": "GRAY" }, "dmarcPolicy": "reject",
                "action": { "type": "S3", "topicArn": "arn:aws:sns:eu-south-1:111122223333:incoming",
                    "bucketName": "data", "objectKeyPrefix": "ses/incoming/", "objectKey": "ses/incoming/o3vrnil0e2ic" }
            },
            "mail": {
                "timestamp": "2026-03-02T08:00:00.000Z", "source": "mittente@alfa.example",
                "messageId": "o3vrnil0e2ic", "destination": ["destinatario@pec.beta.example"],
                "headersTruncated": false, "headers": [], "commonHeaders": { "subject": "x" }
            }
        })
    }

    fn place(key: &str) -> Place {
        Place { bucket: "data".to_owned(), key: key.to_owned() }
    }

    fn s3(name: &str, key: &str) -> String {
        let object = json!({ "key": key, "size": 10, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD90281E5" });
        json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name,
            "s3": { "s3SchemaVersion": "1.0", "bucket": { "name": "data" }, "object": object } }] })
        .to_string()
    }

    #[test]
    fn a_received_message_comes_by_sns_or_as_it_is() {
        let expected = [Event::Arrived {
            place: place("ses/incoming/o3vrnil0e2ic"),
            source: "mittente@alfa.example".to_owned(),
            recipients: vec!["destinatario@pec.beta.example".to_owned()],
            verdicts: Verdicts { virus: "FAIL".to_owned(), dmarc: "GRAY".to_owned() },
        }];
        let by_sns =
            json!({ "Type": "Notification", "TopicArn": "arn:x", "Message": received().to_string() });
        for body in [by_sns.to_string(), received().to_string()] {
            assert_eq!(parse(&body).unwrap(), expected);
        }
    }

    #[test]
    fn keys_of_stored_objects_are_unescaped() {
        for (escaped, key) in [
            ("ses/submission/alfa/0a1b", "ses/submission/alfa/0a1b"),
            ("ses%2Fsubmission%2fa+b%20c%C3%A8", "ses/submission/a b cè"),
            ("a%2Bb", "a+b"),
        ] {
            assert_eq!(
                parse(&s3("ObjectCreated:Put", escaped)).unwrap(),
                [Event::Stored { place: place(key) }]
            );
        }
        for bad in ["a%", "a%2", "a%zz", "%ff"] {
            assert!(parse(&s3("ObjectCreated:Put", bad)).is_err(), "{bad}");
        }
        assert!(parse(&s3("ObjectRemoved:Delete", "a")).unwrap().is_empty());
    }

    #[test]
    fn announcements_are_no_events() {
        let hello = json!({ "Type": "Notification",
            "Message": "Successfully validated SNS topic for Amazon SES event publishing." });
        let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "data" });
        for body in [hello, test] {
            assert!(parse(&body.to_string()).unwrap().is_empty());
        }
    }

    #[test]
    fn anything_else_is_poison() {
        let mut bounced = received();
        bounced["notificationType"] = json!("Bounce");
        let mut elsewhere = received();
        elsewhere["receipt"]["action"] = json!({ "type": "Lambda" });
        let nothing = json!({ "Type": "Notification", "Message": "hello" });
        for body in
            ["", "{}", "[]", "null", &bounced.to_string(), &elsewhere.to_string(), &nothing.to_string()]
        {
            assert!(parse(body).is_err(), "{body}");
        }
    }
}
